"""The JSON form of a specification: round trips, and other versions."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study import spec as words
from hpsearch.study.json_form import spec_from_json, spec_to_json
from hpsearch.study.metrics import Metric
from hpsearch.study.schema import SEARCHABLE
from hpsearch.study.schema import words as words_of
from hpsearch.study.spec import (
    DIAGNOSED_CAUSES,
    Choices,
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

numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(1, 10**7)
names = st.sampled_from(sorted(SEARCHABLE))
dimensions = st.builds(
    Range,
    name=names,
    low=numbers,
    high=numbers,
    log=st.booleans(),
    step=st.none() | numbers,
    integer=st.booleans(),
) | st.builds(
    Choices,
    name=names,
    choices=st.lists(numbers | st.booleans() | st.text() | counts, min_size=1, max_size=5).map(tuple),
)
causes = st.lists(st.sampled_from(DIAGNOSED_CAUSES), unique=True).map(tuple)
studies = st.builds(
    StudySpec,
    name=st.text(min_size=1, max_size=200),
    trials=counts,
    seed=st.integers(0, 2**63 - 1),
    metric=st.sampled_from(words_of(Metric)),
    data=st.builds(
        DataSpec,
        source=st.text(min_size=1),
        validation_fraction=numbers,
        test_fraction=numbers,
        stratify=st.booleans(),
        target=st.none() | st.text(),
        fault=st.none()
        | st.builds(
            Fault, name=st.sampled_from(words_of(words.FaultName)), number=st.none() | st.integers(2, 65_536)
        ),
    ),
    model=st.builds(
        ModelSpec,
        hidden=st.lists(counts, max_size=5).map(tuple),
        activation=st.sampled_from(words_of(words.Activation)),
        initializer=st.builds(
            Initializer, name=st.sampled_from(["he", "normal", "uniform"]), scale=st.none() | numbers
        ),
        batch_norm=st.booleans(),
        batch_norm_epsilon=numbers,
        dropout=numbers,
        dropout_position=st.sampled_from(words_of(words.DropoutPosition)),
        dropout_layers=st.sampled_from(words_of(words.DropoutLayers)),
        dropout_scaling=st.sampled_from(words_of(words.DropoutScaling)),
        skip_connections=st.booleans(),
    ),
    training=st.builds(
        TrainingSpec, epochs=counts, batch_size=counts, learning_rate=numbers, weight_decay=numbers
    ),
    search=st.lists(dimensions, max_size=4).map(tuple),
    sampler=st.builds(SamplerSpec, name=st.sampled_from(words_of(words.SamplerName)), points=counts),
    pruning=st.builds(
        PruningSpec, diagnosis=st.booleans(), percentile=numbers, fatal=causes, audit=numbers, expected=causes
    ),
)

SMALLEST = StudySpec(name="x", data=DataSpec(source="digits"))


@given(studies)
def test_json_keeps_everything(study: StudySpec) -> None:
    """A specification written as JSON is read back as an equal record, with the same types."""
    again = spec_from_json(spec_to_json(study))
    assert again == study
    assert repr(again) == repr(study)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("data",),
        ("data", "fault"),
        ("model",),
        ("model", "initializer"),
        ("training",),
        ("sampler",),
        ("pruning",),
    ],
)
def test_keys_of_a_newer_version_are_refused(path: tuple[str, ...]) -> None:
    """An unknown key may change results, so it is not ignored."""
    wrong = replace(SMALLEST, data=replace(SMALLEST.data, fault=Fault(name="labels_shuffled")))
    raw = json.loads(spec_to_json(wrong))
    table: dict[str, Any] = raw
    for key in path:
        table = table[key]
    table["novelty"] = 1
    with pytest.raises(ValueError, match=r"unknown keys \['novelty'\]"):
        spec_from_json(json.dumps(raw))
    # Unless the newer version declares that they change nothing for this one.
    assert spec_from_json(json.dumps(raw | {"oldest_reader": "0.1"})) == wrong


def test_a_stored_study_without_an_order_reshuffles() -> None:
    """Versions without `training.order` shuffled in every epoch, and their trials must stay reproducible."""
    raw = json.loads(spec_to_json(SMALLEST))
    del raw["training"]["order"]
    assert spec_from_json(json.dumps(raw)).training.order == "reshuffle"


def test_a_study_of_an_older_version_is_read() -> None:
    """A study stored without fatal causes has the default ones and no audit."""
    raw = json.loads(spec_to_json(SMALLEST))
    for key in ("fatal", "audit", "expected"):
        del raw["pruning"][key]
    assert spec_from_json(json.dumps(raw)) == SMALLEST


def test_a_study_without_skips_and_faults_is_read() -> None:
    """A study stored without skips, positions of dropout and faults has the defaults."""
    raw = json.loads(spec_to_json(SMALLEST))
    del raw["data"]["fault"]
    for key in ("dropout_position", "dropout_layers", "skip_connections"):
        del raw["model"][key]
    assert spec_from_json(json.dumps(raw)) == SMALLEST


def test_a_study_without_epsilon_and_dropout_scaling_is_read() -> None:
    """A study stored without an epsilon and a scaling of dropout has the defaults."""
    raw = json.loads(spec_to_json(SMALLEST))
    for key in ("batch_norm_epsilon", "dropout_scaling"):
        del raw["model"][key]
    assert spec_from_json(json.dumps(raw)) == SMALLEST


def test_keys_of_a_newer_version_are_refused_in_dimensions() -> None:
    """Unknown keys in ranges and choices are refused too."""
    study = replace(SMALLEST, search=(Choices(name="a", choices=(1,)), Range(name="b", low=0.0, high=1.0)))
    for i in range(2):
        raw = json.loads(spec_to_json(study))
        raw["search"][i]["novelty"] = 1
        with pytest.raises(ValueError, match=r"unknown keys \['novelty'\]"):
            spec_from_json(json.dumps(raw))


def test_a_study_without_header_and_drop_reads_tables_as_before() -> None:
    """A study of an older version takes a first line of numbers for an example, and drops no column."""
    raw = json.loads(spec_to_json(StudySpec(name="x", data=DataSpec(source="x.csv"))))
    del raw["data"]["header"], raw["data"]["drop"], raw["data"]["types"], raw["data"]["columns"]
    data = spec_from_json(json.dumps(raw)).data
    assert (data.header, data.drop, data.types, data.columns) == ("text", (), "numbers", None)
    for drop in (None, (), ("id",)):
        study = StudySpec(name="x", data=DataSpec(source="x.csv", drop=drop))
        assert spec_from_json(spec_to_json(study)) == study
