"""The heartbeat: a thread that keeps a worker registered and its leases alive while its main thread trains."""

import threading
from types import TracebackType
from typing import Self, final

from hpsearch.errors import StorageError
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import Store
from hpsearch.worker.stopping import StopRequest

BEATS_PER_LEASE = 3
SLOWEST_BEAT_S = 2.0
"""A worker is told to stop from afar by its next beat, so beats do not wait longer than this."""


@final
class Heartbeat:
    """Registers a worker, and renews all its leases for as long as the context is open.

    A beat also brings requests to stop that were made from afar. A database that does not answer is tried again at
    the next beat: the lease, not the thread, decides whether the worker still holds its trials.
    """

    def __init__(self, store: Store, *, identity: WorkerIdentity, lease_s: float, stop: StopRequest) -> None:
        self._store = store
        self._identity = identity
        self._lease_s = lease_s
        self._stop = stop
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._store.register_worker(self._identity)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(self._lease_s)
        try:
            self._store.unregister_worker(self._identity.name)
        except StorageError:
            return  # it is known as lost until somebody sweeps it

    def _beat_on(self) -> None:
        while not self._done.wait(min(self._lease_s / BEATS_PER_LEASE, SLOWEST_BEAT_S)):
            try:
                if self._store.beat(self._identity, lease_s=self._lease_s).should_stop:
                    self._stop.ask()
            except StorageError:
                continue
