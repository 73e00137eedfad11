"""A worker's shift: registered in the database, with its heart beating, it goes from study to study."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

from threadpoolctl import threadpool_limits

import hpsearch
from hpsearch.errors import HpsearchError, StorageError, StudyNotFoundError
from hpsearch.storage.records import StoredStudy, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.heartbeat import Heartbeat
from hpsearch.worker.loop import LEASE_S, Worker, WorkerOptions
from hpsearch.worker.machine import core_count, worker_name
from hpsearch.worker.patience import Patience
from hpsearch.worker.preparation import PreparedStudy, largest_row_bytes, prepare_study, rows_per_worker
from hpsearch.worker.stopping import StopRequest

DONE: Final = 0
INTERRUPTED: Final = 130
POLL_S: Final = 2.0
"""How often a worker without work looks for some."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftOptions:
    """How a worker works: one `study` or every open one, until it is asked to stop or, so wished, is idle.

    `rows` is how many trials it trains at once, chosen from the network and the machine where it is None.
    `parent` is the process that started it, without which it does not go on. `tell` takes lines for people.
    """

    url: str
    tell: Callable[[str], None]
    study: str | None = None
    exit_when_idle: bool = False
    rows: int | None = None
    name: str | None = None
    parent: int | None = None
    lease_s: float = LEASE_S


def work(options: ShiftOptions) -> int:
    """Work until there is nothing left to do, or somebody asks to stop; return the exit code."""
    stop = StopRequest(parent=options.parent)
    stop.listen()
    name = options.name or worker_name()

    def tell(line: str) -> None:
        options.tell(f"worker {name}: {line}")

    with threadpool_limits(limits=1), open_store(options.url) as store:
        identity = WorkerIdentity(
            name=name, host=socket.gethostname(), process_id=os.getpid(), version=hpsearch.__version__
        )
        with Heartbeat(store, identity=identity, lease_s=options.lease_s, stop=stop):
            shift = _Shift(store=store, options=options, name=name, stop=stop, tell=tell)
            tell(f"started on {store.url_shown}; Ctrl-C ends it")
            shift.run()
        tell("stopped" if stop.is_asked else "nothing is left to do")
    return INTERRUPTED if stop.is_asked else DONE


@final
@dataclass(kw_only=True, slots=True)
class _Shift:
    """One worker's way from study to study. `refused` are those that cannot run here, for want of data perhaps."""

    store: Store
    options: ShiftOptions
    name: str
    stop: StopRequest
    tell: Callable[[str], None]
    refused: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Work on one open study after the other. One that somebody deletes meanwhile is gone, no more."""
        patience = Patience(stop=self.stop, tell=self.tell)
        while not self.stop.is_asked:
            try:
                study = patience.call(self._open_study)
                if study is not None:
                    self._work(study)
                elif self.options.exit_when_idle:
                    return
                else:
                    self.stop.wait(POLL_S)
            except StudyNotFoundError:
                if self.options.study is not None:
                    raise

    def _open_study(self) -> StoredStudy | None:
        """Return the study to work on: open, not refused, of the highest priority, and of those the oldest."""
        named = self.options.study
        studies = self.store.studies() if named is None else [self.store.study(named)]
        for study in sorted(studies, key=lambda study: (-study.priority, study.created)):
            progress = self.store.progress(study)
            if study.key not in self.refused and not progress.is_done and progress.stopped is None:
                return study
        return None

    def _work(self, study: StoredStudy) -> None:
        """Train trials of `study` until it has none left. One that cannot run here is left to others."""
        try:
            prepared = prepare_study(study.spec)
            rows = self.options.rows or _rows(prepared)
            options = WorkerOptions(name=self.name, rows=rows, lease_s=self.options.lease_s, tell=self.tell)
            worker = Worker(self.store, study, prepared.data, options=options, stop=self.stop)
        except HpsearchError as error:
            if self.options.study is not None or isinstance(error, StorageError):
                raise
            self.refused.add(study.key)
            self.tell(f'leaves the study "{study.spec.name}" to others: {error}')
            return
        self.tell(f'study "{study.spec.name}": trains up to {rows} trial{"" if rows == 1 else "s"} at once')
        worker.run()
        ended = worker.ended
        self.tell(f'study "{study.spec.name}": {ended} trial{"" if ended == 1 else "s"} ended here')


def _rows(study: PreparedStudy) -> int:
    """Return how many trials to train at once, as one of as many workers as there are cores here."""
    return rows_per_worker(largest_row_bytes(study), budget=study.spec.trials, workers=core_count())
