"""Run a study on this machine, from a study file or a name to its end, and the rounds that follow it."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import state_sentence
from hpsearch.errors import (
    HpsearchError,
    StorageError,
    StorageUnavailableError,
    StudyExistsError,
    StudyNotFoundError,
    UsageError,
)
from hpsearch.objective.trial import Objective
from hpsearch.report.file import check_report_path
from hpsearch.search.narrowing import CannotNarrowError
from hpsearch.storage.records import Progress, StoredStudy, limit_words
from hpsearch.storage.store import Store, open_store
from hpsearch.study.files import example_files, read_text
from hpsearch.study.messages import format_count
from hpsearch.study.reader import read_study
from hpsearch.trials import ParameterValue, Trial, best_trials
from hpsearch.worker.capacity import Job, check_memory, job_of, objective_job, rows_of_job, workers_that_fit
from hpsearch.worker.child_trial import children_of
from hpsearch.worker.events import Emit
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.machine import core_count, worker_name
from hpsearch.worker.notifier import EventWatch
from hpsearch.worker.pool import Pool, PoolOptions, WorkersFailedError
from hpsearch.worker.preparation import is_study_file, prepare_file
from hpsearch.worker.service import ServiceOptions, run_here
from hpsearch.worker.shutdown import StopRequest, do_nothing
from hpsearch.workflows.default_storage import is_missing
from hpsearch.workflows.listener import SILENT, Listener
from hpsearch.workflows.narrowing import FollowUp, Narrowing, follow_up, narrowing_of, round_name
from hpsearch.workflows.preflight import preflight_warnings, read_data
from hpsearch.workflows.snapshot import take_snapshot
from hpsearch.workflows.studies import Stored, checked_job, store_study, with_budget

_BEST: Final = 5
"""Number of best configurations returned over all rounds."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The options of a run; None leaves the choice to the run. `report` is the path of the report.

    `ends_process` allows the run to end this process if stopping takes too long. `function` is the study's training
    function if it exists in this process only: its trials then run in forks of it. `emit` gets the events of the study.
    `work_in_fork` runs a worker in a fork of this process, if it may be forked, and returns the exit code. `meanwhile`
    is called while workers train.
    """

    url: str
    workers: int | None = None
    name: str | None = None
    trials: int | None = None
    cohort: int | None = None
    report: Path | None = None
    ends_process: bool = True
    function: Objective | None = None
    work_in_fork: Callable[[ServiceOptions], int] | None = None
    meanwhile: Callable[[], None] = do_nothing
    emit: Emit | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """A study after a run, with all the data for its report.

    `progress` is its progress when its workers ended; `problem` is the reason why it is not finished, if it is not.
    """

    progress: Progress
    snapshot: Snapshot
    problem: str | None


def resolve_target(target: str, url: str) -> str:
    """Return `target`, or the path of the example of that name if it is neither a file nor a stored study.

    Raises StudyFileError if it is a folder or a pipe.
    """
    example = example_files().get(target)
    is_name = example is None and not _exists(target)
    if is_study_file(target) or is_name or _is_stored(target, url):
        return target
    if example is None:
        read_text(Path(target))  # its error names a folder or a pipe as no study file
    return target if example is None else str(example)


def _exists(target: str) -> bool:
    try:
        return target != "" and Path(target).exists()
    except (OSError, ValueError):  # too long for a path, or with a zero byte
        return False


def _is_stored(name: str, url: str) -> bool:
    """Return True if there is a database at `url` and it has a study of that name."""
    try:
        with open_store(url, create=False) as store:
            store.studies.get(name)
    except StorageUnavailableError:
        raise
    except (StorageError, StudyNotFoundError):
        return False
    return True


def run(
    target: str, options: RunOptions, *, stop: StopRequest | None = None, listener: Listener = SILENT
) -> StudyRun:
    """Run the study that `target`, a file or a name, refers to, and return its final state."""
    _check(target, options)
    stop = stop or StopRequest()
    job, warnings = _read_file(target, options, listener) if is_study_file(target) else (None, [])
    with open_store(options.url, create=job is not None, foreign=job is None) as store:
        if job is not None:
            found = store_study(store, job, trials=options.trials)
        else:
            job = _job_of_other_budget(store, target, options, listener)
            found = _stored_study(store, target, options)
        listener.notify(found.sentence)
        for line in warnings if found.is_new else ():
            listener.notify(line)
        study = found.study
        progress = store.studies.progress(study)
        if progress.is_done:
            listener.notify(f"It is finished: {continuation(progress)}")
        elif progress.stopped is None:
            listener.begin(stop)
            job = job or _read_data(store, study, options, listener)
            progress, study = _work(store, study, job, options, stop=stop, listener=listener)
        snapshot = take_snapshot(store, study, notify=listener.notify)
    return StudyRun(progress=progress, snapshot=snapshot, problem=_problem(progress))


def continuation(progress: Progress) -> str:
    """Return what lets a finished study go on: a larger budget, or a limit that is not reached."""
    if progress.ended_by is None:
        return "add --trials N to continue to N trials"
    edit = f"hpsearch study edit {shlex.quote(progress.name)} --{progress.ended_by.name} N"
    return f"it is at its limit, {limit_words(progress.ended_by)}: `{edit}` lets it go on"


def _problem(progress: Progress) -> str | None:
    if progress.is_done:
        return None
    remedy = "" if progress.stopped else " Its workers were stopped: the same command continues from here"
    return f'study "{progress.name}": {state_sentence(progress)}{remedy}'


def _check(target: str, options: RunOptions) -> None:
    """Raise an error for wrong options before any reading."""
    if not is_study_file(target) and is_missing(options.url):
        raise StudyNotFoundError(
            f'"{target}": must be a study file or a stored study (got neither, and no database): check the path'
        )
    if options.name is not None and not is_study_file(target):
        raise UsageError(f'--name: is for study files (got the stored study "{target}"): leave it out')
    if options.report is not None:
        check_report_path(options.report)


def _read_file(target: str, options: RunOptions, listener: Listener) -> tuple[Job, list[str]]:
    """Return a file's job and the warnings that need no training.

    Raises StudyFileError if the study cannot run on this machine.
    """
    with listener.stage("Reading the study and its data"):
        spec = read_study(Path(target), name=options.name, trials=options.trials)
        if spec.objective is not None:
            return checked_job(spec, spec.objective, str(target)), []
        study = prepare_file(Path(target), name=options.name, trials=options.trials)
        job = job_of(study, keep_data=options.work_in_fork is not None)
        check_memory(job, rows=options.cohort or 1, workers=options.workers or 1)
        return job, preflight_warnings(study)


def _read_data(store: Store, study: StoredStudy, options: RunOptions, listener: Listener) -> Job:
    """Return a stored study's job.

    Raises FingerprintError if the local data is not the study's, StudyFileError if the study does not fit this machine.
    """
    if study.spec.objective is not None:
        return objective_job(study.spec, study.spec.objective)
    job = job_of(read_data(store, study, listener), keep_data=options.work_in_fork is not None)
    check_memory(job, rows=options.cohort or 1, workers=options.workers or 1)
    return job


def _job_of_other_budget(store: Store, target: str, options: RunOptions, listener: Listener) -> Job | None:
    """Return a stored study's job if another budget is given and leaves trials to train, else None.

    So the budget stays unchanged if the data cannot be read.
    """
    study = store.studies.get(target)
    if options.trials is None or options.trials == study.spec.trials:
        return None
    progress = store.studies.progress(study)
    return (
        None
        if progress.is_paused or progress.finished >= options.trials
        else _read_data(store, study, options, listener)
    )


def _stored_study(store: Store, target: str, options: RunOptions) -> Stored:
    """Return the stored study with the requested budget."""
    study = store.studies.get(target)
    if options.trials is not None and options.trials != study.spec.trials:
        return with_budget(store, study, options.trials)
    budget = format_count(study.spec.trials, "trial")
    return Stored(study=study, sentence=f'Study "{target}": has a budget of {budget}')


def _work(
    store: Store, study: StoredStudy, job: Job, options: RunOptions, *, stop: StopRequest, listener: Listener
) -> tuple[Progress, StoredStudy]:
    """Run the study with local workers until it ends or a stop is requested; return it under its current name."""
    objective = study.spec.objective
    if objective is not None and not objective.is_importable:
        return _work_here(store, study, options, stop=stop, listener=listener), study
    pool = Pool(store=store, study=study, options=_pool_options(store.studies.progress(study), job, options))
    observer = EventWatch(
        store=store,
        stop=stop,
        emit=options.emit,
        runs_study=True,
        note=pool.notes.append,
        living=pool.live_workers,
        lost=lambda: pool.crashed,
    )
    with listener.watch(study, stop, pool.notes) as show:
        try:
            with observer:
                observer.add(study)
                return pool.run(stop, show=show), pool.study
        except WorkersFailedError as error:
            # It holds a worker's lines for people, which are written again here.
            raise HpsearchError(str(error).removeprefix("Error: ")) from error


def _work_here(
    store: Store, study: StoredStudy, options: RunOptions, *, stop: StopRequest, listener: Listener
) -> Progress:
    """Run a study whose function exists in this process only, with a worker in it and forks for the trials."""
    left = store.studies.progress(study)
    processes = min((options.workers or core_count()) * (options.cohort or 1), left.budget - left.finished)
    notes: list[str] = []
    options_here = WorkerOptions(name=worker_name(), rows=processes, notify=notes.append)
    children = children_of(study, store.folder, options.function)
    worker = Worker(store, study, children, options=options_here, stop=stop)
    observer = EventWatch(
        store=store,
        stop=stop,
        emit=options.emit,
        runs_study=True,
        note=notes.append,
        living=lambda: [worker.name],
    )
    with listener.watch(study, stop, notes) as show, observer:
        observer.add(study)
        return run_here(store, worker, stop=stop, show=show)


def _pool_options(progress: Progress, job: Job, options: RunOptions) -> PoolOptions:
    """Return the number of workers to start, at most one for each trial left, and the number of rows of each."""
    asked = options.workers or workers_that_fit(job, core_count())
    workers = min(asked, progress.budget - progress.finished)
    rows = options.cohort or rows_of_job(job, budget=progress.budget, workers=workers)
    return PoolOptions(
        workers=workers,
        rows=rows,
        url=options.url,
        environment=os.environ,
        ends_process=options.ends_process,
        work_in_fork=options.work_in_fork,
        data=job.data,
        meanwhile=options.meanwhile,
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NextRound:
    """The round that follows the study `parent`, in the database `where`.

    `study` is None if nothing follows, for the `reason`. `narrowing` is None if the trials suggest no next search
    space. `created` is the follow-up if it is new.
    """

    parent: StoredStudy
    where: str
    study: StoredStudy | None = None
    narrowing: Narrowing | None = None
    created: FollowUp | None = None
    reason: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds:
    """The studies that ran in sequence, and the best configurations of all, each with its study.

    If the last study is not finished, `is_done` is False and the best configurations are not given.
    """

    names: Sequence[str]
    metric: str = ""
    best: Sequence[tuple[StoredStudy, Trial]] = ()
    is_done: bool = False


def run_rounds(
    target: str,
    options: RunOptions,
    *,
    rounds: int,
    run_one: Callable[[str, RunOptions], bool] = lambda target, options: run(target, options).problem is None,
    next_round: Callable[[NextRound], None] = do_nothing,
    listener: Listener = SILENT,
) -> Rounds:
    """Run the study that `target` refers to and its follow-ups, `rounds` studies in all.

    Finished rounds are not run again, and existing follow-ups are used unchanged, so the same call continues after an
    interruption. It ends early if the trials suggest no next search space. `run_one` runs one round and returns True if
    the round is finished; `next_round` gets the round that follows.
    """
    if options.report is not None:
        raise UsageError(
            f"--report: must name one file for one study (got {options.report} for {rounds} rounds): leave it out, and "
            "each round writes its own"
        )
    names = [options.name or read_study(Path(target)).name if is_study_file(target) else target]
    for number in range(1, rounds + 1):
        listener.notify(f"Round {number} of {rounds}: {names[-1]}")
        first = number == 1
        if not run_one(target if first else names[-1], options if first else replace(options, name=None)):
            return Rounds(names=names)
        with open_store(options.url) as store:
            following = None
            if number < rounds:
                following = _next_round(store, store.studies.get(names[-1]), options)
                next_round(following)
            if following is None or following.study is None:
                return _best_of(store, names)
        names.append(following.study.spec.name)
    return Rounds(names=names)


def _next_round(store: Store, study: StoredStudy, options: RunOptions) -> NextRound:
    """Return the next round, created if needed.

    Raises StudyExistsError if a study of that name does not follow `study`.
    """
    found = NextRound(parent=study, where=store.url_shown)
    name = round_name(study.spec.name)
    there = next((other for other in store.studies.all() if other.spec.name == name), None)
    if there is not None and there.parent != study.key:
        raise StudyExistsError(
            f'study "{there.spec.name}": must follow up "{study.spec.name}" to be its next round (it does not): '
            f"rename it, or begin with another name: --name OTHER, or "
            f"hpsearch study narrow {shlex.quote(study.spec.name)} --name OTHER --yes"
        )
    try:
        narrowing = narrowing_of(study, store.trials.all(study))
    except CannotNarrowError as error:
        return replace(found, study=there, reason=str(error))
    if there is not None:
        return replace(found, study=there, narrowing=narrowing)
    if not narrowing.proposal.changes:
        return replace(found, narrowing=narrowing, reason="the trials suggest no other ranges.")
    created = follow_up(store, narrowing, name=name, trials=options.trials)
    return replace(found, study=created.study, narrowing=narrowing, created=created)


def _best_of(store: Store, names: Sequence[str]) -> Rounds:
    studies = [store.studies.get(name) for name in names]
    best = best_of_rounds([(study, store.trials.all(study)) for study in studies])
    return Rounds(names=names, metric=studies[0].spec.metric, best=best, is_done=True)


def best_of_rounds(
    rounds: Sequence[tuple[StoredStudy, Sequence[Trial]]],
) -> list[tuple[StoredStudy, Trial]]:
    """Return the best configurations of all rounds, each with its best result; of equal results the first."""
    maximize = rounds[0][0].maximize
    ranked = [
        (trial.value or 0.0, study, trial)
        for study, trials in rounds
        for trial in best_trials(trials, maximize=maximize, count=len(trials))
    ]
    ranked.sort(key=lambda one: one[0], reverse=maximize)  # stable, in either direction
    found: dict[frozenset[tuple[str, ParameterValue]], tuple[StoredStudy, Trial]] = {}
    for _, study, trial in ranked:
        found.setdefault(frozenset(trial.params.items()), (study, trial))
    return list(found.values())[:_BEST]
