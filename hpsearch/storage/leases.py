"""Leases: a worker's right to write a trial, renewed, swept and handed back. See the state machine in `schema`.

Each function works inside its caller's transaction; all but `renew`, `held` and `has_expired` on a study that the
transaction has locked.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, final

from sqlalchemy import Connection, Row, and_, delete, exists, select, update

from hpsearch.records import Cause, Finding
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.bulk import insert_rows
from hpsearch.storage.clock import EpochSeconds, naive_utc
from hpsearch.storage.details import write_attributes
from hpsearch.storage.optuna_schema import FAIL, RUNNING, WAITING
from hpsearch.storage.payloads import pack_finding
from hpsearch.storage.studies import LockedStudy

CRASHES_MAX: Final = 3
"""A trial that takes this many workers down has failed."""

NO_TOKEN: Final = -1
"""The token of a trial that no claim holds; those of claims are never negative."""

_ours = schema.trials
_theirs = optuna_schema.trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Why a lease ended. `crashed` tells whether that counts against the trial."""

    why: str
    crashed: bool


_NOW: Final = select(EpochSeconds()).scalar_subquery()
"""The clock, read once in a statement: PostgreSQL compares an index with nothing that changes from row to row."""

EXPIRED: Final = Ending(why="lease expired", crashed=True)


def renew(
    connection: Connection, *, worker: str, lease_s: float, tokens: Collection[int] | None = None
) -> int:
    """Let the worker's leases, all or those of `tokens`, run for `lease_s` from now on; return how many there are."""
    of_worker = and_(_ours.c.worker == worker, _ours.c.lease_until.is_not(None))
    chosen = of_worker if tokens is None else and_(of_worker, _ours.c.token.in_(list(tokens)))
    return connection.execute(
        update(_ours).where(chosen).values(lease_until=EpochSeconds() + lease_s)
    ).rowcount


def held(connection: Connection, study_key: str, *, worker: str) -> list[int]:
    """Return the numbers of the study's trials that the worker holds leases of, in order."""
    numbers = connection.execute(
        select(_ours.c.number)
        .where(_ours.c.study_key == study_key, _ours.c.worker == worker, _ours.c.lease_until.is_not(None))
        .order_by(_ours.c.number)
    ).scalars()
    return list(numbers)


def has_expired(connection: Connection, study_key: str) -> bool:
    """True when a lease of the study has run out and nobody has swept it yet."""
    expired = (
        select(_ours.c.number).where(_ours.c.study_key == study_key, _ours.c.lease_until < _NOW).limit(1)
    )
    return connection.execute(expired).first() is not None


def expired_studies(connection: Connection) -> list[str]:
    """Return the keys of the studies in which a lease has run out and nobody has swept it yet."""
    studies = schema.studies
    # One look into the index per study: MySQL's has all trials, also those without a lease.
    expired = exists().where(_ours.c.study_key == studies.c.study_key, _ours.c.lease_until < _NOW)
    return list(connection.execute(select(studies.c.study_key).where(expired)).scalars())


def sweep(connection: Connection, locked: LockedStudy) -> list[int]:
    """Take back the trials whose leases have run out; return their numbers."""
    return _take_back(
        connection,
        locked,
        _ours.c.lease_until < locked.now_s,
        EXPIRED,
    )


def release(
    connection: Connection,
    locked: LockedStudy,
    *,
    worker: str,
    numbers: Collection[int] | None,
    ending: Ending,
) -> list[int]:
    """Take back the worker's running trials, all or those in `numbers`; return their numbers."""
    of_worker = and_(_ours.c.worker == worker, _ours.c.lease_until.is_not(None))
    chosen = of_worker if numbers is None else and_(of_worker, _ours.c.number.in_(list(numbers)))
    return _take_back(connection, locked, chosen, ending)


def release_all(
    connection: Connection, locked: LockedStudy, *, numbers: Collection[int] | None, ending: Ending
) -> list[int]:
    """Take back what is leased, all or those in `numbers`, whoever holds it; return the numbers."""
    leased = _ours.c.lease_until.is_not(None)
    chosen = leased if numbers is None else and_(leased, _ours.c.number.in_(list(numbers)))
    return _take_back(connection, locked, chosen, ending)


def _take_back(connection: Connection, locked: LockedStudy, chosen: Any, ending: Ending) -> list[int]:
    """End the leases of the `chosen` trials: back to waiting, or failed at the last crash."""
    rows = connection.execute(
        select(_ours, _theirs.c.state, _theirs.c.datetime_start)
        .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
        .where(_ours.c.study_key == locked.study.key, _theirs.c.study_id == locked.study.study_id, chosen)
        .order_by(_ours.c.number)
        .with_for_update()
    ).all()
    # A trial that another Optuna client ended meanwhile stays as it is; one that it set waiting was begun all the same.
    running = [row for row in rows if row.state in (RUNNING, WAITING)]
    _end_leases(connection, locked, [row for row in rows if row.state not in (RUNNING, WAITING)])
    _write_history(connection, locked, running, ending)
    _reset(connection, locked, running, ending)
    last = CRASHES_MAX - 1 if ending.crashed else CRASHES_MAX
    _return(connection, [row for row in running if row.crashes < last])
    _fail(connection, locked, [row for row in running if row.crashes >= last], ending)
    return [row.number for row in running]


def _at(locked: LockedStudy, rows: Sequence[Row[Any]]) -> Any:
    return and_(_ours.c.study_key == locked.study.key, _ours.c.number.in_([row.number for row in rows]))


def _end_leases(connection: Connection, locked: LockedStudy, rows: Sequence[Row[Any]]) -> None:
    if rows:
        connection.execute(
            update(_ours).where(_at(locked, rows)).values(lease_until=None, version=_ours.c.version + 1)
        )


def _write_history(
    connection: Connection, locked: LockedStudy, rows: Sequence[Row[Any]], ending: Ending
) -> None:
    insert_rows(
        connection,
        schema.attempts,
        [
            {
                "study_key": locked.study.key,
                "number": row.number,
                "attempt": row.attempt,
                "worker": row.worker,
                "why": ending.why,
                "crashed": ending.crashed,
                "epochs": row.epochs,
                "ended": locked.now_s,
                "started": epoch_s(row.datetime_start),
            }
            for row in rows
        ],
    )


def epoch_s(started: datetime | None) -> float | None:
    """Return one of Optuna's times, naive and in UTC, as seconds since 1970-01-01 UTC."""
    return None if started is None else started.replace(tzinfo=UTC).timestamp()


def _reset(connection: Connection, locked: LockedStudy, rows: Sequence[Row[Any]], ending: Ending) -> None:
    """Make trials look as if nobody had trained them; parameters stay."""
    if not rows:
        return
    reports = optuna_schema.trial_intermediate_values
    connection.execute(delete(reports).where(reports.c.trial_id.in_([row.trial_id for row in rows])))
    connection.execute(
        update(_ours)
        .where(_at(locked, rows))
        .values(
            token=NO_TOKEN,
            worker=None,
            lease_until=None,
            crashes=_ours.c.crashes + int(ending.crashed),
            epochs=0,
            steps=0,
            reported=-1,
            version=_ours.c.version + 1,
        )
    )


def _return(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    """Let trials wait again."""
    if rows:
        connection.execute(
            update(_theirs)
            .where(_theirs.c.trial_id.in_([row.trial_id for row in rows]))
            .values(state=WAITING, datetime_start=None)
        )


def _fail(connection: Connection, locked: LockedStudy, rows: Sequence[Row[Any]], ending: Ending) -> None:
    """End trials that took too many workers down, with the finding worker_lost."""
    for row in rows:
        connection.execute(
            update(_theirs)
            .where(_theirs.c.trial_id == row.trial_id)
            .values(state=FAIL, datetime_complete=naive_utc(locked.now_s))
        )
        finding = _worker_lost(row, ending.why)
        connection.execute(
            update(_ours)
            .where(_at(locked, [row]))
            .values(worker=row.worker, verdict=finding.cause.value, finding=pack_finding(finding))
        )
        end = {"verdict": finding.cause.value, "epochs": 0, "worker": row.worker}
        write_attributes(connection, optuna_schema.trial_user_attributes, {row.trial_id: end})


def _worker_lost(row: Row[Any], why: str) -> Finding:
    return Finding(
        cause=Cause.WORKER_LOST,
        confidence=1.0,
        first_step=0,
        evidence={"workers_lost": float(row.crashes + 1)},
        remedy=f"each of its workers was lost, the last one because: {why}; "
        "look for what ends them, such as memory, or leave this configuration out",
    )
