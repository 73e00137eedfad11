"""How a study stands, in words."""

from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, state_of, state_sentence
from hpsearch.trials import Fate, Trial, TrialState
from tests.report.synthetic import SPEC, progress_of, snapshot_of

ENDED = Trial(number=3, state=TrialState.COMPLETE, params={}, value=0.98888, worker="node-1")


def test_fates_are_counted_in_their_order(study: Snapshot) -> None:
    """Every fate that some trial met has one row, in the order of `Fate`, and they add up."""
    rows = fate_rows(study.progress)
    assert [row.fate for row in rows] == list(Fate)
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
def test_a_study_says_how_it_stands(states: list[str], stopped: str | None, word: str, sentence: str) -> None:
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
