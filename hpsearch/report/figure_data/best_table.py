"""The best configurations, as rows of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.report.confirmation import confirmation, mean_words
from hpsearch.report.formats import format_parameter, format_result
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import leading_trials, setting_words, verdict_words
from hpsearch.study.spec import StudySpec
from hpsearch.trials import Fate, Trial

ROWS = 10


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestRow:
    """One of the best trials; `params` follows the table's `names`, empty if the trial has no such value.

    `seeds` is the mean over fresh seeds, empty if the trial was not trained with any.
    """

    rank: int
    number: int
    fate: Fate
    value: str
    seeds: str
    params: tuple[str, ...]
    epochs: int
    verdict: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestTable:
    """The best trials, best first; `names` are the searched dimensions in the order of the study file.

    A study of exact configurations has their names in one column.
    """

    metric: str
    names: tuple[str, ...]
    rows: tuple[BestRow, ...]


def best_table(snapshot: Snapshot) -> BestTable:
    """Return at most `ROWS` ranked trials."""
    spec = snapshot.study.spec
    names = ("configuration",) if spec.configurations else tuple(dimension.name for dimension in spec.search)
    study = snapshot.study
    best = leading_trials(snapshot.trials, study, snapshot.evaluations, count=ROWS)
    found = confirmation(best, snapshot.evaluations, metric=spec.metric, maximize=study.maximize)
    seeds = {one.number: mean_words(one, spec.metric) for one in found}
    rows = [
        BestRow(
            rank=rank,
            number=trial.number,
            fate=trial.fate,
            value=format_result(trial.value, spec.metric),
            seeds=seeds.get(trial.number, ""),
            params=_cells(trial, spec, names),
            epochs=trial.epochs,
            verdict=verdict_words(trial),
        )
        for rank, trial in enumerate(best, start=1)
    ]
    return BestTable(metric=spec.metric, names=names, rows=tuple(rows))


def _cells(trial: Trial, spec: StudySpec, names: Sequence[str]) -> tuple[str, ...]:
    if spec.configurations:
        return (setting_words(trial, spec),)
    return tuple(format_parameter(trial.params[name]) if name in trial.params else "" for name in names)
