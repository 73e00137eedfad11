"""The table [search]: ranges, choices, names."""

import tomllib
from typing import Any

import pytest

from hpsearch.study.search_space import search_problems, search_space
from hpsearch.study.spec import DEFAULT_SEARCH, Choices, DataSpec, Dimension, Range, StudySpec, configure

EVERY_NAME = (
    "model.hidden, model.activation, model.initializer, model.batch_norm, model.batch_norm_affine, "
    "model.batch_norm_epsilon, model.dropout, model.dropout_position, model.dropout_layers, model.dropout_scaling, "
    "model.skip_connections, model.output, "
    "training.epochs, training.batch_size, training.optimizer, training.reduction, "
    "learning_rate, weight_decay, momentum, training.class_weight, training.order"
)

WRONG = [
    (
        "learning_rate = { low = 0.0, high = 1.0, log = true }",
        "learning_rate.low: must be above 0 on a log scale (got 0.0)",
    ),
    (
        "weight_decay = { low = -1, high = 1.0, log = true }",
        "weight_decay.low: must be above 0 on a log scale (got -1)",
    ),
    (
        "learning_rate = { low = 1.0, high = 0.1 }",
        "learning_rate.low: must be below high, which is 0.1 (got 1.0): swap them",
    ),
    (
        "learning_rate = { low = 1, high = 1 }",
        "learning_rate.low: must be below high, which is 1 (got 1): for one fixed value take it out of [search]",
    ),
    ("learning_rate = { low = 0.1 }", "learning_rate.high: must be given: a range has low and high"),
    (
        "learning_rate = { low = 0.1, high = inf }",
        "learning_rate.high: must be a number above 0 and at most 1e+12 (got inf)",
    ),
    (
        "momentum = { low = 0.5, high = 1.0 }",
        "momentum.high: must be a number at least 0 and below 1 (got 1.0)",
    ),
    ("learning_rate = { low = 0.1, high = 1, log = 1 }", "learning_rate.log: must be true or false (got 1)"),
    (
        "learning_rate = { low = 0.1, high = 1, log = true, step = 0.1 }",
        "learning_rate.step: must not be given on a log scale (got 0.1): leave out step or log",
    ),
    (
        "model.dropout = { low = 0.0, high = 0.5, step = 0.0 }",
        "model.dropout.step: must be a number above 0 and at most 0.5 (got 0.0)",
    ),
    (
        "training.batch_size = { low = 10, high = 100, step = 20 }",
        "training.batch_size.high: must be low plus a whole number of steps (got 100): use 90",
    ),
    (
        "training.batch_size = { low = 10, high = 100, step = 0.5 }",
        "training.batch_size.step: must be a whole number from 1 to 90 (got 0.5)",
    ),
    (
        "training.batch_size = { low = 10.0, high = 100 }",
        "training.batch_size.low: must be a whole number from 1 to 10000000 (got 10.0)",
    ),
    (
        "learning_rate = { low = 0.1, heigh = 1.0 }",
        'learning_rate.heigh: unknown key; did you mean "high"?',
        "learning_rate.high: must be given: a range has low and high",
    ),
    (
        "learning_rate = { minimum = 1 }",
        "learning_rate.minimum: unknown key; known are low, high, log, step, choices, when",
    ),
    (
        "learning_rate = 0.1",
        "learning_rate: must be { low = ..., high = ... } or { choices = [...] } (got 0.1)",
    ),
    (
        "learning_rate = {}",
        "learning_rate: must be { low = ..., high = ... } or { choices = [...] } (got {})",
    ),
    (
        "learning_rate = [0.1, 1.0]",
        (
            "learning_rate: must be { low = ..., high = ... } or { choices = [...] } (got [0.1, 1.0])"
            ": write { choices = [0.1, 1.0] }"
        ),
    ),
    (
        "learning_rate = { low = 0.1, choices = [0.1] }",
        (
            "learning_rate: must be either { low = ..., high = ... } or { choices = [...] }"
            " (got { low = 0.1, choices = [0.1] }): keep one of them"
        ),
    ),
    (
        "learning_rate = { choices = [] }",
        "learning_rate.choices: must be a list of at least one value (got [])",
    ),
    (
        "learning_rate = { choices = 0.1 }",
        "learning_rate.choices: must be a list of at least one value (got 0.1)",
    ),
    (
        "learning_rate = { choices = [0.1, 0, 0.1] }",
        "learning_rate.choices[1]: must be a number above 0 and at most 1e+12 (got 0)",
        "learning_rate.choices[2]: must not be repeated (got 0.1): keep one",
    ),
    (
        "model.hidden = { choices = [[64], [64], [0]] }",
        "model.hidden.choices[1]: must not be repeated (got [64]): keep one",
        "model.hidden.choices[2][0]: must be a whole number from 1 to 100000 (got 0)",
    ),
    (
        "model.initializer = { choices = [{ normal = 1 }, { normal = 1.0 }] }",
        "model.initializer.choices[1]: must not be repeated (got { normal = 1.0 }): keep one",
    ),
    (
        "model.activation = { low = 0, high = 1 }",
        "model.activation: must be { choices = [...] }, as its values are no numbers (got { low = 0, high = 1 })",
    ),
    ("activation = { choices = ['relu'] }", 'activation: unknown key; did you mean "model.activation"?'),
    ("lr = { low = 0.1, high = 1.0 }", 'lr: unknown key; did you mean "learning_rate"?'),
    (
        "'training.epoch' = { low = 1, high = 9 }",
        'training.epoch: unknown key; did you mean "training.epochs"?',
    ),
    ("x = { low = 1, high = 9 }", f"x: unknown key; known are {EVERY_NAME}"),
    (
        "model.loss = { choices = ['mse'] }",
        (
            'model.loss: cannot be searched (got { choices = ["mse"] }): '
            "values of different losses cannot be compared: make one study for each"
        ),
    ),
    (
        "training.precision = { choices = ['float64'] }",
        (
            'training.precision: cannot be searched (got { choices = ["float64"] }): '
            "it sets how exactly to compute, not what to train: make one study for each"
        ),
    ),
    (
        "data.scale = { choices = ['unit'] }",
        'data.scale: cannot be searched (got { choices = ["unit"] }): all trials of a study share their data',
    ),
    (
        "learning_rate = { low = 0.1, high = 1 }\ntraining.learning_rate = { low = 0.1, high = 2 }",
        "training.learning_rate: must be given once (got learning_rate too): keep one",
    ),
    (
        "model.dropout = { low = 0.1, high = 0.2 }\n'model.dropout' = { low = 0.1, high = 0.2 }",
        "model.dropout: must be given once (got model.dropout too): keep one",
    ),
]

RIGHT: list[tuple[str, Dimension]] = [
    ("learning_rate = { low = 1, high = 2 }", Range(name="learning_rate", low=1.0, high=2.0)),
    ("training.learning_rate = { low = 1, high = 2 }", Range(name="learning_rate", low=1.0, high=2.0)),
    ("'training.momentum' = { low = 0, high = 0.9 }", Range(name="momentum", low=0.0, high=0.9)),
    (
        "training.batch_size = { low = 16, high = 256, log = true }",
        Range(name="training.batch_size", low=16.0, high=256.0, log=True, integer=True),
    ),
    (
        "training.epochs = { low = 10, high = 90, step = 20 }",
        Range(name="training.epochs", low=10.0, high=90.0, step=20.0, integer=True),
    ),
    (
        "model.dropout = { low = 0.0, high = 0.3, step = 0.1 }",
        Range(name="model.dropout", low=0.0, high=0.3, step=0.1),
    ),
    ("weight_decay = { choices = [0, 1e-4] }", Choices(name="weight_decay", choices=(0.0, 1e-4))),
    (
        "'model.activation' = { choices = ['relu', 'elu'] }",
        Choices(name="model.activation", choices=("relu", "elu")),
    ),
    (
        "model.batch_norm = { choices = [true, false] }",
        Choices(name="model.batch_norm", choices=(True, False)),
    ),
    (
        "model.hidden = { choices = [[], [64, 32]] }",
        Choices(name="model.hidden", choices=("[]", "[64, 32]")),
    ),
    (
        "model.initializer = { choices = ['he', { normal = 1 }] }",
        Choices(name="model.initializer", choices=("he", '{"normal": 1.0}')),
    ),
]


def table(text: str) -> dict[str, Any]:
    """Return `text` as tomllib reads it."""
    return tomllib.loads(text)


@pytest.mark.parametrize(("text", "messages"), [(text, messages) for text, *messages in WRONG])
def test_a_wrong_dimension_has_one_problem(text: str, messages: list[str]) -> None:
    """Each mistake has one problem at its place."""
    assert [str(problem) for problem in search_problems(table(text))] == [f"search.{m}" for m in messages]


@pytest.mark.parametrize(("text", "dimension"), RIGHT)
def test_a_valid_dimension_is_read(text: str, dimension: Dimension) -> None:
    """Names have one spelling, numbers are floats, lists and tables are JSON text."""
    assert search_problems(table(text)) == []
    assert search_space(table(text)) == (dimension,)


def test_dimensions_keep_the_order_of_the_file() -> None:
    """The dimensions of a study are in the order of the file."""
    text = "weight_decay = { choices = [1] }\nmodel.dropout = { choices = [0.5] }\nlearning_rate = { choices = [1] }"
    assert [d.name for d in search_space(table(text))] == ["weight_decay", "model.dropout", "learning_rate"]


def test_an_empty_search_is_the_default() -> None:
    """An empty table is the search of a study without one."""
    assert search_problems({}) == []
    assert search_space({}) == DEFAULT_SEARCH


def test_the_search_must_be_a_table() -> None:
    """A value that is not a table is refused."""
    assert [str(problem) for problem in search_problems(3)] == ["search: must be a table, [search] (got 3)"]


@pytest.mark.parametrize(
    ("text", "section", "field", "expected"),
    [
        ("model.hidden = { choices = [[64, 32]] }", "model", "hidden", "(64, 32)"),
        ("model.hidden = { choices = [[]] }", "model", "hidden", "()"),
        (
            "model.initializer = { choices = ['he'] }",
            "model",
            "initializer",
            "Initializer(name='he', scale=None)",
        ),
        (
            "model.initializer = { choices = [{ uniform = 0.05 }] }",
            "model",
            "initializer",
            "Initializer(name='uniform', scale=0.05)",
        ),
        ("momentum = { choices = [0] }", "training", "momentum", "0.0"),
        ("model.batch_norm = { choices = [true] }", "model", "batch_norm", "True"),
    ],
)
def test_a_stored_choice_becomes_its_field(text: str, section: str, field: str, expected: str) -> None:
    """A choice as a trial stores it turns back into the field's value."""
    (choice,) = search_space(table(text))
    assert isinstance(choice, Choices)
    spec = StudySpec(name="x", data=DataSpec(source="digits"))
    configuration = configure(spec, {choice.name: choice.choices[0]})
    assert repr(getattr(getattr(configuration, section), field)) == expected
