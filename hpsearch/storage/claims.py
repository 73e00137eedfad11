"""Claims: the transfer of trials from the budget to a worker. See the state machine in `schema`.

Each function runs inside its caller's transaction, on a study that the transaction has locked.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import Connection, and_, bindparam, case, delete, func, select, update

from hpsearch.storage import foreign_trials, optuna_schema, schema, workers
from hpsearch.storage.clock import naive_utc
from hpsearch.storage.details import params_of, system_attributes_of
from hpsearch.storage.leases import IS_SUSPECT, SUPERSEDED, Ending, held, release_all, renew
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING, STATES, WAITING
from hpsearch.storage.records import ClaimedTrial
from hpsearch.storage.statements import DriverStatement, insert_returning, insert_rows
from hpsearch.storage.stored_values import shown_value
from hpsearch.storage.studies import LockedStudy
from hpsearch.trials import ParameterValue

_SETTLE_STEP: Final = 500
"""Number of consecutive ended trials that are folded into the cached counts at once."""

FAILED_SHARE: Final = 10
FAILED_LEAST: Final = 3
"""A study stops once a tenth of its budget has failed, or three trials if the budget is small."""

_SET_WAITING: Final = Ending(
    why="another Optuna client set the trial waiting", kind=SUPERSEDED, crashed=False
)

_ours = schema.trials
_theirs = optuna_schema.trials


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The number of a study's trials in each of Optuna's states, and the end of its trial numbers."""

    counts: Mapping[str, int]
    last_trial_id: int
    next_number: int

    def of(self, *states: str) -> int:
        """Return the number of trials in any of `states`."""
        return sum(self.counts.get(state, 0) for state in states)


def failed_limit(budget: int) -> int:
    """Return the number of failed trials that stop a study of that budget."""
    return max(FAILED_LEAST, budget // FAILED_SHARE)


def enough_for(failed: int) -> int:
    """Return the smallest budget that this number of failed trials, three or more, does not stop."""
    return FAILED_SHARE * (failed + 1)


def claim(
    connection: Connection, locked: LockedStudy, *, worker: str, count: int, lease_s: float
) -> list[ClaimedTrial]:
    """Take up to `count` trials out of the budget, waiting ones first, and return them by number.

    A suspect is claimed last, and alone, by a worker that holds nothing.
    """
    standing = _standing(connection, locked)
    left = locked.budget - standing.of(COMPLETE, PRUNED, RUNNING)
    if left < count and standing.of(RUNNING):
        left += foreign_trials.silent(connection, locked)
    stops = locked.stopped is not None or standing.of(FAIL) >= failed_limit(locked.budget)
    if stops or min(left, count) <= 0:
        return []
    # A lease is measured from the time its worker was last seen, and the worker is asking for one now.
    if workers.appear(connection, worker, lease_s=lease_s):
        # Its older leases would last longer by the time that the clock was set back.
        renew(connection, worker=worker, lease_s=lease_s)
    lease = _Lease(token=secrets.randbits(62), worker=worker, until_s=locked.now_s + lease_s)
    waits = standing.of(WAITING) > 0
    suspects = _suspects(connection, locked) if waits else []
    waiting = _take_waiting(connection, locked, lease, min(left, count), but=suspects) if waits else []
    # Every suspect keeps its place in the budget, so that none is left over at the end.
    more = min(count, left - len(suspects)) - len(waiting)
    taken = waiting + _take_new(connection, locked, lease, standing, count=more)
    if taken or not suspects or held(connection, locked.study.key, worker=worker):
        return taken
    return _take(connection, locked, lease, suspects[:1])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Lease:
    """The values that one claim writes to each of its trials."""

    token: int
    worker: str
    until_s: float

    @property
    def columns(self) -> dict[str, Any]:
        return {"token": self.token, "worker": self.worker, "lease_until": self.until_s}


_UNFINISHED: Final = _theirs.c.state.in_((WAITING, RUNNING))

# One row of sums: grouping by state would sort first, which takes longer than counting.
_COUNTS: Final = DriverStatement(
    select(
        *(func.count(case((_theirs.c.state == state, 1))).label(state) for state in STATES),
        func.max(_theirs.c.trial_id).label("last_trial_id"),
        func.max(_theirs.c.number).label("last_number"),
        func.min(case((_UNFINISHED, _theirs.c.trial_id))).label("first_unfinished_id"),
        func.min(case((_UNFINISHED, _theirs.c.number))).label("first_unfinished_number"),
    ).where(_theirs.c.study_id == bindparam("study_id"), _theirs.c.trial_id > bindparam("settled"))
)


def _standing(connection: Connection, locked: LockedStudy) -> Standing:
    """Count the trials, reading only those that are not settled, and settle more if that pays."""
    at = {"study_id": locked.study.study_id, "settled": locked.settled_trial_id}
    (row,) = _COUNTS.named(connection, at)
    if row.last_trial_id is None:
        settled = sum(locked.settled.values())
        return Standing(counts=locked.settled, last_trial_id=locked.settled_trial_id, next_number=settled)
    standing = Standing(
        counts={state: locked.settled.get(state, 0) + getattr(row, state) for state in STATES},
        last_trial_id=row.last_trial_id,
        next_number=row.last_number + 1,
    )
    _settle(connection, locked, standing, row)
    return standing


def _settle(connection: Connection, locked: LockedStudy, standing: Standing, row: Any) -> None:
    """Fold the trials that precede the first unfinished one into the cached counts, once there are enough."""
    everything = standing.next_number, standing.last_trial_id + 1
    has_unfinished = row.first_unfinished_id is not None
    end, first_trial_id = (
        (row.first_unfinished_number, row.first_unfinished_id) if has_unfinished else everything
    )
    if end - sum(locked.settled.values()) < _SETTLE_STEP:
        return
    rows = connection.execute(
        select(_theirs.c.state, func.count().label("trials"), func.max(_theirs.c.trial_id).label("last"))
        .where(
            _theirs.c.study_id == locked.study.study_id,
            _theirs.c.trial_id > locked.settled_trial_id,
            _theirs.c.trial_id < first_trial_id,
        )
        .group_by(_theirs.c.state)
    ).all()
    more = {row.state: row.trials for row in rows}
    studies = schema.studies
    connection.execute(
        update(studies)
        .where(studies.c.study_key == locked.study.key)
        .values(
            settled_trial_id=max(row.last for row in rows),
            settled_complete=locked.settled[COMPLETE] + more.get(COMPLETE, 0),
            settled_pruned=locked.settled[PRUNED] + more.get(PRUNED, 0),
            settled_failed=locked.settled[FAIL] + more.get(FAIL, 0),
        )
    )


def _suspects(connection: Connection, locked: LockedStudy) -> list[int]:
    """Return the ids of the waiting trials that may have taken workers down, those with the fewest lost workers first.

    Of equals, those with the fewest attempts come first.
    """
    rows = connection.execute(
        select(_theirs.c.trial_id)
        .join(_ours, and_(_ours.c.study_key == locked.study.key, _ours.c.number == _theirs.c.number))
        .where(
            _theirs.c.study_id == locked.study.study_id,
            _theirs.c.trial_id > locked.settled_trial_id,
            _theirs.c.state == WAITING,
            IS_SUSPECT,
        )
        .order_by(_ours.c.crashes, _ours.c.attempt, _theirs.c.number)
    )
    return list(rows.scalars())


def _take_waiting(
    connection: Connection, locked: LockedStudy, lease: _Lease, count: int, *, but: Sequence[int]
) -> list[ClaimedTrial]:
    """Mark the waiting trials with the lowest numbers, except the ids in `but`, as running under `lease`."""
    candidates = connection.execute(
        select(_theirs.c.trial_id)
        .where(
            _theirs.c.study_id == locked.study.study_id,
            _theirs.c.trial_id > locked.settled_trial_id,
            _theirs.c.state == WAITING,
            _theirs.c.trial_id.not_in(list(but)),
        )
        .order_by(_theirs.c.number)
        .limit(count)
    ).scalars()
    return _take(connection, locked, lease, candidates.all())


def _take(
    connection: Connection, locked: LockedStudy, lease: _Lease, trial_ids: Sequence[int]
) -> list[ClaimedTrial]:
    """Mark those of the trials that are still waiting as running under `lease`."""
    # Another Optuna client takes a waiting trial by locking only its row, so query again under that lock.
    rows = connection.execute(
        select(_theirs.c.trial_id, _theirs.c.number)
        .where(_theirs.c.trial_id.in_(list(trial_ids)), _theirs.c.state == WAITING)
        .order_by(_theirs.c.number)
        .with_for_update()
    ).all()
    numbers = {row.trial_id: row.number for row in rows}
    if not numbers:
        return []
    release_all(connection, locked, numbers=numbers.values(), ending=_SET_WAITING)
    _forget_results(connection, list(numbers))
    connection.execute(
        update(_theirs)
        .where(_theirs.c.trial_id.in_(list(numbers)))
        .values(state=RUNNING, datetime_start=naive_utc(locked.now_s))
    )
    # A heartbeat of another client from an earlier run would make that client fail the trial as stale.
    heartbeats = optuna_schema.trial_heartbeats
    connection.execute(delete(heartbeats).where(heartbeats.c.trial_id.in_(list(numbers))))
    past = _lease_again(connection, locked, lease, numbers)
    return _claims(connection, locked, lease, numbers, past=past)


def _forget_results(connection: Connection, trial_ids: Sequence[int]) -> None:
    """Delete the reports of other Optuna clients on waiting trials: an attempt starts without results."""
    for table in (optuna_schema.trial_intermediate_values, optuna_schema.trial_values):
        connection.execute(delete(table).where(table.c.trial_id.in_(trial_ids)))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Past:
    """Counts of a trial's attempts: all of them, including this one, and those that lost their worker."""

    attempt: int = 1
    crashes: int = 0
    is_suspect: bool = False


def _lease_again(
    connection: Connection, locked: LockedStudy, lease: _Lease, numbers: Mapping[int, int]
) -> dict[int, _Past]:
    """Write the lease of waiting trials (trial_id -> number); return number -> past."""
    at = and_(_ours.c.study_key == locked.study.key, _ours.c.number.in_(list(numbers.values())))
    known = {
        row.number: _Past(attempt=row.attempt + 1, crashes=row.crashes, is_suspect=bool(row.is_suspect))
        for row in connection.execute(
            select(_ours.c.number, _ours.c.attempt, _ours.c.crashes, IS_SUSPECT.label("is_suspect")).where(at)
        )
    }
    if known:
        connection.execute(
            update(_ours)
            .where(at)
            .values(attempt=_ours.c.attempt + 1, version=_ours.c.version + 1, **lease.columns)
        )
    enqueued = {trial_id: number for trial_id, number in numbers.items() if number not in known}
    _lease_first(connection, locked, lease, enqueued)
    return known | dict.fromkeys(enqueued.values(), _Past())


def _claims(
    connection: Connection,
    locked: LockedStudy,
    lease: _Lease,
    numbers: Mapping[int, int],
    *,
    past: Mapping[int, _Past],
) -> list[ClaimedTrial]:
    """Return the claims of waiting trials, with their stored or requested parameters."""
    params = params_of(connection, locked.study.study_id, list(numbers))
    attributes = system_attributes_of(connection, locked.study.study_id, list(numbers))
    searched = {dimension.name for dimension in locked.study.spec.search}
    claims = []
    for trial_id, number in numbers.items():
        stored: Mapping[str, ParameterValue] = params.get(trial_id, {})
        asked, ignored = _asked(attributes.get(trial_id, {}).get("fixed_params", {}))
        whole = searched <= set(stored)
        claims.append(
            ClaimedTrial(
                number=number,
                trial_id=trial_id,
                token=lease.token,
                attempt=past[number].attempt,
                crashes=past[number].crashes,
                is_suspect=past[number].is_suspect,
                params=stored if whole else None,
                fixed={} if whole else {**asked, **stored},
                ignored=None if whole else ignored,
            )
        )
    return claims


def _asked(fixed: object) -> tuple[dict[str, ParameterValue], str | None]:
    """Return an enqueued trial's requested values, and those ignored because no parameter can have them.

    Any client may write anything there, and one trial's request must not break all claims.
    """
    if not isinstance(fixed, dict):
        return {}, f"fixed_params: must be a JSON object (got {shown_value(fixed)}): all is sampled"
    asked = {name: value for name, value in fixed.items() if isinstance(value, float | int | str)}
    others = [f"{name} = {shown_value(value)}" for name, value in fixed.items() if name not in asked]
    if not others:
        return asked, None
    return (
        asked,
        f"fixed_params: must hold numbers, texts and flags (got {', '.join(others)}): these are sampled",
    )


_MADE: Final = DriverStatement(
    select(_theirs.c.trial_id, _theirs.c.number)
    .where(
        _theirs.c.study_id == bindparam("study_id"),
        _theirs.c.trial_id > bindparam("last_trial_id"),
        _theirs.c.number >= bindparam("first"),
    )
    .order_by(_theirs.c.number)
)


def _take_new(
    connection: Connection, locked: LockedStudy, lease: _Lease, standing: Standing, *, count: int
) -> list[ClaimedTrial]:
    """Create `count` trials with the next numbers, running under `lease`."""
    if count <= 0:
        return []
    first = standing.next_number
    row = {
        "study_id": locked.study.study_id,
        "state": RUNNING,
        "datetime_start": naive_utc(locked.now_s),
    }
    rows = [{**row, "number": first + i} for i in range(count)]
    made = insert_returning(connection, _theirs, rows, columns=("trial_id", "number"))
    if made is None:
        at = {"study_id": locked.study.study_id, "last_trial_id": standing.last_trial_id, "first": first}
        made = _MADE.rows(connection, at)
    numbers: dict[int, int] = {row[0]: row[1] for row in sorted(made, key=lambda row: row[1])}
    _lease_first(connection, locked, lease, numbers)
    return [
        ClaimedTrial(number=number, trial_id=trial_id, token=lease.token, attempt=1)
        for trial_id, number in numbers.items()
    ]


def _lease_first(
    connection: Connection, locked: LockedStudy, lease: _Lease, numbers: Mapping[int, int]
) -> None:
    """Write our rows of trials (trial_id -> number) that do not have one yet."""
    row = {
        "study_key": locked.study.key,
        "attempt": 1,
        "crashes": 0,
        "epochs": 0,
        "steps": 0,
        "reported": -1,
        "version": 1,
        **lease.columns,
    }
    insert_rows(
        connection,
        _ours,
        [{**row, "trial_id": trial_id, "number": number} for trial_id, number in numbers.items()],
    )
