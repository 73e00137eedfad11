"""The texts for a study without a complete trial, and for one that is only planned."""

from typing import Literal

import pytest

from hpsearch.cli.study_rendering import no_best_words, write_plan
from hpsearch.study.spec import NO_DATA, ObjectiveSpec, PruningSpec, RankName, StudySpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.workflows.studies import ObjectiveDryRun


def trial(number: int, state: TrialState, cause: Cause, remedy: str) -> Trial:
    """Return a trial with a verdict."""
    finding = Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy=remedy)
    return Trial(number=number, state=state, params={}, finding=finding)


def test_a_study_in_which_nothing_completed_says_why() -> None:
    """If no trial completed, the causes are counted and the most common remedy is printed."""
    trials = [trial(i, TrialState.PRUNED, Cause.DIVERGED_LR, "Lower the learning rate.") for i in range(3)]
    trials.append(trial(3, TrialState.FAILED, Cause.WORKER_LOST, "Look at its log."))
    assert no_best_words([*trials, Trial(number=4, state=TrialState.WAITING, params={})]) == [
        "No trial completed. 4 trials ended otherwise:",
        "  diverged_lr: 3",
        "  worker_lost: 1",
        "Most common remedy (3 of 4): Lower the learning rate.",
    ]
    assert no_best_words([]) == ["No trial has finished yet."]


@pytest.mark.parametrize(
    ("rank", "diagnosis", "words"),
    [
        ("none", True, "none"),
        ("none", "act", "fatal verdicts (exploding)"),
        ("auto", True, "median after 5 trials and 1 epoch"),
    ],
)
def test_a_plan_says_what_stops_trials_of_a_function(
    rank: RankName, diagnosis: Literal[True, "act"], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verdicts do only if the study lets them, and the default pruner is the median."""
    pruning = PruningSpec(rank=rank, diagnosis=diagnosis, fatal=(Cause.EXPLODING,))
    objective = ObjectiveSpec(function="train:train")
    spec = StudySpec(name="mine", data=NO_DATA, pruning=pruning, objective=objective)
    write_plan(ObjectiveDryRun(spec=spec, objective=objective, workers=1))
    assert f"pruning               {words}\n" in capsys.readouterr().out
