"""Axes over the search space."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.analysis.axes import (
    SECOND_STRIDE,
    axis_of,
    coordinate,
    count_ticks,
    learning_rate_of,
    ticks_between,
)
from hpsearch.study.spec import DEFAULT_SEARCH, Choices, Range
from hpsearch.trials import Trial, TrialState

RATE = Range(name="learning_rate", low=1e-6, high=1.0, log=True)
ACTIVATION = Choices(name="model.activation", choices=("relu", "elu", "tanh"))


def test_an_axis_spans_the_whole_range() -> None:
    """The ends of an axis are the bounds of the search, with a tick at every power of ten."""
    axis = axis_of(RATE)
    assert (axis.kind, axis.low, axis.high) == ("log", 1e-6, 1.0)
    assert [tick.text for tick in axis.ticks] == ["1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "1"]


def test_an_axis_has_a_place_for_every_choice() -> None:
    """Choices are at whole numbers, in the order of the study file, and are labelled."""
    axis = axis_of(ACTIVATION)
    assert (axis.low, axis.high) == (-0.5, 2.5)
    assert [(tick.at, tick.text) for tick in axis.ticks] == [(0, "relu"), (1, "elu"), (2, "tanh")]


@given(st.sampled_from(ACTIVATION.choices), st.integers(0, 10**6))
def test_a_choice_is_nearest_to_its_own_tick(choice: str, number: int) -> None:
    """A trial that is moved apart from others stays nearest to its own choice."""
    place = axis_of(ACTIVATION).place(choice, number)
    assert place is not None
    assert round(place) == ACTIVATION.choices.index(choice)


def test_trials_of_one_choice_do_not_hide_each_other() -> None:
    """A hundred trials of one choice have a hundred places, on both axes of a map."""
    first, second = axis_of(ACTIVATION), axis_of(ACTIVATION, stride=SECOND_STRIDE)
    places = {(first.place("elu", number), second.place("elu", number)) for number in range(100)}
    nearest = min(math.dist(a, b) for a in places for b in places if a != b)  # type: ignore[arg-type]
    assert len(places) == 100
    assert nearest > 0.01


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_outside_is_drawn_at_the_edge(value: float) -> None:
    """A value outside the range is moved to the nearest edge and marked as outside."""
    axis = axis_of(RATE)
    place = axis.place(value, 0)
    assert place is not None
    assert axis.low <= place <= axis.high
    assert axis.holds(value) is (place == value)


def test_an_axis_has_no_place_for_other_types() -> None:
    """Text on a range, and a choice that is not offered, have no place."""
    assert axis_of(RATE).place("fast", 0) is None
    assert axis_of(RATE).place(None, 0) is None
    assert not axis_of(RATE).holds(None)
    assert axis_of(ACTIVATION).place("gelu", 0) is None


def test_none_has_a_place_among_choices() -> None:
    """A trial with the choice None is drawn there, labelled None, and one without the parameter nowhere."""
    axis = axis_of(Choices([5, None], name="depth"))
    assert [tick.text for tick in axis.ticks] == ["5", "None"]
    found = [
        coordinate(Trial(number=0, state=TrialState.COMPLETE, params=p), axis) for p in ({"depth": None}, {})
    ]
    assert found == [axis.place(None, 0), None]
    assert found[0] is not None
    assert round(found[0]) == 1


@given(st.floats(1e-12, 1e12), st.floats(1.001, 1e20), st.booleans())
def test_ticks_are_few_and_inside(low: float, ratio: float, log: bool) -> None:  # noqa: FBT001 - drawn
    """Any range has 1 to 12 ticks in ascending order, none outside it, no two with one label."""
    high = low * ratio
    ticks = ticks_between(low, high, log=log)
    slack = 1e-9 * (high - low) + 1e-9 * high
    assert 1 <= len(ticks) <= 12
    assert all(a.at < b.at for a, b in pairwise(ticks))
    assert low - slack <= ticks[0].at <= ticks[-1].at <= high + slack
    assert len({tick.text for tick in ticks}) == len(ticks)


@pytest.mark.parametrize(("high", "last"), [(1, "1"), (20, "20"), (200, "200"), (40_000, "40,000")])
def test_ticks_of_counts_are_whole_numbers(high: int, last: str) -> None:
    """Ticks of counts are whole numbers from 0, written with commas."""
    ticks = count_ticks(high)
    assert ticks[0].text == "0"
    assert ticks[-1].text == last
    assert all(tick.at == int(tick.at) for tick in ticks)


def test_the_learning_rate_is_found_under_both_names() -> None:
    """A search of the learning rate is found with and without its prefix, and nothing else is."""
    prefixed = Range(name="training.learning_rate", low=0.1, high=1.0)
    assert learning_rate_of(DEFAULT_SEARCH) == DEFAULT_SEARCH[0]
    assert learning_rate_of([ACTIVATION, prefixed]) == prefixed
    assert learning_rate_of([ACTIVATION, DEFAULT_SEARCH[1]]) is None
