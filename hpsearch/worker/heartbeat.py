"""The heartbeat: a thread that renews a worker's leases while its main thread trains."""

import threading
from types import TracebackType
from typing import Self, final

from hpsearch.errors import StorageError
from hpsearch.storage.store import Store

BEATS_PER_LEASE = 3


@final
class Heartbeat:
    """Renews all leases of `worker` three times per lease, for as long as the context is open.

    A database that does not answer is tried again at the next beat: the lease, not the thread, decides whether the
    worker still holds its trials.
    """

    def __init__(self, store: Store, *, worker: str, lease_s: float) -> None:
        self._store = store
        self._worker = worker
        self._lease_s = lease_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(self._lease_s)

    def _beat(self) -> None:
        while not self._done.wait(self._lease_s / BEATS_PER_LEASE):
            try:
                self._store.renew(self._worker, lease_s=self._lease_s)
            except StorageError:
                continue
