"""Values set in addition to a study file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import Problem, StudyFileError, UsageError
from hpsearch.study.reader import (
    changed_configuration,
    parse_settings,
    read_study,
    settings_as_usage_errors,
    with_settings,
)
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
        ("max_depth=None", "max_depth", None),
        ('max_depth="None"', "max_depth", "None"),
        ("data.target=", "data.target", ""),
        ("name=1\nseed = 2", "name", "1\nseed = 2"),
        ("model.hidden=[3", "model.hidden", "[3"),
        (f"model.hidden={'[' * 5000}", "model.hidden", "[" * 5000),
    ],
)
def test_a_setting_is_a_key_and_toml_or_text(text: str, key: str, value: Any) -> None:
    """A value that is neither TOML nor None is text; short names mean their key, and no value adds keys."""
    assert parse_settings([text]) == {key: value}


def test_a_key_is_set_once() -> None:
    """Two settings of one key, by its short or its full name, are an error that shows both."""
    with pytest.raises(UsageError) as caught:
        parse_settings(["learning_rate=1", "seed=3", "training.learning_rate=1"])
    assert str(caught.value) == (
        '--set: must set each key once (got "learning_rate=1" and "training.learning_rate=1"): '
        "leave one of them out"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", '--set: must be KEY=VALUE (got "seed"): write training.learning_rate=0.1'),
        ("=3", '--set: must be KEY=VALUE (got "=3"): write training.learning_rate=0.1'),
        (
            "search.momentum=3",
            (
                '--set: must set a value that is fixed (got "search.momentum=3"): [search] is ignored; '
                "name the field of [model] or [training] itself"
            ),
        ),
    ],
)
def test_an_invalid_setting_is_a_usage_error(text: str, message: str) -> None:
    """A setting needs a key and a value, and cannot be in the search."""
    with pytest.raises(UsageError) as caught:
        parse_settings([text])
    assert str(caught.value) == message


def test_settings_replace_values_of_the_file() -> None:
    """A study with settings equals the study of a file with these values."""
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


def test_wrong_settings_have_the_messages_of_the_file() -> None:
    """Settings are checked like values in the file."""
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


def test_a_section_that_is_no_table_is_unchanged() -> None:
    """A setting does not replace a wrong section, and the given document is unchanged."""
    document = {"model": 3, "training": {"epochs": 1}}
    changed = with_settings(document, {"model.hidden": [3], "training.epochs": 2, "data.source": "iris"})
    assert changed == {"model": 3, "training": {"epochs": 2}, "data": {"source": "iris"}}
    assert document == {"model": 3, "training": {"epochs": 1}}


def test_a_configuration_is_changed_by_settings() -> None:
    """Values of [model] and [training] replace a configuration's own; all others are unchanged."""
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
def test_a_setting_of_no_field_has_a_suggestion(setting: str, message: str) -> None:
    """A misspelt field has a suggestion; without a similar field, the error lists all."""
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
def test_a_problem_of_a_setting_is_a_usage_error(where: str, kind: type[Exception]) -> None:
    """A problem at a setting's path or below is a usage error with the same text; others are the file's."""
    error = StudyFileError("x.toml", [Problem(where=where, message="must be right")])
    with (
        pytest.raises(kind) as raised,
        settings_as_usage_errors({"model.hidden": 3, "data.fault": 1, "model.a b": 2}),
    ):
        raise error
    assert str(raised.value) == str(error)


def test_all_problems_of_settings_are_reported() -> None:
    """Each problem has its key path, and fields outside a configuration are refused."""
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
