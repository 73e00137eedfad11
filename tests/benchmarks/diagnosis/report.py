"""The tables of the report, as Markdown."""

import math
from collections.abc import Iterator, Mapping, Sequence

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import Detector
from tests.benchmarks.diagnosis.scoring import (
    Judged,
    Share,
    all_of,
    any_of,
    calibration_error,
    cause_scores,
    confusion,
    delay,
    delays_by_cause,
    detection,
    false_alarms,
    healthy_stops,
    macro_f1,
    quantile,
    rate_errors,
    reliability,
)

CALLED_WRONGLY = 4
"""How many wrong causes a line of the confusion names."""


def per_cause(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield the table of precision, recall, F1 and time to detection by cause."""
    delays = delays_by_cause(judged)
    yield "| cause | runs | precision | recall | F1 | median steps | p90 steps |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for cause, score in cause_scores(judged).items():
        wait = delays.get(cause)
        times = ("", "") if wait is None else (f"{wait.median_steps:.0f}", f"{wait.p90_steps:.0f}")
        cells = (number(score.precision), number(score.recall), number(score.f1), *times)
        yield _line(str(cause), str(score.true + score.missed), *cells)


def confused(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield the confusion, one line per label: how often it was called right, and what it was called instead."""
    yield "| cause | runs | right | called instead |"
    yield "| --- | ---: | ---: | --- |"
    for label, said in confusion(judged).items():
        wrong = [(cause, count) for cause, count in said.most_common() if cause is not label]
        listed = ", ".join(f"{cause} {count}" for cause, count in wrong[:CALLED_WRONGLY])
        rest = sum(count for _, count in wrong[CALLED_WRONGLY:])
        if rest:
            listed += f", others {rest}"
        yield _line(str(label), str(said.total()), str(said[label]), listed)


def summary(judged: Sequence[Judged]) -> Iterator[str]:
    """Yield the numbers that the goals are about, one per line."""
    wait, errors = delay(judged), rate_errors(judged)
    double = all_of(judged)
    near = Share(hits=sum(error <= 1 for error in errors), total=len(errors))
    yield f"- macro-F1: {number(macro_f1(cause_scores(judged)))}"
    said = "; ".join(f"{step:.2f}: {one.hits}/{one.total}" for step, one in reliability(judged).items())
    yield f"- expected calibration error of confidences: {number(calibration_error(judged))} (right calls at {said})"
    yield f"- ill runs called by one of their causes first: {share(any_of(judged))}"
    yield f"- double faults with both causes named: {share(double)}"
    yield f"- false alarms on healthy runs: {share(false_alarms(judged))}"
    yield f"- false alarms on hard healthy runs: {share(false_alarms(judged, hard_only=True))}"
    yield f"- healthy runs among those that would have been stopped: {share(healthy_stops(judged))}"
    yield (
        f"- time to detection: median {wait.median_steps:.0f} steps ({_percent(wait.median_share)} of the run), "
        f"p90 {wait.p90_steps:.0f} ({_percent(wait.p90_share)})"
    )
    yield (
        f"- suggested learning rates: {number(quantile(errors, 0.5))} decades from the best in the median, "
        f"p90 {number(quantile(errors, 0.9))}; within one decade {share(near)}"
    )


def comparison(calls: Mapping[str, tuple[Detector, Sequence[Judged]]]) -> Iterator[str]:
    """Yield the table of all detectors; who names no cause is scored on detection alone."""
    yield (
        "| detector | macro-F1 | right cause | detection F1 | found | false alarms | on hard runs | "
        "median steps | p90 steps |"
    )
    yield "| --- |" + " ---: |" * 8
    for detector, judged in calls.values():
        found, wait = detection(judged), delay(judged)
        causes = ("0.000", "0.0 %") if not detector.names_causes else _of_causes(judged)
        yield _line(
            detector.name,
            *causes,
            number(found.f1),
            _percent(found.recall),
            share(false_alarms(judged)),
            _percent(false_alarms(judged, hard_only=True).value),
            f"{wait.median_steps:.0f}",
            f"{wait.p90_steps:.0f}",
        )


def _of_causes(judged: Sequence[Judged]) -> tuple[str, str]:
    return number(macro_f1(cause_scores(judged))), _percent(any_of(judged).value)


def labels(judged: Sequence[Judged]) -> str:
    """Return in one sentence what the runs are."""
    healthy = false_alarms(judged).total
    hard = false_alarms(judged, hard_only=True).total
    faults = {run.labels[0] for run, _ in judged} - {Cause.HEALTHY}
    families = {run.family for run, _ in judged}
    return (
        f"{len(judged)} runs of {len(families)} families: {healthy} healthy ({hard} of them hard), "
        f"{len(judged) - healthy} ill with {len(faults)} faults, {all_of(judged).total} of them double."
    )


def number(value: float) -> str:
    """Return three decimals, or a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def share(counted: Share) -> str:
    """Return a share in percent with its interval and counts."""
    low, high = counted.interval
    if not counted.total:
        return "-"
    return f"{_percent(counted.value)} [{100 * low:.1f}, {100 * high:.1f}] ({counted.hits}/{counted.total})"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
