"""Confirmation of the best configurations with fresh seeds: means, intervals, and differences from the best."""

import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from hpsearch.analysis.configurations import ConfigurationRow, configuration_name, configuration_rows
from hpsearch.analysis.formats import format_result
from hpsearch.analysis.intervals import (
    CONFIDENCE,
    Interval,
    difference_interval,
    mean_interval,
    metric_bounds,
)
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.storage.records import Evaluation, Part, StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.trials import ParameterValue, Trial, best_trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SeedResults:
    """One configuration over fresh seeds.

    `values` maps seeds to the metric, None if it is not a finite number; `mean` is None if any value is. `interval` is
    the 95 % interval of the mean, None for fewer than two seeds. `is_behind` is true if it is worse than the best
    beyond the variation of seeds; None for the best itself, and if the difference cannot be tested.
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
        """The number of seeds for which the metric was not finite."""
        return sum(value is None for value in self.values.values())


def best_configurations(trials: Sequence[Trial], *, maximize: bool, count: int) -> list[Trial]:
    """Return the best trial of each of the `count` best configurations, since some studies train one several times."""
    chosen: list[Trial] = []
    for trial in best_trials(trials, maximize=maximize, count=len(trials)):
        if len(chosen) < count and not any(trial.params == other.params for other in chosen):
            chosen.append(trial)
    return chosen


def seed_results(trial: Trial, evaluations: Sequence[Evaluation], *, part: Part, metric: str) -> SeedResults:
    """Return the evaluations of `trial` on `part`, ranked first since there are no others."""
    mine = (one for one in evaluations if (one.number, one.part) == (trial.number, part))
    values = {one.seed: one.value(metric) for one in mine}
    finite = [value for value in values.values() if value is not None]
    is_whole = bool(finite) and len(finite) == len(values)
    return SeedResults(
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
) -> list[SeedResults]:
    """Return those of `trials` that were trained with fresh seeds, the best mean first, each compared with the best.

    A trial without a finite number for any seed comes last. The differences to the best are taken seed by seed, and
    their intervals hold jointly at 95 % (Bonferroni).
    """
    trained = {one.number for one in evaluations if one.part == "validation"}
    found = [
        seed_results(trial, evaluations, part="validation", metric=metric)
        for trial in trials
        if trial.number in trained
    ]
    found.sort(key=lambda one: _order(one, maximize=maximize))
    ranked = [replace(one, rank=rank) for rank, one in enumerate(found, start=1)]
    others = len(ranked) - 1
    return [
        one if one.rank == 1 else replace(one, is_behind=_is_worse(ranked[0], one, comparisons=others))
        for one in ranked
    ]


def _order(one: SeedResults, *, maximize: bool) -> tuple[int, float, int]:
    if one.mean is None:
        return one.broken or 1, 0.0, one.number
    return 0, -one.mean if maximize else one.mean, one.number


def _is_worse(best: SeedResults, other: SeedResults, *, comparisons: int) -> bool | None:
    """Return whether `other` differs from `best` beyond the variation of seeds; None if they share fewer than two."""
    if best.mean is None:
        return None
    if other.mean is None:
        return True
    shared = best.values.keys() & other.values.keys()
    pairs = [(best.values[seed], other.values[seed]) for seed in shared]
    differences = [one - two for one, two in pairs if one is not None and two is not None]
    span = mean_interval(differences, confidence=1 - (1 - CONFIDENCE) / comparisons)
    return None if span is None else not span[0] <= 0 <= span[1]


def sentence(found: Sequence[SeedResults]) -> str:
    """Return a sentence: whether the best of `found`, the first, is separable from the others."""
    best, others = found[0], found[1:]
    if best.mean is None:
        return "No configuration gave a finite number with every seed."
    behind = [one.number for one in others if one.is_behind]
    level = [one.number for one in others if one.is_behind is False]
    if not others:
        return f"Trial {best.number} is the only one: there is nothing to compare it with."
    if not behind and not level:
        return f"Trial {best.number} shares too few seeds with the others to be distinguished from them."
    if not behind:
        return f"Trial {best.number} cannot be distinguished from any of the others: seeds explain the differences."
    if not level:
        return f"Trial {best.number} is better than all others that were trained again, beyond what seeds explain."
    return (
        f"Trial {best.number} is better than {_listed(behind)}, beyond what seeds explain, "
        f"and cannot be distinguished from {_listed(level)}."
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def best_confirmed(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool
) -> Trial | None:
    """Return the trial with the best mean over fresh seeds; None if no trial was trained with fresh seeds."""
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    if not found or found[0].mean is None:
        return None
    return next(trial for trial in trials if trial.number == found[0].number)


def ranked_trials(
    trials: Sequence[Trial], evaluations: Sequence[Evaluation], *, metric: str, maximize: bool, count: int
) -> list[Trial]:
    """Return the `count` best trials, best first; fresh seeds take precedence over the search.

    Trials with a mean over fresh seeds come first, by that mean; then all others by the search; last those without a
    finite number for a fresh seed.
    """
    ranked = best_trials(trials, maximize=maximize, count=len(trials))
    found = confirmation(ranked, evaluations, metric=metric, maximize=maximize)
    rank = {one.number: -1 / one.rank if one.mean is not None else 1 for one in found}
    return sorted(ranked, key=lambda trial: rank.get(trial.number, 0))[:count]


def best_of(snapshot: Snapshot, count: int) -> list[Trial]:
    """Return the `count` best trials of a study in the order of `ranked_trials`."""
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
    """Return the best trial of the search if it was not confirmed and beats all trials with fresh seeds."""
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    best = next(iter(best_trials(trials, maximize=maximize, count=1)), None)
    if best is None or not found or any(one.params == best.params for one in found):
        return None
    values = [one.in_search for one in found if one.in_search is not None]
    return None if best.value in values else best


def seeds_words(one: SeedResults, metric: str) -> str:
    """Return `0.925 over 5 fresh seeds, 0.905 in the search`."""
    over = " fresh seeds" if one.mean is None else f" over {format_count(len(one.values), 'fresh seed')}"
    return f"{mean_words(one, metric)}{over}, {format_result(one.in_search, metric)} in the search"


def mean_words(one: SeedResults, metric: str) -> str:
    """Return the mean over fresh seeds, or the number of seeds without a finite result."""
    if one.mean is None:
        return f"no number with {one.broken} of {len(one.values)}"
    return format_result(one.mean, metric)


def interval_words(one: SeedResults, metric: str) -> str:
    """Return `0.961 to 0.985`; empty if there is no interval."""
    if one.interval is None:
        return ""
    return " to ".join(format_result(bound, metric) for bound in one.interval)


CONFIRMED: Final = 5
"""Number of configurations that `study confirm` trains again by default."""

_ALL: Final = ("", "it", "both", "all three", "all four", "all five")


def unconfirmed_words(study: StoredStudy, trials: Sequence[Trial]) -> str:
    """Return how certain the best of `trials` is, and which command to run next. At least one of them is ranked.

    If exact configurations have several seeds, these determine whether the best mean differs from the next one.
    """
    rows = [row for row in configuration_rows(study, trials) if row.values]
    has_seeds = any(len(row.values) > 1 for row in rows)
    known = " ".join(_seeds_sentences(study, trials, rows)) if has_seeds else _once_words(trials)
    command = f"hpsearch study confirm {shlex.quote(study.spec.name)}"
    return f"{known} `{command}` trains {_which(study, trials)} again with fresh seeds."


def _once_words(trials: Sequence[Trial]) -> str:
    ranked = [trial for trial in trials if trial.is_ranked]
    count = len({tuple(sorted(trial.params.items())) for trial in ranked})
    each = (
        "each configuration was trained once"
        if count == len(ranked)
        else "nothing was trained with fresh seeds"
    )
    return f"Not sure yet: {each}, and part of the best result is luck."


def _which(study: StoredStudy, trials: Sequence[Trial]) -> str:
    """Return `the best five`, or a phrase for all trials with a result if there are no more."""
    found = best_configurations(trials, maximize=study.maximize, count=CONFIRMED + 1)
    return _ALL[len(found)] if len(found) <= CONFIRMED else "the best five"


def _seeds_sentences(
    study: StoredStudy, trials: Sequence[Trial], rows: Sequence[ConfigurationRow]
) -> list[str]:
    """Return sentences on the best mean, whether it differs from the next, and whether the best trial was lucky."""
    first, metric = rows[0], study.spec.metric
    sentences = [f"{_named(first)} has {_best_of(len(rows))} {_mean_words(first, metric)}."]
    if len(rows) > 1:
        sentences.append(_difference_sentence(first, rows[1], metric, comparisons=len(rows) - 1))
    best = best_configurations(trials, maximize=study.maximize, count=1)[0]
    name = configuration_name(study.spec, best.params)
    row = next((row for row in rows if row.name == name), None)
    if row is not None and len(row.values) > 1:
        sentences.append(
            f"Trial {best.number}, with {format_result(best.value, metric)}, is the luckiest seed of {_named(row)}:"
            f" expect the mean, {format_result(row.mean, metric)}."
        )
    return sentences


def _best_of(count: int) -> str:
    return "the mean" if count == 1 else f"the best mean of {count:,} configurations,"


def _named(row: ConfigurationRow) -> str:
    return f'"{row.name}"'


def _mean_words(row: ConfigurationRow, metric: str) -> str:
    """Return `0.961 over 10 seeds (95 % interval 0.955 to 0.967)`; seeds without a result are counted too."""
    some = "" if len(row.values) == row.ended else f"{len(row.values):,} of "
    seeds = f"{format_result(row.mean, metric)} over {some}{format_count(row.ended, 'seed')}"
    if row.interval is None:
        return seeds
    low, high = (format_result(bound, metric) for bound in row.interval)
    return f"{seeds} (95 % interval {low} to {high})"


def _difference_sentence(
    first: ConfigurationRow, second: ConfigurationRow, metric: str, *, comparisons: int
) -> str:
    """Return whether the best mean is better than the next, at 95 % for all candidates (Bonferroni)."""
    next_one = f"the next, {_named(second)}, {_mean_words(second, metric)}"
    span = difference_interval(first.values, second.values, confidence=1 - (1 - CONFIDENCE) / comparisons)
    if span is None:
        return f"Too few seeds to distinguish it from {next_one}."
    if span[0] <= 0 <= span[1]:
        return f"It cannot be distinguished from {next_one}: seeds explain the difference."
    return f"It is better than {next_one}, beyond what seeds explain."
