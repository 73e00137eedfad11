"""How sure the best result is before it was trained again with fresh seeds, in words."""

import shlex
from collections.abc import Sequence
from typing import Final

from hpsearch.report.configurations import ConfigurationRow, configuration_name, configuration_rows
from hpsearch.report.confirmation import best_configurations
from hpsearch.report.formats import format_count, format_result
from hpsearch.report.intervals import CONFIDENCE, difference_interval
from hpsearch.storage.records import StoredStudy
from hpsearch.trials import Trial

CONFIRMED: Final = 5
"""How many configurations `study confirm` trains again where it is not told."""

_ALL: Final = ("", "it", "both", "all three", "all four", "all five")


def unconfirmed_words(study: StoredStudy, trials: Sequence[Trial]) -> str:
    """Say how sure the best of `trials` is, and which command tells more. At least one of them is ranked.

    Where exact configurations have several seeds, these say whether the best mean can be told from the next one.
    """
    rows = [row for row in configuration_rows(study, trials) if row.values]
    has_seeds = any(len(row.values) > 1 for row in rows)
    known = " ".join(_seeds_say(study, trials, rows)) if has_seeds else _once_words(trials)
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
    """Return `the best five`, or that it is all of those that have a result where they are no more."""
    found = best_configurations(trials, maximize=study.maximize, count=CONFIRMED + 1)
    return _ALL[len(found)] if len(found) <= CONFIRMED else "the best five"


def _seeds_say(study: StoredStudy, trials: Sequence[Trial], rows: Sequence[ConfigurationRow]) -> list[str]:
    """Return sentences: the best mean, whether it can be told from the next, and how lucky the best trial was."""
    first, metric = rows[0], study.spec.metric
    said = [f"{_named(first)} has {_best_of(len(rows))} {_mean_words(first, metric)}."]
    if len(rows) > 1:
        said.append(_told_apart(first, rows[1], metric, comparisons=len(rows) - 1))
    best = best_configurations(trials, maximize=study.maximize, count=1)[0]
    name = configuration_name(study.spec, best.params)
    row = next((row for row in rows if row.name == name), None)
    if row is not None and len(row.values) > 1:
        said.append(
            f"Trial {best.number}, with {format_result(best.value, metric)}, is the luckiest seed of {_named(row)}:"
            f" expect the mean, {format_result(row.mean, metric)}."
        )
    return said


def _best_of(count: int) -> str:
    return "the mean" if count == 1 else f"the best mean of {count:,} configurations,"


def _named(row: ConfigurationRow) -> str:
    return f'"{row.name}"'


def _mean_words(row: ConfigurationRow, metric: str) -> str:
    """Return `0.961 over 10 seeds (95 % interval 0.955 to 0.967)`; seeds that gave no result are counted too."""
    some = "" if len(row.values) == row.ended else f"{len(row.values):,} of "
    seeds = f"{format_result(row.mean, metric)} over {some}{format_count(row.ended, 'seed')}"
    if row.interval is None:
        return seeds
    low, high = (format_result(bound, metric) for bound in row.interval)
    return f"{seeds} (95 % interval {low} to {high})"


def _told_apart(first: ConfigurationRow, second: ConfigurationRow, metric: str, *, comparisons: int) -> str:
    """Say whether the best mean is better than the next one, at 95 % for all that it was picked from (Bonferroni)."""
    next_one = f"the next, {_named(second)}, {_mean_words(second, metric)}"
    span = difference_interval(first.values, second.values, confidence=1 - (1 - CONFIDENCE) / comparisons)
    if span is None:
        return f"Too few seeds tell it from {next_one}."
    if span[0] <= 0 <= span[1]:
        return f"It cannot be told from {next_one}: seeds explain the difference."
    return f"It is better than {next_one}, beyond what seeds explain."
