"""Workers as a listing, and stopping one from afar."""

import time
from collections.abc import Sequence
from typing import Any, Final

from hpsearch.analysis.formats import format_time
from hpsearch.analysis.json_objects import moment_text
from hpsearch.cli.output import Listing, answer
from hpsearch.errors import HpsearchError
from hpsearch.storage.records import WorkerRecord
from hpsearch.storage.store import Store

_LOOK_EVERY_S: Final = 0.2
_FIELDS: Final = ("id", "state", "host", "process", "version", "started", "seen", "trains")


def workers_listing(workers: Sequence[WorkerRecord]) -> Listing:
    """Return workers with what they train."""
    return Listing(
        objects=[_object(worker) for worker in workers],
        heads=("worker", "state", "host", "process", "version", "started", "last seen", "trains"),
        rows=[
            (
                worker.identity.name,
                worker.state,
                worker.identity.host,
                str(worker.identity.process_id),
                worker.identity.version,
                format_time(worker.started),
                format_time(worker.seen),
                ", ".join(f"{study} ({trials})" for study, trials in worker.running.items()),
            )
            for worker in workers
        ],
        right=frozenset({"process"}),
        fields=_FIELDS,
    )


def stop_worker(store: Store, name: str, *, wait: bool) -> None:
    """Ask a worker to stop, and say so; with `wait` return when it has ended.

    Raises WorkerNotFoundError, and HpsearchError where it is lost, so that a wait would have no end.
    """
    store.ask_to_stop(name)
    asked = _seen(store, name)
    answer(f'Worker "{name}": was asked to stop')
    if wait:
        while asked is not None and (found := _seen(store, name)) is not None:
            # Another one of the same name is a worker that began later.
            asked = found if found.started == asked.started else None
            time.sleep(_LOOK_EVERY_S)
        answer(f'Worker "{name}": has ended')


def _seen(store: Store, name: str) -> WorkerRecord | None:
    """Return the worker of that name, or None. Raises HpsearchError for one that is lost."""
    worker = next((worker for worker in store.workers() if worker.identity.name == name), None)
    if worker is not None and worker.is_lost:
        raise HpsearchError(
            f'worker "{name}": must have been seen lately (got {format_time(worker.seen)}): it is lost, and its '
            "trials go back by themselves; if it comes back, it stops"
        )
    return worker


def _object(worker: WorkerRecord) -> dict[str, Any]:
    identity = worker.identity
    values = (
        identity.name,
        worker.state,
        identity.host,
        identity.process_id,
        identity.version,
        moment_text(worker.started),
        moment_text(worker.seen),
        [{"study": study, "trials": trials} for study, trials in worker.running.items()],
    )
    return dict(zip(_FIELDS, values, strict=True))
