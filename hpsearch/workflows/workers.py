"""Stop workers on any machine."""

import time
from typing import Final

from hpsearch.analysis.formats import format_time
from hpsearch.errors import HpsearchError
from hpsearch.storage.records import WorkerRecord
from hpsearch.storage.store import Store
from hpsearch.worker.shutdown import do_nothing
from hpsearch.workflows.listener import Notify

_LOOK_EVERY_S: Final = 0.2


def stop_worker(store: Store, name: str, *, wait: bool = False, notify: Notify = do_nothing) -> None:
    """Ask a worker to stop; with `wait`, return after it has ended.

    Raises WorkerNotFoundError, and HpsearchError if it is lost, since a wait would never end.
    """
    store.workers.request_stop(name)
    asked = _find_worker(store, name)
    notify(f'Worker "{name}": was asked to stop')
    if wait:
        while asked is not None and (found := _find_worker(store, name)) is not None:
            # Another worker of the same name began later.
            asked = found if found.started == asked.started else None
            time.sleep(_LOOK_EVERY_S)
        notify(f'Worker "{name}": has ended')


def _find_worker(store: Store, name: str) -> WorkerRecord | None:
    """Return the worker of that name, or None. Raises HpsearchError if it is lost."""
    worker = next((worker for worker in store.workers.all() if worker.identity.name == name), None)
    if worker is not None and worker.is_lost:
        raise HpsearchError(
            f'worker "{name}": must be alive (last seen {format_time(worker.seen)}): it is lost, and its '
            "trials are set waiting automatically; if it comes back, it stops"
        )
    return worker
