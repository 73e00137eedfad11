"""Sentences and rows about a study."""

from dataclasses import replace

import pytest

from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import best_lines, fate_rows, state_of, state_sentence, verdict_words
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import SPEC, finding, progress_of, snapshot_of, study_of

BEST = Trial(
    number=3,
    state=TrialState.COMPLETE,
    params={"weight_decay": 9.5123e-6, "learning_rate": 0.7912},
    value=0.98888,
    worker="node-1",
)


def test_the_best_line_is_the_one_of_the_readme() -> None:
    """The line has rank, metric, value and the parameters in the order of the study file."""
    lines = best_lines([BEST], study_of(SPEC))
    assert lines == ["Best-1 (val acc 0.989) | learning_rate 0.79, weight_decay 9.5e-06"]


def test_the_best_line_of_a_loss_has_four_digits() -> None:
    """A loss stands with 4 significant digits, the smallest first."""
    spec = replace(SPEC, metric="validation_loss")
    trials = [replace(BEST, number=i, value=value) for i, value in enumerate((0.5, 0.0123456))]
    lines = best_lines(trials, study_of(spec))
    assert [line.split(" | ")[0] for line in lines] == ["Best-1 (val loss 0.01235)", "Best-2 (val loss 0.5)"]


def test_there_are_as_many_best_lines_as_asked_for(study: Snapshot) -> None:
    """At most `count` lines come back, and none where nothing is complete."""
    assert len(best_lines(study.trials, study.study)) == 5
    assert len(best_lines(study.trials, study.study, count=2)) == 2
    assert best_lines([replace(BEST, state=TrialState.PRUNED)], study.study) == []


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
    """A spent budget is finished, a stopped study says why, one without workers is open."""
    trials = [replace(BEST, number=i, state=TrialState(state)) for i, state in enumerate(states)]
    progress = progress_of(replace(SPEC, trials=2), trials, stopped=stopped)
    assert (state_of(progress), state_sentence(progress)) == (word, sentence)


def test_a_paused_study_is_not_called_stopped() -> None:
    """Who paused it stands behind the word that says so."""
    progress = replace(progress_of(SPEC, [], stopped="paused by ann"), is_paused=True)
    assert state_of(progress) == "paused"
    assert state_sentence(progress).startswith("Paused: 0 of ")
    assert state_sentence(progress).endswith(" finished. Paused by ann")


def test_a_verdict_names_its_first_step() -> None:
    """A diagnosis says at which step it began; a rank, a crash, a healthy or an unclear end began at none."""
    diverged = replace(BEST, state=TrialState.PRUNED, finding=finding(Cause.DIVERGED_LR, first_step=1320))
    assert verdict_words(diverged) == "diverged_lr from step 1,320"
    outranked = replace(diverged, finding=finding(Cause.OUTRANKED, first_step=1320))
    assert verdict_words(outranked) == "outranked"
    unclear = replace(diverged, finding=replace(finding(Cause.DIVERGED_LR), cause=Cause.INCONCLUSIVE))
    assert verdict_words(unclear) == "inconclusive"


def test_a_trial_without_a_verdict_says_so() -> None:
    """A trial that another Optuna client ended has no verdict; one in training says that."""
    assert verdict_words(BEST) == "no verdict"
    assert verdict_words(replace(BEST, state=TrialState.RUNNING)) == "running"


def test_a_finished_study_is_finished_though_trials_run() -> None:
    """Enqueued trials beyond the budget do not make a finished study a running one."""
    trials = [replace(BEST, number=i) for i in range(2)]
    late = replace(BEST, number=2, state=TrialState.RUNNING, value=None)
    snapshot = snapshot_of([*trials, late], spec=replace(SPEC, trials=2))
    assert state_of(snapshot.progress) == "finished"
