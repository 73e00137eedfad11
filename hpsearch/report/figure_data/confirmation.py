"""How sure it is that the best trial is the best: what fresh seeds made of the best five."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, final

from hpsearch.records import Trial, best_trials
from hpsearch.report.formats import format_count, format_result
from hpsearch.report.intervals import Interval, mean_interval, metric_bounds
from hpsearch.report.snapshot import Snapshot

CANDIDATES: Final = 5


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FreshSeeds:
    """One of the best trials: its own result, and the results of its configuration with other seeds.

    `lost` of the `seeds` gave no finite number. `mean` is over the others, None without one; `interval` is the mean's,
    at 95 %, None below two.
    """

    number: int
    own: float
    seeds: int
    lost: int
    mean: float | None
    interval: Interval | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """The best five that were trained again, the best first as the search has it, and what follows."""

    rows: tuple[FreshSeeds, ...]
    words: str


def confirmation(snapshot: Snapshot) -> Confirmation:
    """Return what the evaluations on the validation part say of the best five; no rows where there are none."""
    study = snapshot.study
    best = best_trials(snapshot.trials, maximize=study.maximize, count=CANDIDATES)
    rows = [row for trial in best if (row := _fresh_seeds(trial, snapshot)) is not None]
    if not rows:
        command = f"hpsearch study confirm {shlex.quote(study.spec.name)}"
        why = "Not sure yet: each configuration was trained once, and part of the best result is luck."
        return Confirmation(rows=(), words=f"{why} `{command}` trains the best five again with fresh seeds.")
    return Confirmation(rows=tuple(rows), words=_words(rows, best[0].number, maximize=study.maximize))


def _fresh_seeds(trial: Trial, snapshot: Snapshot) -> FreshSeeds | None:
    metric = snapshot.study.spec.metric
    own = [one for one in snapshot.evaluations if one.number == trial.number and one.part == "validation"]
    if not own or trial.value is None:
        return None
    values = [value for one in own if (value := one.value(metric)) is not None and math.isfinite(value)]
    return FreshSeeds(
        number=trial.number,
        own=trial.value,
        seeds=len(own),
        lost=len(own) - len(values),
        mean=fmean(values) if values else None,
        interval=mean_interval(values, bounds=metric_bounds(metric)),
    )


def _words(rows: Sequence[FreshSeeds], best: int, *, maximize: bool) -> str:
    """Say which configuration is the best on fresh seeds, and which others it cannot be told from."""
    told = [(row.mean, row) for row in rows if row.mean is not None]
    if not told:
        return "No fresh seed gave a finite result: what the search found does not repeat."
    first = (max if maximize else min)(told, key=lambda pair: pair[0])[1]
    verb = "is still" if first.number == best else "is now"
    clause = f"With fresh seeds trial {first.number} {verb} the best"
    near = [row.number for row in rows if row is not first and _overlap(row, first)]
    if near:
        return f"{clause}, but cannot be told from {_trials(near)}: their intervals overlap."
    return f"{clause}, apart from the others by the whole of its interval."


def _overlap(one: FreshSeeds, other: FreshSeeds) -> bool:
    """True where the means may be equal; what has no interval may be anything."""
    if one.interval is None or other.interval is None:
        return True
    return one.interval[0] <= other.interval[1] and other.interval[0] <= one.interval[1]


def _trials(numbers: Sequence[int]) -> str:
    return f"{'trial' if len(numbers) == 1 else 'trials'} {', '.join(str(number) for number in numbers)}"


def fresh_cells(row: FreshSeeds, metric: str) -> tuple[str, ...]:
    """Return a row as text: trial, its own result, seeds, their mean, the mean's interval."""
    interval = "" if row.interval is None else " to ".join(format_result(v, metric) for v in row.interval)
    lost = f", {row.lost} not finite" if row.lost else ""
    mean = format_result(row.mean, metric)
    return (
        str(row.number),
        format_result(row.own, metric),
        f"{format_count(row.seeds)}{lost}",
        mean,
        interval,
    )
