"""The registry of workers: their identity, when they were last seen, and requests to stop.

Functions run inside their caller's transaction. A worker writes its own row, and any process may set its
`should_stop`. A vanished worker stays listed as lost for a day.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any, Final, final

from sqlalchemy import (
    Connection,
    Double,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from hpsearch.errors import WorkerNotFoundError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.engine import Transactions
from hpsearch.storage.expiry import Life
from hpsearch.storage.records import Placement, WorkerIdentity, WorkerRecord
from hpsearch.storage.statements import DriverStatement
from hpsearch.storage.stored_values import is_number, moment, seconds, text_cell, whole
from hpsearch.study.messages import did_you_mean

LOST_AFTER_S: Final = 30.0
"""A worker not seen for this long is listed as lost. Its trials depend on its leases, not on this."""

FORGET_AFTER_S: Final = 86_400.0

_PLACEMENT: Final = tuple(field.name for field in fields(Placement))

_workers = schema.workers
_ours = schema.trials
_theirs = optuna_schema.studies


@final
class WorkerRegistry:
    """The registry of a database's workers. Threads may share it.

    `sweep` is called before workers are listed: it takes back trials whose lease is over.
    """

    def __init__(self, transactions: Transactions, sweep: Callable[[], None]) -> None:
        self._transactions = transactions
        self._sweep = sweep

    def register(self, identity: WorkerIdentity) -> None:
        """Add a worker, replacing one of the same name."""
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                enter(connection, identity)

    def unregister(self, name: str) -> None:
        """Remove a worker that ends."""
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                connection.execute(delete(_workers).where(_workers.c.worker == name))

    def all(self, *, sweep: bool = True) -> list[WorkerRecord]:
        """Return all registered workers, in order of their start.

        If the database may be written, first sweep leases that are over, unless `sweep` is False.
        """
        if not self._transactions.has_ours:
            return []
        if sweep:
            self._sweep()
        return self._transactions.read(_every)

    def report_problem(self, name: str, problem: str) -> None:
        """Record why a worker takes no more trials; it stays until the worker ends."""
        values = {"problem": _fitting("problem", problem)}
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                connection.execute(update(_workers).where(_workers.c.worker == name).values(values))

    def request_stop(self, name: str) -> None:
        """Ask a worker to drain at its next heartbeat. Raises WorkerNotFoundError with the nearest names."""
        if not self._transactions.has_ours:
            shown = self._transactions.address.shown
            raise WorkerNotFoundError(
                f'worker "{name}": there is no such worker: {shown} has never had any, check the URL'
            )
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                _request_stop(connection, name)


def enter(connection: Connection, identity: WorkerIdentity) -> None:
    """Write the row of a starting worker, replacing one of the same name, and forget long-lost workers.

    Those that hold leases are kept: a changed clock may be the only problem.
    """
    holds = exists().where(_ours.c.worker == _workers.c.worker, _ours.c.lease_until.is_not(None))
    stale = and_(_workers.c.seen < EpochSeconds() - FORGET_AFTER_S, ~holds)
    connection.execute(delete(_workers).where((_workers.c.worker == identity.name) | stale))
    connection.execute(
        insert(_workers).values(
            worker=identity.name,
            host=identity.host,
            process_id=identity.process_id,
            hpsearch_version=identity.version,
            started=EpochSeconds(),
            seen=EpochSeconds(),
            should_stop=False,
            steady_since=EpochSeconds(),
            has_parent=identity.has_parent,
            **{name: _fitting(name, value) for name, value in asdict(identity.placement).items()},
        )
    )


def _fitting(column: str, text: str | None) -> str | None:
    """Return as much of a text as its column holds."""
    most: int = getattr(_workers.c[column].type, "length")  # noqa: B009 # it is a String
    return None if text is None else text[:most]


def beat(connection: Connection, identity: WorkerIdentity, *, lease_s: float) -> bool:
    """Record that the worker is alive, and return whether it was asked to stop. A forgotten worker is added again."""
    if not _SIGHTING.count(connection, sighting_values(identity.name, lease_s=lease_s)):
        enter(connection, identity)
        return False
    return bool(_STOP_REQUEST.rows(connection, {"at_worker": identity.name})[0][0])


def appear(connection: Connection, name: str, *, lease_s: float) -> bool:
    """Record that the worker is alive; return True if it was last seen in the future because a clock was set back."""
    at = sighting_values(name, lease_s=lease_s)
    if connection.dialect.name == "postgresql":
        return bool(_APPEARANCE.rows(connection, at)[0][0])
    rows = _IN_FUTURE.rows(connection, {"at_worker": name})
    _SIGHTING.count(connection, at)
    return bool(rows and rows[0][0])


_is_worker: Final = _workers.c.worker == bindparam("at_worker")

SIGHTING: Final = (
    update(_workers)
    .where(_is_worker)
    .ordered_values(  # MySQL assigns them one after the other
        (
            _workers.c.steady_since,
            case(
                (
                    func.abs(EpochSeconds() - _workers.c.seen) <= bindparam("gap_s", type_=Double()),
                    _workers.c.steady_since,
                ),
                else_=EpochSeconds(),
            ),
        ),
        (_workers.c.seen, EpochSeconds()),
    )
)
"""Records that the worker of `sighting_values` is seen now. A gap of half a lease restarts its steady time."""

_SIGHTING: Final = DriverStatement(SIGHTING)
_STOP_REQUEST: Final = DriverStatement(select(_workers.c.should_stop).where(_is_worker))

_in_future: Final = select((_workers.c.seen > EpochSeconds()).label("in_future")).where(_is_worker)
_IN_FUTURE: Final = DriverStatement(_in_future)

_APPEARANCE: Final = DriverStatement(
    select(_in_future.scalar_subquery().label("in_future")).add_cte(
        SIGHTING.returning(_workers.c.worker).cte("sighting")
    )
)
"""PostgreSQL's statement for both: the query reads the row as it was before the update."""


def sighting_values(name: str, *, lease_s: float) -> dict[str, Any]:
    """Return the parameters of `SIGHTING`."""
    return {"at_worker": name, "gap_s": lease_s / 2}


def _request_stop(connection: Connection, name: str) -> None:
    names = [
        found for found in connection.execute(select(_workers.c.worker)).scalars() if isinstance(found, str)
    ]
    if name not in names:
        hint = did_you_mean(name, names, otherwise="`hpsearch worker list` lists the workers")
        raise WorkerNotFoundError(f'worker "{name}": there is no such worker: {hint}')
    connection.execute(update(_workers).where(_workers.c.worker == name).values(should_stop=True))


def _every(connection: Connection) -> list[WorkerRecord]:
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    holds: dict[str, list[Row[Any]]] = {}
    for row in _holdings(connection):
        holds.setdefault(row.worker, []).append(row)
    rows = connection.execute(select(_workers).order_by(_workers.c.started, _workers.c.worker))
    found = []
    for row in rows:
        with contextlib.suppress(ValueError):  # skip damaged rows
            found.append(_record(row, now_s, holds.get(row.worker, ())))
    return found


def alive(connection: Connection) -> list[str]:
    """Return the names of recently seen workers, in order. Works on tables of an older revision."""
    seen = select(_workers.c.worker, _workers.c.seen).where(_workers.c.seen >= EpochSeconds() - LOST_AFTER_S)
    return [row.worker for row in connection.execute(seen.order_by(_workers.c.worker)) if is_number(row.seen)]


def lives(connection: Connection) -> dict[str, Life]:
    """Return the registry's times of all registered workers, by name."""
    found = {}
    for row in connection.execute(select(_workers)):
        with contextlib.suppress(ValueError):  # a damaged row has no usable times
            found[row.worker] = Life(
                worker=text_cell(row.worker, "worker"),
                started_s=seconds(row.started, "started"),
                seen_s=seconds(row.seen, "seen"),
                steady_since_s=None
                if row.steady_since is None
                else seconds(row.steady_since, "steady_since"),
                has_parent=bool(row.has_parent),
            )
    return found


def _holdings(connection: Connection) -> Sequence[Row[Any]]:
    """Return one row per worker and study in which it holds leases: worker, study_name, trials."""
    studies = schema.studies
    return connection.execute(
        select(_ours.c.worker, _theirs.c.study_name, func.count().label("trials"))
        .join(studies, studies.c.study_key == _ours.c.study_key)
        .join(_theirs, and_(_theirs.c.study_id == studies.c.study_id))
        .where(_ours.c.lease_until.is_not(None))
        .group_by(_ours.c.worker, _theirs.c.study_name)
        .order_by(_ours.c.worker, _theirs.c.study_name)
    ).all()


def _record(row: Row[Any], now_s: float, holds: Sequence[Row[Any]]) -> WorkerRecord:
    """Return the worker of a row. Raises ValueError for a row that hpsearch did not write."""
    seen = moment(row.seen, "seen")
    return WorkerRecord(
        identity=WorkerIdentity(
            name=text_cell(row.worker, "worker"),
            host=str(row.host),
            process_id=whole(row.process_id, "process_id"),
            version=str(row.hpsearch_version),
            has_parent=bool(row.has_parent),
            placement=Placement(**{name: getattr(row, name) for name in _PLACEMENT}),
        ),
        started=moment(row.started, "started"),
        seen=seen,
        is_lost=now_s - row.seen > LOST_AFTER_S,
        should_stop=bool(row.should_stop),
        running={held.study_name: held.trials for held in holds},
        problem=row.problem,
    )
