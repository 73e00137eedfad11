"""Values set beside a study file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import Problem, StudyFileError, UsageError
from hpsearch.study.reader import changed_configuration, read_study
from hpsearch.study.settings import parse_settings, settings_as_usage_errors, with_settings
from hpsearch.study.spec import DataSpec, Initializer, StudySpec, configure

FILE = 'name = "x"\nmodel = { hidden = [8] }\n[data]\nsource = "iris"\n[training]\nepochs = 3\n'


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("learning_rate=0.5", "training.learning_rate", 0.5),
        ("weight_decay = 1e-3", "training.weight_decay", 1e-3),
        ("momentum=0", "training.momentum", 0),
        ("model.activation=tanh", "model.activation", "tanh"),
        ('model.activation="tanh"', "model.activation", "tanh"),
        ("model.hidden=[3, 4]", "model.hidden", [3, 4]),
        ("model.initializer={ normal = 0.1 }", "model.initializer", {"normal": 0.1}),
        ("model.batch_norm=true", "model.batch_norm", True),
        ("data.source=a=b.csv", "data.source", "a=b.csv"),
        ("seed=7", "seed", 7),
        ("data.target=", "data.target", ""),
        ("name=1\nseed = 2", "name", "1\nseed = 2"),
        ("model.hidden=[3", "model.hidden", "[3"),
        (f"model.hidden={'[' * 5000}", "model.hidden", "[" * 5000),
    ],
)
def test_a_setting_is_a_key_and_toml_or_text(text: str, key: str, value: Any) -> None:
    """What TOML cannot read is text; short names stand for their key, and no value brings keys along."""
    assert parse_settings([text]) == {key: value}


def test_a_key_is_set_once() -> None:
    """Short and full names are one key; the error names both values."""
    message = (
        '--set: must set training.learning_rate once (got "learning_rate=1" and "training.learning_rate=2"): '
        "leave one out"
    )
    with pytest.raises(UsageError) as caught:
        parse_settings(["learning_rate=1", "training.learning_rate=2"])
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", '--set: must be KEY=VALUE (got "seed"): write training.learning_rate=0.1'),
        ("=3", '--set: must be KEY=VALUE (got "=3"): write training.learning_rate=0.1'),
        (
            "search.momentum=3",
            (
                '--set: must set a value that is fixed (got "search.momentum=3"): [search] is left aside; '
                "name the field of [model] or [training] itself"
            ),
        ),
    ],
)
def test_what_is_no_setting_is_wrong_usage(text: str, message: str) -> None:
    """A setting needs a key and a value, and the search has no values."""
    with pytest.raises(UsageError) as caught:
        parse_settings([text])
    assert str(caught.value) == message


def test_settings_take_the_place_of_the_files_values() -> None:
    """A study with settings is the one that the file would describe with them."""
    path = Path("x.toml")
    path.write_text(FILE)
    settings = ["epochs=5", "training.epochs=5", "model.initializer={ normal = 0.5 }", "seed=9"]
    with pytest.raises(
        StudyFileError, match=r'epochs: unknown key; did you mean "epochs" under \[training\]\?'
    ):
        read_study(path, settings=parse_settings(settings))
    study = read_study(path, settings=parse_settings(settings[1:]))
    assert (study.training.epochs, study.seed, study.model.hidden) == (5, 9, (8,))
    assert study.model.initializer == Initializer(name="normal", scale=0.5)


def test_wrong_values_get_the_files_own_messages() -> None:
    """Settings are judged as what stands in the file."""
    path = Path("x.toml")
    path.write_text(FILE)
    with pytest.raises(StudyFileError) as caught:
        read_study(path, settings=parse_settings(["model.activation=relo", "learning_rate=-1"]))
    assert str(caught.value).splitlines()[1:] == [
        (
            "  model.activation: must be one of relu, leaky_relu, elu, selu, sigmoid, tanh, identity, gelu, silu "
            '(got "relo"): did you mean "relu"?'
        ),
        "  training.learning_rate: must be a number above 0 and at most 1e+12 (got -1)",
    ]


def test_a_section_that_is_no_table_stays_wrong() -> None:
    """A setting does not hide that its section is none; the document itself is left as it was."""
    document = {"model": 3, "training": {"epochs": 1}}
    changed_configuration = with_settings(
        document, {"model.hidden": [3], "training.epochs": 2, "data.source": "iris"}
    )
    assert changed_configuration == {"model": 3, "training": {"epochs": 2}, "data": {"source": "iris"}}
    assert document == {"model": 3, "training": {"epochs": 1}}


def test_a_configuration_is_changed_by_settings() -> None:
    """Values of [model] and [training] replace a configuration's own, and everything else stays."""
    own = configure(StudySpec(name="x", data=DataSpec(source="iris")), {})
    settings = parse_settings(
        ["learning_rate=0.5", "model.hidden=[3, 4]", "model.initializer={ normal = 0.1 }"]
    )
    made = changed_configuration(own, settings, source="trial 3")
    assert made.training == replace(own.training, learning_rate=0.5)
    assert made.model == replace(own.model, hidden=(3, 4), initializer=Initializer(name="normal", scale=0.1))
    assert changed_configuration(own, {}, source="trial 3") == own


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=0.1", "lr: must be a field of [model] or [training] (got 0.1): did you mean training.learning_rate?"),
        ("epochs=5", "epochs: must be a field of [model] or [training] (got 5): did you mean training.epochs?"),
        ("modle.hidden=[3]", "modle.hidden: must be a field of [model] or [training] (got [3]): did you mean mod"),
        ("data.source=iris", 'data.source: must be a field of [model] or [training] (got "iris"): choose one of mod'),
    ],
)  # fmt: skip
def test_a_change_that_is_no_field_names_one(setting: str, message: str) -> None:
    """A misspelt field is answered with the near one, and what is near to none with all of them."""
    own = configure(StudySpec(name="x", data=DataSpec(source="iris")), {})
    with pytest.raises(StudyFileError) as raised:
        changed_configuration(own, parse_settings([setting]), source="trial 3")
    (problem,) = raised.value.problems
    assert str(problem).startswith(message)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("model.hidden", UsageError),
        ("model.hidden[1]", UsageError),
        ("data.fault.name", UsageError),
        ('model."a b"', UsageError),
        ("model.hidden_layers", StudyFileError),
        ("training.epochs", StudyFileError),
    ],
)
def test_a_problem_of_a_setting_is_wrong_usage(where: str, kind: type[Exception]) -> None:
    """What is wrong with a setting, or below it, is wrong usage in the same words; the rest is the file's."""
    error = StudyFileError("x.toml", [Problem(where=where, message="must be right")])
    with (
        pytest.raises(kind) as raised,
        settings_as_usage_errors({"model.hidden": 3, "data.fault": 1, "model.a b": 2}),
    ):
        raise error
    assert str(raised.value) == str(error)


def test_all_that_is_wrong_with_a_change_is_said() -> None:
    """Each problem has its key path, and what no trial trains is no setting of one."""
    own = configure(StudySpec(name="x", data=DataSpec(source="iris")), {})
    settings = parse_settings(
        ["learning_rate=-1", "seed=7", "data.source=wine", "model.hiden=[3]", "model.dropout=x"]
    )
    with pytest.raises(StudyFileError) as raised:
        changed_configuration(own, settings, source="trial 3")
    assert raised.value.source == "trial 3"
    assert {problem.where for problem in raised.value.problems} == {
        "training.learning_rate",
        "seed",
        "data.source",
        "model.hiden",
        "model.dropout",
    }
