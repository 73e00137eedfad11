"""The summary of a study's trials, for programs."""

import json
import math
from typing import Any

import pytest

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.summary import Decade, fates_by_decade, summary_object
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import empty, finding, only_deaths


def test_a_summary_is_strict_json(study: Snapshot, regression: Snapshot, hostile: Snapshot) -> None:
    """Whatever the trials are, the summary has the same fields, and JSON holds them."""
    for snapshot in (study, regression, hostile, empty(), only_deaths()):
        shown = summary_object(snapshot.study, snapshot.trials)
        assert set(shown) == {"fates_by_decade", "advice", "audit", "configurations"}
        assert json.loads(json_text(shown)) == shown


def test_a_whole_study_is_summed_up(study: Snapshot) -> None:
    """A study with too slow trials at its lower end should begin higher, or end lower if more died there."""
    shown = summary_object(study.study, study.trials)
    assert shown["advice"].startswith("no trial with a learning rate ")
    assert [row["low"] for row in shown["fates_by_decade"]] == sorted(
        row["low"] for row in shown["fates_by_decade"]
    )


def test_an_empty_study_says_nothing() -> None:
    """Before the first trial there are no decades and no advice."""
    snapshot = empty()
    shown = summary_object(snapshot.study, snapshot.trials)
    assert (shown["fates_by_decade"], shown["advice"], shown["audit"]["audited"]) == ([], None, 0)


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
