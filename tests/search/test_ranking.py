"""Dead trials, and their rank for a sampler."""

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpsearch.search.ranking import below_survivors, is_dead, last_value, shortness
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding


def ended(state: TrialState, cause: Cause | None, value: float | None = 0.9, **known: object) -> Trial:
    """Return a trial that ended in `state` with a verdict of `cause`."""
    finding = None
    if cause is not None:
        finding = Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy="")
    trial = Trial(number=0, state=state, params={}, value=value, finding=finding)
    return replace(trial, **known)  # type: ignore[arg-type]  # a test names the fields that it changes


@pytest.mark.parametrize(
    "cause", [Cause.DIVERGED_LR, Cause.DEAD_RELU_TOTAL, Cause.LR_TOO_LOW, Cause.LOG_ZERO, Cause.OVERFIT]
)
def test_a_trial_that_diagnosis_stopped_is_dead(cause: Cause) -> None:
    """It is dead even if its last value was good."""
    assert is_dead(ended(TrialState.PRUNED, cause))


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (TrialState.PRUNED, Cause.OUTRANKED),
        (TrialState.PRUNED, Cause.STOPPED),
        (TrialState.PRUNED, None),
        (TrialState.COMPLETE, Cause.HEALTHY),
        (TrialState.COMPLETE, Cause.DEAD_RELU_PARTIAL),
    ],
)
def test_a_trial_that_diagnosis_did_not_stop_is_a_survivor(state: TrialState, cause: Cause | None) -> None:
    """It is outranked, ended from outside, or complete, even with a finding that was not fatal."""
    assert not is_dead(ended(state, cause))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_a_complete_trial_without_a_number_is_dead(value: float | None) -> None:
    """Without diagnosis a diverged trial runs to its end, with a value that is not finite."""
    assert is_dead(ended(TrialState.COMPLETE, None, value, curve={0: 0.9}))


def test_an_outranked_trial_counts_by_its_last_number() -> None:
    """It is dead if its last number is not finite, and not dead if it never reported."""
    assert is_dead(ended(TrialState.PRUNED, Cause.OUTRANKED, None, curve={0: 0.9, 1: math.nan}))
    assert last_value(ended(TrialState.PRUNED, None, None, curve={1: 0.3, 0: 0.9})) == 0.3
    assert not is_dead(ended(TrialState.PRUNED, None, None))


def test_the_longer_a_dead_trial_lived_the_better_it_ranks() -> None:
    """Shortness falls with the number of steps, from 1 towards 0."""
    lives = [shortness(ended(TrialState.PRUNED, Cause.DIVERGED_LR, steps=steps)) for steps in (0, 1, 5000)]
    assert lives == sorted(lives, reverse=True)
    assert lives[0] == 1.0
    assert lives[-1] > 0


@example(values=[1e6, 1e6 - 2e-10], short=0.5, maximize=False)
@given(
    values=st.lists(st.floats(-1e6, 1e6)),
    short=st.floats(0.0, 1.0, exclude_min=True),
    maximize=st.booleans(),
)
def test_no_dead_trial_ranks_with_a_survivor(values: list[float], short: float, *, maximize: bool) -> None:
    """The value of a dead trial is finite and worse than that of every survivor."""
    edge, step = below_survivors(values, maximize=maximize)
    dead = edge + step * short
    assert math.isfinite(dead)
    assert all(dead < value if maximize else dead > value for value in values)
