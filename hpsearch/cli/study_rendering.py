"""Studies and their trials as listings, the progress of a study, and changes, for people and for programs."""

import getpass
import shlex
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hpsearch.analysis.advice import advice
from hpsearch.analysis.best_trials import (
    best_lines,
    has_several_objectives,
    leading_trials,
    objectives_words,
    result_words,
    rival_words,
    setting_words,
    spread_words,
    value_words,
)
from hpsearch.analysis.configurations import (
    ConfigurationRow,
    configuration_rows,
    row_cells,
    row_heads,
    row_object,
)
from hpsearch.analysis.confirmation import confirmation, mean_words, ranked_trials, seed_results
from hpsearch.analysis.failures import failure_lines
from hpsearch.analysis.formats import (
    format_parameter,
    format_result,
    format_share,
    format_short_metric,
    format_tick,
    format_time,
    loss_unit,
)
from hpsearch.analysis.json_objects import study_object, trial_object, unreadable_object
from hpsearch.analysis.study_state import (
    MADE_BY_OPTUNA,
    Decade,
    edit_words,
    fate_rows,
    fates_by_decade,
    limits_sentence,
    state_of,
    state_sentence,
)
from hpsearch.analysis.trial_facts import given_in_advance, verdict_words
from hpsearch.analysis.verdict_summary import Audit, audit_of
from hpsearch.cli.options import Format
from hpsearch.cli.output import Listing, ask, write_line, write_listing, write_message, write_table
from hpsearch.storage.foreign_trials import description, remedy
from hpsearch.storage.records import Evaluation, Listed, Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_count, format_size
from hpsearch.study.plan import dimension_in_words, limits_in_words, pruning_in_words, sampler_in_words
from hpsearch.study.spec import StudySpec, fault_in_words
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.worker.notifier import shown_notify_url
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.workflows.json_objects import DELETED, best_objects, null_if_deleted, parent_name
from hpsearch.workflows.studies import Deletion, DryRun, Edited, ObjectiveDryRun


def write_overview(
    study: StoredStudy, progress: Progress, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> None:
    """Write the study's progress, fates, ledger, advice and audit to stdout."""
    write_line(f"{study.spec.name}: {state_sentence(progress)}")
    if progress.limits:
        write_line(f"Limits: {limits_sentence(progress)}.")
    for foreign in progress.foreign:
        words = description(foreign)
        write_line(f"{words[:1].upper()}{words[1:]}: {remedy(study.spec.name, foreign)}")
    if study.spec.data.fault is not None:
        write_line(f"Fault on purpose: {fault_in_words(study.spec.data.fault)}.")
    for edit in study.edits:
        write_line(f"Edited range: {edit_words(edit)}.")
    _write_best(study, trials, evaluations)
    if rows := configuration_rows(study, trials):
        write_line()
        write_listing(configurations_listing(rows, study), Format.TABLE)
    write_line()
    write_fates(progress)
    if decades := fates_by_decade(study.spec.search, trials):
        write_line()
        write_decades(decades)
    write_line()
    write_ledger(progress)
    if failed := failure_lines(trials):
        write_line()
        for line in failed:
            write_line(line)
    write_advice(study, trials, evaluations)
    audit = audit_of(trials, maximize=study.maximize)
    if audit.audited or study.spec.pruning.audit:
        write_line()
        write_line(audit_words(audit))


def _write_best(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]) -> None:
    """Write the best trial to stdout, by fresh seeds if any were trained with them."""
    metric, maximize = study.spec.metric, study.maximize
    for trial in ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1):
        found = next(iter(confirmation([trial], evaluations, metric=metric, maximize=maximize)), None)
        word = "Best so far" if found is None else "Best"
        params = setting_words(trial, study.spec)
        write_line(f"{word}: trial {trial.number} ({result_words(trial, found, metric)}) | {params}")
    if rival := rival_words(trials, study, evaluations=evaluations):
        write_line(rival)


def write_foreign_overview(study: StoredStudy, progress: Progress, trials: Sequence[Trial]) -> None:
    """Write the known facts about a study that another Optuna client made to stdout."""
    best = leading_trials(trials, study, count=len(trials))
    write_line(f"{study.name}: {state_sentence(progress)}")
    write_line(f"Objective{'s' if has_several_objectives(study) else ''}: {objectives_words(study)}.")
    if best and has_several_objectives(study):
        numbers = ", ".join(str(trial.number) for trial in best[:_FRONT_SHOWN])
        more = f" and {len(best) - _FRONT_SHOWN} more" if len(best) > _FRONT_SHOWN else ""
        write_line(f"On the Pareto front, beaten by no other in all objectives: trials {numbers}{more}.")
    elif best:
        params = setting_words(best[0], study.spec)
        write_line(f"Best so far: trial {best[0].number} ({value_words(best[0], study)}) | {params}")
    write_line()
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}") for row in rows]
    write_table(("fate", "trials"), cells, right=frozenset({"trials"}))


_FRONT_SHOWN = 10


def write_decades(decades: Sequence[Decade]) -> None:
    """Write the fates of the trials of each decade of learning rates to stdout."""
    fates = [fate for fate in Fate if any(fate in decade.fates for decade in decades)]
    cells = [
        (
            f"{format_tick(decade.low)} to {format_tick(decade.high)}",
            f"{decade.trials:,}",
            *(f"{decade.fates.get(fate, 0):,}" for fate in fates),
        )
        for decade in decades
    ]
    heads = ("trials", *(fate.value for fate in fates))
    write_table(("learning_rate", *heads), cells, right=frozenset(heads))


def write_advice(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()) -> None:
    """Write the advice from the trials to stdout, below an empty line; nothing if there is none."""
    if advised := advice(study.present_spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)):
        write_line()
        write_line(f"Advice: {advised}.")


def audit_words(audit: Audit) -> str:
    """Return how often stopping was wrong, judged by the trials that ran on."""
    if not audit.audited:
        return "Audit: no trial that diagnosis would have stopped has run on to its end yet."
    low, high = (f"{100 * bound:.1f}" for bound in audit.interval)
    return (
        f"Audit: {audit.wrong:,} of {format_count(audit.audited, 'trial')} that diagnosis would have stopped ended in "
        f"the best tenth: false-stop rate {100 * audit.wrong / audit.audited:.1f} % "
        f"(95 % interval {low} to {high} %)."
    )


def write_fates(progress: Progress) -> None:
    """Write the number of trials of each fate, and the epochs that they began, to stdout."""
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}", f"{row.epochs:,}") for row in rows]
    total = ("all", f"{sum(row.trials for row in rows):,}", f"{sum(row.epochs for row in rows):,}")
    write_table(("fate", "trials", "epochs"), [*cells, total], right=frozenset({"trials", "epochs"}))


def write_ledger(progress: Progress) -> None:
    """Write where every epoch went to stdout."""
    cells = [
        (cause, f"{epochs:,}", format_share(epochs, progress.epochs))
        for cause, epochs in progress.ledger.items()
    ]
    total = ("all", f"{progress.epochs:,}", "")
    write_table(("ledger", "epochs", "share"), [*cells, total], right=frozenset({"epochs", "share"}))


def write_best(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation], count: int = 5
) -> None:
    """Write the best configurations to stdout, or the fates of the trials if there is none."""
    for line in best_lines(trials, study, count, evaluations=evaluations) or no_best_words(trials):
        write_line(line)
    if rival := rival_words(trials, study, evaluations=evaluations):
        write_line(rival)


def no_best_words(trials: Sequence[Trial]) -> list[str]:
    """Return the fates of the trials if none is complete with a finite result."""
    ended = [trial for trial in trials if trial.state.is_final]
    if not ended:
        return ["No trial has finished yet."]
    causes = Counter(trial.verdict or "no verdict" for trial in ended)
    lines = [f"No trial completed. {format_count(len(ended), 'trial')} ended otherwise:"]
    lines += [f"  {cause}: {count}" for cause, count in causes.most_common()]
    remedies = Counter(trial.finding.remedy for trial in ended if trial.finding is not None)
    if remedies:
        remedy, count = remedies.most_common(1)[0]
        lines.append(f"Most common remedy ({count} of {len(ended)}): {remedy}")
    return lines


def write_edited(edited: Edited) -> None:
    """Write the changes and the progress of the study to stdout."""
    _write_sentences(edited)
    write_line(f"{edited.study.spec.name}: {state_sentence(edited.progress)}")


def write_paused(edited: Edited) -> None:
    """Write that the study was paused, and how to resume it, to stdout."""
    write_stopped(edited)
    write_line(f"Go on with: hpsearch study resume {shlex.quote(edited.study.spec.name)}")


def write_stopped(edited: Edited) -> None:
    """Write that the study takes no more trials to stdout."""
    _write_sentences(edited)
    if edited.progress.running:
        write_line(f"Still in training, until they end: {edited.progress.running:,}")


def _write_sentences(edited: Edited) -> None:
    for sentence in edited.sentences:
        write_line(sentence)


def user() -> str:
    """Return the current user as `user@host`, or the host alone if the system has no name for the user."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):
        return socket.gethostname()


def approve_deletion(deletion: Deletion) -> None:
    """Return after a yes. Raises UsageError if there is no terminal, and Abort after a no."""
    in_training = f", {deletion.running} of them in training," if deletion.running else ""
    ask(
        f"Delete the {_deletion_words(deletion)}{in_training} permanently?",
        refusal=f'Not deleting "{deletion.name}"',
    )


def write_deletion(deletion: Deletion) -> None:
    """Write the deleted study and the trials that were in training to stdout."""
    write_line(f"Deleted the {_deletion_words(deletion)}.")
    if deletion.running:
        write_message(f"Warning: {_in_training(deletion)}: their work is lost")
    if deletion.data_file is not None:
        write_message(f"Its data stays: {deletion.data_file}; delete the file if no other database needs it")


def _deletion_words(deletion: Deletion) -> str:
    return f'study "{deletion.name}" with {format_count(deletion.trials, "trial")} in {deletion.where}'


def _in_training(deletion: Deletion) -> str:
    """Return the number of trials in training and the workers that held them."""
    by = ", ".join(f"{worker} ({trials:,})" for worker, trials in deletion.workers.items() if trials)
    count = format_count(deletion.running, "trial")
    return f"{count} {'was' if deletion.running == 1 else 'were'} in training{f', by {by}' if by else ''}"


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
            _study_object(one) | {"parent": null_if_deleted(parent)}
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
    return names.get(listed.study.parent, DELETED)


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
        heads=("trial", format_short_metric(metric), *exact, *searched, "fate", "verdict", "epochs"),
        rows=[
            (
                str(trial.number),
                "" if trial.value is None else spread_words(trial, metric),
                *(setting_words(trial, spec) for _ in exact),
                *_searched_cells(trial, searched),
                trial.fate.value,
                _verdict_cell(trial),
                f"{trial.epochs:,}",
            )
            for trial in trials
        ],
        right=_NUMBERS | {format_short_metric(metric), *searched},
        fields=tuple(trial_object(replace(_EMPTY, spread=0.0 if spec.data.folds else None))),
    )


_EMPTY: Final = Trial(number=0, state=TrialState.WAITING, params={})


def _verdict_cell(trial: Trial) -> str:
    """Return the verdict, or nothing if that only repeats that the trial waits or runs."""
    words = verdict_words(trial)
    return "" if trial.finding is None and words == trial.fate.value else words


def best_listing(trials: Sequence[Trial], study: StoredStudy, evaluations: Sequence[Evaluation]) -> Listing:
    """Return trials in the given order, with their results over fresh seeds if any were trained."""
    metric, plain = study.spec.metric, trials_listing(trials, study)
    found = [seed_results(trial, evaluations, part="validation", metric=metric) for trial in trials]
    if not any(one.values for one in found):
        return plain
    cells = [mean_words(one, metric) if one.values else "" for one in found]
    return replace(
        plain,
        objects=best_objects(trials, study, evaluations),
        heads=(plain.heads[0], "fresh seeds", *plain.heads[1:]),
        rows=[(row[0], cell, *row[1:]) for row, cell in zip(plain.rows, cells, strict=True)],
        right=plain.right | {"fresh seeds"},
    )


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


def write_parent(store: Store, study: StoredStudy) -> None:
    """Write the study that this one follows up to stdout, below an empty line; nothing if there is none."""
    if study.parent is not None:
        write_line()
        write_line(f"Follows up: {parent_name(study, store.studies.all())}")


def write_notify(store: Store, study: StoredStudy) -> None:
    """Write where the study's notifications go to stdout, by the kind of each; nothing if it has none."""
    if urls := store.notifications.urls(study):
        write_line()
        write_line(f"Notifications: {', '.join(map(shown_notify_url, urls))}")


def write_plan(dry_run: DryRun | ObjectiveDryRun) -> None:
    """Write the workers and rows that the study would run on this machine to stdout."""
    lines = _lines(dry_run) if isinstance(dry_run, DryRun) else _objective_lines(dry_run)
    for name, value in lines:
        write_line(f"{name:<22}{value}")


def _limit_line(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if spec.budget:
        yield "or at", limits_in_words(spec.budget)
    if (epochs := spec.limits.trial_epochs_without_improvement) is not None:
        yield "a trial ends", f"after {format_count(epochs, 'epoch')} without improvement"


def _objective_lines(dry_run: ObjectiveDryRun) -> Iterator[tuple[str, str]]:
    spec, limits = dry_run.spec, dry_run.spec.limits
    yield "study", spec.name
    yield "trials", f"{spec.trials:,}"
    yield from _limit_line(spec)
    yield "function", dry_run.objective.function
    yield "metric", f"{spec.metric}, to {dry_run.objective.direction}"
    for line in map(dimension_in_words, spec.search):
        yield "search", line
    yield "sampler", sampler_in_words(spec.sampler)
    stops = spec.pruning.diagnosis == "act"
    yield (
        "pruning",
        pruning_in_words(spec if stops else replace(spec, pruning=replace(spec.pruning, diagnosis=False))),
    )
    yield (
        "time of a trial",
        "no limit" if limits.trial_seconds is None else f"{limits.trial_seconds:g} s at most",
    )
    memory = limits.trial_memory_mb
    yield "memory of a trial", "no limit" if memory is None else f"{memory:,} MiB at most"
    yield "workers here", f"{dry_run.workers}, each with one process for its trial"


def _lines(dry_run: DryRun) -> Iterator[tuple[str, str]]:
    study, planned = dry_run.study, dry_run.plan
    spec, data = study.spec, study.data
    yield "study", planned.name
    yield "trials", f"{planned.trials:,}"
    yield from _limit_line(spec)
    yield "epochs per trial", f"{planned.epochs} at most"
    yield "steps per epoch", str(planned.steps_per_epoch)
    yield (
        "parameters",
        f"{planned.parameters} per network, {planned.inputs} inputs, {planned.outputs} outputs",
    )
    yield "task", _task(study)
    yield "metric", spec.metric
    if unit := loss_unit(spec):
        yield "losses", unit
    yield "data", data.origin
    if spec.data.fault is not None:
        yield "fault on purpose", fault_in_words(spec.data.fault)
    yield "examples", _examples(study)
    if data.preprocessing.encoding is not None:
        for use in data.uses:
            yield "column", f"{use.name} ({use.kind}): {use.use}"
    for line in planned.configurations:
        yield "configuration", line
    if not planned.configurations:
        for line in planned.search or ("nothing: trials differ only in their seeds",):
            yield "search", line
    yield "sampler", planned.sampler
    yield "pruning", planned.pruning
    yield "workers here", f"{dry_run.workers}, each with a cohort of {format_count(dry_run.rows, 'row')}"
    yield "memory of a cohort", format_size(dry_run.bytes_per_row * dry_run.rows)


def _task(study: PreparedStudy) -> str:
    """Return the task, with the first classes and their examples in the training part."""
    data = study.data
    if data.task == "regression":
        return "regression" if data.outputs == 1 else f"regression, {data.outputs} numbers"
    counts = list(zip(data.classes, data.class_counts, strict=True))
    shown = ", ".join(f"{name} ({count:,})" for name, count in counts[:_SHOWN_CLASSES])
    more = "" if len(counts) <= _SHOWN_CLASSES else f" and {len(counts) - _SHOWN_CLASSES:,} more"
    return f"classification, {len(counts):,} classes: {shown}{more}"


_SHOWN_CLASSES: Final = 12
"""Classes that the plan of a study names."""


def _examples(study: PreparedStudy) -> str:
    data = study.data
    test = "" if data.test is None else f", {len(data.test.inputs):,} sealed for testing"
    if data.folds:
        folds = "; ".join(
            f"{len(one.training.inputs):,} to train on, {len(one.validation.inputs):,} to validate"
            for one in (data.folds[0], data.folds[-1])
        )
        return f"{len(data.folds)} folds, the first and the last with {folds}{test}"
    return f"{len(data.training.inputs):,} to train on, {len(data.validation.inputs):,} to validate{test}"
