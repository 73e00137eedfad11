"""The fleet: keeps as many workers on an engine as the backlog needs, and replaces those that fail or are lost.

The backlog is computed from the database, because an engine sees jobs and not trials. Nothing here touches a trial,
except that the trials of a worker that failed are handed back at once.
"""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from hpsearch.errors import HpsearchError, StorageError, StudyNotFoundError
from hpsearch.storage.records import Opening, StoredStudy, WorkerRecord
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_count
from hpsearch.worker.fleet.launcher import Ended, EngineUnavailableError, Exit, Launcher
from hpsearch.worker.pool import MOST_CRASHES_WITHOUT_PROGRESS, WorkersFailedError, exit_words
from hpsearch.worker.retry import LONGEST_OUTAGE_S, Reconnect
from hpsearch.worker.shutdown import StopRequest

LOOK_EVERY_S: Final = 1.0
DRAIN_WITHIN_S: Final = 5.0
"""Time for workers to end by themselves after a stop, before the engine is asked to end them."""

POLL_S: Final = 0.1


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FleetSize:
    """The range of the number of workers, and how many trials of the backlog are one worker's share."""

    least: int
    most: int
    trials_per_worker: int = 1

    def wanted(self, backlog: int) -> int:
        """Return the number of workers for so many unfinished trials."""
        return min(self.most, max(self.least, math.ceil(backlog / self.trials_per_worker)))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """The work that is left: unfinished trials, and whether a fleet of one study can end."""

    backlog: int
    is_over: bool


@final
@dataclass(slots=True)
class Fleet:
    """Keeps workers for one study, or (`study` None) for every open one. `notes` collects messages for users.

    `started` counts the jobs, `lost` those that their engine lost or whose worker failed.
    """

    store: Store
    launcher: Launcher
    size: FleetSize
    study: StoredStudy | None = None
    notes: list[str] = field(default_factory=list)
    started: int = 0
    lost: int = 0
    _jobs: set[str] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)
    _failures: int = 0
    _backlog: int = -1
    _unavailable_since_s: float | None = None

    def run(self, stop: StopRequest, *, show: Callable[[], None]) -> None:
        """Work until a study's fleet has nothing left to do, or `stop` is requested; call `show` about once a second.

        Afterwards all workers of the fleet were asked to drain and their jobs have ended, or the engine was asked to
        end them. Raises WorkersFailedError if workers fail repeatedly while no trial ends.
        """
        reconnect = Reconnect(stop=stop, notify=self.notes.append)
        try:
            while not stop.is_requested:
                self._reap()
                demand = reconnect.call(self._look)
                if demand.is_over:
                    break
                wanted = self.size.wanted(demand.backlog)
                self._scale(wanted if self.study is None else min(wanted, demand.backlog))
                show()
                stop.wait(LOOK_EVERY_S)
        finally:
            with stop.shield():
                self._end()

    def _look(self) -> Demand:
        """Return the work that is left in the database. Raises StudyNotFoundError if the study was deleted."""
        openings = self._openings()
        names = {opening.study.spec.name for opening in openings if opening.is_open}
        held = sum(
            trials
            for worker in self.store.workers.all()
            for study, trials in worker.running.items()
            if study in names
        )
        backlog = held + sum(opening.room for opening in openings)
        if backlog != self._backlog:
            self._backlog, self._failures = backlog, 0
        return Demand(backlog=backlog, is_over=self.study is not None and not names)

    def _openings(self) -> Sequence[Opening]:
        if self.study is None:
            return self.store.queue.openings()
        with contextlib.suppress(StudyNotFoundError):
            return [self.store.queue.opening(self.study)]
        self.study = self.store.studies.current(self.study)
        return [self.store.queue.opening(self.study)]

    def _scale(self, wanted: int) -> None:
        """Submit the workers that are missing, and stop surplus ones that train nothing."""
        if (missing := wanted - len(self._jobs)) > 0:
            self._submit(missing)
        elif missing < 0:
            self._shrink(-missing)

    def _submit(self, count: int) -> None:
        """Submit workers. While the engine does not answer, note that once, and try again at the next look."""
        try:
            jobs = self.launcher.submit(count)
        except EngineUnavailableError as error:
            now_s = time.monotonic()
            if self._unavailable_since_s is None:
                self._unavailable_since_s = now_s
                self.notes.append(f"{error}; waiting for it")
            if now_s - self._unavailable_since_s > LONGEST_OUTAGE_S:
                raise
            return
        self._unavailable_since_s = None
        self._jobs |= set(jobs)
        self.started += len(jobs)

    def _shrink(self, surplus: int) -> None:
        workers = self._workers()
        queued = sorted(self._jobs - self._begun)
        idle = sorted(job for job, worker in workers.items() if not worker.running)
        self.launcher.cancel(queued[:surplus])
        for job in idle[: max(0, surplus - len(queued))]:
            self._request_stop(workers[job])

    def _workers(self) -> dict[str, WorkerRecord]:
        """Return job -> worker, of this fleet's living workers. Jobs that ever had one have begun."""
        living = [worker for worker in self.store.workers.all() if not worker.is_lost]
        placed = {worker.identity.placement.job: worker for worker in living}
        found = {job: worker for job, worker in placed.items() if job in self._jobs}
        self._begun |= found.keys()
        return found

    def _request_stop(self, worker: WorkerRecord) -> None:
        with contextlib.suppress(HpsearchError):  # it has ended meanwhile, or the engine ends it
            if not worker.should_stop:
                self.store.workers.request_stop(worker.identity.name)

    def _reap(self) -> None:
        """Forget jobs that ended. Those that failed or were lost are missing then, and `_scale` replaces them."""
        for ended in self.launcher.ended():
            self._jobs.discard(ended.job)
            self._begun.discard(ended.job)
            if ended.exit is None:
                self._note_loss(ended)
            elif ended.exit.is_failure:
                self._note_failure(ended.job, ended.exit)

    def _note_loss(self, ended: Ended) -> None:
        self.lost += 1
        self.notes.append(
            f"{self.launcher.engine} lost {ended.job}: {ended.lost}; its trials go back when its worker drains or "
            "its leases run out, a new one starts"
        )

    def _note_failure(self, job: str, left: Exit) -> None:
        """Hand back a failed worker's trials. Raises WorkersFailedError after too many failures without progress."""
        self.lost += 1
        self._failures += 1
        trials = format_count(self._release(left), "trial")
        self.notes.append(
            f"{self.launcher.engine} {job}: {left.reason}; {trials} went back, a new one starts"
        )
        if self._failures > max(MOST_CRASHES_WITHOUT_PROGRESS, self.size.most):
            raise WorkersFailedError(
                f"{self.launcher.engine}: workers failed {self._failures} times without finishing a trial; "
                f"the last one: {left.output or left.reason}"
            )

    def _release(self, left: Exit) -> int:
        """Hand back the trials of a failed worker in all studies; return their number."""
        count = 0
        with contextlib.suppress(HpsearchError):  # then its leases expire
            held = next((w.running for w in self.store.workers.all() if w.identity.name == left.worker), {})
            for name in held:
                study = self.store.studies.get(name)
                count += len(
                    self.store.queue.release(
                        study, worker=left.worker, numbers=None, why=exit_words(left.code), crashed=True
                    )
                )
        return count

    def _end(self) -> None:
        """Ask all workers to drain, wait for them, and let the engine end what is left."""
        with contextlib.suppress(StorageError):
            workers: Mapping[str, WorkerRecord] = self._workers()
            self.launcher.cancel(sorted(self._jobs - self._begun))
            for worker in workers.values():
                self._request_stop(worker)
        deadline = time.monotonic() + DRAIN_WITHIN_S
        while self._jobs and time.monotonic() < deadline:
            self._jobs -= {ended.job for ended in self.launcher.ended()}
            time.sleep(POLL_S)
        self.launcher.close()
