"""Studies and trials as listings, and the plan of a study."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hpsearch.analysis.best_trials import setting_words
from hpsearch.analysis.configurations import ConfigurationRow, row_cells, row_heads, row_object
from hpsearch.analysis.confirmation import Repeated, mean_words, repeat
from hpsearch.analysis.formats import (
    format_count,
    format_parameter,
    format_result,
    format_short_metric,
    format_time,
)
from hpsearch.analysis.json_objects import study_object, trial_object, unreadable_object
from hpsearch.analysis.study_state import MADE_BY_OPTUNA, state_of
from hpsearch.analysis.trial_facts import given_in_advance, verdict_words
from hpsearch.cli.output import Listing, answer
from hpsearch.storage.records import Evaluation, Listed, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_size
from hpsearch.study.spec import fault_in_words
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.workflows.studies import DryRun

_NUMBERS = frozenset({"trial", "epochs", "finished", "failed", "running", "best", "priority"})


def studies_listing(studies: Sequence[Listed]) -> Listing:
    """Return all studies of a database with their progress.

    The study that they follow up has a column if any has one, and so have remarks on studies that hpsearch did not
    make, or cannot read.
    """
    names = {one.study.key: one.name for one in studies if one.study is not None}
    parents = [_parent(one, names) for one in studies]
    family, noted = any(parents), any(one.study is None or one.study.foreign is not None for one in studies)
    heads = ("study", "state", "finished", "failed", "running", "best", "metric", "priority", "created")
    return Listing(
        objects=[
            _study_object(one) | {"parent": existing(parent)}
            for one, parent in zip(studies, parents, strict=True)
        ],
        heads=(*heads, *(["follows up"] if family else []), *(["note"] if noted else [])),
        rows=[
            (*_study_cells(one), *([parent or ""] if family else []), *([_note(one)] if noted else []))
            for one, parent in zip(studies, parents, strict=True)
        ],
        right=_NUMBERS,
        fields=("name", "state", "trials", "finished"),
    )


def _parent(listed: Listed, names: Mapping[str, str]) -> str | None:
    """Return the name of the study that this one follows up, None if there is none."""
    if listed.study is None or listed.study.parent is None:
        return None
    return names.get(listed.study.parent, GONE)


def _study_object(listed: Listed) -> dict[str, Any]:
    if listed.study is None or listed.progress is None:
        return unreadable_object(listed)
    return study_object(listed.study, listed.progress)


def _study_cells(listed: Listed) -> tuple[str, ...]:
    study, progress, count = listed.study, listed.progress, listed.trials
    finished = f"{count[TrialState.COMPLETE] + count[TrialState.PRUNED]:,}"
    counts = (f"{count[TrialState.FAILED]:,}", f"{count[TrialState.RUNNING]:,}")
    if study is None or progress is None:
        return listed.name, "unreadable", finished, *counts, "", "", "", ""
    is_ours, best = study.foreign is None, progress.best
    return (
        listed.name,
        state_of(progress),
        f"{finished} of {progress.budget:,}" if is_ours else finished,
        *counts,
        "" if best is None else format_result(best.value, study.spec.metric),
        study.spec.metric if study.foreign is None else ", ".join(study.foreign.metrics),
        str(study.priority) if is_ours else "",
        format_time(study.created),
    )


def _note(listed: Listed) -> str:
    if listed.unreadable is not None:
        return listed.unreadable
    return "" if listed.study is None or listed.study.foreign is None else MADE_BY_OPTUNA


def trials_listing(trials: Sequence[Trial], study: StoredStudy) -> Listing:
    """Return trials in the given order, with a column for each searched dimension and one for configurations.

    A waiting trial shows its enqueued values there.
    """
    if study.foreign is not None:
        return _foreign_trials(trials, study, study.foreign.metrics)
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
    """Return trials in the given order, with their results over fresh seeds if any were trained."""
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


def _foreign_trials(trials: Sequence[Trial], study: StoredStudy, metrics: Sequence[str]) -> Listing:
    """Return trials of a study that another Optuna client made: no verdicts, no epochs."""
    searched = [dimension.name for dimension in study.spec.search]
    return Listing(
        objects=[trial_object(trial) for trial in trials],
        heads=("trial", *metrics, *searched, "state"),
        rows=[
            (
                str(trial.number),
                *_value_cells(trial, metrics),
                *_searched_cells(trial, searched),
                trial.state.value + (", infeasible" if trial.is_infeasible else ""),
            )
            for trial in trials
        ],
        right=_NUMBERS | {*metrics, *searched},
        fields=tuple(trial_object(Trial(number=0, state=TrialState.WAITING, params={}))),
    )


def _value_cells(trial: Trial, metrics: Sequence[str]) -> list[str]:
    values: Sequence[float | None] = trial.values or (() if len(metrics) > 1 else (trial.value,))
    cells = [
        "" if value is None else format_result(value, name)
        for name, value in zip(metrics, values, strict=False)
    ]
    return [*cells, *[""] * (len(metrics) - len(cells))]


def _searched_cells(trial: Trial, searched: Sequence[str]) -> list[str]:
    known = {**given_in_advance(trial), **trial.params}
    return [format_parameter(known[name]) if name in known else "" for name in searched]


def configurations_listing(rows: Sequence[ConfigurationRow], study: StoredStudy) -> Listing:
    """Return the exact configurations of a study with their results."""
    heads = row_heads(format_short_metric(study.spec.metric))
    return Listing(
        objects=[row_object(row) for row in rows],
        heads=heads,
        rows=[row_cells(row, study.spec.metric) for row in rows],
        right=frozenset({heads[1], "complete"}),
        fields=("name", "params", "mean", "interval", "values", "ended", "verdicts"),
    )


GONE: Final = "(deleted)"


def parent_name(study: StoredStudy, studies: Sequence[StoredStudy]) -> str | None:
    """Return the name of the study that `study` follows up; `GONE` if it is gone, None if there is none."""
    if study.parent is None:
        return None
    return next((other.spec.name for other in studies if other.key == study.parent), GONE)


def existing(name: str | None) -> str | None:
    """Return the parent's name for programs: null if there is none, or it is gone."""
    return None if name == GONE else name


def parent_object(store: Store, study: StoredStudy) -> str | None:
    """Return the name of the study that `study` follows up, for programs."""
    return None if study.parent is None else existing(parent_name(study, store.studies.all()))


def write_parent(store: Store, study: StoredStudy) -> None:
    """Write the study that this one follows up to stdout, below an empty line; nothing if there is none."""
    if study.parent is not None:
        answer()
        answer(f"Follows up: {parent_name(study, store.studies.all())}")


def write_plan(dry_run: DryRun) -> None:
    """Write the workers and rows that the study would run on this machine to stdout."""
    for name, value in _lines(dry_run):
        answer(f"{name:<22}{value}")


def _lines(dry_run: DryRun) -> Iterator[tuple[str, str]]:
    study, planned = dry_run.study, dry_run.plan
    spec, data = study.spec, study.data
    yield "study", planned.name
    yield "trials", f"{planned.trials:,}"
    yield "epochs per trial", f"{planned.epochs} at most"
    yield "steps per epoch", str(planned.steps_per_epoch)
    yield (
        "parameters",
        f"{planned.parameters} per network, {planned.inputs} inputs, {planned.outputs} outputs",
    )
    yield "metric", spec.metric
    yield "data", data.origin
    if spec.data.fault is not None:
        yield "fault on purpose", fault_in_words(spec.data.fault)
    yield "examples", _examples(study)
    for line in planned.configurations:
        yield "configuration", line
    if not planned.configurations:
        for line in planned.search or ("nothing: every trial is the same but for its seed",):
            yield "search", line
    yield "sampler", planned.sampler
    yield "pruning", planned.pruning
    yield "workers here", f"{dry_run.workers}, each with a cohort of {format_count(dry_run.rows, 'row')}"
    yield "memory of a cohort", format_size(dry_run.bytes_per_row * dry_run.rows)


def _examples(study: PreparedStudy) -> str:
    data = study.data
    test = "" if data.test is None else f", {len(data.test.inputs):,} sealed for testing"
    return f"{len(data.training.inputs):,} to train on, {len(data.validation.inputs):,} to validate{test}"
