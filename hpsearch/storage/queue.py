"""The queue: transfers trials from the budget to a worker, and takes them back. See the state machine in `schema`.

Each function runs inside its caller's transaction, on a study that the transaction has locked.
"""

import contextlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import Connection, Integer, and_, bindparam, case, delete, func, insert, select, update

from hpsearch.errors import StorageReadOnlyError, StudyNotFoundError
from hpsearch.storage import foreign_trials, leases, optuna_schema, progress, schema, workers
from hpsearch.storage.clock import naive_utc
from hpsearch.storage.details import params_of, system_attributes_of, write_attributes
from hpsearch.storage.engine import Transactions
from hpsearch.storage.expiry import Watch
from hpsearch.storage.leases import CRASHED, HANDED_BACK, IS_SUSPECT, SUPERSEDED, Ending
from hpsearch.storage.limits import standings
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING, STATES, WAITING
from hpsearch.storage.orphans import sweep_orphans
from hpsearch.storage.progress import failed_limit
from hpsearch.storage.records import Beat, ClaimedTrial, Opening, StoredStudy, UnreadableStudy, WorkerIdentity
from hpsearch.storage.statements import DriverStatement, write_rows
from hpsearch.storage.stored_studies import LockedStudy, change, lock, readable_studies, refuse
from hpsearch.storage.stored_values import shown_value
from hpsearch.study.conditions import missing_names
from hpsearch.trials import FIXED, ParameterValue

_SETTLE_STEP: Final = 128
"""Number of consecutive ended trials that are folded into the cached counts at once.

Each claim counts the trials after those, which takes PostgreSQL 0.5 us each; folding takes it 0.5 ms.
"""

_SET_WAITING: Final = Ending(
    why="another Optuna client set the trial waiting", kind=SUPERSEDED, crashed=False
)

_ours = schema.trials
_theirs = optuna_schema.trials


@final
class Queue:
    """The budgets of all studies as a queue of trials: claims, leases and heartbeats. Threads may share it.

    Methods that take a study raise StudyNotFoundError if it was deleted, and those that write raise ForeignStudyError
    for a study of another Optuna client.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._watch = Watch()

    def claim(self, study: StoredStudy, *, worker: str, count: int, lease_s: float) -> list[ClaimedTrial]:
        """Take up to `count` trials out of the budget for `worker`, and return them by number.

        Waiting trials come first, then new ones, then suspects. A suspect is claimed alone, by a worker that holds
        nothing, which must not claim again until it ended. Complete, pruned and running trials count against the
        budget, and a claim never exceeds the rest. It is empty if the budget is spent, or the study is stopped or at
        one of its limits; `Studies.progress` shows which. The leases expire `lease_s` seconds from now unless they are
        renewed.
        """
        refuse(study)
        for one_try, transaction in self._transactions.write_tries(durable=False, study_id=study.study_id):
            with one_try, transaction as connection:
                locked = lock(connection, study)
                if locked.has_expired:
                    expired = leases.over(connection, self._watch, study.key)
                    leases.sweep(connection, locked, expired.get(study.key, {}))
                standing = _trial_counts(connection, locked)
                left = _budget_left(connection, locked, standing, count=count)
                taken: list[ClaimedTrial] = []
                if min(left, count) > 0:
                    # A lease is measured from the time its worker was last seen, and the worker asks for one now.
                    if workers.appear(connection, worker, lease_s=lease_s):
                        # Its older leases would last longer by the time that the clock was set back.
                        leases.renew(connection, worker=worker, lease_s=lease_s)
                    lease = _Lease(token=secrets.randbits(62), worker=worker, until_s=locked.now_s + lease_s)
                    waits = standing.of(WAITING) > 0
                    suspects = _suspects(connection, locked) if waits else []
                    waiting = _waiting(connection, locked, min(left, count), but=suspects) if waits else []
                    taken = _take(connection, locked, lease, waiting)
                    # Every suspect keeps its place in the budget, so that none is left over at the end.
                    more = min(count, left - len(suspects)) - len(taken)
                    taken += _take_new(connection, locked, lease, standing, count=more)
                    if suspects and not taken and not leases.held(connection, study.key, worker=worker):
                        taken = _take(connection, locked, lease, suspects[:1])
        return taken

    def enqueue(self, study: StoredStudy, asked: Sequence[Mapping[str, ParameterValue]]) -> list[int]:
        """Create a waiting trial for each of `asked`, to precede all new ones; return their numbers.

        Missing parameters are sampled. The trials count against the budget: beyond it they wait until it is raised.
        """
        for one_try, transaction in self._transactions.write_tries(durable=True):
            with one_try, transaction as connection:
                lock(connection, study)
                numbers = write_waiting(connection, study.study_id, asked)
        return numbers

    def held(self, study: StoredStudy, *, worker: str) -> list[int]:
        """Return the numbers of the running trials that the worker holds leases on."""
        return self._transactions.read(leases.held, study.key, worker=worker)

    def beat(
        self, identity: WorkerIdentity, *, lease_s: float, tokens: Collection[int] | None = None
    ) -> Beat:
        """Record that the worker is alive and renew its leases; return whether it was asked to stop.

        With `tokens`, renew only the leases of those claims. Trials that the database assigns to the worker but the
        worker does not hold return to the budget when their leases expire.
        """
        if self._transactions.address.family == "postgresql":
            for one_try, single in self._transactions.single_tries():
                with one_try, single as connection:
                    beat = leases.beat_in_one_statement(
                        connection, identity.name, lease_s=lease_s, tokens=tokens
                    )
            if beat is not None:
                return beat
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                should_stop = workers.beat(connection, identity, lease_s=lease_s)
                renewed = leases.renew(connection, worker=identity.name, lease_s=lease_s, tokens=tokens)
        return Beat(leases=renewed, should_stop=should_stop)

    def release(
        self, study: StoredStudy, *, worker: str, numbers: Sequence[int] | None, why: str, crashed: bool
    ) -> list[int]:
        """Hand back the worker's running trials, all of them if `numbers` is None; return their numbers.

        They wait under the same number with the same parameters, and the epochs that they began count as lost. With
        `crashed`, this counts against the trial: after three crashes it fails with `worker_lost`.
        """
        ending = Ending(why=why, kind=CRASHED if crashed else HANDED_BACK, crashed=crashed)
        for one_try, transaction in self._transactions.write_tries(durable=True):
            with one_try, transaction as connection:
                locked = lock(connection, study)
                rows = leases.held_by(connection, locked, worker=worker, numbers=numbers)
                endings = dict.fromkeys([row.number for row in rows], ending)
                returned = leases.take_back(connection, locked, rows, endings)
        return returned

    def fail(self, study: StoredStudy, number: int) -> bool:
        """Fail a trial that another Optuna client runs, or that waits; return False if it had already failed.

        Raises HpsearchError if a worker of ours trains the trial or it has finished, and TrialNotFoundError.
        """
        self.sweep(study)
        return change(self._transactions, study, foreign_trials.fail, number)

    def retry(self, study: StoredStudy, number: int) -> foreign_trials.Retried:
        """Let our workers train another Optuna client's running trial, or a failed one's parameters as a new trial.

        Return the waiting trial. Raises HpsearchError if a worker of ours trains the trial or it has finished, and
        TrialNotFoundError.
        """
        self.sweep(study)
        return change(self._transactions, study, foreign_trials.retry, number)

    def sweep(self, study: StoredStudy, *, living: Collection[str] = ()) -> list[int]:
        """Set trials waiting again if their lease is over; return their numbers.

        An expired lease is over once this queue has seen it unchanged for a while (see `schema`), which takes several
        calls. Leases of workers in `living` never are. A read-only database leaves sweeping to others.
        """
        if study.foreign is not None:
            return []
        found = self._transactions.read(leases.over, self._watch, study.key)
        return self._sweep(study, found[study.key], living) if found else []

    def sweep_all(self) -> None:
        """If the database may be written, set trials of all studies waiting again if their lease is over."""
        if not self._transactions.has_ours:
            return
        found = self._transactions.read(leases.over, self._watch)
        for study in self._transactions.read(readable_studies) if found else ():
            if study.key in found:
                with contextlib.suppress(StudyNotFoundError):  # deleted in the meantime
                    self._sweep(study, found[study.key], ())

    def _sweep(self, study: StoredStudy, ends: Mapping[int, float], living: Collection[str]) -> list[int]:
        with contextlib.suppress(StorageReadOnlyError):
            return change(self._transactions, study, leases.sweep, ends, but=living)
        return []

    def opening(self, study: StoredStudy) -> Opening:
        """Return the study's remaining work, after sweeping leases that are over if the database may be written.

        Raises StudyUnreadableError if this version cannot read the study.
        """
        over, found = self._transactions.read(_opening, self._watch, study)
        if over:
            self._sweep(study, over, ())
            found = self._transactions.read(progress.opening, study)
        foreign_trials.store_all_marks(self._transactions, found.foreign)
        return found

    def openings(self, *, above: StoredStudy | None = None) -> list[Opening]:
        """Return the remaining work of all studies, or of those with a priority higher than `above`.

        Studies of higher priority come first, and of equals the older ones; unreadable studies are left out. If the
        database may be written, first sweep leases that are over and follow studies that other Optuna clients renamed.
        """
        return self.openings_and_unreadable(above=above)[0]

    def openings_and_unreadable(
        self, *, above: StoredStudy | None = None
    ) -> tuple[list[Opening], list[UnreadableStudy]]:
        """Return the result of `openings`, and the studies that cannot be read."""
        sweep_orphans(self._transactions)
        self.sweep_all()
        found, unreadable = self._transactions.read(progress.openings_and_unreadable, above=above)
        foreign_trials.store_all_marks(
            self._transactions, [one for opening in found for one in opening.foreign]
        )
        return found, unreadable


def _opening(connection: Connection, watch: Watch, study: StoredStudy) -> tuple[Mapping[int, float], Opening]:
    """Return the leases of a study that are over (token -> end), and its remaining work before they are swept."""
    found = progress.opening(connection, study)
    return leases.over(connection, watch, study.key).get(study.key, {}), found


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCounts:
    """The number of a study's trials in each of Optuna's states, and the end of its trial numbers."""

    counts: Mapping[str, int]
    last_trial_id: int
    next_number: int

    def of(self, *states: str) -> int:
        """Return the number of trials in any of `states`."""
        return sum(self.counts.get(state, 0) for state in states)


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


def _trial_counts(connection: Connection, locked: LockedStudy) -> TrialCounts:
    """Count the trials, reading only those that are not settled, and settle more if that pays."""
    at = {"study_id": locked.study.study_id, "settled": locked.settled_trial_id}
    (row,) = _COUNTS.named(connection, at)
    if row.last_trial_id is None:
        settled = sum(locked.settled.values())
        return TrialCounts(counts=locked.settled, last_trial_id=locked.settled_trial_id, next_number=settled)
    standing = TrialCounts(
        counts={state: locked.settled.get(state, 0) + getattr(row, state) for state in STATES},
        last_trial_id=row.last_trial_id,
        next_number=row.last_number + 1,
    )
    _settle(connection, locked, standing, row)
    return standing


def _settle(connection: Connection, locked: LockedStudy, standing: TrialCounts, row: Any) -> None:
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


def _budget_left(connection: Connection, locked: LockedStudy, standing: TrialCounts, *, count: int) -> int:
    """Return how many trials the budget has left, 0 if the study is stopped or at a limit; exact below `count`."""
    left = locked.budget - standing.of(COMPLETE, PRUNED, RUNNING)
    if left < count and standing.of(RUNNING):
        left += foreign_trials.count_silent(connection, locked)
    most = failed_limit(locked.budget, has_objective=locked.study.spec.objective is not None)
    stops = locked.stopped is not None or standing.of(FAIL) >= most
    if left <= 0 or stops:
        return 0
    reached = (limit.is_reached for limit in standings(connection, locked.study, locked.limits))
    return 0 if any(reached) else left


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


def _waiting(connection: Connection, locked: LockedStudy, count: int, *, but: Sequence[int]) -> list[int]:
    """Return the ids of the waiting trials with the lowest numbers, except those in `but`."""
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
    return list(candidates)


def _take(
    connection: Connection, locked: LockedStudy, lease: _Lease, trial_ids: Sequence[int]
) -> list[ClaimedTrial]:
    """Mark those of the trials that are still waiting as running under `lease`."""
    if not trial_ids:
        return []
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
    leases.release_all(connection, locked, numbers=numbers.values(), ending=_SET_WAITING)
    # Other Optuna clients may have reported on a waiting trial: an attempt starts without results.
    for table in (optuna_schema.trial_intermediate_values, optuna_schema.trial_values):
        connection.execute(delete(table).where(table.c.trial_id.in_(list(numbers))))
    connection.execute(
        update(_theirs)
        .where(_theirs.c.trial_id.in_(list(numbers)))
        .values(state=RUNNING, datetime_start=naive_utc(locked.now_s))
    )
    # A heartbeat of another client from an earlier run would make that client fail the trial as stale.
    heartbeats = optuna_schema.trial_heartbeats
    connection.execute(delete(heartbeats).where(heartbeats.c.trial_id.in_(list(numbers))))
    past = _lease_again(connection, locked, lease, numbers)
    enqueued = {trial_id: number for trial_id, number in numbers.items() if number not in past}
    write_rows(connection, _ours, _first_leases(locked, lease, enqueued))
    past |= dict.fromkeys(enqueued.values(), _AttemptCounts())
    return _claims(connection, locked, lease, numbers, past=past)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _AttemptCounts:
    """Counts of a trial's attempts: all of them, including this one, and those that lost their worker."""

    attempt: int = 1
    crashes: int = 0
    is_suspect: bool = False


def _lease_again(
    connection: Connection, locked: LockedStudy, lease: _Lease, numbers: Mapping[int, int]
) -> dict[int, _AttemptCounts]:
    """Write the lease of waiting trials (trial_id -> number) that were claimed before; return number -> past."""
    at = and_(_ours.c.study_key == locked.study.key, _ours.c.number.in_(list(numbers.values())))
    known = {
        row.number: _AttemptCounts(
            attempt=row.attempt + 1, crashes=row.crashes, is_suspect=bool(row.is_suspect)
        )
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
    return known


def _claims(
    connection: Connection,
    locked: LockedStudy,
    lease: _Lease,
    numbers: Mapping[int, int],
    *,
    past: Mapping[int, _AttemptCounts],
) -> list[ClaimedTrial]:
    """Return the claims of waiting trials, with their stored or requested parameters."""
    params = params_of(connection, locked.study.study_id, list(numbers))
    attributes = system_attributes_of(connection, locked.study.study_id, list(numbers))
    spec = locked.study.spec
    claims = []
    for trial_id, number in numbers.items():
        stored: Mapping[str, ParameterValue] = params.get(trial_id, {})
        asked, ignored = _requested_values(attributes.get(trial_id, {}).get("fixed_params", {}))
        whole = not missing_names(spec.search, stored)
        claims.append(
            ClaimedTrial(
                number=number,
                trial_id=trial_id,
                token=lease.token,
                attempt=past[number].attempt,
                crashes=past[number].crashes,
                is_suspect=past[number].is_suspect,
                params=stored if whole else None,
                fixed={} if whole and spec.objective is None else {**asked, **stored},
                ignored=None if whole else ignored,
            )
        )
    return claims


def _requested_values(fixed: object) -> tuple[dict[str, ParameterValue], str | None]:
    """Return an enqueued trial's requested values, and those ignored because no parameter can have them.

    Any client may write anything there, and one trial's request must not break all claims.
    """
    if not isinstance(fixed, dict):
        return {}, f"fixed_params: must be a JSON object (got {shown_value(fixed)}): all is sampled"
    asked = {name: value for name, value in fixed.items() if isinstance(value, float | int | str | None)}
    others = [f"{name} = {shown_value(value)}" for name, value in fixed.items() if name not in asked]
    if not others:
        return asked, None
    return (
        asked,
        f"fixed_params: must hold numbers, texts, flags and null (got {', '.join(others)}): these are sampled",
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
    connection: Connection, locked: LockedStudy, lease: _Lease, standing: TrialCounts, *, count: int
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
    if connection.dialect.name == "postgresql":
        values = {f"new_{name}": value for name, value in {**row, **_first_lease(locked, lease)}.items()}
        made = _INSERT_NEW.rows(connection, {**values, "first": first, "last": first + count - 1})
    else:
        write_rows(connection, _theirs, [{**row, "number": first + i} for i in range(count)])
        at = {"study_id": locked.study.study_id, "last_trial_id": standing.last_trial_id, "first": first}
        made = _MADE.rows(connection, at)
        write_rows(connection, _ours, _first_leases(locked, lease, {row[0]: row[1] for row in made}))
    return [
        ClaimedTrial(number=number, trial_id=trial_id, token=lease.token, attempt=1)
        for trial_id, number in made
    ]


def _insertion_of_new() -> DriverStatement:
    """Return PostgreSQL's insert of new trials and their leases, which yields their ids and numbers."""
    numbers = func.generate_series(bindparam("first", type_=Integer()), bindparam("last", type_=Integer()))
    number = numbers.column_valued("number")
    theirs = {
        name: bindparam(f"new_{name}", type_=_theirs.c[name].type)
        for name in ("study_id", "state", "datetime_start")
    }
    made = (
        insert(_theirs)
        .from_select([*theirs, "number"], select(*theirs.values(), number).order_by(number))
        .returning(_theirs.c.trial_id, _theirs.c.number)
        .cte("made")
    )
    ours = {name: bindparam(f"new_{name}", type_=_ours.c[name].type) for name in _FIRST_LEASE}
    leased = (
        insert(_ours)
        .from_select([*ours, "trial_id", "number"], select(*ours.values(), made.c.trial_id, made.c.number))
        .cte("leased")
    )
    return DriverStatement(select(made.c.trial_id, made.c.number).order_by(made.c.number).add_cte(leased))


_FIRST_LEASE: Final = (
    "study_key",
    "attempt",
    "crashes",
    "epochs",
    "steps",
    "reported",
    "version",
    "token",
    "worker",
    "lease_until",
)
"""Columns of our row of a trial that is claimed for the first time, except its id and number."""

_INSERT_NEW: Final = _insertion_of_new()


def _first_lease(locked: LockedStudy, lease: _Lease) -> dict[str, Any]:
    """Return the values of `_FIRST_LEASE`, which all trials of a claim share."""
    counts = {"attempt": 1, "crashes": 0, "epochs": 0, "steps": 0, "reported": -1, "version": 1}
    return {"study_key": locked.study.key, **counts, **lease.columns}


def _first_leases(locked: LockedStudy, lease: _Lease, numbers: Mapping[int, int]) -> list[dict[str, Any]]:
    """Return our rows of trials (trial_id -> number) that do not have one yet."""
    row = _first_lease(locked, lease)
    return [{**row, "trial_id": trial_id, "number": number} for trial_id, number in numbers.items()]


def write_waiting(
    connection: Connection, study_id: int, asked: Sequence[Mapping[str, ParameterValue]]
) -> list[int]:
    """Write one waiting trial of a locked or new study for each of `asked`, as Optuna's `enqueue_trial` does.

    Missing parameters are sampled. Return their numbers.
    """
    if not asked:
        return []
    mine = _theirs.c.study_id == study_id
    last = connection.execute(select(func.max(_theirs.c.number)).where(mine)).scalar_one()
    numbers = range(0 if last is None else last + 1, (0 if last is None else last + 1) + len(asked))
    write_rows(
        connection,
        _theirs,
        [{"study_id": study_id, "number": number, "state": WAITING} for number in numbers],
    )
    made = connection.execute(
        select(_theirs.c.trial_id).where(mine, _theirs.c.number >= numbers[0]).order_by(_theirs.c.number)
    ).scalars()
    attributes = {trial_id: {FIXED: dict(fixed)} for trial_id, fixed in zip(made, asked, strict=True)}
    write_attributes(connection, optuna_schema.trial_system_attributes, attributes)
    return list(numbers)
