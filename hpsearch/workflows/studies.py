"""Store, change and delete studies."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias, final

from hpsearch.data.stored_arrays import is_stored
from hpsearch.errors import HpsearchError, StudyExistsError, StudyFileError, UsageError
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.files import example_files, with_examples
from hpsearch.study.messages import format_count
from hpsearch.study.plan import Plan, plan
from hpsearch.study.reader import read_study
from hpsearch.study.schema import SECTIONS, STUDY
from hpsearch.study.spec import ObjectiveSpec, StudySpec
from hpsearch.training.examples import output_count
from hpsearch.trials import TrialState
from hpsearch.worker.capacity import Job, check_memory, job_of, objective_job, rows_per_worker
from hpsearch.worker.checkpoints import checkpoint_folder, remove_checkpoints
from hpsearch.worker.machine import core_count
from hpsearch.worker.pool import check_function
from hpsearch.worker.preparation import PreparedStudy, prepare_file
from hpsearch.workflows.listener import SILENT, Listener
from hpsearch.workflows.preflight import preflight_warnings


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A study in the database, a sentence about what was done, and whether the study is new."""

    study: StoredStudy
    sentence: str
    is_new: bool = False


def create(
    url: str, file: Path, *, name: str | None = None, trials: int | None = None, listener: Listener = SILENT
) -> Stored:
    """Store the study of a file, or of the example of that name, with `name` and `trials` in place of its own.

    The listener gets its faults before any training.
    """
    path = with_examples(file)
    spec = read_study(path, name=name, trials=trials)
    if spec.objective is not None:
        return create_objective(url, checked_job(spec, spec.objective, str(path)), trials=trials)
    return create_prepared(
        url, prepare_file(path, name=name, trials=trials), trials=trials, listener=listener
    )


def create_objective(url: str, job: Job, *, trials: int | None = None) -> Stored:
    """Store a study with an objective."""
    with open_store(url) as store:
        return store_study(store, job, trials=trials)


def checked_job(spec: StudySpec, objective: ObjectiveSpec, source: str) -> Job:
    """Return the job of a study with an objective. Raises StudyFileError about `source` if workers cannot import it."""
    try:
        check_function(spec, objective, os.environ)
    except StudyFileError as error:
        raise StudyFileError(source, error.problems) from error
    return objective_job(spec, objective)


def create_prepared(
    url: str, study: PreparedStudy, *, trials: int | None = None, listener: Listener = SILENT
) -> Stored:
    """Store a study that is read already. The listener gets its faults before any training."""
    for line in preflight_warnings(study):
        listener.notify(line)
    with open_store(url) as store:
        return store_study(store, job_of(study), trials=trials)


def _read(file: Path, name: str | None, trials: int | None, listener: Listener) -> PreparedStudy:
    study = prepare_file(file, name=name, trials=trials)
    for line in preflight_warnings(study):
        listener.notify(line)
    return study


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """The number of workers that a study would run on this machine, and the rows of each worker's cohort."""

    study: PreparedStudy
    plan: Plan
    workers: int
    rows: int
    bytes_per_row: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveDryRun:
    """A study with an objective, and the number of workers that it would run on this machine."""

    spec: StudySpec
    objective: ObjectiveSpec
    workers: int


def dry_run(
    file: Path, *, name: str | None = None, trials: int | None = None, listener: Listener = SILENT
) -> DryRun | ObjectiveDryRun:
    """Return the workers that a file's study would run on this machine. Raises StudyFileError if it does not fit."""
    path = with_examples(file)
    spec = read_study(path, name=name, trials=trials)
    if spec.objective is not None:
        checked_job(spec, spec.objective, str(path))
        return ObjectiveDryRun(spec=spec, objective=spec.objective, workers=min(core_count(), spec.trials))
    study = _read(path, name, trials, listener)
    job = job_of(study)
    check_memory(job)
    planned = plan(
        study.spec,
        training_examples=[len(data.training.inputs) for data in study.data.searched],
        inputs=study.data.inputs,
        outputs=output_count(study.data, study.spec.model),
    )
    workers = min(core_count(), study.spec.trials)
    rows = rows_per_worker(job.bytes_per_row, budget=study.spec.trials, workers=workers)
    return DryRun(study=study, plan=planned, workers=workers, rows=rows, bytes_per_row=job.bytes_per_row)


def check_name(where: str, name: str) -> None:
    """Raise UsageError unless a study file could have this name."""
    if problems := STUDY["name"].problems(where, name):
        raise UsageError(str(problems[0]))


def store_study(store: Store, job: Job, *, trials: int | None) -> Stored:
    """Store the study unless the same one exists, with the budget `trials` if that is given.

    Raises StudyExistsError if another study has the name, and HpsearchError if the sampler cannot run.
    """
    known = {other.key: other.spec.name for other in store.studies.all()}
    if job.spec.name not in known.values():
        from hpsearch.search.samplers import check_sampler

        check_sampler(job.spec)
    try:
        found = store.studies.create(job.spec, fingerprint=job.fingerprint)
    except StudyExistsError as error:
        raise StudyExistsError(f"{error}: --name OTHER gives this one another name") from error
    name, budget = found.spec.name, format_count(found.spec.trials, "trial")
    if found.key not in known:
        return Stored(
            study=found,
            sentence=f'Study "{name}": created with a budget of {budget} in {store.url_shown}{_grid_hint(found.spec)}',
            is_new=True,
        )
    if trials is not None and trials != found.spec.trials:
        return with_budget(store, found, trials)
    hint = ""
    if job.spec.trials != found.spec.trials:
        hint = f" (the file has {job.spec.trials:,}: --trials {job.spec.trials} sets that)"
    if job.spec.budget != found.spec.budget:
        hint += f"; its limits are not those of the file: `hpsearch study edit {shlex.quote(name)}` sets them"
    return Stored(study=found, sentence=f'Study "{name}": is stored already, with a budget of {budget}{hint}')


def _grid_hint(spec: StudySpec) -> str:
    """Return a hint if a grid has fewer points than the study has trials, so that trials repeat points."""
    from hpsearch.search.space import grid_size

    if spec.sampler.name != "grid" or (points := grid_size(spec)) >= spec.trials:
        return ""
    return f"; its grid has {format_count(points, 'point')} only, so trials repeat them"


def with_budget(store: Store, study: StoredStudy, trials: int) -> Stored:
    """Set the budget of a stored study to `trials`. Finished trials stay, even if they exceed it."""
    before = study.spec.trials
    changed = store.studies.set_budget(study, trials)
    sentence = (
        f'Study "{study.spec.name}": the budget is {format_count(trials, "trial")} now (it was {before:,})'
    )
    return Stored(study=changed, sentence=sentence)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Edited:
    """A study after a change, its progress, and a sentence for each change."""

    study: StoredStudy
    progress: Progress
    sentences: tuple[str, ...]


NO_LIMIT: Final = "none"
"""The value of a limit that removes it."""


def edit(
    store: Store,
    name: str,
    *,
    trials: int | None = None,
    priority: int | None = None,
    limits: Mapping[str, object] = MappingProxyType({}),
) -> Edited:
    """Set the budget, the priority, and `limits`: keys of `[budget]` with numbers, or "none" to remove one.

    Raises UsageError if nothing is given, or a limit breaks the rules of a study file.
    """
    if trials is None and priority is None and not limits:
        raise UsageError(
            "study edit: needs a value to set (got none): add --trials N, --priority N, or a limit such as --hours N"
        )
    _check_limits(limits)
    study = store.studies.get(name)
    sentences = []
    if trials is not None:
        sentences.append(with_budget(store, study, trials).sentence)
    if limits:
        sentences += _edit_limits(store, study, limits)
    if priority is not None:
        store.studies.set_priority(study, priority)
        sentences.append(f'Study "{name}": the priority is {priority} now (it was {study.priority})')
    return Edited(study=study, progress=store.studies.progress(study), sentences=tuple(sentences))


def _check_limits(limits: Mapping[str, object]) -> None:
    rules = SECTIONS["budget"].rules
    problems = [
        problem for key, raw in limits.items() if raw != NO_LIMIT for problem in rules[key].problems(key, raw)
    ]
    if problems:
        raise UsageError("\n".join(f"{problem}, or none to remove it" for problem in problems))


def _edit_limits(store: Store, study: StoredStudy, limits: Mapping[str, object]) -> list[str]:
    """Set limits that are valid; return a sentence for each."""
    before, rules = study.spec.budget, SECTIONS["budget"].rules
    values = {key: None if raw == NO_LIMIT else rules[key].value(raw) for key, raw in limits.items()}
    store.studies.set_limits(study, replace(before, **values))
    return [
        f'Study "{study.spec.name}": budget.{key} is {_limit(value)} now (it was {_limit(getattr(before, key))})'
        for key, value in values.items()
    ]


def _limit(value: float | None) -> str:
    return NO_LIMIT if value is None else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def pause(store: Store, name: str, *, by: str) -> Edited:
    """Keep workers from claiming more trials of a study. `by` is the user who paused it."""
    study = store.studies.get(name)
    sentence = f'Study "{name}": {store.studies.pause(study, by=by)}'
    return Edited(study=study, progress=store.studies.progress(study), sentences=(sentence,))


def resume(store: Store, name: str) -> Edited:
    """Let workers claim trials of a paused study again."""
    study = store.studies.get(name)
    sentence = f'Study "{name}": {"resumed" if store.studies.resume(study) else "was not paused"}'
    return Edited(study=study, progress=store.studies.progress(study), sentences=(sentence,))


def stop(store: Store, name: str) -> Edited:
    """End a study early: its budget becomes the number of finished trials and those in training."""
    before = store.studies.get(name)
    ended = store.studies.stop(before)
    progress = store.studies.progress(ended)
    budget = format_count(ended.spec.trials, "trial")
    if ended.spec.trials != before.spec.trials:
        sentence = f'Study "{name}": ends with {budget} (its budget was {before.spec.trials:,})'
    elif progress.is_done:
        sentence = f'Study "{name}": is finished, {progress.finished:,} of {budget}: there is nothing to stop'
    else:
        sentence = f'Study "{name}": has begun all of its {budget}: there is nothing to stop'
    return Edited(study=ended, progress=progress, sentences=(sentence,))


def rename(store: Store, name: str, new: str) -> None:
    """Rename a study; everything else stays.

    Raises StudyExistsError for a taken name, and HpsearchError while trials run.
    """
    check_name("NEW", new)
    store.studies.rename(name, new)


def copy(store: Store, name: str, new: str) -> int:
    """Copy a study with its trials to another name in the same database, and return how many trials were copied.

    Trials in training wait in the copy. Raises StudyExistsError for a taken name.
    """
    check_name("NEW", new)
    return store.studies.copy(name, new)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Deletion:
    """A study `name` in the database `where`, its trials, and those in training by the workers that train them.

    `data_file` holds arrays that a program passed and that no other study of the database uses. It stays, since other
    databases may use it.
    """

    name: str
    where: str
    trials: int
    running: int
    workers: Mapping[str, int]
    data_file: str | None = None


ApproveDeletion: TypeAlias = Callable[[Deletion], None]


def delete(store: Store, name: str, *, approve: ApproveDeletion | None = None) -> Deletion:
    """Delete a study, all its trials, and their checkpoints on this machine.

    `approve` is called first; an exception from it prevents the deletion.
    """
    store.queue.sweep_all()
    asked = _deletion(store, name)
    if approve is not None:
        approve(asked)
    lost = _deletion(store, name)
    data_file = _data_file(store, name)
    own = next((study for study in store.studies.all() if study.spec.name == name), None)
    store.studies.delete(name)
    if own is not None:
        remove_checkpoints(checkpoint_folder(own, store.folder))
    return replace(lost, trials=asked.trials, data_file=data_file)


def _data_file(store: Store, name: str) -> str | None:
    """Return the file of the study's arrays, if it exists here and no other study of the database uses it."""
    sources = {study.spec.name: study.spec.data.source for study in store.studies.all()}
    own = sources.pop(name, "")
    is_unused = is_stored(own) and own not in sources.values()
    return own if is_unused and Path(own).is_file() else None


def _deletion(store: Store, name: str) -> Deletion:
    trials = store.studies.count_trials(name)
    running = trials[TrialState.RUNNING]
    held = {worker.identity.name: worker.running.get(name, 0) for worker in store.workers.all()}
    return Deletion(
        name=name, where=store.url_shown, trials=sum(trials.values()), running=running, workers=held
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenExamples:
    """How many example study files were written to a folder, and how many existed there and were kept."""

    written: int
    kept: int


def write_examples(folder: Path) -> WrittenExamples:
    """Copy the example study files to a folder, which is made if it does not exist. Existing files are kept."""
    examples = example_files()
    if not examples:
        raise HpsearchError(
            "init: the example study files must be installed (got none): install hpsearch again"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = sum(_copy(path, folder / path.name) for path in examples.values())
    except OSError as error:
        raise HpsearchError(
            f"FOLDER: must be a folder that can be written (got {folder}: {error.strerror}): name another one"
        ) from error
    return WrittenExamples(written=written, kept=len(examples) - written)


def _copy(source: Path, target: Path) -> bool:
    """Copy the file and return True, or return False if `target` exists."""
    try:
        with target.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        return False
    return True
