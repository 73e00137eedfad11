"""What fresh seeds say about the best configurations: means, intervals, and who can be told from the best."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from hpsearch.report.formats import format_count, format_result
from hpsearch.report.intervals import CONFIDENCE, Interval, mean_interval, metric_bounds
from hpsearch.report.snapshot import Snapshot
from hpsearch.storage.records import Evaluation, Part
from hpsearch.trials import ParameterValue, Trial, best_trials


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
    return Repeated(
        rank=1,
        number=trial.number,
        params=trial.params,
        in_search=trial.value,
        values=values,
        mean=statistics.fmean(finite) if is_whole else None,
        interval=mean_interval(finite, bounds=metric_bounds(metric)) if is_whole else None,
    )


def confirmation(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool
) -> list[Repeated]:
    """Return those of `trials` that were trained with fresh seeds, the best mean first, each held against the best.

    One that ended without a number with any seed comes last. The differences to the best are taken seed by seed, and
    their intervals hold together at 95 % (Bonferroni).
    """
    trained = {one.number for one in evaluations if one.part == "validation"}
    found = [
        repeat(trial, evaluations, part="validation", metric=metric)
        for trial in trials
        if trial.number in trained
    ]
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


def ranked_trials(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool, count: int
) -> list[Trial]:
    """Return the `count` best trials, best first: fresh seeds win over the search.

    Trials with a mean over fresh seeds come first, by that mean; then all others by the search, and last those that
    gave no number with a fresh seed.
    """
    ranked = best_trials(trials, maximize=maximize, count=len(trials))
    found = confirmation(ranked, evaluations, metric=metric, maximize=maximize)
    rank = {one.number: -1 / one.rank if one.mean is not None else 1 for one in found}
    return sorted(ranked, key=lambda trial: rank.get(trial.number, 0))[:count]


def best_of(snapshot: Snapshot, count: int) -> list[Trial]:
    """Return the `count` best trials of a study, as `ranked_trials` orders them."""
    study = snapshot.study
    return ranked_trials(
        snapshot.trials,
        snapshot.evaluations,
        metric=study.spec.metric,
        maximize=study.maximize,
        count=count,
    )


def rival_of(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool
) -> Trial | None:
    """Return the best trial of the search if it beats all that were trained with fresh seeds, and was not itself."""
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    best = next(iter(best_trials(trials, maximize=maximize, count=1)), None)
    if best is None or not found or any(one.params == best.params for one in found):
        return None
    values = [one.in_search for one in found if one.in_search is not None]
    return None if best.value in values else best


def seeds_words(one: Repeated, metric: str) -> str:
    """Return `0.925 over 5 fresh seeds, 0.905 in the search`."""
    over = " fresh seeds" if one.mean is None else f" over {format_count(len(one.values), 'fresh seed')}"
    return f"{mean_words(one, metric)}{over}, {format_result(one.in_search, metric)} in the search"


def mean_words(one: Repeated, metric: str) -> str:
    """Return the mean over fresh seeds, or how many of them gave no number."""
    if one.mean is None:
        return f"no number with {one.broken} of {len(one.values)}"
    return format_result(one.mean, metric)


def interval_words(one: Repeated, metric: str) -> str:
    """Return `0.961 to 0.985`; empty where there is no interval."""
    if one.interval is None:
        return ""
    return " to ".join(format_result(bound, metric) for bound in one.interval)
