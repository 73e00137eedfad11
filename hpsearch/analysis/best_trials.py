"""The best trials of a study: the lines that name them, and the rows of their table."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.analysis.configurations import configuration_name
from hpsearch.analysis.confirmation import (
    SeedResults,
    confirmation,
    mean_words,
    ranked_trials,
    rival_of,
    seeds_words,
)
from hpsearch.analysis.formats import format_parameter, format_parameters, format_result, format_short_metric
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.trial_facts import verdict_words
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.study.spec import StudySpec
from hpsearch.trials import Fate, Trial


def best_lines(
    trials: Sequence[Trial], study: StoredStudy, count: int = 5, *, evaluations: Sequence[Evaluation] = ()
) -> list[str]:
    """Return `Best-1 (val acc 0.989) | learning_rate 0.79, weight_decay 9.5e-06`, one line per trial.

    Return at most `count` lines, best first; none if no trial is complete with a finite value. A trial of the study's
    `evaluations`, trained with fresh seeds, shows their mean, `val acc 0.925 over 5 fresh seeds, 0.905 in the search`;
    such trials come first.
    """
    if has_several_objectives(study):
        front = leading_trials(trials, study, count=count)
        return [
            f"Pareto-{rank} ({value_words(trial, study)}) | {setting_words(trial, study.spec)}"
            for rank, trial in enumerate(front, start=1)
        ]
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=count)
    found = confirmation(best, evaluations, metric=metric, maximize=maximize)
    confirmed = {one.number: one for one in found}
    return [
        f"Best-{rank} ({result_words(trial, confirmed.get(trial.number), metric)})"
        f" | {setting_words(trial, study.spec)}{_foreign_words(trial, study)}"
        for rank, trial in enumerate(best, start=1)
    ]


def result_words(trial: Trial, confirmed: SeedResults | None, metric: str) -> str:
    """Return `val acc 0.905`, or with fresh seeds `val acc 0.925 over 5 fresh seeds, 0.905 in the search`."""
    value = spread_words(trial, metric) if confirmed is None else seeds_words(confirmed, metric)
    return f"{format_short_metric(metric)} {value}"


def spread_words(trial: Trial, metric: str) -> str:
    """Return `0.905`, or for the mean over folds `0.905 ± 0.012`, with their standard deviation."""
    value = format_result(trial.value, metric)
    return value if trial.spread is None else f"{value} ± {format_result(trial.spread, metric)}"


def rival_words(
    trials: Sequence[Trial], study: StoredStudy, *, evaluations: Sequence[Evaluation] = ()
) -> str | None:
    """Return an action if a trial did better in the search than all confirmed ones; None if none did."""
    metric = study.spec.metric
    rival = rival_of(trials, evaluations, metric=metric, maximize=study.maximize)
    if rival is None:
        return None
    return (
        f"Trial {rival.number} did better in the search ({result_words(rival, None, metric)}) and has no fresh seeds "
        f"yet: `hpsearch study confirm {shlex.quote(study.spec.name)}` trains it with them."
    )


def has_several_objectives(study: StoredStudy) -> bool:
    """Return True for another Optuna client's study with a front of several objectives instead of one best trial."""
    return study.foreign is not None and len(study.foreign.metrics) > 1


def leading_trials(
    trials: Sequence[Trial], study: StoredStudy, evaluations: Sequence[Evaluation] = (), *, count: int
) -> list[Trial]:
    """Return the best trials, best first, in the order of `ranked_trials`.

    For several objectives, return the Pareto-optimal trials, by number.
    """
    if study.foreign is None or not has_several_objectives(study):
        metric = study.spec.metric
        return ranked_trials(trials, evaluations, metric=metric, maximize=study.maximize, count=count)
    maximize = study.foreign.maximize
    able = [
        t
        for t in trials
        if t.is_ranked and len(t.values) == len(maximize) and all(map(math.isfinite, t.values))
    ]
    signs = np.where(np.array(maximize), 1.0, -1.0)
    scores = np.array([trial.values for trial in able]).reshape(len(able), len(maximize)) * signs
    front = [
        trial
        for trial, own in zip(able, scores, strict=True)
        if not np.any(np.all(scores >= own, axis=1) & np.any(scores > own, axis=1))
    ]
    return front[:count]


def value_words(trial: Trial, study: StoredStudy) -> str:
    """Return the trial's value with the name of its metric: `val acc 0.989`; for several objectives, all values."""
    if study.foreign is not None and len(study.foreign.metrics) > 1:
        pairs = zip(study.foreign.metrics, trial.values, strict=False)
        return ", ".join(f"{name} {format_result(value, name)}" for name, value in pairs)
    metric = study.spec.metric
    return f"{format_short_metric(metric)} {format_result(trial.value, metric)}"


def _foreign_words(trial: Trial, study: StoredStudy) -> str:
    is_foreign = study.foreign is None and trial.is_foreign
    return " (another Optuna client's trial)" if is_foreign else ""


def setting_words(trial: Trial, spec: StudySpec) -> str:
    """Return the name of the trial's exact configuration, or else its parameters."""
    name = configuration_name(spec, trial.params)
    return format_parameters(trial.params, spec.search) if name is None else name


def objectives_words(study: StoredStudy) -> str:
    """Return `loss (minimize), accuracy (maximize)` for a study that another Optuna client made."""
    assert study.foreign is not None
    pairs = zip(study.foreign.metrics, study.foreign.maximize, strict=True)
    return ", ".join(f"{name} ({'maximize' if more else 'minimize'})" for name, more in pairs)


ROWS = 10


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestRow:
    """One of the best trials; `params` follows the table's `names`, with an empty text for a missing value.

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
            value=spread_words(trial, spec.metric),
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
