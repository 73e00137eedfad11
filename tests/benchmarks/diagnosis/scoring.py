"""How good calls are: pure functions over what was done to a run and what a detector said of it."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TypeAlias, final

from hpsearch.analysis.intervals import share_interval
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import NO_ALARM, Call
from tests.benchmarks.diagnosis.runs import Run

Judged: TypeAlias = tuple[Run, Call]
"""A run of the corpus and what a detector said of it."""


EARLY = {Cause.EXPLODING: Cause.DIVERGED_LR}
"""Causes that are the early warning of another, as `exploding` is in the catalogue: they count as that one.

Whether numbers stay finite is not known when it is given, and the remedy is the same.
"""


def counted(cause: Cause) -> Cause:
    """Return the cause as which it counts."""
    return EARLY.get(cause, cause)


def labels_of(run: Run) -> tuple[Cause, ...]:
    """Return the run's labels as they count."""
    return tuple(dict.fromkeys(counted(label) for label in run.labels))


def is_healthy(run: Run) -> bool:
    """Return True for a run to which nothing was done that is a fault."""
    return run.labels[0] in NO_ALARM


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """`hits` out of `total`."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share in 0..1; NaN of nothing."""
        return self.hits / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Clopper and Pearson; NaN of nothing."""
        return share_interval(self.hits, self.total) if self.total else (math.nan, math.nan)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CauseScore:
    """How well one cause is told: runs that have it and were called it, were wrongly called it, were called another."""

    true: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """The share of right calls among the calls; NaN if the cause was never called."""
        called = self.true + self.false
        return self.true / called if called else math.nan

    @property
    def recall(self) -> float:
        """The share of runs with the cause that were called it; NaN if no run has it."""
        present = self.true + self.missed
        return self.true / present if present else math.nan

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); NaN if there is nothing to count."""
        total = 2 * self.true + self.false + self.missed
        return 2 * self.true / total if total else math.nan


def matched_label(run: Run, call: Call) -> Cause:
    """Return the label that the call is measured against: the one that it names first, or else the run's first.

    A call of no alarm, `inconclusive` included, is one of `healthy`. A double fault is told by either of its labels.
    """
    said, labels = counted(call.cause), labels_of(run)
    return said if said in labels else labels[0]


def said_of(call: Call) -> Cause:
    """Return the primary cause of the call, `healthy` for whatever is no alarm."""
    return counted(call.cause) if call.is_alarm else Cause.HEALTHY


def cause_scores(judged: Sequence[Judged]) -> dict[Cause, CauseScore]:
    """Return the score of every cause that is a label or was called, in the order of the catalogue.

    A run counts once: as true for the cause that was called where that is one of its labels; otherwise as false for
    the cause that was called and as missed for its first label.
    """
    true: Counter[Cause] = Counter()
    false: Counter[Cause] = Counter()
    missed: Counter[Cause] = Counter()
    for run, call in judged:
        said, label = said_of(call), matched_label(run, call)
        if said is label:
            true[label] += 1
        else:
            false[said] += 1
            missed[label] += 1
    seen = true.keys() | false.keys() | missed.keys()
    return {
        cause: CauseScore(true=true[cause], false=false[cause], missed=missed[cause])
        for cause in Cause
        if cause in seen
    }


def macro_f1(scores: Mapping[Cause, CauseScore]) -> float:
    """Return the mean F1 over the faults that are present in the labels; `healthy` is no fault. NaN without any."""
    present = [
        score.f1 for cause, score in scores.items() if cause not in NO_ALARM and score.true + score.missed
    ]
    return fmean(present) if present else math.nan


def any_of(judged: Sequence[Judged]) -> Share:
    """Return how many ill runs are called by one of their causes first."""
    ill = [(run, call) for run, call in judged if not is_healthy(run)]
    return Share(hits=sum(counted(call.cause) in labels_of(run) for run, call in ill), total=len(ill))


def all_of(judged: Sequence[Judged]) -> Share:
    """Return how many double faults have both of their causes named, in any order, beside others or not."""
    double = [(set(labels_of(run)), call) for run, call in judged if len(labels_of(run)) > 1]
    named = [(labels, {counted(cause) for cause in call.causes}) for labels, call in double]
    return Share(hits=sum(labels <= causes for labels, causes in named), total=len(named))


def healthy_stops(judged: Sequence[Judged]) -> Share:
    """Return how many of the runs that would have been stopped are healthy: good trials lost."""
    stopped = [run for run, call in judged if call.stops]
    return Share(hits=sum(map(is_healthy, stopped)), total=len(stopped))


def false_alarms(judged: Sequence[Judged], *, hard_only: bool = False) -> Share:
    """Return how many healthy runs, or of those only the hard ones, are called ill."""
    healthy = [call for run, call in judged if is_healthy(run) and (run.is_hard or not hard_only)]
    return Share(hits=sum(call.is_alarm for call in healthy), total=len(healthy))


def detected(judged: Sequence[Judged]) -> Share:
    """Return how many ill runs are called ill, whatever the cause."""
    ill = [call for run, call in judged if not is_healthy(run)]
    return Share(hits=sum(call.is_alarm for call in ill), total=len(ill))


def detection(judged: Sequence[Judged]) -> CauseScore:
    """Return the score of telling ill runs from healthy ones, whatever the cause."""
    found, alarms = detected(judged), false_alarms(judged)
    return CauseScore(true=found.hits, false=alarms.hits, missed=found.total - found.hits)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Delay:
    """How long ill runs continued before the alarm, in steps and as a share of the run; NaN without ill runs."""

    median_steps: float
    p90_steps: float
    median_share: float
    p90_share: float


def delay(judged: Sequence[Judged]) -> Delay:
    """Return the time to detection of ill runs; whoever is called healthy counts with all steps of its budget."""
    steps, shares = [], []
    for run, call in judged:
        if is_healthy(run):
            continue
        budget = run.facts.steps
        taken = budget if not call.is_alarm or call.step is None else min(call.step, budget)
        steps.append(float(taken))
        shares.append(taken / budget)
    return Delay(
        median_steps=quantile(steps, 0.5),
        p90_steps=quantile(steps, 0.9),
        median_share=quantile(shares, 0.5),
        p90_share=quantile(shares, 0.9),
    )


def delays_by_cause(judged: Sequence[Judged]) -> dict[Cause, Delay]:
    """Return the time to detection by the runs' first label."""
    by_label: dict[Cause, list[Judged]] = {}
    for run, call in judged:
        if not is_healthy(run):
            by_label.setdefault(labels_of(run)[0], []).append((run, call))
    return {cause: delay(by_label[cause]) for cause in Cause if cause in by_label}


def quantile(numbers: Sequence[float], share: float) -> float:
    """Return the smallest of `numbers` that at least that share of them do not exceed; NaN of nothing.

    The median of an even count is the mean of the two in the middle.
    """
    if not numbers:
        return math.nan
    if share == 0.5:
        return median(numbers)
    return sorted(numbers)[math.ceil(share * len(numbers)) - 1]


def confusion(judged: Sequence[Judged]) -> dict[Cause, Counter[Cause]]:
    """Return for each label how often each cause was called, labels in the order of the catalogue."""
    rows: dict[Cause, Counter[Cause]] = {}
    for run, call in judged:
        label = matched_label(run, call)
        rows.setdefault(Cause.HEALTHY if label in NO_ALARM else label, Counter())[said_of(call)] += 1
    return {cause: rows[cause] for cause in Cause if cause in rows}


def reliability(judged: Sequence[Judged]) -> dict[float, Share]:
    """Return how many alarms name one of the run's causes, by their confidence in steps of a twentieth."""
    return {
        step: Share(hits=sum(right for _, right in alarms), total=len(alarms))
        for step, alarms in _alarms_by_step(judged).items()
    }


def _alarms_by_step(judged: Sequence[Judged]) -> dict[float, list[tuple[float, bool]]]:
    """Return the confidence of each alarm, and whether it names one of the run's causes, in rising steps."""
    steps: dict[float, list[tuple[float, bool]]] = {}
    for run, call in judged:
        if call.is_alarm and math.isfinite(call.confidence):
            step = round(20 * call.confidence) / 20
            right = counted(call.cause) in labels_of(run)
            steps.setdefault(step, []).append((call.confidence, right))
    return {step: steps[step] for step in sorted(steps)}


def calibration_error(judged: Sequence[Judged]) -> float:
    """Return the expected calibration error: the mean distance of confidence and share of right calls over alarms.

    Guo et al. (2017), equation 3, with the steps of `reliability` as bins: the mean confidence of a bin counts, and
    not its middle. NaN without alarms.
    """
    return binned_error(list(_alarms_by_step(judged).values()))


def binned_error(bins: Sequence[Sequence[tuple[float, bool]]]) -> float:
    """Return the mean distance over calls of a bin's mean confidence and its share of right calls; NaN of nothing."""
    total = sum(map(len, bins))
    distances = (
        abs(sum(confidence for confidence, _ in calls) - sum(right for _, right in calls)) for calls in bins
    )
    return sum(distances) / total if total else math.nan


def rate_errors(judged: Sequence[Judged]) -> list[float]:
    """Return |log10(suggested / best)| of each learning rate suggested to an ill run whose base has a known best."""
    errors = []
    for run, call in judged:
        suggested, best = call.suggested_learning_rate, run.best_learning_rate
        if best is not None and suggested is not None and suggested > 0 and not is_healthy(run):
            errors.append(abs(math.log10(suggested / best)))
    return errors
