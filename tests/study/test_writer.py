"""Specifications as study files."""

import tomllib
from dataclasses import replace

import pytest

from hpsearch.study.reader import parse_study
from hpsearch.study.spec import (
    Choices,
    ColumnRule,
    DataSpec,
    Fault,
    Initializer,
    ModelSpec,
    PruningSpec,
    Range,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
)
from hpsearch.study.writer import specification_text
from hpsearch.verdicts import Cause
from tests.report.synthetic import MARKUP, SPEC

WIDE = StudySpec(
    name='quotes " and \\ and ünïcode',
    data=DataSpec(
        source="wine",
        test_fraction=0.1,
        stratify=True,
        scale="standard",
        types="numbers",
        columns=(
            ColumnRule(name='a "quoted" name', kind="drop"),
            ColumnRule(name="größe", kind="number", transform="log"),
            ColumnRule(name="city", kind="category", encoding="target", min_frequency=5.0),
        ),
        fault=Fault(name="byte_product", number=3),
    ),
    metric="validation_loss",
    model=ModelSpec(
        hidden=(64, 32),
        initializer=Initializer(name="normal", scale=0.01),
        batch_norm=True,
        batch_norm_epsilon=1e-6,
        dropout_layers="last",
        dropout_scaling="evaluation",
    ),
    training=TrainingSpec(optimizer="momentum", epochs=7),
    search=(
        Range(name="learning_rate", low=1e-05, high=0.5, log=True),
        Range(name="training.batch_size", low=10, high=100, step=10, integer=True),
        Range(name="model.dropout", low=0.0, high=0.5, step=0.1),
        Choices(name="model.hidden", choices=("[64]", "[128, 64]", "[64, 64]")),
        Choices(name="model.skip_connections", choices=(True, False)),
        Choices(name="model.initializer", choices=("he", '{"normal": 0.01}')),
        Choices(name="model.batch_norm", choices=(True, False)),
        Choices(name="model.activation", choices=("relu", "elu")),
    ),
    sampler=SamplerSpec(name="random"),
    pruning=PruningSpec(
        diagnosis=False, rank="asha", fatal=(Cause.OVERFIT,), audit=0.5, expected=(Cause.PLATEAU,)
    ),
)


SHUFFLED = replace(SPEC, data=DataSpec(source="wine", fault=Fault(name="labels_shuffled")))

EXACT = parse_study(
    """
name = "exact"
seeds = 3
data = { source = "mnist", examples = 300, sealed = "validation" }
pruning.diagnosis = false
[[configurations]]
name = "quotes \\" and ünïcode"
learning_rate = 0.05
model.hidden = [100, 100]
model.initializer = { normal = 0.01 }
[[configurations]]
model.batch_norm = true
[[configurations]]
""",
    source="test",
)


@pytest.mark.parametrize(
    "spec", [SPEC, WIDE, SHUFFLED, EXACT], ids=["smallest", "widest", "shuffled", "exact"]
)
def test_the_text_is_a_study_file_of_the_same_study(spec: StudySpec) -> None:
    """Reading the text as a study file gives an equal specification."""
    assert parse_study(specification_text(spec), source="report") == spec


def test_any_name_is_toml() -> None:
    """Quotes, markup and line breaks in a name are still one TOML string."""
    name = f'{MARKUP}"\n\t\\'
    assert tomllib.loads(specification_text(replace(SPEC, name=name)))["name"] == name
