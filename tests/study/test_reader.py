"""Study files as a whole: the specification of a valid one, and the problems of an invalid one."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import Problem, StudyFileError
from hpsearch.study.json_form import spec_from_json, spec_to_json
from hpsearch.study.reader import _study, find_nothing, parse_study, read_study
from hpsearch.study.schema import BUILTIN_SOURCES, SECTIONS, TOP_LEVEL
from hpsearch.study.spec import (
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
from hpsearch.verdicts import Cause

_TOP = (
    "name, trials, seed, metric, seeds, data, model, training, search, configurations, sampler, pruning, "
    "budget, objective, limits"
)

SMALLEST = 'name = "first"\n[data]\nsource = "digits"'

EVERYTHING = """
name = "all"
trials = 7
seed = 3
metric = "validation_loss"

[data]
source = "some/folder"
validation_fraction = 0.25
test_fraction = 0.5
scale = "standard"
stratify = true
task = "classification"
target = "species"
fault = { integer_division = 255 }

[model]
hidden = [32, 16]
activation = "selu"
initializer = { normal = 0.01 }
batch_norm = true
batch_norm_affine = false
batch_norm_epsilon = 1e-3
dropout = 0.5
dropout_position = "before_normalization"
dropout_layers = "last"
dropout_scaling = "evaluation"
skip_connections = true
loss = "mse"
output = "tanh"

[training]
epochs = 3
batch_size = 10
optimizer = "nesterov"
reduction = "sum"
learning_rate = 1
weight_decay = 1e-4
momentum = 0.5
precision = "float64"

[search]
learning_rate = { low = 1e-4, high = 1.0, log = true }
"model.hidden" = { choices = [[64], [64, 64]] }

[sampler]
name = "grid"
startup_trials = 0
points = 5

[pruning]
diagnosis = false
fatal = ["overfit", "diverged_lr"]
audit = 0.25
expected = ["plateau"]
rank = "percentile"
startup_trials = 1
warmup_epochs = 2
percentile = 50
reduction_factor = 3
"""


EVERYTHING_READ = StudySpec(
    name="all",
    trials=7,
    seed=3,
    metric="validation_loss",
    data=DataSpec(
        source="some/folder",
        validation_fraction=0.25,
        test_fraction=0.5,
        scale="standard",
        stratify=True,
        task="classification",
        target="species",
        fault=Fault(name="integer_division", number=255),
    ),
    model=ModelSpec(
        hidden=(32, 16),
        activation="selu",
        initializer=Initializer(name="normal", scale=0.01),
        batch_norm=True,
        batch_norm_affine=False,
        batch_norm_epsilon=1e-3,
        dropout=0.5,
        dropout_position="before_normalization",
        dropout_layers="last",
        dropout_scaling="evaluation",
        skip_connections=True,
        loss="mse",
        output="tanh",
    ),
    training=TrainingSpec(
        epochs=3,
        batch_size=10,
        optimizer="nesterov",
        reduction="sum",
        learning_rate=1.0,
        weight_decay=1e-4,
        momentum=0.5,
        precision="float64",
    ),
    search=(
        Range(name="learning_rate", low=1e-4, high=1.0, log=True),
        Choices(name="model.hidden", choices=("[64]", "[64, 64]")),
    ),
    sampler=SamplerSpec(name="grid", startup_trials=0, points=5),
    pruning=PruningSpec(
        diagnosis=False,
        fatal=(Cause.DIVERGED_LR, Cause.OVERFIT),
        audit=0.25,
        expected=(Cause.PLATEAU,),
        rank="percentile",
        startup_trials=1,
        warmup_epochs=2,
        percentile=50.0,
        reduction_factor=3,
    ),
)


def problems_of(text: str) -> list[str]:
    """Return the problems of `text`, line by line."""
    with pytest.raises(StudyFileError) as caught:
        parse_study(text, source="x.toml")
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_file_has_three_lines() -> None:
    """A name and a source make a study; everything else has a default."""
    assert len(SMALLEST.splitlines()) == 3
    spec = parse_study(SMALLEST, source="x.toml")
    assert spec == StudySpec(name="first", data=DataSpec(source="digits"))
    assert [(d.name, isinstance(d, Range)) for d in spec.search] == [
        ("learning_rate", True),
        ("weight_decay", True),
    ]


def test_every_key_is_read() -> None:
    """Every key of a file reaches its field."""
    assert parse_study(EVERYTHING, source="x.toml") == EVERYTHING_READ


def test_all_problems_are_reported_in_the_order_of_the_file() -> None:
    """One reading reports all problems from top to bottom, missing keys first."""
    text = """
    trails = 200
    seed = -1

    [search]
    learning_rate = { low = 0.0, high = 1.0, log = true }

    [training]
    optimiser = "sgd"
    batch_size = 2.5

    [data]
    scale = "Unit"
    """
    with pytest.raises(StudyFileError) as caught:
        parse_study(text, source="studies/digits.toml")
    assert str(caught.value) == (
        "studies/digits.toml: 8 problems\n"
        '  name: must be given: name = "..." at the top\n'
        '  trails: unknown key; did you mean "trials"?\n'
        "  seed: must be a whole number from 0 to 9223372036854775807 (got -1)\n"
        "  search.learning_rate.low: must be above 0 on a log scale (got 0.0)\n"
        '  training.optimiser: unknown key; did you mean "optimizer"?\n'
        "  training.batch_size: must be a whole number from 1 to 10000000 (got 2.5)\n"
        "  data.source: must be given: one of digits, breast_cancer, wine, iris, diabetes, mnist, or a path\n"
        '  data.scale: must be one of unit, standard, none (got "Unit"): did you mean "unit"?'
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("[trainng]\nepochs = 3", 'trainng: unknown key; did you mean "training"?'),
        (
            "[optimizer]\nname = 'sgd'",
            'optimizer: unknown key; did you mean "optimizer" under [training]?',
        ),
        (
            "[frobnicate]",
            f"frobnicate: unknown key; known are {_TOP}",
        ),
        (
            '["my table"]',
            f'"my table": unknown key; known are {_TOP}',
        ),
        ("[training]\nhidden = [3]", 'training.hidden: unknown key; did you mean "hidden" under [model]?'),
        (
            "trials = 3",
            'data.trials: unknown key; did you mean "trials" at the top of the file, before the first table?',
        ),
        ("[training.search]", 'training.search: unknown key; did you mean "search" as a table of its own?'),
        ("[training]\nlr = 1.0", 'training.lr: unknown key; did you mean "learning_rate"?'),
        ("[sampler]\nwarmup = 3", "sampler.warmup: unknown key; known are name, startup_trials, points"),
        ("[[model]]\ndropout = 0.5", "model: must be a table, [model] (got [{ dropout = 0.5 }])"),
        (
            "validation_fraction = 0.6\ntest_fraction = 0.4",
            (
                "data.test_fraction: must leave examples to train on after the validation fraction 0.6 (got 0.4):"
                " lower one of them"
            ),
        ),
        (
            "task = 'regression'\n[model]\nloss = 'cross_entropy'",
            (
                'model.loss: must be mse in regression (got "cross_entropy"): '
                'change it, or set data.task = "classification"'
            ),
        ),
    ],
)
def test_an_unknown_key_is_refused(lines: str, problem: str) -> None:
    """The error has the likely key or its place; values must fit together."""
    assert problems_of(f"{SMALLEST}\n{lines}") == [problem]


def test_accuracy_needs_classes() -> None:
    """A declared regression cannot have accuracy as its metric; with an automatic task it can."""
    text = 'name = "x"\nmetric = "validation_accuracy"\ndata = {{ source = "x.csv", task = "{}" }}'
    assert problems_of(text.format("regression")) == [
        (
            "metric: must be one of validation_loss, rmse, mae, r2 in regression "
            '(got "validation_accuracy"): '
            'change it, or set data.task = "classification"'
        )
    ]
    assert parse_study(text.format("auto"), source="x").metric == "validation_accuracy"


@pytest.mark.parametrize(
    "text", ["", "data = 3\nname = 'x'", "search = 1\nname = 'x'\ndata = { source = 1 }"]
)
def test_nonsense_has_problems(text: str) -> None:
    """Nonsense that is valid TOML is a list of problems."""
    assert problems_of(text)


KEYS = st.sampled_from(
    [
        *TOP_LEVEL,
        *(key for section in SECTIONS.values() for key in section.rules),
        *("low", "high", "log", "step", "choices", "normal", "model.hidden", "model.loss", "", "odd key"),
    ]
)
VALUES = st.recursive(
    st.booleans()
    | st.integers()
    | st.integers(1, 100)
    | st.floats()
    | st.floats(0.125, 0.875)
    | st.sampled_from([*BUILTIN_SOURCES, "relu", "auto", "x.csv", "", "\0"])
    | st.just(date(2017, 5, 23)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)


@given(
    st.fixed_dictionaries(
        {"name": st.just("x"), "data": st.just({"source": "digits"})},
        optional={key: VALUES | TABLES for key in TOP_LEVEL if key not in ("name", "data")},
    )
    | TABLES
)
def test_every_document_is_a_study_or_has_problems(document: dict[str, Any]) -> None:
    """Every TOML document gives a study or a list of problems, never another exception."""
    problems: Sequence[Problem] = ()
    study = None
    try:
        study = _study(document, source="x.toml", locate=find_nothing, options={})
    except StudyFileError as error:
        problems = error.problems
    assert problems or (study is not None and spec_from_json(spec_to_json(study)) == study)


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("digit", ': did you mean "digits"?'),
        ("Iris", ': did you mean "iris"?'),
        ("cifar", ""),
    ],
)
def test_an_unknown_source_is_refused(source: str, remedy: str) -> None:
    """A source that is neither a name nor a path is refused, with a similar name."""
    sources = "digits, breast_cancer, wine, iris, diabetes, mnist, or a path"
    assert problems_of(f'name = "x"\ndata.source = "{source}"') == [
        f'data.source: must be one of {sources} (got "{source}"){remedy}'
    ]


@pytest.mark.parametrize(
    "source", ["x.npz", "x.CSV", "x.parquet", "./x", "../mnist/", "C:\\\\data", "~/x.csv"]
)
def test_a_path_is_unchanged(source: str) -> None:
    """A text that looks like a path is left to the stage that opens it."""
    spec = parse_study(f'name = "x"\ndata.source = "{source}"', source="x.toml")
    assert spec.data.source == source.replace("\\\\", "\\")


def study_file(folder: Path, *, source: str) -> Path:
    """Return a new study file in `folder` that names `source`."""
    folder.mkdir(exist_ok=True)
    path = folder / "x.toml"
    path.write_text(f'name = "x"\ndata.source = "{source}"')
    return path


def test_a_file_next_to_the_study_is_found(tmp_path: Path) -> None:
    """A relative path is relative to the study file, in every working folder."""
    path = study_file(tmp_path / "studies", source="x.csv")
    assert read_study(path).data.source == "x.csv"
    (tmp_path / "studies/x.csv").touch()
    assert read_study(path).data.source == str(tmp_path.resolve() / "studies/x.csv")
    assert read_study(Path("studies/x.toml")) == read_study(path)


def test_an_existing_folder_needs_no_slash(tmp_path: Path) -> None:
    """A folder is a source under its bare name, next to the study file or in the working folder."""
    path = study_file(tmp_path / "studies", source="images")
    with pytest.raises(StudyFileError, match=r"1 problem\n  data\.source: must be one of"):
        read_study(path)
    (tmp_path / "images").mkdir()
    assert read_study(path).data.source == "images"
    (tmp_path / "studies/images").mkdir()
    assert read_study(path).data.source == str(tmp_path.resolve() / "studies/images")


def test_a_built_in_name_precedes_a_folder(tmp_path: Path) -> None:
    """`mnist` is MNIST even if a folder has that name; `./mnist` is the folder."""
    (tmp_path / "studies/mnist").mkdir(parents=True)
    assert read_study(study_file(tmp_path / "studies", source="mnist")).data.source == "mnist"
    source = read_study(study_file(tmp_path / "studies", source="./mnist")).data.source
    assert source == str(tmp_path.resolve() / "studies/mnist")


def test_a_source_too_long_for_a_path_is_unchanged(tmp_path: Path) -> None:
    """A name that no file can have does not fail the reading."""
    source = f"{'x' * 300}.csv"
    assert read_study(study_file(tmp_path, source=source)).data.source == source


def test_options_override_name_and_trials(tmp_path: Path) -> None:
    """An option replaces the file's value, even a wrong or missing one."""
    path = tmp_path / "x.toml"
    path.write_text('trials = 0\ndata.source = "digits"')
    spec = read_study(path, name="mine", trials=9)
    assert (spec.name, spec.trials) == ("mine", 9)


def test_a_wrong_option_is_reported_as_an_option(tmp_path: Path) -> None:
    """The error of an option names the option, not the file's key."""
    path = tmp_path / "x.toml"
    path.write_text(f"trials = 3\n{SMALLEST}")
    with pytest.raises(StudyFileError) as caught:
        read_study(path, name=" ", trials=0)
    assert [str(problem) for problem in caught.value.problems] == [
        '--name: must be 1 to 200 characters of text, no control characters, no spaces around it (got " ")',
        "--trials: must be a whole number from 1 to 10000000 (got 0)",
    ]


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (
            'source = "t.csv"\ngroup = "a"\ntime = "b"\nstratify = true',
            [
                'data.group: must not be set together with data.stratify (got "a")',
                'data.time: must not be set together with data.stratify (got "b")',
                'data.time: must not be set together with data.group (got "b")',
            ],
        ),
        (
            'source = "digits"\ntarget = "a"\ndrop = ["a"]\ngroup = "a"',
            [
                'data.group: must be another column than the target (got "a")',
                'data.group: must not be among data.drop (got "a")',
                'data.group: needs a table with columns, and digits is none (got "a")',
            ],
        ),
        ('source = "digits"\nfolds = 1', ["data.folds: must be 0 or at least 2 (got 1)"]),
        (
            'source = "mnist"\nfolds = 5\nvalidation_fraction = 0.2\nfault = "labels_shuffled"',
            [
                "data.validation_fraction: must not be set together with data.folds (got 0.2)",
                'data.fault: must not be set together with data.folds (got "labels_shuffled")',
            ],
        ),
        (
            'source = "mnist"\nfolds = 5\nsealed = "validation"',
            ['data.sealed: must not be set together with data.folds (got "validation")'],
        ),
    ],
)
def test_contradictions_of_the_split(data: str, problems: list[str]) -> None:
    """Keys of the split that exclude each other are all named, each with a remedy."""
    with pytest.raises(StudyFileError) as refusal:
        parse_study(f'name = "x"\n[data]\n{data}\n', source="x.toml")
    assert [str(problem).rpartition(": ")[0] for problem in refusal.value.problems] == problems
