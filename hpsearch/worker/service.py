"""A worker's service: registered in the database, with a heartbeat, it works on one study after the other."""

import contextlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from threadpoolctl import threadpool_limits

import hpsearch
from hpsearch.data.prepare import PreparedData
from hpsearch.errors import HpsearchError, StorageError, StudyNotFoundError, StudyUnreadableError
from hpsearch.objective.children import Children
from hpsearch.storage.foreign_trials import waiting_sentence
from hpsearch.storage.orphans import renamed_sentence
from hpsearch.storage.records import (
    Opening,
    Progress,
    StoredStudy,
    UnreadableStudy,
    WorkerIdentity,
    limit_words,
)
from hpsearch.storage.store import Store, open_store
from hpsearch.study.messages import format_count
from hpsearch.training.cohort import never
from hpsearch.worker.capacity import check_memory, job_of, objective_job, rows_of_job
from hpsearch.worker.child_trial import children_of
from hpsearch.worker.events import Emit
from hpsearch.worker.heartbeat import Heartbeat
from hpsearch.worker.loop import IDLE_WAIT_S, LEASE_S, Worker, WorkerOptions
from hpsearch.worker.machine import core_count, placement_of, worker_name
from hpsearch.worker.notifier import EventWatch
from hpsearch.worker.preparation import PreparedStudy, check_version, prepare_stored
from hpsearch.worker.retry import Reconnect
from hpsearch.worker.shutdown import DrainWatch, StopRequest, do_nothing


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceOptions:
    """Options of a worker: one `study` or every open one, until it is asked to stop or, optionally, is idle.

    `rows` is the number of trials it trains at once, chosen from the network and the machine if None. `parent` is the
    process that started it; the worker ends if the parent ends. `notify` receives messages for users, and `emit` the
    events of the studies that it works on; a worker with a parent leaves events and notifications to that, unless an
    engine placed it. `data` is that of the only study, if this process has it in memory. Every `look_every_s` seconds
    an idle worker looks for work, and a busy one for more urgent work.
    """

    url: str
    notify: Callable[[str], None]
    study: str | None = None
    exit_when_idle: bool = False
    rows: int | None = None
    name: str | None = None
    parent: int | None = None
    lease_s: float = LEASE_S
    look_every_s: float = 2.0
    data: PreparedData | None = None
    emit: Emit | None = None


def work(options: ServiceOptions) -> int:
    """Work until there is nothing left to do, or a stop is requested; return the exit code.

    After a request to stop, the process hands back its trials and ends within 5 s.
    """
    stop = StopRequest(parent=options.parent)
    stop.listen()
    name = options.name or worker_name()
    service: _Service | None = None

    def notify(line: str) -> None:
        options.notify(f"worker {name}: {line}")

    def hand_back() -> None:
        if service is not None:
            service.hand_back()

    with (
        DrainWatch(stop, hand_back=hand_back),
        threadpool_limits(limits=1),
        open_store(options.url) as store,
    ):
        identity = _identity(name, has_parent=options.parent is not None)
        service = _Service(store=store, options=options, name=name, stop=stop, notify=notify)
        with Heartbeat(store, identity=identity, lease_s=options.lease_s, tokens=service.tokens, stop=stop):
            if store.is_new:
                notify(
                    f"{store.url_shown} was created just now and is empty: create a study there, or check the URL"
                )
            notify(f"started on {store.url_shown}; Ctrl-C ends it")
            if options.parent is None or identity.placement.engine is not None:
                observer = EventWatch(
                    store=store, stop=stop, emit=options.emit, note=notify, living=lambda: [name]
                )
                with observer:
                    service.run(observer.add)
            else:
                service.run()
        notify("stopped" if stop.is_requested else "nothing is left to do")
    return stop.exit_code


PROGRESS_EVERY_S: Final = 0.5


def run_here(
    store: Store, worker: Worker, *, stop: StopRequest, show: Callable[[Progress], None]
) -> Progress:
    """Let `worker` work in this process until nothing is left to do or `stop` is requested; return the progress.

    That spares the start of another process, but a crash of the training ends this one. `show` gets the progress about
    twice a second, in another thread.
    """
    study, name = worker.study, worker.name
    identity = _identity(name, has_parent=False)
    has_ended = threading.Event()

    def show_progress() -> None:
        while not has_ended.wait(PROGRESS_EVERY_S):
            with contextlib.suppress(StorageError):  # the worker waits for the database, and reports that
                show(store.studies.progress(study, living=[name]))

    shown = threading.Thread(target=show_progress, name="progress", daemon=True)
    with (
        threadpool_limits(limits=1),
        Heartbeat(store, identity=identity, lease_s=LEASE_S, tokens=lambda: worker.tokens, stop=stop),
    ):
        shown.start()
        try:
            worker.run()
        finally:
            has_ended.set()
            shown.join()
    progress = store.studies.progress(study)
    show(progress)
    return progress


def _identity(name: str, *, has_parent: bool) -> WorkerIdentity:
    return WorkerIdentity(
        name=name,
        host=socket.gethostname(),
        process_id=os.getpid(),
        version=hpsearch.__version__,
        has_parent=has_parent,
        placement=placement_of(os.environ),
    )


@final
@dataclass(kw_only=True, slots=True)
class _Service:
    """One worker's way from study to study.

    `refused` are studies that cannot run here, for example without their data; `failing` those whose trials fail here
    far more often than elsewhere, which it leaves to other workers until they end; `notified` those whose stop was
    reported; `unreadable` those that this version cannot read, and why. `last` is the study that it works on, or worked
    on last, with everything in memory for it. `named` is the only study that it serves, which it follows under other
    names. `waits_for` are, by study, the reported trials of other Optuna clients.
    """

    store: Store
    options: ServiceOptions
    name: str
    stop: StopRequest
    notify: Callable[[str], None]
    refused: set[str] = field(default_factory=set)
    failing: set[str] = field(default_factory=set)
    notified: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    last: tuple[StoredStudy, Worker] | None = None
    named: StoredStudy | None = None
    waits_for: dict[str, frozenset[int]] = field(default_factory=dict)
    looked_at_s: float = -math.inf
    has_urgent_study: bool = False

    def run(self, begin: Callable[[StoredStudy], None] = do_nothing) -> None:
        """Work on one open study after the other; call `begin` before each. A study deleted meanwhile is no error."""
        reconnect = Reconnect(stop=self.stop, notify=self.notify)
        while not self.stop.is_requested:
            try:
                openings = reconnect.call(self._look)
                ready = next((opening.study for opening in openings if self._is_ready(opening)), None)
                if ready is not None:
                    begin(ready)
                    self._work(ready)
                elif self.options.exit_when_idle and not any(opening.is_open for opening in openings):
                    return
                else:
                    self.stop.wait(self.options.look_every_s)
            except StudyNotFoundError:
                if self.options.study is not None:
                    self.named = self._follow(self.options.study)  # raises if it is gone

    def hand_back(self) -> None:
        """Hand back all trials of this worker while it is busy with an operation that takes too long."""
        if self.last is not None:
            why = "the worker was stopped"
            self.store.queue.release(self.last[0], worker=self.name, numbers=None, why=why, crashed=False)
            self.notify("stopped in the middle of a long step")

    def tokens(self) -> frozenset[int]:
        """Return the tokens of the claims that this worker holds. Any thread may call this."""
        return frozenset() if self.last is None else self.last[1].tokens

    def _look(self) -> list[Opening]:
        """Return the remaining work of the studies that can run here, in order of service."""
        if self.options.study is None:
            openings, unreadable = self.store.queue.openings_and_unreadable()
            self._notify_unreadable(unreadable)
        else:
            self.named = self._follow(self.options.study)
            openings = [self.store.queue.opening(self.named)]
        self._notify_stopped(openings)
        for opening in openings:
            self._notify_waiting(opening)
        return [opening for opening in openings if opening.study.key not in self.refused]

    def _notify_waiting(self, opening: Opening) -> None:
        """Notify once per trial of another Optuna client that a study waits only for such trials."""
        key, numbers = opening.study.key, frozenset(trial.number for trial in opening.waits_for)
        if numbers - self.waits_for.get(key, frozenset()):
            self.notify(waiting_sentence(opening.study.spec.name, opening.waits_for))
        self.waits_for[key] = numbers

    def _follow(self, name: str) -> StoredStudy:
        """Return the study whose name was `name` at the first look-up. Raises StudyNotFoundError."""
        if self.named is None:
            return self.store.studies.get(name)
        found = self.store.studies.current(self.named)
        if found.spec.name != self.named.spec.name:
            self.notify(renamed_sentence(self.named, found))
        return found

    def _is_ready(self, opening: Opening) -> bool:
        """Return True for a study to work on: with trials to claim, or, if it is the only one, to wait for."""
        if opening.study.key in self.failing:
            return False
        return opening.room > 0 or (opening.is_open and self.options.study is not None)

    def _notify_unreadable(self, found: Sequence[UnreadableStudy]) -> None:
        """Notify that unreadable studies are skipped and why, once for each reason."""
        for study in found:
            if self.unreadable.get(study.key) != study.reason:
                self.notify(f'study "{study.name}": is skipped: {study.reason}')
        self.unreadable = {study.key: study.reason for study in found}

    def _notify_stopped(self, openings: Sequence[Opening]) -> None:
        """Notify why studies stopped although their budget was not spent, once for each stop."""
        stopped = {opening.study.key: opening.study for opening in openings if opening.is_stopped}
        self.notified &= stopped.keys()
        for key, study in stopped.items():
            if key not in self.notified:
                self.notify(f'study "{study.spec.name}": {self._why_stopped(study)}')
                self.notified.add(key)

    def _why_stopped(self, study: StoredStudy) -> str:
        """Return why a study takes no more trials although its budget is not spent."""
        progress = self.store.studies.progress(study)
        if progress.ended_by is not None:
            return f"ended at its limit, {limit_words(progress.ended_by)}"
        return f"{progress.stopped}" if progress.is_paused else f"stopped: {progress.stopped}"

    def _work(self, study: StoredStudy) -> None:
        """Train trials of `study` until it has none left for us. One that cannot run here is left to other workers."""
        try:
            worker = self._worker(study)
        except HpsearchError as error:
            if self.options.study is not None or isinstance(error, StorageError):
                raise
            self.refused.add(study.key)
            self.notify(f'skips the study "{study.spec.name}": {error}')
            return
        self.looked_at_s, self.has_urgent_study = time.monotonic(), False
        before = worker.ended
        try:
            worker.run()
        except StudyUnreadableError as error:
            if self.options.study is not None:
                raise
            self.refused.add(study.key)
            self.notify(f'skips the study "{study.spec.name}": {error}')
        if worker.problem is not None:
            self.failing.add(study.key)
        ended = worker.ended - before
        if ended:
            self.notify(f'study "{study.spec.name}": {format_count(ended, "trial")} ended here')
        else:
            self.stop.wait(IDLE_WAIT_S)  # other workers were faster

    def _worker(self, study: StoredStudy) -> Worker:
        """Return the worker for `study`: the last one if the study is the same, else a new one with data read now."""
        if self.last is not None and _is_same(self.last[0], study):
            self.last[1].follow(study)
            return self.last[1]
        self.last = None
        check_version(study)
        source: PreparedData | Children
        if study.spec.objective is not None:
            source = children_of(study, self.store.folder, None)
            job = objective_job(study.spec, study.spec.objective)
        else:
            prepared = self._prepared(study)
            source, job = prepared.data, job_of(prepared)
        check_memory(job, rows=self.options.rows or 1)
        rows = self.options.rows or rows_of_job(job, budget=job.spec.trials, workers=core_count())
        options = WorkerOptions(
            name=self.name,
            rows=rows,
            lease_s=self.options.lease_s,
            notify=self.notify,
            wait_for_trials=self.options.study is not None,
            notify_opening=self._notify_waiting,
            should_yield=never if self.options.study is not None else self._should_yield,
        )
        worker = Worker(self.store, study, source, options=options, stop=self.stop)
        self.last = study, worker
        self.notify(f'study "{study.spec.name}": trains up to {format_count(rows, "trial")} at once')
        return worker

    def _prepared(self, study: StoredStudy) -> PreparedStudy:
        """Return the study with its data: that in memory if it is the study's, else read now."""
        data = self.options.data
        if (
            data is None
            or data.fingerprint != study.fingerprint
            or data.training.inputs.dtype != study.spec.training.precision
        ):
            return prepare_stored(self.store, study)
        return PreparedStudy(spec=study.spec, data=data)

    def _should_yield(self) -> bool:
        """Return whether a study of higher priority than the present one had trials to claim at the last check."""
        if time.monotonic() - self.looked_at_s >= self.options.look_every_s and self.last is not None:
            self.looked_at_s = time.monotonic()
            with contextlib.suppress(StorageError):  # the claim that follows raises it too
                above = self.store.queue.openings(above=self.last[0])
                self.has_urgent_study = any(o.room for o in above if o.study.key not in self.refused)
        return self.has_urgent_study


def _is_same(one: StoredStudy, other: StoredStudy) -> bool:
    """Return True for the same study, unless another Optuna client has copied it to a new name in the meantime."""
    return (one.key, one.study_id) == (other.key, other.study_id)
