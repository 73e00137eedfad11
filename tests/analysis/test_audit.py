"""How often stopping was wrong."""

import math
from dataclasses import replace

import pytest

from hpsearch.analysis.audit import audit_of
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause
from hpsearch.worker.active_trial import with_audit_step
from tests.report.synthetic import finding


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
def test_a_stop_was_wrong_where_the_trial_ends_among_the_best(
    more: list[Trial], expected: tuple[int, int]
) -> None:
    """Audited trials that end as well as the best tenth, ties included, count; pruned and infinite ones never do."""
    found = audit_of([*TWENTY, *more], maximize=True)
    assert (found.audited, found.wrong) == expected
    lower = [replace(t, value=None if t.value is None else -t.value) for t in (*TWENTY, *more)]
    assert audit_of(lower, maximize=False).wrong == audit_of([*TWENTY, *more], maximize=True).wrong


def test_nothing_audited_says_nothing() -> None:
    """Without an audited trial there is no rate, and the interval is everything."""
    found = audit_of([], maximize=True)
    assert (found.false_stop_rate, found.interval) == (None, (0.0, 1.0))
