"""Studies and trials as listings."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hpsearch.cli.family import existing, parent_name
from hpsearch.cli.output import Listing
from hpsearch.records import Trial, TrialState
from hpsearch.report.configurations import ConfigurationRow, row_cells, row_heads, row_object
from hpsearch.report.confirmation import Repeated, mean_words, repeat
from hpsearch.report.export import study_object, trial_object
from hpsearch.report.formats import format_parameter, format_result, format_short_metric, format_time
from hpsearch.report.trial_facts import given_in_advance
from hpsearch.report.words import setting_words, state_of, verdict_words
from hpsearch.storage.records import Evaluation, Progress, StoredStudy

_NUMBERS = frozenset({"trial", "epochs", "finished", "failed", "running", "best", "priority"})


def studies_listing(studies: Sequence[tuple[StoredStudy, Progress]]) -> Listing:
    """Return studies, all of a database, with where they stand; what they follow up has a column where any does."""
    parents = {study.key: parent_name(study, [other for other, _ in studies]) for study, _ in studies}
    family = any(parents.values())
    heads = ("study", "state", "finished", "failed", "running", "best", "metric", "priority", "created")
    return Listing(
        objects=[
            study_object(study, progress) | {"parent": existing(parents[study.key])}
            for study, progress in studies
        ],
        heads=(*heads, *(["follows up"] if family else [])),
        rows=[
            (
                study.spec.name,
                state_of(progress),
                f"{progress.finished:,} of {progress.budget:,}",
                f"{progress.failed:,}",
                f"{progress.running:,}",
                "" if progress.best is None else format_result(progress.best.value, study.spec.metric),
                study.spec.metric,
                str(study.priority),
                format_time(study.created),
                *([parents[study.key] or ""] if family else []),
            )
            for study, progress in studies
        ],
        right=_NUMBERS,
        fields=("name", "state", "trials", "finished"),
    )


def trials_listing(trials: Sequence[Trial], study: StoredStudy) -> Listing:
    """Return trials in the given order; what is searched has a column of its own, and so have configurations.

    A trial that waits has what it was enqueued with there.
    """
    spec = study.spec
    searched = [] if spec.configurations else [dimension.name for dimension in spec.search]
    exact = ["configuration"] if spec.configurations else []
    metric = study.spec.metric
    return Listing(
        objects=[trial_object(trial) for trial in trials],
        heads=("trial", format_short_metric(metric), *exact, *searched, "state", "verdict", "epochs"),
        rows=[
            (
                str(trial.number),
                "" if trial.value is None else format_result(trial.value, metric),
                *(setting_words(trial, spec) for _ in exact),
                *_searched_cells(trial, searched),
                trial.state.value,
                verdict_words(trial),
                f"{trial.epochs:,}",
            )
            for trial in trials
        ],
        right=_NUMBERS | {format_short_metric(metric), *searched},
        fields=tuple(trial_object(Trial(number=0, state=TrialState.WAITING, params={}))),
    )


def best_listing(trials: Sequence[Trial], study: StoredStudy, evaluations: Sequence[Evaluation]) -> Listing:
    """Return trials in the given order, those that were trained with fresh seeds with what these say."""
    metric, plain = study.spec.metric, trials_listing(trials, study)
    found = [repeat(trial, evaluations, part="validation", metric=metric) for trial in trials]
    if not any(one.values for one in found):
        return plain
    cells = [mean_words(one, metric) if one.values else "" for one in found]
    return replace(
        plain,
        objects=[
            {**shown, "fresh_seeds": _seeds_object(one)} if one.values else shown
            for shown, one in zip(plain.objects, found, strict=True)
        ],
        heads=(plain.heads[0], "fresh seeds", *plain.heads[1:]),
        rows=[(row[0], cell, *row[1:]) for row, cell in zip(plain.rows, cells, strict=True)],
        right=plain.right | {"fresh seeds"},
    )


def _seeds_object(one: Repeated) -> dict[str, Any]:
    """Return the mean over fresh seeds, its 95 % interval, and how many seeds there are, as a JSON object."""
    low, high = one.interval or (None, None)
    return {"seeds": len(one.values), "mean": one.mean, "low": low, "high": high}


def _searched_cells(trial: Trial, searched: Sequence[str]) -> list[str]:
    known = {**given_in_advance(trial), **trial.params}
    return [format_parameter(known[name]) if name in known else "" for name in searched]


def configurations_listing(rows: Sequence[ConfigurationRow], study: StoredStudy) -> Listing:
    """Return the exact configurations of a study with what they reached."""
    heads = row_heads(format_short_metric(study.spec.metric))
    return Listing(
        objects=[row_object(row) for row in rows],
        heads=heads,
        rows=[row_cells(row, study.spec.metric) for row in rows],
        right=frozenset({heads[1], "complete"}),
        fields=("name", "params", "mean", "interval", "values", "ended", "verdicts"),
    )
