"""`hpsearch study run`: from a study file or a name to a finished study, its best, and its report."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from hpsearch.analysis.formats import format_count
from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.beforehand import warnings_before
from hpsearch.cli.conclusion import conclude
from hpsearch.cli.options import is_unmade
from hpsearch.cli.output import say
from hpsearch.cli.progress import Display, busy
from hpsearch.cli.stored_data import read_stored
from hpsearch.cli.storing import Stored, store_study, with_budget
from hpsearch.errors import (
    HpsearchError,
    StorageError,
    StorageUnavailableError,
    StudyNotFoundError,
    UsageError,
)
from hpsearch.report.file import check_report_path
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.files import example_files
from hpsearch.worker.capacity import Job, check_memory, job_of, rows_per_worker, workers_that_fit
from hpsearch.worker.machine import core_count
from hpsearch.worker.pool import Pool, PoolOptions, WorkersFailedError
from hpsearch.worker.preparation import is_study_file, prepare_file
from hpsearch.worker.shutdown import INTERRUPTED, StopRequest, stop_on_signals

DONE: Final = 0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The options of `study run`; None is what the command decides itself."""

    url: str
    workers: int | None = None
    name: str | None = None
    trials: int | None = None
    cohort: int | None = None
    report: Path | None = None


def found_target(target: str, url: str) -> str:
    """Return `target`, or the path of the example of that name if it is neither a file nor a stored study."""
    example = None if is_study_file(target) else example_files().get(target)
    return target if example is None or _is_stored(target, url) else str(example)


def _is_stored(name: str, url: str) -> bool:
    """True if the database at `url`, if there is one, has a study of that name."""
    try:
        with open_store(url, create=False) as store:
            store.study(name)
    except StorageUnavailableError:
        raise
    except (StorageError, StudyNotFoundError):
        return False
    return True


def run_study(target: str, options: RunOptions) -> int:
    """Run the study that `target`, a file or a name, means; return the exit code: 0, or 130 after a request to stop.

    Raises HpsearchError where the study stopped before its budget was spent.
    """
    _check(target, options)
    job, warnings = _read_file(target, options) if is_study_file(target) else (None, [])
    stop = StopRequest()
    with open_store(options.url, create=job is not None, foreign=job is None) as store, ExitStack() as stack:
        if job is not None:
            found = store_study(store, job, trials=options.trials)
        else:
            job = _job_of_other_budget(store, target, options)
            found = _known(store, target, options)
        say(found.sentence)
        for line in warnings if found.is_new else ():
            say(line)
        study = found.study
        progress = store.progress(study)
        if progress.is_done:
            say("It is finished: add --trials N to continue to N trials")
        elif progress.stopped is None:
            stack.enter_context(stop_on_signals(stop, last=_say_stopped))
            job = job or _read_data(study, options)
            progress, study = _work(store, study, job, options, stop=stop)
        conclude(store, study, url=options.url, report=options.report)
    return _exit_code(progress, stop)


def _check(target: str, options: RunOptions) -> None:
    """Raise what is wrong with the options before anything is read."""
    if not is_study_file(target) and is_unmade(options.url):
        raise StudyNotFoundError(
            f'"{target}": must be a study file or a stored study (got neither, and no database): check the path'
        )
    if options.name is not None and not is_study_file(target):
        raise UsageError(f'--name: is for study files (got the stored study "{target}"): leave it out')
    if options.report is not None:
        check_report_path(options.report)


def _read_file(target: str, options: RunOptions) -> tuple[Job, list[str]]:
    """Return a file's job, and what is wrong with it before anything is trained.

    Raises StudyFileError for a study that cannot run here.
    """
    with busy("Reading the study and its data"):
        study = prepare_file(Path(target), name=options.name, trials=options.trials)
        job = job_of(study)
        check_memory(job, rows=options.cohort or 1, workers=options.workers or 1)
        return job, warnings_before(study)


def _read_data(study: StoredStudy, options: RunOptions) -> Job:
    """Return a stored study's job.

    Raises FingerprintError where the data here is not the study's, StudyFileError where it does not fit in here.
    """
    job = job_of(read_stored(study))
    check_memory(job, rows=options.cohort or 1, workers=options.workers or 1)
    return job


def _job_of_other_budget(store: Store, target: str, options: RunOptions) -> Job | None:
    """Return a stored study's job where another budget is asked for and leaves trials to train, else None.

    So data that cannot be read leaves the budget as it was.
    """
    study = store.study(target)
    if options.trials is None or options.trials == study.spec.trials:
        return None
    progress = store.progress(study)
    return None if progress.is_paused or progress.finished >= options.trials else _read_data(study, options)


def _known(store: Store, target: str, options: RunOptions) -> Stored:
    """Return the stored study, with the budget that was asked for."""
    study = store.study(target)
    if options.trials is not None and options.trials != study.spec.trials:
        return with_budget(store, study, options.trials)
    budget = format_count(study.spec.trials, "trial")
    return Stored(study=study, sentence=f'Study "{target}": has a budget of {budget}')


def _work(
    store: Store, study: StoredStudy, job: Job, options: RunOptions, *, stop: StopRequest
) -> tuple[Progress, StoredStudy]:
    """Let local workers run the study to its end, or until it is asked to stop; return it as it is called then."""
    pool = Pool(store=store, study=study, options=_pool_options(store.progress(study), job, options))
    with Display(study, stop, notes=pool.notes) as display:
        try:
            return pool.run(stop, show=display.show), pool.study
        except WorkersFailedError as error:
            # It holds what a worker wrote for people, which is what we write again.
            raise HpsearchError(str(error).removeprefix("Error: ")) from error


def _pool_options(progress: Progress, job: Job, options: RunOptions) -> PoolOptions:
    """Return how many workers to start, never more than trials are left, and how many rows each has."""
    asked = options.workers or workers_that_fit(job, core_count())
    workers = min(asked, progress.budget - progress.finished)
    rows = options.cohort or rows_per_worker(job.bytes_per_row, budget=progress.budget, workers=workers)
    return PoolOptions(workers=workers, rows=rows, url=options.url, environment=os.environ)


def _exit_code(progress: Progress, stop: StopRequest) -> int:
    if progress.is_done:
        return DONE
    if stop.is_asked:
        _say_stopped()
        return INTERRUPTED
    remedy = "" if progress.stopped else " Its workers were stopped: the same command continues from here"
    raise HpsearchError(f'study "{progress.name}": {state_sentence(progress)}{remedy}')


def _say_stopped() -> None:
    say("Stopped: the same command continues from here")
