"""Trials by verdict: the table, and the audit of stops."""

import math
from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.verdict_summary import audit_of, verdict_table
from hpsearch.study.spec import Choices
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import DIAGNOSED, Cause
from hpsearch.worker.active_trial import with_audit_step
from tests.report.synthetic import REMEDIES, empty, finding, searching, snapshot_of


def trial(number: int, value: float, *, state: TrialState = TrialState.COMPLETE) -> Trial:
    """Return a trial that ended well."""
    return Trial(number=number, state=state, params={}, value=value, finding=finding(Cause.HEALTHY))


def audited(number: int, value: float | None, *, state: TrialState = TrialState.COMPLETE) -> Trial:
    """Return a trial that diagnosis would have stopped at step 30."""
    found = with_audit_step(finding(Cause.LR_TOO_LOW), step=30)
    return Trial(number=number, state=state, params={}, value=value, finding=found)


TWENTY = [trial(i, 0.5 + i / 100) for i in range(20)]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], (0, 0)),
        ([audited(20, 0.1)], (1, 0)),
        ([audited(20, 0.69)], (1, 1)),
        ([audited(20, 0.68)], (1, 1)),
        ([audited(20, 0.665)], (1, 0)),
        ([audited(20, 0.9), audited(21, None, state=TrialState.PRUNED), audited(22, 0.1)], (3, 1)),
        ([audited(20, 0.9, state=TrialState.PRUNED), audited(21, math.inf)], (2, 0)),
    ],
)
def test_a_stop_was_wrong_if_the_trial_ends_among_the_best(
    more: list[Trial], expected: tuple[int, int]
) -> None:
    """Audited trials that end as well as the best tenth, ties included, count; pruned and infinite ones never do."""
    found = audit_of([*TWENTY, *more], maximize=True)
    assert (found.audited, found.wrong) == expected
    lower = [replace(t, value=None if t.value is None else -t.value) for t in (*TWENTY, *more)]
    assert audit_of(lower, maximize=False).wrong == audit_of([*TWENTY, *more], maximize=True).wrong


def test_without_audited_trials_there_is_no_rate() -> None:
    """Without an audited trial there is no rate, and the interval is all of 0..1."""
    found = audit_of([], maximize=True)
    assert (found.false_stop_rate, found.interval) == (None, (0.0, 1.0))


def test_every_cause_has_a_row(study: Snapshot) -> None:
    """Each cause that a trial carries has a row with its remedy, most trials first; healthy explains no end."""
    table = verdict_table(study)
    carried = {trial.verdict for trial in study.trials} - {None, Cause.HEALTHY}
    assert {row.cause for row in table.rows} == carried
    assert [row.trials for row in table.rows] == sorted((row.trials for row in table.rows), reverse=True)
    assert all(row.remedy == REMEDIES[row.cause] for row in table.rows)


def test_a_row_has_range_epochs_and_evidence(study: Snapshot) -> None:
    """A row has the range of its learning rates, the epochs it cost and the median of its evidence."""
    rows = {row.cause: row for row in verdict_table(study).rows}
    dying = rows[Cause.DEAD_RELU_TOTAL]
    trials = [trial for trial in study.trials if trial.verdict is Cause.DEAD_RELU_TOTAL]
    rates = [float(trial.params["learning_rate"]) for trial in trials]
    assert dying.span == f"{min(rates):.2g} to {max(rates):.2g}"
    assert dying.epochs == sum(trial.epochs for trial in trials)
    assert dying.evidence.startswith("dead_share 1, gradient_norm 0, from step ")
    assert dying.fate is Fate.DYING
    assert rows[Cause.OUTRANKED].evidence == ""


def test_evidence_that_is_not_finite_is_shown(study: Snapshot) -> None:
    """A median of infinities or NaN is that word, and not an error."""
    base = next(trial for trial in study.trials if trial.fate is Fate.DIVERGED)
    losses = (math.nan, math.inf, math.inf, 3.0)
    trials = [
        replace(base, number=i, finding=finding(Cause.EXPLODING_GRAD, evidence={"loss": loss}))
        for i, loss in enumerate(losses)
    ]
    (row,) = verdict_table(snapshot_of(trials)).rows
    assert row.evidence == "loss infinite"


def test_remedies_that_differ_are_shown_by_an_example(study: Snapshot) -> None:
    """If every trial has its own remedy, the row has that of the trial in the middle, and names that trial."""
    base = next(trial for trial in study.trials if trial.fate is Fate.DIVERGED)
    trials = [
        replace(
            base,
            number=number,
            params={"learning_rate": rate},
            finding=replace(finding(Cause.DIVERGED_LR), remedy=f"Lower it from {rate}."),
        )
        for number, rate in enumerate((0.9, 0.5, 0.7))
    ]
    (row,) = verdict_table(snapshot_of(trials)).rows
    assert (row.span, row.remedy) == ("0.5 to 0.9", "For trial 2: Lower it from 0.7.")


def test_trials_that_were_not_stopped_are_counted(study: Snapshot) -> None:
    """Trials with the verdict that were audited, or got it at their end, are counted and named; so are their epochs."""
    base = next(trial for trial in study.trials if trial.fate is Fate.TOO_SLOW)
    stopped = replace(base, number=0, epochs=3)
    told = replace(base, number=1, state=TrialState.COMPLETE, value=0.3, epochs=20)
    assert base.finding is not None
    audited = [replace(told, number=n, finding=with_audit_step(base.finding, step=30)) for n in (2, 3)]
    (row,) = verdict_table(snapshot_of([stopped, told, *audited])).rows
    assert (row.trials, row.ended, row.epochs) == (4, "2 audited, 1 complete", 63)
    assert "audited_at" not in row.evidence
    (row,) = verdict_table(snapshot_of([stopped])).rows
    assert (row.trials, row.ended) == (1, "")


def test_diagnoses_of_outranked_trials_are_counted(study: Snapshot) -> None:
    """Faults that diagnosis found in outranked trials are counted, most frequent first, apart from the evidence."""
    base = next(trial for trial in study.trials if trial.fate is Fate.OUTRANKED)
    found = (Cause.LR_TOO_LOW, Cause.DEAD_RELU_TOTAL, Cause.DEAD_RELU_TOTAL, None)
    evidences = [
        {"value": 0.5, "epochs": 2.0} | ({} if cause is None else {DIAGNOSED + cause: 0.9, "steps": 40.0})
        for cause in found
    ]
    trials = [
        replace(base, number=number, finding=finding(Cause.OUTRANKED, evidence=evidence))
        for number, evidence in enumerate(evidences)
    ]
    (row,) = verdict_table(snapshot_of(trials)).rows
    assert (row.trials, row.also) == (4, "of them 2 also dead_relu_total, 1 also lr_too_low")
    assert row.evidence == "value 0.5, epochs 2"
    (row,) = verdict_table(snapshot_of(trials[3:])).rows
    assert row.also == ""


def test_the_remedy_of_outranked_trials_is_that_of_a_fault(study: Snapshot) -> None:
    """Outranked trials without a fault need no remedy, so the row has that of a trial with one."""
    base = next(trial for trial in study.trials if trial.fate is Fate.OUTRANKED)
    healthy = replace(finding(Cause.OUTRANKED), remedy="Nothing is wrong with it.")
    ill = replace(
        finding(Cause.OUTRANKED, evidence={DIAGNOSED + Cause.LR_TOO_LOW: 0.9}), remedy="Raise the rate."
    )
    trials = [replace(base, number=number, finding=one) for number, one in enumerate((healthy, healthy, ill))]
    assert verdict_table(snapshot_of(trials)).rows[0].remedy == "Raise the rate."
    assert verdict_table(snapshot_of(trials[:2])).rows[0].remedy == "Nothing is wrong with it."


def test_without_a_range_there_is_no_span() -> None:
    """A search of choices only has no range of values."""
    table = verdict_table(searching(Choices(name="model.activation", choices=("relu", "elu"))))
    assert table.dimension is None
    assert {row.span for row in table.rows} == {""}


def test_no_trials_have_no_causes() -> None:
    """An empty study has an empty table."""
    assert verdict_table(empty()).rows == ()
