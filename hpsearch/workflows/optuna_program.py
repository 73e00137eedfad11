"""Run the trials of an Optuna program: its objective as the training function of a study of ours."""

import time
from collections.abc import Callable
from typing import Any, Final

from hpsearch.analysis.study_state import state_sentence
from hpsearch.errors import HpsearchError
from hpsearch.storage.optuna.programs import Optimization
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.schema import MOST_TRIALS
from hpsearch.study.spec import NO_DATA, ObjectiveSpec, StudySpec
from hpsearch.worker.child_trial import children_of
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.machine import core_count, worker_name
from hpsearch.worker.service import run_here
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.listener import SILENT, Listener


def optimize(
    call: Optimization, *, stop: StopRequest | None = None, listener: Listener = SILENT
) -> StoredStudy:
    """Run the trials of a call of `Study.optimize`, each in a fork of this process, and return the study.

    The study becomes one of ours, so that it can be paused, confirmed and narrowed. `trials` are finished ones: failed
    ones are not counted, and the study pauses after five failures of one kind in a row. After `seconds` no trial
    begins, and the budget is what has finished then.

    Raises HpsearchError if the study is paused or stopped before, and KeyboardInterrupt if `stop` is requested.
    """
    stop = stop or StopRequest()
    deadline_s: float | None = None

    def is_late() -> bool:
        nonlocal deadline_s
        if call.seconds is None:
            return False
        if deadline_s is None:  # the worker asks for the first time as it is about to begin
            deadline_s = time.monotonic() + call.seconds
        return time.monotonic() >= deadline_s

    with open_store(call.url, foreign=True) as store:
        study = _study_of(store, call)
        _work(store, study, call, is_late=is_late, stop=stop, listener=listener)
        progress = store.studies.progress(study)
        if is_late() and progress.finished and not progress.is_done:
            study = store.studies.stop(study)
            progress = store.studies.progress(study)
    if stop.is_requested:
        raise KeyboardInterrupt
    if not progress.is_done and not is_late():
        raise HpsearchError(f'study "{call.study}": {state_sentence(progress)}')
    return study


def _study_of(store: Store, call: Optimization) -> StoredStudy:
    """Return the program's study as one of ours, with a budget for the trials of the call."""
    study = store.studies.get_any(call.study)
    if study.foreign is not None:
        study = store.studies.adopt(study, _spec(study, call))
    finished = store.studies.progress(study).finished
    return store.studies.set_budget(study, MOST_TRIALS if call.trials is None else finished + call.trials)


def _spec(study: StoredStudy, call: Optimization) -> StudySpec:
    return StudySpec(
        name=study.name,
        data=NO_DATA,
        seed=call.seed,
        metric=study.spec.metric,
        search=(),
        sampler=call.sampler,
        pruning=call.pruning,
        objective=ObjectiveSpec(
            function=f"__main__:{_identifier(call.function)}",
            direction="maximize" if study.maximize else "minimize",
        ),
    )


_ANONYMOUS: Final = "objective"


def _identifier(function: Callable[[Any], float]) -> str:
    name = str(getattr(function, "__name__", ""))
    return name if name.isidentifier() else _ANONYMOUS


def _work(
    store: Store,
    study: StoredStudy,
    call: Optimization,
    *,
    is_late: Callable[[], bool],
    stop: StopRequest,
    listener: Listener,
) -> None:
    notes: list[str] = []
    options = WorkerOptions(
        name=worker_name(),
        rows=core_count() if call.jobs < 1 else call.jobs,
        notify=notes.append,
        wait_for_trials=call.seconds is None,
        should_yield=is_late,
    )
    worker = Worker(store, study, children_of(study, store.folder, call.function), options=options, stop=stop)
    listener.begin(stop)
    with listener.watch(study, stop, notes) as show:
        run_here(store, worker, stop=stop, show=show)
