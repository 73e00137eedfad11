"""Fates by decade of learning rate."""

import math
from typing import Any

import pytest

from hpsearch.report.figure_data.fates_by_decade import Decade, fates_by_decade
from hpsearch.report.snapshot import Snapshot
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import finding

RATE = Range(name="learning_rate", low=1e-6, high=1.0, log=True)


def trial(rate: Any, cause: Cause, state: TrialState = TrialState.PRUNED) -> Trial:
    """Return a trial of that learning rate."""
    return Trial(number=0, state=state, params={"learning_rate": rate}, finding=finding(cause))


def test_trials_are_counted_by_decade_and_fate() -> None:
    """Each decade holds its lower end, and the last one the upper end of the search space too."""
    trials = [
        trial(1e-3, Cause.HEALTHY, TrialState.COMPLETE),
        trial(0.009, Cause.LR_TOO_LOW),
        trial(0.0099, Cause.LR_TOO_LOW),
        trial(0.5, Cause.DIVERGED_LR),
        trial(1.0, Cause.OUTRANKED),
    ]
    decades = fates_by_decade((RATE,), trials)
    assert decades == (
        Decade(low=1e-3, high=1e-2, fates={Fate.COMPLETE: 1, Fate.TOO_SLOW: 2}),
        Decade(low=0.1, high=1.0, fates={Fate.OUTRANKED: 1, Fate.DIVERGED: 1}),
    )
    assert [decade.trials for decade in decades] == [3, 2]
    assert list(decades[1].fates) == [Fate.OUTRANKED, Fate.DIVERGED]


@pytest.mark.parametrize("exponent", range(-12, 6))
def test_a_power_of_ten_begins_its_decade(exponent: int) -> None:
    """Powers of ten, whose logarithms are rounded, stand at the lower end of a decade."""
    (decade,) = fates_by_decade((RATE,), [trial(float(f"1e{exponent}"), Cause.OUTRANKED)])
    assert decade.low == (0.1 if exponent == 0 else float(f"1e{exponent}"))


def test_what_has_no_decade_is_left_out() -> None:
    """Trials in training, and rates that some other program set and that have no logarithm, are in no decade."""
    odd = [trial(rate, Cause.OUTRANKED) for rate in (0.0, -1.0, math.inf, math.nan, "high")]
    assert fates_by_decade((RATE,), [*odd, trial(0.1, Cause.HEALTHY, TrialState.RUNNING)]) == ()


def test_every_ended_trial_has_its_decade(study: Snapshot) -> None:
    """The decades of a whole study hold every trial that ended, once."""
    decades = fates_by_decade(study.study.spec.search, study.trials)
    assert sum(decade.trials for decade in decades) == sum(t.state.is_final for t in study.trials)


def test_without_a_range_of_learning_rates_there_are_no_decades() -> None:
    """A study that searches something else, or learning rates from a list, has no decades."""
    trials = [trial(0.1, Cause.OUTRANKED)]
    assert fates_by_decade((Range(name="momentum", low=0.0, high=0.9),), trials) == ()
    assert fates_by_decade((Choices(name="learning_rate", choices=(0.1, 1.0)),), trials) == ()
