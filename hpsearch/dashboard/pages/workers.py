"""The workers: their trials, and the lost workers."""

from collections.abc import Sequence

from hpsearch.analysis.formats import format_count, format_time
from hpsearch.dashboard.links import report_link
from hpsearch.dashboard.pages import Page, framed, head, link, table
from hpsearch.report.parts import empty, text
from hpsearch.storage.records import WorkerRecord

_HEADS = ("worker", "state", "trains", "host", "process", "started", "last seen", "version")


def workers_page(workers: Sequence[WorkerRecord]) -> Page:
    """Return the list of workers, those that started first at the top."""
    alive = sum(not worker.is_lost for worker in workers)
    lost = len(workers) - alive
    lead = f"{format_count(alive, 'worker')} at work, {lost or 'none'} lost.".capitalize()
    body = head("hpsearch", "Workers", lead)
    body += (
        table(_HEADS, [_row(worker) for worker in workers])
        if workers
        else empty("No workers: `hpsearch worker start` starts one on this database.")
    )
    return framed("hpsearch workers", body)


def _row(worker: WorkerRecord) -> list[str]:
    identity = worker.identity
    trains = ", ".join(
        f"{format_count(count, 'trial')} of {link(report_link(name), name)}"
        for name, count in worker.running.items()
    )
    plain = (identity.host, identity.process_id, format_time(worker.started), format_time(worker.seen))
    return [
        text(identity.name),
        worker.state,
        trains,
        *(text(cell) for cell in (*plain, identity.version)),
    ]
