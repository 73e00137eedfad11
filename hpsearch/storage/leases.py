"""Leases, a worker's right to write a trial: renewal, sweep and release. See the state machine in `schema`.

Each function runs inside its caller's transaction; all except `renew`, `held`, `over` and `supersede` need a study that
the transaction has locked.
"""

import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, final, get_args

from sqlalchemy import (
    Connection,
    Double,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from hpsearch.storage import optuna_schema, schema, workers
from hpsearch.storage.clock import EpochSeconds, monotonic_s, naive_utc
from hpsearch.storage.details import write_attributes
from hpsearch.storage.expiry import QUIET_UNDATED_S, Doubt, Watch, is_lost, lives_on, quiet_s
from hpsearch.storage.optuna_schema import FAIL, RUNNING, WAITING
from hpsearch.storage.payloads import pack_finding
from hpsearch.storage.records import AttemptKind, Beat, ClaimedTrial
from hpsearch.storage.statements import DriverStatement, write_rows
from hpsearch.storage.stored_studies import LockedStudy
from hpsearch.storage.stored_values import is_number, is_whole
from hpsearch.verdicts import Cause, Finding

CRASHES_MAX: Final = 3
"""Number of lost workers after which a trial fails."""

EXPIRIES_MAX: Final = 10
"""Number of expired leases after which a trial that was held alone fails, whatever the reason."""

NO_TOKEN: Final = -1
"""The token of a trial that no claim holds; tokens of claims are never negative."""

FUTURE_S: Final = 1.0
"""A worker last seen this far in the future was seen before a clock was set back."""

HANDED_BACK: Final[AttemptKind] = "handed_back"
CRASHED: Final[AttemptKind] = "crashed"
LOST: Final[AttemptKind] = "lost"
EXPIRED: Final[AttemptKind] = "expired"
SUPERSEDED: Final[AttemptKind] = "superseded"

_KINDS: Final[Mapping[object, AttemptKind]] = {kind: kind for kind in get_args(AttemptKind)}

LEASE_EXPIRED: Final = "lease expired"
WORKER_LIVES: Final = "lease expired, but its worker is alive"

_ours = schema.trials
_theirs = optuna_schema.trials
_attempts = schema.attempts
_workers = schema.workers


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """Why and how an attempt was unsuccessful. `crashed` is true if that counts against the trial.

    With `fails`, the trial has reached its limit and fails.
    """

    why: str
    kind: AttemptKind
    crashed: bool
    fails: bool = False


_NOW: Final = select(EpochSeconds()).scalar_subquery()
"""The clock, read once per statement: PostgreSQL's advances from row to row and so cannot be used with an index."""

IS_SUSPECT: Final = or_(
    _ours.c.crashes > 0,
    exists().where(
        _attempts.c.study_key == _ours.c.study_key,
        _attempts.c.number == _ours.c.number,
        _attempts.c.kind.in_((LOST, EXPIRED)),
    ),
)
"""Condition on a row of ours: the trial may have taken its workers down."""


def kind_of(stored: object, *, crashed: bool, why: str) -> AttemptKind:
    """Return the kind of an unsuccessful attempt from its row.

    hpsearch before 0003 stored no kind and counted every expiry as a loss.
    """
    if (kind := _KINDS.get(stored)) is not None:
        return kind
    if not crashed:
        return HANDED_BACK
    return LOST if why == LEASE_EXPIRED else CRASHED


def renew(
    connection: Connection, *, worker: str, lease_s: float, tokens: Collection[int] | None = None
) -> int:
    """Extend the worker's leases, all or those of `tokens`, to `lease_s` seconds from now; return their number.

    All of them expire at the same moment.
    """
    at = {"at_worker": worker, "lease_s": lease_s}
    if tokens is None:
        return _RENEWAL.count(connection, at)
    return _RENEWAL_OF_TOKENS.count(connection, {**at, "tokens": list(tokens)}) if tokens else 0


_renewal: Final = (
    update(_ours)
    .where(_ours.c.worker == bindparam("at_worker"), _ours.c.lease_until.is_not(None))
    .values(lease_until=_NOW + bindparam("lease_s", type_=Double()))
)
_renewal_of_tokens: Final = _renewal.where(_ours.c.token.in_(bindparam("tokens", expanding=True)))

_RENEWAL: Final = DriverStatement(_renewal)
_RENEWAL_OF_TOKENS: Final = DriverStatement(_renewal_of_tokens)


def beat_in_one_statement(
    connection: Connection, name: str, *, lease_s: float, tokens: Collection[int] | None
) -> Beat | None:
    """Send PostgreSQL a heartbeat as one statement, which is a transaction of its own; `connection` has none open.

    Returns None, and does nothing, if the registry does not have the worker.
    """
    at = {**workers.sighting_values(name, lease_s=lease_s), "lease_s": lease_s}
    if tokens is None:
        rows = _BEAT.rows(connection, at)
    elif tokens:
        rows = _BEAT_OF_TOKENS.rows(connection, {**at, "tokens": list(tokens)})
    else:
        rows = _BEAT_WITHOUT_LEASES.rows(connection, at)
    should_stop, renewed, _ = rows[0]
    return None if should_stop is None else Beat(leases=renewed, should_stop=bool(should_stop))


def _beat(renewal: Any | None) -> DriverStatement:
    """Return PostgreSQL's heartbeat with a `renewal` of leases. Its commit does not wait for the disk."""
    sighting = workers.SIGHTING.returning(_workers.c.should_stop).cte("sighting")
    count: Any = literal_column("0")
    if renewal is not None:
        # The condition makes PostgreSQL lock the worker's row first, as a claim does.
        leases = renewal.where(exists(select(sighting))).returning(_ours.c.number).cte("renewal")
        count = select(func.count()).select_from(leases).scalar_subquery()
    relaxed = func.set_config("synchronous_commit", "off", True)  # noqa: FBT003 # SQL takes it by position
    return DriverStatement(
        select(
            select(sighting.c.should_stop).scalar_subquery().label("should_stop"),
            count.label("renewed"),
            relaxed.label("relaxed"),
        )
    )


_BEAT: Final = _beat(_renewal)
_BEAT_OF_TOKENS: Final = _beat(_renewal_of_tokens)
_BEAT_WITHOUT_LEASES: Final = _beat(None)


def held(connection: Connection, study_key: str, *, worker: str) -> list[int]:
    """Return the numbers of the study's trials that the worker holds leases on, in order."""
    numbers = connection.execute(
        select(_ours.c.number)
        .where(_ours.c.study_key == study_key, _ours.c.worker == worker, _ours.c.lease_until.is_not(None))
        .order_by(_ours.c.number)
    ).scalars()
    return list(numbers)


def over(connection: Connection, watch: Watch, study_key: str | None = None) -> dict[str, dict[int, float]]:
    """Return study key -> token -> end of the leases, of one study or all, that are over according to `watch`.

    Studies without any are left out.
    """
    doubts: dict[str, list[Doubt]] = {} if study_key is None else {study_key: []}
    for row in _in_doubt(connection, study_key):
        if is_number(row.until_s):  # otherwise the row is damaged
            doubts.setdefault(row.study_key, []).append(_doubt(row, connection.dialect.name))
    now_s = monotonic_s()
    found = {key: watch.over(key, listed, now_s=now_s) for key, listed in doubts.items()}
    return {key: tokens for key, tokens in found.items() if tokens}


def _in_doubt(connection: Connection, study_key: str | None) -> Sequence[Any]:
    """Return the expired leases, and those whose worker was last seen before the clock was set back."""
    if study_key is None:
        return _IN_DOUBT.named(connection, {})
    return _IN_DOUBT_OF_STUDY.named(connection, {"at_key": study_key})


_in_doubt_of_all: Final = (
    select(
        _ours.c.study_key,
        _ours.c.token,
        _ours.c.worker,
        func.max(_ours.c.lease_until).label("until_s"),
        _workers.c.seen,
        _workers.c.host,
        _workers.c.process_id,
        _NOW.label("now_s"),
    )
    .outerjoin_from(_ours, _workers, _workers.c.worker == _ours.c.worker)
    .where(
        _ours.c.lease_until.is_not(None),
        or_(_ours.c.lease_until < _NOW, _workers.c.seen > _NOW + FUTURE_S),
    )
    .group_by(
        _ours.c.study_key,
        _ours.c.token,
        _ours.c.worker,
        _workers.c.seen,
        _workers.c.host,
        _workers.c.process_id,
    )
)
_IN_DOUBT: Final = DriverStatement(_in_doubt_of_all)
_IN_DOUBT_OF_STUDY: Final = DriverStatement(_in_doubt_of_all.where(_ours.c.study_key == bindparam("at_key")))


def _doubt(row: Any, dialect: str) -> Doubt:
    # An SQLite file serves one machine. On others the same name and number may denote another process.
    is_gone = dialect == "sqlite" and row.host == socket.gethostname() and not _process_exists(row.process_id)
    if row.seen is None or is_number(row.seen):
        quiet = quiet_s(until_s=row.until_s, seen_s=row.seen, now_s=row.now_s, is_gone=is_gone)
    else:  # a damaged row does not show if the worker lives
        quiet = QUIET_UNDATED_S
    return Doubt(token=row.token, until_s=row.until_s, quiet_s=quiet)


def _process_exists(process_id: object) -> bool:
    """Return True unless this machine has no process of that number."""
    if (
        os.name != "posix"
        or not isinstance(process_id, int)
        or not is_whole(process_id, low=1, high=2**31 - 1)
    ):
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def sweep(
    connection: Connection, locked: LockedStudy, ends: Mapping[int, float], *, but: Collection[str] = ()
) -> list[int]:
    """Take back the trials whose leases are over (token -> end), except those of the workers in `but`.

    A lease renewed in the meantime is unchanged. Returns the trials' numbers.
    """
    if not ends:
        return []
    found = _leased(connection, locked, _ours.c.token.in_(list(ends)))
    rows = [row for row in found if row.lease_until == ends[row.token] and row.worker not in but]
    return take_back(connection, locked, rows, _expiries(connection, rows))


def held_by(
    connection: Connection, locked: LockedStudy, *, worker: str, numbers: Collection[int] | None
) -> Sequence[Any]:
    """Return the rows of the worker's running trials, all or those in `numbers`, locked."""
    of_worker = and_(_ours.c.worker == worker, _ours.c.lease_until.is_not(None))
    chosen = of_worker if numbers is None else and_(of_worker, _ours.c.number.in_(list(numbers)))
    return _leased(connection, locked, chosen)


def release_all(
    connection: Connection, locked: LockedStudy, *, numbers: Collection[int] | None, ending: Ending
) -> list[int]:
    """Take back all leased trials, or those in `numbers`, from any worker; return their numbers."""
    leased = _ours.c.lease_until.is_not(None)
    chosen = leased if numbers is None else and_(leased, _ours.c.number.in_(list(numbers)))
    rows = _leased(connection, locked, chosen)
    return take_back(connection, locked, rows, {row.number: ending for row in rows})


def supersede(connection: Connection, study_key: str, claims: Collection[ClaimedTrial]) -> None:
    """Record that the workers of `claims` with expired leases are alive: those attempts no longer count.

    The caller has locked their rows. Trials that ended in the meantime are unchanged.
    """
    shown = {claim.number: claim.attempt for claim in claims}
    if not shown:
        return
    rows = connection.execute(
        select(_attempts.c.number, _attempts.c.attempt, _attempts.c.crashed)
        .join(_ours, and_(_ours.c.study_key == study_key, _ours.c.number == _attempts.c.number))
        .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
        .where(
            _attempts.c.study_key == study_key,
            _attempts.c.number.in_(list(shown)),
            _attempts.c.kind.in_((LOST, EXPIRED)),
            _theirs.c.state.in_((WAITING, RUNNING)),
        )
    ).all()
    for row in rows:
        if row.attempt == shown[row.number]:
            _supersede(connection, study_key, row)


def _supersede(connection: Connection, study_key: str, row: Any) -> None:
    of_trial = (_attempts.c.study_key == study_key, _attempts.c.number == row.number)
    connection.execute(
        update(_attempts)
        .where(*of_trial, _attempts.c.attempt == row.attempt)
        .values(kind=SUPERSEDED, why=WORKER_LIVES, crashed=False)
    )
    connection.execute(
        update(_ours)
        .where(_ours.c.study_key == study_key, _ours.c.number == row.number)
        .values(crashes=_ours.c.crashes - int(row.crashed), version=_ours.c.version + 1)
    )


def _leased(connection: Connection, locked: LockedStudy, chosen: Any) -> Sequence[Any]:
    """Return the rows of the study's trials that are `chosen` and leased, locked, by number."""
    return connection.execute(
        select(_ours, _theirs.c.state, _theirs.c.datetime_start)
        .join(_theirs, _theirs.c.trial_id == _ours.c.trial_id)
        .where(
            _ours.c.study_key == locked.study.key,
            _theirs.c.study_id == locked.study.study_id,
            _ours.c.lease_until.is_not(None),
            chosen,
        )
        .order_by(_ours.c.number)
        .with_for_update()
    ).all()


def _expiries(connection: Connection, rows: Sequence[Any]) -> dict[int, Ending]:
    """Return number -> ending of each attempt whose lease is over. See the state machine in `schema`."""
    if not rows:
        return {}
    lives, alone = workers.lives(connection), _single_lease_workers(connection, rows)
    endings = {}
    for row in rows:
        if lives_on(lives.get(row.worker), until_s=row.lease_until):
            endings[row.number] = Ending(why=WORKER_LIVES, kind=SUPERSEDED, crashed=False)
        elif is_lost(row.worker, until_s=row.lease_until, registry=lives):
            endings[row.number] = Ending(why=LEASE_EXPIRED, kind=LOST, crashed=row.worker in alone)
        else:
            fails = row.worker in alone and _expired_before(connection, row) + 1 >= EXPIRIES_MAX
            endings[row.number] = Ending(why=LEASE_EXPIRED, kind=EXPIRED, crashed=fails, fails=fails)
    return endings


def _single_lease_workers(connection: Connection, rows: Sequence[Any]) -> set[str]:
    """Return those of the rows' workers that hold exactly one lease over all studies."""
    names = {row.worker for row in rows}
    held_by = (
        select(_ours.c.worker)
        .where(_ours.c.worker.in_(names), _ours.c.lease_until.is_not(None))
        .group_by(_ours.c.worker)
        .having(func.count() == 1)
    )
    return set(connection.execute(held_by).scalars())


def _expired_before(connection: Connection, row: Any) -> int:
    """Return the number of attempts at a trial that ended with an expired lease."""
    return connection.execute(
        select(func.count()).where(
            _attempts.c.study_key == row.study_key,
            _attempts.c.number == row.number,
            _attempts.c.kind.in_((LOST, EXPIRED)),
        )
    ).scalar_one()


def take_back(
    connection: Connection, locked: LockedStudy, rows: Sequence[Any], endings: Mapping[int, Ending]
) -> list[int]:
    """End the leases of trials (number -> ending): back to waiting, or failed with their third worker."""
    # A trial that another Optuna client ended in the meantime is unchanged; one that it set waiting had started anyway.
    running = [row for row in rows if row.state in (RUNNING, WAITING)]
    _end_leases(connection, locked, [row for row in rows if row.state not in (RUNNING, WAITING)])
    lost = _lost_with(connection, locked, [row for row in running if endings[row.number].crashed])
    write_rows(connection, _attempts, _history(locked, running, endings))
    for crashed in (False, True):
        these = [row for row in running if endings[row.number].crashed is crashed]
        _reset(connection, locked, these, crashed=crashed)
    last = {n for n, count in lost.items() if count >= CRASHES_MAX or endings[n].fails}
    _set_waiting(connection, [row for row in running if row.number not in last])
    _fail(connection, locked, [row for row in running if row.number in last], endings, lost)
    return [row.number for row in running]


def _lost_with(connection: Connection, locked: LockedStudy, rows: Sequence[Any]) -> dict[int, int]:
    """Return number -> count of lost workers, for trials whose present worker is lost too and counts.

    Lost workers that held other trials too count from now on.
    """
    lost = {row.number: row.crashes + 1 for row in rows}
    if not lost:
        return {}
    with_others = connection.execute(
        select(_attempts.c.number, func.count().label("workers"))
        .where(
            _attempts.c.study_key == locked.study.key,
            _attempts.c.number.in_(list(lost)),
            _attempts.c.kind == LOST,
            _attempts.c.crashed.is_(False),
        )
        .group_by(_attempts.c.number)
    )
    return lost | {row.number: lost[row.number] + row.workers for row in with_others}


def _at(locked: LockedStudy, rows: Sequence[Any]) -> Any:
    return and_(_ours.c.study_key == locked.study.key, _ours.c.number.in_([row.number for row in rows]))


def _end_leases(connection: Connection, locked: LockedStudy, rows: Sequence[Any]) -> None:
    if rows:
        connection.execute(
            update(_ours).where(_at(locked, rows)).values(lease_until=None, version=_ours.c.version + 1)
        )


def _history(locked: LockedStudy, rows: Sequence[Any], endings: Mapping[int, Ending]) -> list[dict[str, Any]]:
    """Return the rows of attempts that end, an expired one at the end of its lease: no worker has trained it since."""
    return [
        {
            "study_key": locked.study.key,
            "number": row.number,
            "attempt": row.attempt,
            "worker": row.worker,
            "why": endings[row.number].why,
            "crashed": endings[row.number].crashed,
            "epochs": row.epochs,
            "ended": min(locked.now_s, row.lease_until),
            "started": epoch_s(row.datetime_start),
            "kind": endings[row.number].kind,
        }
        for row in rows
    ]


def epoch_s(started: datetime | None) -> float | None:
    """Return one of Optuna's times, naive and in UTC, as seconds since 1970-01-01 UTC."""
    return None if started is None else started.replace(tzinfo=UTC).timestamp()


def _reset(connection: Connection, locked: LockedStudy, rows: Sequence[Any], *, crashed: bool) -> None:
    """Reset trials to their untrained state; parameters are kept."""
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
            crashes=_ours.c.crashes + int(crashed),
            epochs=0,
            steps=0,
            reported=-1,
            version=_ours.c.version + 1,
        )
    )


def _set_waiting(connection: Connection, rows: Sequence[Any]) -> None:
    """Set trials waiting again."""
    if rows:
        connection.execute(
            update(_theirs)
            .where(_theirs.c.trial_id.in_([row.trial_id for row in rows]))
            .values(state=WAITING, datetime_start=None)
        )


def _fail(
    connection: Connection,
    locked: LockedStudy,
    rows: Sequence[Any],
    endings: Mapping[int, Ending],
    lost: Mapping[int, int],
) -> None:
    """End trials that took too many workers down, with the finding worker_lost."""
    for row in rows:
        connection.execute(
            update(_theirs)
            .where(_theirs.c.trial_id == row.trial_id)
            .values(state=FAIL, datetime_complete=naive_utc(locked.now_s))
        )
        ending = endings[row.number]
        count = _expired_before(connection, row) if ending.fails else lost[row.number]
        finding = _worker_lost(count, ending.why)
        connection.execute(
            update(_ours)
            .where(_at(locked, [row]))
            .values(worker=row.worker, verdict=finding.cause.value, finding=pack_finding(finding))
        )
        end = {"verdict": finding.cause.value, "epochs": 0, "worker": row.worker}
        write_attributes(connection, optuna_schema.trial_user_attributes, {row.trial_id: end})


def _worker_lost(count: int, why: str) -> Finding:
    return Finding(
        cause=Cause.WORKER_LOST,
        confidence=1.0,
        first_step=0,
        evidence={"workers_lost": float(count)},
        remedy=f"each of its workers was lost, the last one because: {why}; "
        "find what ends them, such as a lack of memory, or leave this configuration out",
    )
