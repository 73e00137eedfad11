"""Every score on cases that are worked out by hand."""

import math
from dataclasses import replace

import pytest

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.constant import AlwaysHealthy
from tests.benchmarks.diagnosis.detectors import SILENCE, Call
from tests.benchmarks.diagnosis.report import comparison, confused, per_cause, summary
from tests.benchmarks.diagnosis.scoring import (
    CauseScore,
    Judged,
    Share,
    all_of,
    any_of,
    calibration_error,
    cause_scores,
    confusion,
    delay,
    detected,
    detection,
    false_alarms,
    healthy_stops,
    macro_f1,
    quantile,
    rate_errors,
    reliability,
)
from tests.diagnosis.made_runs import STEPS, run

LOW, DEAD, NAN = Cause.LR_TOO_LOW, Cause.DEAD_RELU_TOTAL, Cause.DIVERGED_LR


def call(*causes: Cause, step: int = 60) -> Call:
    """Return a call of those causes, at step 60."""
    return Call(causes=causes, step=step)


JUDGED: list[Judged] = [
    (run(LOW), call(LOW, step=30)),
    (run(LOW), call(DEAD, LOW, step=90)),
    (run(LOW), SILENCE),
    (run(DEAD), call(DEAD, step=60)),
    (run(DEAD, LOW), call(LOW, DEAD, step=6)),
    (run(DEAD, LOW), call(DEAD, step=600)),
    (run(), SILENCE),
    (run(), call(LOW)),
    (run(is_hard=True), Call(causes=(Cause.INCONCLUSIVE,), step=None)),
    (run(is_hard=True), call(NAN)),
]
"""Six ill runs, of them two with both faults, and four healthy ones, of them two hard."""


def test_causes_are_counted_once_per_run() -> None:
    """A run is true for the label that was called first, or false for the call and missed for its first label."""
    assert cause_scores(JUDGED) == {
        NAN: CauseScore(true=0, false=1, missed=0),
        DEAD: CauseScore(true=2, false=1, missed=0),
        LOW: CauseScore(true=2, false=1, missed=2),
        Cause.HEALTHY: CauseScore(true=2, false=1, missed=2),
    }


def test_precision_recall_and_f1() -> None:
    """2 true, 1 false and 2 missed are 2/3, 1/2 and 4/7; what was never called or never there has no value."""
    score = CauseScore(true=2, false=1, missed=2)
    assert (score.precision, score.recall) == (2 / 3, 1 / 2)
    assert score.f1 == pytest.approx(4 / 7)
    assert math.isnan(CauseScore(true=0, false=0, missed=3).precision)
    assert math.isnan(CauseScore(true=0, false=3, missed=0).recall)
    assert CauseScore(true=0, false=3, missed=0).f1 == 0.0


def test_macro_f1_is_over_the_faults_that_are_there() -> None:
    """The mean of 4/5 for dead and 4/7 for too low; diverged is no label, and healthy is no fault."""
    assert macro_f1(cause_scores(JUDGED)) == pytest.approx((4 / 5 + 4 / 7) / 2)
    assert math.isnan(macro_f1(cause_scores([(run(), SILENCE)])))


def test_double_faults_count_any_of_and_all_of() -> None:
    """Four of six ill runs are called by one of their labels first; one of two double faults by both."""
    assert any_of(JUDGED) == Share(hits=4, total=6)
    assert all_of(JUDGED) == Share(hits=1, total=2)


def test_false_alarms_are_on_healthy_runs_alone() -> None:
    """Two of four healthy runs and one of two hard ones are called ill; inconclusive is no alarm."""
    assert false_alarms(JUDGED) == Share(hits=2, total=4)
    assert false_alarms(JUDGED, hard_only=True) == Share(hits=1, total=2)


def test_good_trials_lost_are_counted_among_those_that_were_stopped() -> None:
    """All ten runs are stopped, four of which are healthy; without the stops none is."""
    stopped = [(run, replace(call, stops=True)) for run, call in JUDGED]
    assert healthy_stops(stopped) == Share(hits=4, total=len(JUDGED))
    assert healthy_stops(JUDGED) == Share(hits=0, total=0)


def test_detection_asks_for_no_cause() -> None:
    """Five of six ill runs are called ill: recall 5/6, precision 5/7."""
    assert detected(JUDGED) == Share(hits=5, total=6)
    score = detection(JUDGED)
    assert (score.recall, score.precision) == (5 / 6, 5 / 7)


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (0, 299, 0.0, 0.0123),
        (3, 300, 0.0021, 0.0289),
    ],
)
def test_the_interval_is_that_of_clopper_and_pearson(hits: int, total: int, low: float, high: float) -> None:
    """Bounds are those of the tables; without hits the upper one is 1 - (a/2)^(1/n)."""
    interval = Share(hits=hits, total=total).interval
    assert interval == pytest.approx((low, high), abs=5e-5)
    if not hits:
        assert interval[1] == pytest.approx(1 - 0.025 ** (1 / total))


def test_a_share_of_nothing_has_no_value() -> None:
    """Without runs neither a share nor its interval is known."""
    nothing = Share(hits=0, total=0)
    assert math.isnan(nothing.value)
    assert all(math.isnan(bound) for bound in nothing.interval)


def test_an_undetected_run_counts_with_its_whole_budget() -> None:
    """Ill runs took 6, 30, 60, 90, 600 and, undetected, 600 of 600 steps."""
    wait = delay(JUDGED)
    assert (wait.median_steps, wait.p90_steps) == (75, STEPS)
    assert (wait.median_share, wait.p90_share) == (0.125, 1.0)


def test_an_alarm_after_the_end_counts_as_one_at_the_end() -> None:
    """A published rule that would have looked again after the last step is no later than undetected."""
    assert delay([(run(LOW), call(LOW, step=10 * STEPS))]).median_steps == STEPS


def test_quantiles() -> None:
    """The median is the middle or the mean of the two middles; p90 is the least number that 90 % do not exceed."""
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([4, 1, 2, 3], 0.5) == 2.5
    assert quantile(list(range(1, 11)), 0.9) == 9
    assert quantile([5, 7], 0.9) == 7
    assert math.isnan(quantile([], 0.9))


def test_confusion_has_a_row_per_label() -> None:
    """Rows add up to the runs of each label; a double fault is under the called label, else its first one."""
    rows = confusion(JUDGED)
    assert {cause: dict(row) for cause, row in rows.items()} == {
        DEAD: {DEAD: 2},
        LOW: {LOW: 2, DEAD: 1, Cause.HEALTHY: 1},
        Cause.HEALTHY: {Cause.HEALTHY: 2, LOW: 1, NAN: 1},
    }


def test_learning_rates_are_compared_in_decades() -> None:
    """Suggestions of 0.1 and 1e-4 for a best of 0.01 are 1 and 2 decades off; without a best there is no error."""
    known = run(LOW, best_learning_rate=0.01)
    judged: list[Judged] = [
        (known, Call(causes=(LOW,), step=1, suggested={"learning_rate": 0.1})),
        (known, Call(causes=(NAN,), step=1, suggested={"training.learning_rate": 1e-4})),
        (known, call(DEAD)),
        (run(LOW), Call(causes=(LOW,), step=1, suggested={"learning_rate": 0.1})),
        (run(best_learning_rate=1.0), Call(causes=(LOW,), step=1, suggested={"learning_rate": 0.1})),
    ]
    assert rate_errors(judged) == pytest.approx([1.0, 2.0])


def test_a_confidence_is_compared_with_the_share_of_right_calls() -> None:
    """Of two alarms at 0.905 in the mean one is right, of two at 0.595 both: the distance is 0.405 twice."""
    calls = [(LOW, 0.9), (DEAD, 0.91), (LOW, 0.6), (LOW, 0.59), (LOW, math.nan)]
    judged = [(run(LOW), Call(causes=(cause,), step=1, confidence=sure)) for cause, sure in calls]
    assert reliability(judged) == {0.6: Share(hits=2, total=2), 0.9: Share(hits=1, total=2)}
    assert calibration_error(judged) == pytest.approx(0.405)
    assert math.isnan(calibration_error([]))


def test_the_report_is_made_of_these_numbers() -> None:
    """Tables are Markdown: every line of one has as many cells as its head."""
    tables = [list(per_cause(JUDGED)), list(confused(JUDGED))]
    tables.append(list(comparison({"": (AlwaysHealthy(), JUDGED)})))
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    assert "| lr_too_low | 4 | 0.667 | 0.500 | 0.571 | 90 | 600 |" in tables[0]
    assert "| lr_too_low | 4 | 2 | dead_relu_total 1, healthy 1 |" in tables[1]
    text = "\n".join(summary(JUDGED))
    assert "false alarms on healthy runs: 50.0 % [6.8, 93.2] (2/4)" in text
    assert "median 75 steps (12.5 % of the run), p90 600 (100.0 %)" in text
