"""The choice of audited trials, and how they end."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.split import SPLIT_STREAM
from hpsearch.study.spec import ModelSpec, PruningSpec
from hpsearch.telemetry import Telemetry
from hpsearch.training.examples import ORDER_STREAM
from hpsearch.training.row import DROPOUT_STREAM, WEIGHTS_STREAM
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import AUDITED_AT, Cause, Finding, diagnosed_cause
from hpsearch.worker.active_trial import AUDIT_STREAM, is_audited, outranked, with_audit_step
from tests.worker.bench import RATES, SPEC, Bench, numbers_of

SHARE = 0.75
AUDITING = replace(
    SPEC,
    model=ModelSpec(activation="leaky_relu"),  # it does not die, so its numbers can run off
    search=(replace(RATES[0], high=1e6), RATES[1]),
    pruning=PruningSpec(rank="none", audit=SHARE),
    trials=40,
)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_audits_the_same_trials_and_more(seed: int, number: int, a: float, b: float) -> None:
    """No trial is audited at share 0, all are at 1, and a trial audited at one share is audited at every larger one."""
    small, large = sorted((a, b))
    assert not is_audited(seed=seed, number=number, share=0.0)
    assert is_audited(seed=seed, number=number, share=1.0)
    assert is_audited(seed=seed, number=number, share=small) <= is_audited(
        seed=seed, number=number, share=large
    )


def test_the_share_of_audits() -> None:
    """The share of many trials is audited, and other ones under another seed."""
    drawn = [
        {number for number in range(2000) if is_audited(seed=seed, number=number, share=0.1)}
        for seed in (1, 2)
    ]
    assert all(150 < len(numbers) < 250 for numbers in drawn)
    assert len(drawn[0] & drawn[1]) < 50


def test_audits_have_their_own_random_stream() -> None:
    """No other stream of a study has the audit's number."""
    assert AUDIT_STREAM not in {ORDER_STREAM, WEIGHTS_STREAM, DROPOUT_STREAM, SPLIT_STREAM}


@pytest.mark.parametrize(
    ("cause", "kept", "words"),
    [
        (Cause.HEALTHY, None, "Nothing is wrong with it: others"),
        (Cause.INCONCLUSIVE, None, "No fault was found so far: others"),
        (Cause.EXPLODING, Cause.EXPLODING, "diagnosis found exploding: Less."),
    ],
)
def test_an_outranked_trial_keeps_its_diagnosis(cause: Cause, kept: Cause | None, words: str) -> None:
    """Others did better, and what is wrong with the trial is told as well, with its evidence and remedy."""
    diagnosis = Finding(
        cause=cause,
        confidence=0.9,
        first_step=7,
        evidence={"loss": 3.0},
        remedy="Less.",
        suggested={"learning_rate": 0.1},
    )
    measured = Telemetry(steps=30, samples=[], epochs=[], nonfinite=None)
    finding = outranked(measured, 0.5, "median", diagnosis=diagnosis)
    assert finding.cause is Cause.OUTRANKED
    assert diagnosed_cause(finding) is kept
    assert words in finding.remedy
    assert 'pruning.rank = "median"' in finding.remedy
    assert ("loss" in finding.evidence) is (kept is not None)
    assert (finding.suggested == {"learning_rate": 0.1}) is (kept is not None)


def test_the_finding_of_an_audit_has_its_step() -> None:
    """The finding that would have stopped a trial is unchanged, except for that step in its evidence."""
    finding = Finding(
        cause=Cause.EXPLODING, confidence=0.9, first_step=7, evidence={"loss": 3.0}, remedy="Less."
    )
    assert with_audit_step(finding, step=12) == replace(finding, evidence={"loss": 3.0, AUDITED_AT: 12})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], list[Trial]]:
    """Return the trials of a study, and those of the same study with most of its stops audited."""
    folder = tmp_path_factory.mktemp("audits")
    ended = []
    for name, spec in (("plain", replace(AUDITING, pruning=SPEC.pruning)), ("audited", AUDITING)):
        bench = Bench(f"sqlite:///{folder}/{name}.db", spec)
        bench.worker("a", rows=8).run()
        ended.append(bench.trials())
        bench.close()
    return ended[0], ended[1]


def test_an_audited_trial_continues(both: tuple[list[Trial], list[Trial]]) -> None:
    """Exactly the audited trials continue to their end or to numbers that are not finite."""
    plain, audited = both
    fates = set()
    for before, after in zip(plain, audited, strict=True):
        is_stopped = before.state is TrialState.PRUNED and before.verdict in SPEC.pruning.fatal_causes
        if is_stopped and is_audited(seed=AUDITING.seed, number=before.number, share=SHARE):
            check_continuation(before, after)
            fates.add(after.state)
        else:
            assert numbers_of(after) == numbers_of(before)
    assert fates == {TrialState.COMPLETE, TrialState.PRUNED}


def check_continuation(before: Trial, after: Trial) -> None:
    """Check an audited trial against the one that was stopped."""
    assert (after.verdict, without(evidence_of(after))) == (before.verdict, evidence_of(before))
    assert evidence_of(after)[AUDITED_AT] == before.steps <= after.steps
    if after.state is TrialState.COMPLETE:
        assert after.epochs == SPEC.training.epochs
        assert after.value is not None
        assert math.isfinite(after.value)


def evidence_of(trial: Trial) -> Mapping[str, float]:
    """Return the evidence of a trial that has a verdict."""
    assert trial.finding is not None
    return trial.finding.evidence


def without(evidence: Mapping[str, float]) -> dict[str, float]:
    """Return the evidence without the step of the audit."""
    return {name: number for name, number in evidence.items() if name != AUDITED_AT}


def test_audits_do_not_depend_on_the_worker(both: tuple[list[Trial], list[Trial]], tmp_path: Path) -> None:
    """The trials of an audited study are the same one by one and eight at a time."""
    bench = Bench(f"sqlite:///{tmp_path}/alone.db", AUDITING)
    bench.worker("b", rows=1).run()
    assert [numbers_of(trial) for trial in bench.trials()] == [numbers_of(trial) for trial in both[1]]


def test_an_audited_trial_is_not_outranked(tmp_path: Path) -> None:
    """With every stop audited, a trial is neither stopped nor outranked after its fatal verdict."""
    pruning = PruningSpec(audit=1.0, startup_trials=1)
    bench = Bench(f"sqlite:///{tmp_path}/ranked.db", replace(AUDITING, pruning=pruning))
    bench.worker("a", rows=3).run()
    audited = [trial for trial in bench.trials() if AUDITED_AT in evidence_of(trial)]
    assert audited
    assert {trial.verdict for trial in audited} <= pruning.fatal_causes
    complete = [trial for trial in audited if trial.state is TrialState.COMPLETE]
    assert complete
    assert {trial.epochs for trial in complete} == {SPEC.training.epochs}
    stopped = [trial for trial in bench.trials() if trial.state is TrialState.PRUNED]
    assert {trial.verdict for trial in stopped if trial not in audited} <= {Cause.OUTRANKED}
