"""The workers: their trials, and the lost workers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, final

from hpsearch.analysis.formats import format_time
from hpsearch.dashboard.links import study_link
from hpsearch.dashboard.pages import Page, fill, page_of
from hpsearch.storage.records import WorkerRecord
from hpsearch.study.messages import format_count

_HEADS: Final = ("worker", "state", "trains", "host", "process", "started", "last seen", "version")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """A worker in the list. `running` has the count of its trials, the report and the name of each of its studies."""

    name: str
    state: str
    running: Sequence[tuple[str, str, str]]
    cells: Sequence[str]


def workers_page(workers: Sequence[WorkerRecord]) -> Page:
    """Return the list of workers, those that started first at the top.

    Where an engine runs them, and why they take no more work, is shown if it is known of any.
    """
    alive = sum(not worker.is_lost for worker in workers)
    lost = len(workers) - alive
    lead = f"{format_count(alive, 'worker')} at work, {lost or 'none'} lost.".capitalize() if workers else ""
    known = [{**asdict(worker.identity.placement), "problem": worker.problem} for worker in workers]
    shown = [name for name in ("engine", "node", "job", "log", "problem") if any(one[name] for one in known)]
    rows = [
        _row(worker, [one[name] or "" for name in shown]) for worker, one in zip(workers, known, strict=True)
    ]
    body = fill("workers.html", lead=lead, heads=(*_HEADS, *shown), workers=rows)
    return page_of("hpsearch workers", body)


def _row(worker: WorkerRecord, more: Sequence[str]) -> _Row:
    identity = worker.identity
    running = [
        (format_count(count, "trial"), study_link(name), name) for name, count in worker.running.items()
    ]
    cells = [
        identity.host,
        str(identity.process_id),
        format_time(worker.started),
        format_time(worker.seen),
        identity.version,
        *more,
    ]
    return _Row(name=identity.name, state=worker.state, running=running, cells=cells)
