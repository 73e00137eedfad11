"""Use case of an estimator: run the study of data in memory, and train its best model."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError
from hpsearch.model.fitting import fit_again
from hpsearch.model.trained_model import TrainedModel, TrainedOn
from hpsearch.storage.store import open_store
from hpsearch.trials import Trial, best_trials
from hpsearch.worker.capacity import check_memory, job_of, rows_per_worker
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.machine import worker_name
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.replay import StoredTrial
from hpsearch.worker.service import run_here
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.listener import Listener
from hpsearch.workflows.preflight import preflight_warnings
from hpsearch.workflows.run import RunOptions, run
from hpsearch.workflows.snapshot import take_snapshot
from hpsearch.workflows.studies import store_study


@contextmanager
def private_database() -> Iterator[str]:
    """Yield the URL of an empty SQLite database that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as folder:
        path = Path(folder) / "study.db"
        path.write_bytes(_empty_database())
        yield f"sqlite:///{path}"


@cache
def _empty_database() -> bytes:
    """Return the file of a database without studies. To make its tables takes as long as a small search."""
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as folder:
        path = Path(folder) / "empty.db"
        open_store(f"sqlite:///{path}").close()
        return path.read_bytes()


def run_prepared(
    url: str, study: PreparedStudy, *, workers: int, stop: StopRequest, listener: Listener
) -> Snapshot:
    """Store a study and run it, until it ends or a stop is requested; return its state.

    A single worker is this process, which spares about two seconds for the start of another one. Several are processes
    that read the data from the file that the study names. Raises HpsearchError if they end before the budget is spent.
    """
    job = job_of(study)
    check_memory(job, workers=workers)
    for line in preflight_warnings(study):
        listener.notify(line)
    with open_store(url) as store:
        stored = store_study(store, job, trials=None).study
        if workers == 1:
            rows = rows_per_worker(job.bytes_per_row, budget=stored.spec.trials, workers=1)
            options = WorkerOptions(name=worker_name(), rows=rows, notify=listener.notify)
            worker = Worker(store, stored, study.data, options=options, stop=stop)
            with listener.watch(stored, stop, []) as show:
                run_here(store, worker, stop=stop, show=show)
            return take_snapshot(store, stored, notify=listener.notify)
    made = run(
        stored.name,
        RunOptions(url=url, workers=workers, ends_process=False),
        stop=stop,
        listener=listener,
    )
    if made.problem is not None and not stop.is_requested:
        raise HpsearchError(made.problem)
    return made.snapshot


def best_model(snapshot: Snapshot, study: PreparedStudy, *, on: TrainedOn) -> TrainedModel:
    """Return the model of the best trial, checked against the stored results, and with `on` "all" trained on all data.

    Raises HpsearchError, with the most frequent remedy, if no trial is complete.
    """
    best = best_trials(snapshot.trials, maximize=snapshot.study.maximize, count=1)
    if not best:
        raise HpsearchError(_without_best(snapshot.trials))
    number = best[0].number
    stored = StoredTrial(study=snapshot.study, trial=best[0], series=snapshot.series.get(number, {}))
    return fit_again(stored, on=on, prepared=study).model


def _without_best(trials: Sequence[Trial]) -> str:
    fates = ", ".join(f"{count} {fate}" for fate, count in Counter(trial.fate for trial in trials).items())
    remedies = Counter(trial.finding.remedy for trial in trials if trial.finding is not None)
    remedy = remedies.most_common(1)[0][0] if remedies else "allow more trials"
    return f"fit: a trial must be complete with a finite result (got {fates}): {remedy}"
