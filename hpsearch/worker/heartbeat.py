"""The heartbeat: a thread that keeps a worker registered and its leases alive while its main thread trains."""

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self, final

from hpsearch.errors import StorageError
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import Store
from hpsearch.worker.shutdown import StopRequest

BEATS_PER_LEASE = 3
SLOWEST_BEAT_S = 2.0
"""Longest time between two heartbeats, because a worker reads remote requests to stop at its next heartbeat."""


@final
class Heartbeat:
    """Registers a worker, and renews the leases of its `tokens` for as long as the context is open.

    Leases without a token of the worker are not renewed: a claim whose answer was lost, or a trial that it has ended
    and that a database restored to an older state shows as running. A heartbeat also reads remote requests to stop. A
    database that does not answer is tried again at the next heartbeat: the lease, not the thread, decides whether the
    worker still holds its trials. A bug of ours asks the worker to stop, and is raised at the end of the context:
    without its heartbeat, a worker would train in vain.
    """

    def __init__(
        self,
        store: Store,
        *,
        identity: WorkerIdentity,
        lease_s: float,
        tokens: Callable[[], Collection[int]],
        stop: StopRequest,
    ) -> None:
        self._store = store
        self._identity = identity
        self._lease_s = lease_s
        self._tokens = tokens
        self._stop = stop
        self._fault: Exception | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._store.workers.register(self._identity)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(self._lease_s)
        if self._fault is not None and error is None:
            raise self._fault
        try:
            self._store.workers.unregister(self._identity.name)
        except StorageError:
            return  # it is listed as lost until it is swept

    def _run(self) -> None:
        try:
            while not self._done.wait(min(self._lease_s / BEATS_PER_LEASE, SLOWEST_BEAT_S)):
                self._beat()
        except Exception as fault:  # noqa: BLE001  # the main thread raises it, whatever it is
            self._fault = fault
            self._stop.request()

    def _beat(self) -> None:
        try:
            beat = self._store.queue.beat(self._identity, lease_s=self._lease_s, tokens=self._tokens())
        except StorageError:
            return
        if beat.should_stop:
            self._stop.request()
