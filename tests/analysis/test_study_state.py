"""The state of a study, in words."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import Decade, fate_rows, fates_by_decade, state_of, state_sentence
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import SPEC, finding, progress_of, snapshot_of

ENDED = Trial(number=3, state=TrialState.COMPLETE, params={}, value=0.98888, worker="node-1")


def test_fates_are_counted_in_their_order(study: Snapshot) -> None:
    """Every fate that some trial met has one row, in the order of `Fate`, and they add up."""
    rows = fate_rows(study.progress)
    assert [row.fate for row in rows] == [fate for fate in Fate if fate is not Fate.EARLY_STOPPED]
    assert sum(row.trials for row in rows) == len(study.trials)
    assert sum(row.epochs for row in rows) == study.progress.epochs


@pytest.mark.parametrize(
    ("states", "stopped", "word", "sentence"),
    [
        (["complete"] * 2, None, "finished", "Finished: 2 of 2 trials."),
        (["complete", "running"], None, "running", "Running: 1 of 2 trials finished, 1 in training."),
        (["pruned"], None, "open", "Open: 1 of 2 trials finished, none in training."),
        (
            ["running"],
            "The grid is used up.",
            "stopped",
            "Stopped: 0 of 2 trials finished. The grid is used up.",
        ),
    ],
)
def test_a_study_has_a_state_and_a_sentence(
    states: list[str], stopped: str | None, word: str, sentence: str
) -> None:
    """A spent budget is finished, a stopped study has the reason, one without workers is open."""
    trials = [replace(ENDED, number=i, state=TrialState(state)) for i, state in enumerate(states)]
    progress = progress_of(replace(SPEC, trials=2), trials, stopped=stopped)
    assert (state_of(progress), state_sentence(progress)) == (word, sentence)


def test_a_paused_study_is_not_called_stopped() -> None:
    """The user who paused it follows the word "paused"."""
    progress = replace(progress_of(SPEC, [], stopped="paused by ann"), is_paused=True)
    assert state_of(progress) == "paused"
    assert state_sentence(progress).startswith("Paused: 0 of ")
    assert state_sentence(progress).endswith(" finished. Paused by ann")


def test_a_finished_study_is_finished_though_trials_run() -> None:
    """Enqueued trials beyond the budget do not make a finished study a running one."""
    trials = [replace(ENDED, number=i) for i in range(2)]
    late = replace(ENDED, number=2, state=TrialState.RUNNING, value=None)
    snapshot = snapshot_of([*trials, late], spec=replace(SPEC, trials=2))
    assert state_of(snapshot.progress) == "finished"


RATE = Range(name="learning_rate", low=1e-6, high=1.0, log=True)


def trial(rate: Any, cause: Cause, state: TrialState = TrialState.PRUNED) -> Trial:
    """Return a trial of that learning rate."""
    return Trial(number=0, state=state, params={"learning_rate": rate}, finding=finding(cause))


def test_trials_are_counted_by_decade_and_fate() -> None:
    """Each decade includes its lower end, and the last one also the upper end of the search space."""
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
    """Powers of ten, whose logarithms are rounded, are at the lower end of a decade."""
    (decade,) = fates_by_decade((RATE,), [trial(float(f"1e{exponent}"), Cause.OUTRANKED)])
    assert decade.low == (0.1 if exponent == 0 else float(f"1e{exponent}"))


def test_trials_without_a_decade_are_left_out() -> None:
    """Trials in training, and rates without a logarithm that another program set, are in no decade."""
    odd = [trial(rate, Cause.OUTRANKED) for rate in (0.0, -1.0, math.inf, math.nan, "high")]
    assert fates_by_decade((RATE,), [*odd, trial(0.1, Cause.HEALTHY, TrialState.RUNNING)]) == ()


def test_every_ended_trial_has_its_decade(study: Snapshot) -> None:
    """Every ended trial of a study is in one decade."""
    decades = fates_by_decade(study.study.spec.search, study.trials)
    assert sum(decade.trials for decade in decades) == sum(t.state.is_final for t in study.trials)


def test_without_a_range_of_learning_rates_there_are_no_decades() -> None:
    """A study that searches something else, or learning rates from a list, has no decades."""
    trials = [trial(0.1, Cause.OUTRANKED)]
    assert fates_by_decade((Range(name="momentum", low=0.0, high=0.9),), trials) == ()
    assert fates_by_decade((Choices(name="learning_rate", choices=(0.1, 1.0)),), trials) == ()
