"""Confidences are measured: the tables, the curve between them, and the bound that decides who is stopped."""

from dataclasses import replace
from typing import Final

import pytest

from hpsearch.diagnosis import calibration
from hpsearch.diagnosis.calibration import CURVE, MOST_GOOD, RIGHT, calibrated, may_stop
from hpsearch.diagnosis.verdicts import fatal_finding, judge, raw_judge
from hpsearch.study.spec import DEFAULT_FATAL
from hpsearch.verdicts import Cause, Finding
from tests.benchmarks.diagnosis.calibrate import fitted, left_out_error
from tests.diagnosis.written import facts, sample, samples, telemetry

DEAD: Final = telemetry([sample(0), *samples(range(20, 40), dead=1.0, gradient=0.0)])


def finding(cause: Cause, raw: float) -> Finding:
    """Return a finding of a rule that is so sure."""
    return Finding(cause=cause, confidence=raw, first_step=0, evidence={}, remedy="Nothing.")


@pytest.mark.parametrize(("cause", "raw"), list(RIGHT))
def test_a_confidence_is_the_share_of_right_calls(cause: Cause, raw: float) -> None:
    """It lies near the counts of its level, and nothing is certain that was measured on a few dozen runs."""
    right, called = RIGHT[cause, raw]
    said = calibrated(finding(cause, raw)).confidence
    assert 0.5 < said < 1
    assert said == pytest.approx(
        right / called, abs=(calibration.WEIGHT + 1) / (called + calibration.WEIGHT + 1)
    )


def test_the_curve_rises() -> None:
    """The isotonic curve never falls."""
    assert list(CURVE) == sorted(CURVE)
    shares = [share for _, share in CURVE]
    assert shares == sorted(shares)


def test_verdicts_and_stops_have_measured_confidences() -> None:
    """Rules' own confidences never leave the catalogue."""
    raw, said = raw_judge(DEAD, facts()).primary, judge(DEAD, facts()).primary
    assert said == calibrated(raw)
    assert said.confidence != raw.confidence
    assert fatal_finding(DEAD, facts(), frozenset(DEFAULT_FATAL)) == said


def test_a_cause_that_may_stop_good_trials_stops_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is the same, but the trial runs on."""
    bounds = {Cause.DEAD_RELU_TOTAL: MOST_GOOD * 1.01}
    monkeypatch.setattr(calibration, "GOOD_BOUND", bounds)
    assert judge(DEAD, facts()).cause is Cause.DEAD_RELU_TOTAL
    assert fatal_finding(DEAD, facts(), frozenset(DEFAULT_FATAL)) is None


@pytest.mark.parametrize("cause", DEFAULT_FATAL)
def test_every_cause_that_stops_was_measured(cause: Cause) -> None:
    """A default that stops trials has a bound, and a low one."""
    assert cause in calibration.GOOD_BOUND
    assert may_stop(cause)


def test_tables_are_fitted_from_calls() -> None:
    """The curve is isotonic in the raw confidence, and the counts are those of each cause."""
    calls = [
        ("a", Cause.OVERFIT, 0.8, True),
        ("a", Cause.OVERFIT, 0.8, False),
        ("b", Cause.LOG_ZERO, 1.0, True),
        ("b", Cause.LOG_ZERO, 0.9, False),
    ]
    curve, right = fitted(calls)
    assert [level for level, _ in curve] == [0.8, 0.9, 1.0]
    assert [share for _, share in curve] == sorted(share for _, share in curve)
    assert right == {
        (Cause.LOG_ZERO, 0.9): (0, 1),
        (Cause.LOG_ZERO, 1.0): (1, 1),
        (Cause.OVERFIT, 0.8): (1, 2),
    }
    assert 0 <= left_out_error(calls) <= 1


def test_unknown_causes_get_the_curve() -> None:
    """A cause that never came first has no counts of its own."""
    lonely = next(cause for cause in Cause if cause not in {known for known, _ in RIGHT})
    assert calibrated(finding(lonely, 1.0)).confidence == pytest.approx(
        CURVE[-1][1] * calibration.WEIGHT / (calibration.WEIGHT + calibration.UNSEEN), abs=0.01
    )
    assert replace(calibrated(finding(lonely, 1.0)), confidence=1.0) == finding(lonely, 1.0)
