"""Exact configurations: what their trials hold, and the dimensions that they span."""

from dataclasses import replace

import pytest

from hpsearch.errors import UsageError
from hpsearch.study.configurations import (
    configuration_of,
    exact_configurations,
    exact_params,
    fixed_spec,
    params_of_trial,
    spanned_dimensions,
)
from hpsearch.study.json_form import spec_from_json, spec_to_json
from hpsearch.study.reader import parse_study
from hpsearch.study.spec import Choices, ExactConfiguration, Initializer, Range

TEXT = """
name = "exact"
seeds = 2
data.source = "digits"
training.learning_rate = 0.01
model.hidden = [64, 32]
[[configurations]]
name = "wide"
model.hidden = [128]
"training.batch_size" = 20
[[configurations]]
learning_rate = 5.0
model.initializer = { normal = 0.01 }
[[configurations]]
name = "as it is"
"""
SPEC = parse_study(TEXT, source="test")


def test_a_trial_holds_every_name_that_any_configuration_sets() -> None:
    """What a configuration leaves out has the study's fixed value, so all trials have the same parameters."""
    assert [exact_params(SPEC, exact) for exact in SPEC.configurations] == [
        {
            "model.hidden": "[128]",
            "training.batch_size": 20,
            "learning_rate": 0.01,
            "model.initializer": "he",
        },
        {
            "model.hidden": "[64, 32]",
            "training.batch_size": 100,
            "learning_rate": 5.0,
            "model.initializer": '{"normal": 0.01}',
        },
        {
            "model.hidden": "[64, 32]",
            "training.batch_size": 100,
            "learning_rate": 0.01,
            "model.initializer": "he",
        },
    ]


def test_configurations_take_turns() -> None:
    """Trial n trains configuration n modulo their number, so a part of the budget has trained all equally often."""
    names = [configuration_of(SPEC, params_of_trial(SPEC, number)) for number in range(7)]
    assert names == [SPEC.configurations[number % 3] for number in range(7)]


def test_what_a_configuration_sets_is_trained() -> None:
    """Each gives a model and a training of its own."""
    wide, second, plain = exact_configurations(SPEC)
    assert (wide.model.hidden, wide.training.batch_size, wide.training.learning_rate) == ((128,), 20, 0.01)
    assert (second.model.initializer, second.training.learning_rate) == (
        Initializer(name="normal", scale=0.01),
        5.0,
    )
    assert (plain.model, plain.training) == (SPEC.model, SPEC.training)


def test_parameters_of_nobody_are_no_configuration() -> None:
    """Another client's own parameters, and a trial without any, belong to no configuration."""
    asked = params_of_trial(SPEC, 0) | {"learning_rate": 0.5}
    assert configuration_of(SPEC, asked) is None
    assert configuration_of(SPEC, {}) is None


def test_numbers_span_a_range_and_anything_else_is_a_choice() -> None:
    """A range is logarithmic from a decade on, and holds whole numbers where the field does."""
    assert spanned_dimensions(SPEC) == (
        Choices(name="model.hidden", choices=("[128]", "[64, 32]")),
        Range(name="training.batch_size", low=20.0, high=100.0, integer=True),
        Range(name="learning_rate", low=0.01, high=5.0, log=True),
        Choices(name="model.initializer", choices=("he", '{"normal": 0.01}')),
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3,), Choices(name="model.dropout", choices=(0.3,))),
        ((0.0, 0.5), Range(name="model.dropout", low=0.0, high=0.5)),
        ((0.5, 0.05), Range(name="model.dropout", low=0.05, high=0.5, log=True)),
    ],
)
def test_a_span_holds_its_values(values: tuple[float, ...], expected: Choices | Range) -> None:
    """One value is a choice of one; 0 keeps a range linear; the order does not matter."""
    configurations = tuple(
        ExactConfiguration(name=str(value), params=(("model.dropout", value),)) for value in values
    )
    assert spanned_dimensions(replace(SPEC, configurations=configurations)) == (expected,)


def test_flags_are_no_numbers() -> None:
    """True and false are choices."""
    configurations = tuple(
        ExactConfiguration(name=str(value), params=(("model.batch_norm", value),)) for value in (True, False)
    )
    assert spanned_dimensions(replace(SPEC, configurations=configurations)) == (
        Choices(name="model.batch_norm", choices=(True, False)),
    )


def test_one_configuration_is_chosen_by_name_or_place() -> None:
    """Its values are the study's own afterwards, save those that were set by hand."""
    assert fixed_spec(SPEC, "wide", ()) == fixed_spec(SPEC, "0", ())
    assert fixed_spec(SPEC, "wide", ()).model.hidden == (128,)
    assert fixed_spec(SPEC, "1", ()).training.learning_rate == 5.0
    assert fixed_spec(SPEC, "1", ("training.learning_rate",)).training.learning_rate == 0.01


@pytest.mark.parametrize("chosen", [None, "3", "narrow", ""])
def test_an_unknown_choice_is_answered_with_the_list(chosen: str | None) -> None:
    """The error names every configuration with its place."""
    with pytest.raises(UsageError, match=r"0  wide\n  1  learning_rate 5\.0, .*\n  2  as it is"):
        fixed_spec(SPEC, chosen, ())


def test_nothing_can_be_chosen_where_nothing_is_listed() -> None:
    """A study that searches has one fixed configuration, and no other."""
    searching = replace(SPEC, configurations=())
    assert fixed_spec(searching, None, ()) == searching
    with pytest.raises(UsageError, match="leave it out"):
        fixed_spec(searching, "wide", ())


def test_configurations_survive_the_database() -> None:
    """JSON gives an equal record back, and one of an older version has none."""
    assert spec_from_json(spec_to_json(SPEC)) == SPEC
    assert hash(spec_from_json(spec_to_json(SPEC))) == hash(SPEC)
