"""The facts about one trial, in words."""

from dataclasses import replace

from hpsearch.analysis.trial_facts import end_words, evidence_facts, verdict_words
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import DIAGNOSED, Cause
from tests.report.synthetic import finding

ENDED = Trial(number=3, state=TrialState.COMPLETE, params={}, value=0.98888, worker="node-1")


def test_a_verdict_names_its_first_step() -> None:
    """A diagnosis has the step at which it began; a rank, a crash, a healthy or an unclear end began at none."""
    diverged = replace(ENDED, state=TrialState.PRUNED, finding=finding(Cause.DIVERGED_LR, first_step=1320))
    assert verdict_words(diverged) == "diverged_lr from step 1,320"
    outranked = replace(diverged, finding=finding(Cause.OUTRANKED, first_step=1320))
    assert verdict_words(outranked) == "outranked"
    unclear = replace(diverged, finding=replace(finding(Cause.DIVERGED_LR), cause=Cause.INCONCLUSIVE))
    assert verdict_words(unclear) == "inconclusive"


def test_evidence_names_the_diagnosis_of_an_outranked_trial() -> None:
    """The fault that diagnosis found has its name and confidence as evidence, and not the name of its key."""
    evidence = {"value": 0.25, DIAGNOSED + Cause.DEAD_RELU_TOTAL: 0.95, "dead_share": 1.0}
    assert evidence_facts(finding(Cause.OUTRANKED, evidence=evidence)) == [
        ("value", "0.25"),
        ("also found", "dead_relu_total, confidence 95 %"),
        ("dead_share", "1"),
    ]


def test_a_trial_without_a_verdict_is_described() -> None:
    """A trial that another Optuna client ended has no verdict; one in training is described as such."""
    assert verdict_words(ENDED) == "no verdict"
    assert verdict_words(replace(ENDED, state=TrialState.RUNNING)) == "running"


def test_an_end_is_a_fate_and_a_verdict() -> None:
    """Both are named once, and a trial that was given up or stopped for a rare verdict reads well."""
    unclear = replace(ENDED, finding=replace(finding(Cause.DIVERGED_LR), cause=Cause.INCONCLUSIVE))
    assert end_words(unclear) == "complete, inconclusive"
    pruned = replace(ENDED, state=TrialState.PRUNED, finding=finding(Cause.DIVERGED_LR, first_step=5))
    assert end_words(pruned) == "diverged, diverged_lr from step 5"
    assert end_words(replace(pruned, finding=finding(Cause.OUTRANKED))) == "outranked"
    overfit = replace(finding(Cause.DIVERGED_LR, first_step=5), cause=Cause.OVERFIT)
    assert end_words(replace(pruned, finding=overfit)) == "stopped for overfit from step 5"
    stopped = replace(finding(Cause.DIVERGED_LR), cause=Cause.STOPPED)
    given_up = replace(ENDED, state=TrialState.FAILED, finding=stopped)
    assert end_words(given_up) == "given up by a user"
    assert end_words(replace(ENDED, state=TrialState.RUNNING)) == "running"
