"""Measure confidences on the tuning families: `python -m tests.benchmarks.diagnosis.calibrate [--searches FILE...]`.

It prints the tables of `hpsearch/diagnosis/calibration.py`, and the calibration error of each family under tables that
are fitted without it. FILE are runs that `minibatches --file` wrote, for the share of good trials among those stopped.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression

from hpsearch.diagnosis import calibration
from hpsearch.diagnosis.verdicts import fatal_finding, raw_judge
from hpsearch.study.spec import DEFAULT_FATAL
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import NO_ALARM
from tests.benchmarks.diagnosis.minibatches import by_plan, judged
from tests.benchmarks.diagnosis.runs import Run, moments
from tests.benchmarks.diagnosis.scoring import binned_error, counted, is_healthy, labels_of
from tests.benchmarks.diagnosis.traces import CORPUS, load

SHARED_WEIGHT = 50.0
"""All causes together count as so many stopped trials beside those of one cause."""

LEVEL = 0.975
Call: TypeAlias = tuple[str, Cause, float, bool]
"""The family of a run, the cause that came first, its raw confidence, and whether it is right."""

Curve: TypeAlias = Sequence[tuple[float, float]]
Right: TypeAlias = Mapping[tuple[Cause, float], tuple[int, int]]


def main() -> None:
    """Print the tables, and how well they hold on families that they were not fitted on."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.diagnosis.calibrate", description=__doc__
    )
    parser.add_argument("--searches", type=Path, nargs="*", default=[], help="files of small minibatches")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="the file of labelled runs")
    arguments = parser.parse_args()
    files: list[Path] = arguments.searches
    runs = [run for run in load(arguments.corpus) if not run.is_held_out]
    walks = [walk(run) for run in runs]
    calls = [call for call, _ in walks if call is not None]
    curve, right = fitted(calls)
    stops = Counter(cause for _, cause in walks if cause is not None)
    good = Counter(
        cause for run, (_, cause) in zip(runs, walks, strict=True) if cause is not None and is_healthy(run)
    )
    for judgement in (one for file in files for plan in by_plan(load(file)) for one in judged(plan)):
        if judgement.stopped is not None:
            stops[judgement.stopped] += 1
            good[judgement.stopped] += judgement.is_good
    for line in tables(curve, right, stops, good):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(
        f"# calibration error, each family under tables without it: {left_out_error(calls):.3f}\n"
    )


def walk(run: Run) -> tuple[Call | None, Cause | None]:
    """Return the run's first finding when it was stopped or ended, None for no alarm, and the cause that stopped it."""
    stopped, known = None, run.telemetry
    for moment in moments(run, steps_per_epoch=run.facts.steps_per_epoch):
        finding = fatal_finding(moment, run.facts, frozenset(DEFAULT_FATAL))
        if finding is not None:
            stopped, known = finding.cause, moment
            break
    first = raw_judge(known, run.facts).primary
    if first.cause in NO_ALARM:
        return None, stopped
    return (run.family, first.cause, first.confidence, counted(first.cause) in labels_of(run)), stopped


def fitted(calls: Sequence[Call]) -> tuple[Curve, Right]:
    """Return the isotonic curve of right calls over raw confidence, as its corners, and the counts by level."""
    raw = np.array([confidence for _, _, confidence, _ in calls])
    is_right = np.array([right for *_, right in calls], float)
    model = IsotonicRegression(out_of_bounds="clip").fit(raw, is_right)
    levels = np.unique(raw)
    curve = [
        (float(level), round(float(share), 3))
        for level, share in zip(levels, model.predict(levels), strict=True)
    ]
    counts: dict[tuple[Cause, float], list[bool]] = {}
    for _, cause, level, right in calls:
        counts.setdefault((cause, level), []).append(right)
    order = list(Cause)
    keys = sorted(counts, key=lambda key: (order.index(key[0]), key[1]))
    return curve, {key: (sum(counts[key]), len(counts[key])) for key in keys}


def left_out_error(calls: Sequence[Call]) -> float:
    """Return the expected calibration error if each family is judged by tables fitted on the others."""
    said: dict[float, list[tuple[float, bool]]] = {}
    for family in sorted({call[0] for call in calls}):
        curve, right = fitted([call for call in calls if call[0] != family])
        for _, cause, raw, is_right in (call for call in calls if call[0] == family):
            share = confidence_of(cause, raw, curve, right)
            said.setdefault(round(20 * share) / 20, []).append((share, is_right))
    return binned_error(list(said.values()))


def confidence_of(cause: Cause, raw: float, curve: Curve, right: Right) -> float:
    """Return the confidence of `calibration.calibrated` with these tables."""
    known, called = right.get((cause, raw), (0, 0))
    shared = calibration.WEIGHT * calibration.on_curve(raw, curve)
    return (known + shared) / (called + calibration.WEIGHT + calibration.UNSEEN)


def tables(curve: Curve, right: Right, stops: Counter[Cause], good: Counter[Cause]) -> Iterator[str]:
    """Yield the tables as they stand in `calibration.py`."""
    yield f"CURVE = {tuple(curve)}"
    yield "RIGHT = {"
    yield from (f"    (Cause.{cause.name}, {raw}): {counts}," for (cause, raw), counts in right.items())
    yield "}"
    pooled = (good.total() + 0.5) / (stops.total() + 1)
    yield f"# {good.total()} good of {stops.total()} stopped"
    yield "GOOD_BOUND = {"
    for cause in (cause for cause in Cause if stops[cause]):
        a = good[cause] + SHARED_WEIGHT * pooled
        b = stops[cause] - good[cause] + SHARED_WEIGHT * (1 - pooled)
        yield f"    Cause.{cause.name}: {beta.ppf(LEVEL, a, b):.3f},  # {good[cause]} of {stops[cause]}"
    yield "}"


if __name__ == "__main__":
    main()
