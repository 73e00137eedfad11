"""What fresh seeds say about the best configurations: means, intervals, and who can be told from the best."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, final

from scipy.special import stdtrit

from hpsearch.records import ParameterValue, Trial, best_trials
from hpsearch.storage.records import Evaluation, Part

CONFIDENCE: Final = 0.95

Interval: TypeAlias = tuple[float, float]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """One configuration over fresh seeds.

    `values` maps seeds to the metric, None where it is no finite number; `mean` is None where any is. `interval` holds
    the mean at 95 %, and is None for fewer than two seeds. `is_behind` says that it is worse than the best beyond what
    seeds explain; None for the best itself, and where there is nothing to tell by.
    """

    rank: int
    number: int
    params: Mapping[str, ParameterValue]
    in_search: float | None
    values: Mapping[int, float | None]
    mean: float | None
    interval: Interval | None
    is_behind: bool | None = None

    @property
    def broken(self) -> int:
        """With how many seeds the metric was no finite number."""
        return sum(value is None for value in self.values.values())


def best_configurations(trials: Sequence[Trial], *, maximize: bool, count: int) -> list[Trial]:
    """Return the best trial of each of the `count` best configurations: some studies train one several times."""
    chosen: list[Trial] = []
    for trial in best_trials(trials, maximize=maximize, count=len(trials)):
        if len(chosen) < count and not any(trial.params == other.params for other in chosen):
            chosen.append(trial)
    return chosen


def repeat(trial: Trial, evaluations: Sequence[Evaluation], *, part: Part, metric: str) -> Repeated:
    """Return what the evaluations of `trial` on `part` say, ranked first for want of others."""
    mine = (one for one in evaluations if (one.number, one.part) == (trial.number, part))
    values = {one.seed: one.value(metric) for one in mine}
    finite = [value for value in values.values() if value is not None]
    is_whole = bool(finite) and len(finite) == len(values)
    span = mean_interval(finite) if is_whole else None
    return Repeated(
        rank=1,
        number=trial.number,
        params=trial.params,
        in_search=trial.value,
        values=values,
        mean=statistics.fmean(finite) if is_whole else None,
        interval=_clipped(span, metric),
    )


def confirmation(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool
) -> list[Repeated]:
    """Return those of `trials` that were trained with fresh seeds, the best mean first, each held against the best.

    One that ended without a number with any seed comes last. The differences to the best are taken seed by seed, and
    their intervals hold together at 95 % (Bonferroni).
    """
    found = [repeat(trial, evaluations, part="validation", metric=metric) for trial in trials]
    found = [one for one in found if one.values]
    found.sort(key=lambda one: _order(one, maximize=maximize))
    ranked = [replace(one, rank=rank) for rank, one in enumerate(found, start=1)]
    others = len(ranked) - 1
    return [
        one if one.rank == 1 else replace(one, is_behind=_is_behind(ranked[0], one, comparisons=others))
        for one in ranked
    ]


def _order(one: Repeated, *, maximize: bool) -> tuple[int, float, int]:
    if one.mean is None:
        return one.broken or 1, 0.0, one.number
    return 0, -one.mean if maximize else one.mean, one.number


def _is_behind(best: Repeated, other: Repeated, *, comparisons: int) -> bool | None:
    """Say whether `other` differs from `best` beyond what seeds explain; None where they share fewer than two."""
    if best.mean is None:
        return None
    if other.mean is None:
        return True
    shared = best.values.keys() & other.values.keys()
    pairs = [(best.values[seed], other.values[seed]) for seed in shared]
    differences = [one - two for one, two in pairs if one is not None and two is not None]
    span = mean_interval(differences, confidence=1 - (1 - CONFIDENCE) / comparisons)
    return None if span is None else not span[0] <= 0 <= span[1]


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Interval | None:
    """Return the interval of the mean that `values` are a sample of; None for fewer than two.

    Student's t with n - 1 degrees of freedom (Student 1908, "The probable error of a mean").
    """
    if len(values) < 2:
        return None
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    quantile = float(stdtrit(len(values) - 1, (1 + confidence) / 2))
    half = quantile * deviation / math.sqrt(len(values))
    return mean - half, mean + half


def _clipped(span: Interval | None, metric: str) -> Interval | None:
    """Return the interval without what an accuracy, or a loss, cannot be."""
    if span is None:
        return None
    high = 1.0 if metric == "validation_accuracy" else math.inf
    return max(span[0], 0.0), min(span[1], high)


def sentence(found: Sequence[Repeated]) -> str:
    """Say plainly whether the best of `found`, the first, can be told from the others."""
    best, others = found[0], found[1:]
    if best.mean is None:
        return "No configuration gave a finite number with every seed."
    behind = [one.number for one in others if one.is_behind]
    level = [one.number for one in others if one.is_behind is False]
    if not others:
        return f"Trial {best.number} is the only one: there is nothing to tell it from."
    if not behind and not level:
        return f"Trial {best.number} shares too few seeds with the others to be told from them."
    if not behind:
        return f"Trial {best.number} cannot be told from any of the others: seeds explain the differences."
    if not level:
        return f"Trial {best.number} is better than all others, beyond what seeds explain."
    return (
        f"Trial {best.number} is better than {_listed(behind)}, beyond what seeds explain, "
        f"and cannot be told from {_listed(level)}."
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def best_confirmed(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool
) -> Trial | None:
    """Return the trial with the best mean over fresh seeds; None where none was trained with any."""
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    if not found or found[0].mean is None:
        return None
    return next(trial for trial in trials if trial.number == found[0].number)
