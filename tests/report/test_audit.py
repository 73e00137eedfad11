"""How often stopping was wrong."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.records import Cause, Trial, TrialState
from hpsearch.report.audit import audit_of, share_interval
from hpsearch.worker.auditing import reprieved
from tests.report.synthetic import finding


def trial(number: int, value: float, *, state: TrialState = TrialState.COMPLETE) -> Trial:
    """Return a trial that ended well."""
    return Trial(number=number, state=state, params={}, value=value, finding=finding(Cause.HEALTHY))


def audited(number: int, value: float | None, *, state: TrialState = TrialState.COMPLETE) -> Trial:
    """Return a trial that diagnosis would have stopped at step 30."""
    found = reprieved(finding(Cause.LR_TOO_LOW), step=30)
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


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 10, 0.0025, 0.4450), (8, 10, 0.4439, 0.9748)],
)
def test_the_interval_is_clopper_and_pearsons(hits: int, of: int, low: float, high: float) -> None:
    """Tabulated bounds of the exact 95 % interval, and 1 - 0.025^(1/n) where nothing was hit."""
    assert share_interval(hits, of) == pytest.approx((low, high), abs=5e-5)
    if not hits:
        assert share_interval(hits, of)[1] == pytest.approx(1 - 0.025 ** (1 / of))


@given(st.integers(1, 2000), st.data())
def test_the_interval_holds_the_rate(of: int, data: st.DataObject) -> None:
    """The interval lies in 0..1 and holds the observed rate, whatever was observed."""
    hits = data.draw(st.integers(0, of))
    low, high = share_interval(hits, of)
    assert 0 <= low <= hits / of <= high <= 1
