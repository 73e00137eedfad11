"""The best configurations, as rows of text."""

from dataclasses import dataclass
from typing import final

from hpsearch.records import Fate, best_trials
from hpsearch.report.formats import format_parameter, format_result
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import verdict_words

ROWS = 10


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestRow:
    """One of the best trials; `params` follows the table's `names`, empty where the trial has no such value."""

    rank: int
    number: int
    fate: Fate
    value: str
    params: tuple[str, ...]
    epochs: int
    verdict: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestTable:
    """The best trials, best first; `names` are the searched dimensions in the order of the study file."""

    metric: str
    names: tuple[str, ...]
    rows: tuple[BestRow, ...]


def best_table(snapshot: Snapshot) -> BestTable:
    """Return at most `ROWS` ranked trials."""
    spec = snapshot.study.spec
    names = tuple(dimension.name for dimension in spec.search)
    best = best_trials(snapshot.trials, maximize=snapshot.study.maximize, count=ROWS)
    rows = [
        BestRow(
            rank=rank,
            number=trial.number,
            fate=trial.fate,
            value=format_result(trial.value, spec.metric),
            params=tuple(format_parameter(trial.params[n]) if n in trial.params else "" for n in names),
            epochs=trial.epochs,
            verdict=verdict_words(trial),
        )
        for rank, trial in enumerate(best, start=1)
    ]
    return BestTable(metric=spec.metric, names=names, rows=tuple(rows))
