"""Trials as records, all of a study or those that changed, and a worker's writes to the trials that it holds.

Functions run inside their caller's transaction. Writes concern only trials whose token the caller has.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import starmap
from typing import Any, Final, NamedTuple, final

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Row,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    update,
)

from hpsearch.errors import TrialNotFoundError
from hpsearch.storage import leases, optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds, naive_utc
from hpsearch.storage.details import (
    IDS_MAX,
    SPREAD_ATTRIBUTE,
    Reading,
    all_stored_parameters,
    all_values_of,
    params_of,
    reports_of,
    spreads_of,
    stored_parameter,
    system_attributes_of,
    values_of,
    write_attributes,
    write_params,
    write_reports,
    write_values,
)
from hpsearch.storage.driver_errors import CollisionError
from hpsearch.storage.engine import Transactions
from hpsearch.storage.leases import supersede
from hpsearch.storage.optuna_schema import RUNNING, STATE_NAMES, STATES, WAITING
from hpsearch.storage.payloads import (
    SERIES_FORMAT,
    pack_finding,
    pack_series,
    readable_finding,
    readable_series,
)
from hpsearch.storage.records import Assignment, Attempt, ClaimedTrial, StoredStudy, TrialOutcome, Update
from hpsearch.storage.statements import DriverStatement, RawRow, Target, Together, write_rows
from hpsearch.storage.stored_studies import check_there, searched
from hpsearch.storage.stored_values import counted, moment, whole
from hpsearch.study.ranges import spanned_range
from hpsearch.study.spec import Range
from hpsearch.telemetry import Series
from hpsearch.trials import ParameterValue, Trial, TrialState, collection_paused
from hpsearch.verdicts import Finding

_ours = schema.trials
_theirs = optuna_schema.trials
_params = optuna_schema.trial_params
_attempts = schema.attempts


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Signature:
    """Values that differ if a trial that was not final has changed."""

    state: str
    params: int | None
    version: int | None

    @property
    def is_final(self) -> bool:
        return STATES[self.state].is_final


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A reader's position in a study: an opaque value for `changes`.

    `unfinished` maps the ids of trials that were not final to their signatures: Optuna's state, the sum of the ids of
    its parameters, and our version. A trial without a row of ours has no version; it is kept whole.
    """

    last_trial_id: int = -1
    unfinished: Mapping[int, "_Signature"] = field(default_factory=dict)
    unversioned: Mapping[int, Trial] = field(default_factory=dict)


@final
class Trials:
    """The trials of all studies: as records, and the writes of the workers that hold them. Threads may share it.

    Methods that take a study raise StudyNotFoundError if it was deleted; `assign` and `record` return its trials as
    lost instead.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def all(self, study: StoredStudy) -> list[Trial]:
        """Return all trials of a study by number."""
        return self._transactions.read(trials_of, study)

    def get(self, study: StoredStudy, number: int) -> Trial:
        """Return one trial. Raises TrialNotFoundError."""
        return self._transactions.read(_trial_numbered, study, number)

    def attempts(self, study: StoredStudy, number: int) -> list[Attempt]:
        """Return the unsuccessful attempts at a trial, oldest first."""
        if study.foreign is not None:
            return []
        found = self._transactions.read(_attempts_at, study, _attempts.c.number == number)
        return found.get(number, [])

    def all_attempts(self, study: StoredStudy) -> dict[int, list[Attempt]]:
        """Return number -> unsuccessful attempts, oldest first, for the trials that have any."""
        return {} if study.foreign is not None else self._transactions.read(_attempts_at, study)

    def changes(self, study: StoredStudy, since: Mark | None) -> tuple[list[Trial], Mark]:
        """Return the trials that are new or changed since the mark, by number, and the next mark.

        The mark None stands for the beginning. If nothing has changed, this is one small query.
        """
        return self._transactions.read(_changes, study, since or Mark())

    def shown_study(self, study: StoredStudy) -> StoredStudy:
        """Return the study to show, whose search has every value that a trial may have.

        Its ranges span those before an edit, and it has the parameters that its training function asked for.
        """
        if study.edits:
            spans = {each.name: [each] for each in study.spec.search if isinstance(each, Range)}
            for edit in study.edits:
                spans[edit.before.name].insert(0, edit.before)
            search = tuple(
                spanned_range(spans[each.name]) if each.name in spans else each for each in study.spec.search
            )
            study = replace(study, spec=replace(study.spec, search=search))
        if study.spec.objective is None:
            return study
        known = {dimension.name for dimension in study.spec.search}
        found = self._transactions.read(searched, study.study_id)
        suggested = tuple(dimension for dimension in found if dimension.name not in known)
        return (
            replace(study, spec=replace(study.spec, search=study.spec.search + suggested))
            if suggested
            else study
        )

    def series(self, study: StoredStudy, numbers: Sequence[int]) -> dict[int, Series | None]:
        """Return number -> series, float32, of those trials among `numbers` that have ended with one.

        None stands for series that are damaged or written by a newer hpsearch.
        """
        return {} if study.foreign is not None else self._transactions.read(_series, study, numbers)

    def assign(self, study: StoredStudy, assignments: Sequence[Assignment]) -> frozenset[int]:
        """Store the parameters of claimed trials; the last call wins.

        Writes all trials whose token is still valid and returns the numbers of the others.
        """
        for one_try, transaction in self._transactions.write_tries(durable=False):
            with one_try, transaction as connection:
                fence = _fence(connection, study, [assignment.claim for assignment in assignments])
                supersede(
                    connection, study.key, [a.claim for a in assignments if a.claim.number in fence.lost]
                )
                held = fence.held
                # The same claim may assign again if the answer to its first try was lost: the last one wins.
                again = [one.trial_id for one in held.values() if one.has_params]
                if again:
                    connection.execute(delete(_params).where(_params.c.trial_id.in_(again)))
                rows = Together()
                kept = [(held[a.claim.number], a) for a in assignments if a.claim.number in held]
                _write_assignments(rows, study, kept)
                rows.write(connection)
        return fence.lost

    def record(self, study: StoredStudy, updates: Sequence[Update]) -> frozenset[int]:
        """Store reports and outcomes of claimed trials; values stored earlier are unchanged.

        Writes all trials whose token is still valid and returns the numbers of the others. A trial that the same claim
        has already ended is unchanged and not among them.
        """
        for entry in updates:
            _check(entry)
        is_durable = any(entry.outcome is not None for entry in updates)
        for one_try, transaction in self._transactions.write_tries(durable=is_durable):
            with one_try, transaction as connection:
                fence = _fence(connection, study, [entry.claim for entry in updates])
                supersede(connection, study.key, [e.claim for e in updates if e.claim.number in fence.lost])
                kept = [(fence.held[e.claim.number], e) for e in updates if e.claim.number in fence.held]
                # Lock Optuna's rows first: MySQL locks them for rows that refer to them, and two such locks could
                # deadlock.
                _end_trials(connection, kept)
                _keep_epochs(connection, study, kept)
                rows = Together()
                _collect(rows, study, kept)
                rows.write(connection)
        return fence.lost


@final
class _TrialRow(NamedTuple):
    """Optuna's row of a trial, and the values of ours: all None if there is none."""

    trial_id: int
    number: int
    state: str
    datetime_start: datetime | None
    datetime_complete: datetime | None
    attempt: int | None
    worker: str | None
    epochs: int | None
    steps: int | None
    finding: str | None


_TRIALS: Final = Reading(
    select(
        *(_theirs.c[name] for name in _TrialRow._fields[:5]),
        *(_ours.c[name] for name in _TrialRow._fields[5:]),
    ).select_from(
        _theirs.outerjoin(
            _ours, and_(_ours.c.study_key == bindparam("study_key"), _ours.c.number == _theirs.c.number)
        )
    ),
    _theirs,
)


_THEIRS: Final = Reading(
    select(
        *(_theirs.c[name] for name in _TrialRow._fields[:5]),
        *(null().label(name) for name in _TrialRow._fields[5:]),
    ),
    _theirs,
)
"""The same for a study that another Optuna client made: our tables are not read and may be missing."""


_BY_ID: Final = Reading(
    select(
        *(_theirs.c[name] for name in _TrialRow._fields[:5]),
        *(_ours.c[name] for name in _TrialRow._fields[5:]),
    ).select_from(
        _theirs.outerjoin(schema.studies, schema.studies.c.study_id == _theirs.c.study_id).outerjoin(
            _ours,
            and_(_ours.c.study_key == schema.studies.c.study_key, _ours.c.number == _theirs.c.number),
        )
    ),
    _theirs,
)
"""The same for trials of any studies."""


def trials_of(connection: Connection, study: StoredStudy, *, ids: Sequence[int] | None = None) -> list[Trial]:
    """Return the trials of a study by number: all, or those with these ids.

    Raises StudyNotFoundError if the study was deleted.
    """
    check_there(connection, study)
    return list(_read(connection, study, ids).values())


def _trial_numbered(connection: Connection, study: StoredStudy, number: int) -> Trial:
    check_there(connection, study)
    numbered = select(_theirs.c.trial_id).where(_theirs.c.study_id == study.study_id)
    trial_id = connection.execute(numbered.where(_theirs.c.number == number)).scalar_one_or_none()
    if trial_id is None:
        raise no_such_trial(connection, study, number)
    return _read(connection, study, [trial_id])[trial_id]


def no_such_trial(connection: Connection, study: StoredStudy, number: int) -> TrialNotFoundError:
    """Return the error for a number that the study does not have, with the existing numbers."""
    count = connection.execute(select(func.count()).where(_theirs.c.study_id == study.study_id)).scalar_one()
    have = f"they are numbered from 0 to {count - 1}" if count else "the study has none yet"
    return TrialNotFoundError(f'study "{study.spec.name}": must have the trial (got {number}): {have}')


def _attempts_at(
    connection: Connection, study: StoredStudy, *conditions: ColumnElement[bool]
) -> dict[int, list[Attempt]]:
    rows = connection.execute(
        select(_attempts)
        .where(_attempts.c.study_key == study.key, *conditions)
        .order_by(_attempts.c.number, _attempts.c.attempt)
    )
    found: dict[int, list[Attempt]] = {}
    for row in rows:
        with contextlib.suppress(ValueError):  # skip damaged rows
            found.setdefault(row.number, []).append(_attempt(row))
    return found


def _attempt(row: Row[Any]) -> Attempt:
    """Return the attempt of a row. Raises ValueError for a row that hpsearch did not write."""
    return Attempt(
        attempt=whole(row.attempt, "attempt"),
        worker=None if row.worker is None else str(row.worker),
        why=str(row.why),
        crashed=bool(row.crashed),
        epochs=max(counted(row.epochs) - counted(row.kept), 0),
        ended=moment(row.ended, "ended"),
        started=None if row.started is None else moment(row.started, "started"),
        kind=leases.kind_of(row.kind, crashed=bool(row.crashed), why=row.why),
    )


def _changes(connection: Connection, study: StoredStudy, since: Mark) -> tuple[list[Trial], Mark]:
    check_there(connection, study)
    if since.last_trial_id < 0 and not since.unfinished:
        return _beginning(connection, study)
    seen = _signatures(connection, study, since)
    moved = [
        trial_id
        for trial_id, signature in seen.items()
        if signature.version is None or since.unfinished.get(trial_id) != signature
    ]
    # A reader that has seen little of a study reads most of it: one scan is then cheaper than many look-ups.
    read = _read(connection, study, moved if len(moved) <= IDS_MAX else None) if moved else {}
    wanted = set(moved)
    new = {trial_id: trial for trial_id, trial in read.items() if trial_id in wanted}
    changed = [trial for trial_id, trial in new.items() if since.unversioned.get(trial_id) != trial]
    unfinished = {i: signature for i, signature in seen.items() if not signature.is_final}
    return changed, Mark(
        last_trial_id=max(since.last_trial_id, *seen) if seen else since.last_trial_id,
        unfinished=unfinished,
        unversioned={i: read[i] for i, signature in unfinished.items() if signature.version is None},
    )


def _beginning(connection: Connection, study: StoredStudy) -> tuple[list[Trial], Mark]:
    """Return all trials and the mark after them: only the signatures of those that may change are read."""
    read = _read(connection, study, None)
    unfinished = {
        i: signature
        for i, signature in _signatures(connection, study, Mark(), with_final=False).items()
        if i in read
    }
    return list(read.values()), Mark(
        last_trial_id=max(read, default=-1),
        unfinished=unfinished,
        unversioned={i: read[i] for i, signature in unfinished.items() if signature.version is None},
    )


def _signatures(
    connection: Connection, study: StoredStudy, since: Mark, *, with_final: bool = True
) -> dict[int, _Signature]:
    """Return trial_id -> signature of the trials that are new or were not final at the mark.

    Final trials do not change, and trials get their ids in order, under the lock on the study. Without `with_final`,
    they are left out.
    """
    # A sum differs if a parameter is added or replaced, and no planner turns it into a scan from an index's end.
    params = select(func.sum(_params.c.param_id)).where(_params.c.trial_id == _theirs.c.trial_id)
    first_trial_id = min([since.last_trial_id + 1, *since.unfinished])
    is_unfinished = _theirs.c.state.in_((WAITING, RUNNING))
    is_ours = study.foreign is None
    rows = connection.execute(
        select(
            _theirs.c.trial_id,
            _theirs.c.state,
            case((is_unfinished, params.scalar_subquery())).label("params"),
            _ours.c.version if is_ours else null().label("version"),
        )
        .select_from(_theirs.outerjoin(_ours, _same_trial(study)) if is_ours else _theirs)
        .where(
            _theirs.c.study_id == study.study_id,
            _theirs.c.trial_id >= first_trial_id,
            or_(_theirs.c.trial_id > since.last_trial_id, _theirs.c.trial_id.in_(list(since.unfinished))),
            *(() if with_final else (is_unfinished,)),
        )
        .order_by(_theirs.c.trial_id)
    )
    return {row.trial_id: _Signature(state=row.state, params=row.params, version=row.version) for row in rows}


def _same_trial(study: StoredStudy) -> Any:
    return and_(_ours.c.study_key == study.key, _ours.c.number == _theirs.c.number)


def _read(connection: Connection, study: StoredStudy, ids: Sequence[int] | None) -> dict[int, Trial]:
    """Return trial_id -> trial, by number; all of the study if `ids` is None."""
    study_id = study.study_id
    if study.foreign is None:
        rows = _TRIALS.rows(connection, study_id, ids, study_key=study.key)
    else:
        rows = _THEIRS.rows(connection, study_id, ids)
    made = _made(connection, study_id, ids, rows)
    if study.foreign is None and study.spec.data.folds:
        spreads = spreads_of(connection, study_id, ids)
        return {i: replace(trial, spread=spreads.get(i)) for i, trial in made.items()}
    if study.foreign is None or len(study.foreign.metrics) == 1:
        return made
    values = all_values_of(connection, study_id)
    return {trial_id: replace(trial, values=values.get(trial_id, ())) for trial_id, trial in made.items()}


def by_id(connection: Connection, ids: Sequence[int], *, has_ours: bool) -> dict[int, Trial]:
    """Return trial_id -> trial, of any studies. Without `has_ours`, our tables are not read."""
    if not ids:
        return {}
    rows = (_BY_ID if has_ours else _THEIRS).rows(connection, -1, ids)
    made = _made(connection, -1, ids, rows)
    spreads = spreads_of(connection, -1, ids) if has_ours else {}
    return made | {i: replace(made[i], spread=spread) for i, spread in spreads.items() if i in made}


@collection_paused()
def _made(
    connection: Connection, study_id: int, ids: Sequence[int] | None, rows: Iterable[RawRow]
) -> dict[int, Trial]:
    """Return trial_id -> trial, by number, from rows of trials."""
    params = params_of(connection, study_id, ids)
    values = values_of(connection, study_id, ids)
    reports = reports_of(connection, study_id, ids)
    attributes = system_attributes_of(connection, study_id, ids)
    return {
        row.trial_id: _trial(
            row,
            params=params.get(row.trial_id, {}),
            value=values.get(row.trial_id),
            curve=reports.get(row.trial_id, {}),
            system_attributes=attributes.get(row.trial_id, {}),
        )
        for row in sorted(map(_TrialRow._make, rows), key=lambda row: row.number)
    }


def _trial(
    row: "_TrialRow",
    *,
    params: Mapping[str, ParameterValue],
    value: float | None,
    curve: Mapping[int, float],
    system_attributes: Mapping[str, Any],
) -> Trial:
    state = STATES[row.state]
    # Another Optuna client's attempt, perhaps after some of ours, has no row; those of ours have a worker. A trial
    # without a start was failed while it waited, which is no attempt.
    is_foreign = state is not TrialState.WAITING and row.worker is None and row.datetime_start is not None
    return Trial(
        number=row.number,
        state=state,
        params=params,
        value=value,
        curve=curve,
        finding=None if row.finding is None else Finding.deferred(partial(readable_finding, row.finding)),
        epochs=counted(row.epochs),
        steps=counted(row.steps),
        worker=None if row.worker is None else str(row.worker),
        attempts=counted(row.attempt) + is_foreign,
        started=_aware(row.datetime_start),
        finished=_aware(row.datetime_complete),
        system_attributes=system_attributes,
    )


def _aware(stored: datetime | None) -> datetime | None:
    return None if stored is None else stored.replace(tzinfo=UTC)


def _series(connection: Connection, study: StoredStudy, numbers: Sequence[int]) -> dict[int, Series | None]:
    table = schema.series
    found: dict[int, Series | None] = {}
    for start in range(0, len(numbers), IDS_MAX):
        chunk = list(numbers[start : start + IDS_MAX])
        rows = connection.execute(
            select(table).where(table.c.study_key == study.key, table.c.number.in_(chunk))
        )
        read = ((row.number, readable_series(row.format, row.payload)) for row in rows)
        found |= {number: made for number, made in read if made is None or made}
    return found


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """A trial that the caller's claim still holds: its row of ours, by column."""

    row: Mapping[str, Any]
    has_params: bool
    now_s: float

    @property
    def trial_id(self) -> int:
        trial_id: int = self.row["trial_id"]
        return trial_id

    @property
    def reported(self) -> int:
        reported: int = self.row["reported"]
        return reported


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Fence:
    """The result of checking claims' tokens: writable trials by number, and the numbers of lost ones.

    A number in neither was already ended by the same claim, in a call whose answer was lost.
    """

    held: Mapping[int, _Held]
    lost: frozenset[int]


_OUR_COLUMNS: Final = tuple(column.key for column in _ours.columns)

_FENCED: Final = DriverStatement(
    select(
        _ours,
        _theirs.c.state,
        exists().where(_params.c.trial_id == _ours.c.trial_id).label("has_params"),
        EpochSeconds().label("now_s"),
    )
    .join(_theirs, and_(_theirs.c.trial_id == _ours.c.trial_id, _theirs.c.study_id == bindparam("study_id")))
    .where(
        _ours.c.study_key == bindparam("study_key"),
        _ours.c.number.in_(bindparam("numbers", expanding=True)),
    )
    .order_by(_ours.c.number)
    .with_for_update(of=_ours)
)


def _fence(connection: Connection, study: StoredStudy, claims: Sequence[ClaimedTrial]) -> _Fence:
    """Lock the rows of `claims` and return which of them may still be written.

    Raises ValueError if a trial is among them twice.
    """
    tokens = {claim.number: claim.token for claim in claims}
    if len(tokens) != len(claims):
        raise ValueError(f"claims: each trial must occur once (got {[c.number for c in claims]})")
    at = {"study_id": study.study_id, "study_key": study.key, "numbers": list(tokens)}
    ours = [row for row in _FENCED.named(connection, at) if row.token == tokens[row.number]]
    held = {
        row.number: _Held(
            row=dict(zip(_OUR_COLUMNS, row, strict=False)),
            has_params=bool(row.has_params),
            now_s=row.now_s,
        )
        for row in ours
        if row.state == RUNNING and row.lease_until is not None
    }
    ended = {row.number for row in ours if row.state != RUNNING and row.lease_until is None}
    return _Fence(held=held, lost=frozenset(tokens) - set(held) - ended)


def _write_assignments(
    rows: Target, study: StoredStudy, assignments: Sequence[tuple[_Held, Assignment]]
) -> None:
    """Write the parameters of trials that have none, and the sampler's attributes of them."""
    params = {held.trial_id: chosen.params for held, chosen in assignments}
    write_params(rows, all_stored_parameters(study.spec, params))
    attributes = {held.trial_id: chosen.system_attributes for held, chosen in assignments}
    write_attributes(rows, optuna_schema.trial_system_attributes, attributes)


def _collect(rows: Together, study: StoredStudy, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Collect the rows that updates of trials write."""
    undone = [(held, e.assignment) for held, e in kept if e.assignment is not None and not held.has_params]
    _write_assignments(rows, study, undone)
    suggested = {
        held.trial_id: list(starmap(stored_parameter, e.suggested)) for held, e in kept if e.suggested
    }
    write_params(rows, suggested)
    write_reports(rows, {held.trial_id: _new_reports(held, entry) for held, entry in kept})
    write_attributes(
        rows,
        optuna_schema.trial_system_attributes,
        {held.trial_id: entry.system_attributes for held, entry in kept},
    )
    _write_outcomes(rows, study, kept)
    _write_ours(rows, kept)


def _check(entry: Update) -> None:
    """Raise ValueError for an outcome that Optuna cannot store."""
    outcome = entry.outcome
    if outcome is None:
        return
    where = f"trial {entry.claim.number}"
    if not outcome.state.is_final:
        raise ValueError(f"{where}: an outcome must be final (got {outcome.state})")
    if outcome.value is not None and math.isnan(outcome.value):
        raise ValueError(f"{where}: a value must be a number or None (got nan)")
    if outcome.state is TrialState.COMPLETE and outcome.value is None:
        raise ValueError(f"{where}: a complete trial must have a value (got None)")


def _new_reports(held: _Held, entry: Update) -> dict[int, float]:
    """Return the reports that are not stored yet: a call may repeat those of an earlier one."""
    return {epoch: value for epoch, value in sorted(entry.reports.items()) if epoch > held.reported}


def _outcomes(kept: Sequence[tuple[_Held, Update]]) -> list[tuple[_Held, Update, TrialOutcome]]:
    return [(held, entry, entry.outcome) for held, entry in kept if entry.outcome is not None]


_END: Final = DriverStatement(
    update(_theirs)
    .where(_theirs.c.trial_id.in_(bindparam("ids", expanding=True)), _theirs.c.state == RUNNING)
    .values(state=bindparam("new_state"), datetime_complete=bindparam("new_complete", type_=DateTime()))
)


def _end_trials(connection: Connection, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Set Optuna's state of the trials that ended, one statement per state.

    Raises CollisionError if another Optuna client has ended one of them since our read.
    """
    by_state: dict[TrialState, list[int]] = {}
    for held, _, outcome in _outcomes(kept):
        by_state.setdefault(outcome.state, []).append(held.trial_id)
    for state, trial_ids in by_state.items():
        change = {
            "ids": trial_ids,
            "new_state": STATE_NAMES[state],
            "new_complete": naive_utc(kept[0][0].now_s),
        }
        changed = _END.count(connection, change)
        if changed != len(trial_ids):
            raise CollisionError(f"trials: {len(trial_ids)} must be running (got {changed})")


def _keep_epochs(connection: Connection, study: StoredStudy, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Write which epochs of earlier attempts belong to trials that went on from checkpoints; the first write stays."""
    for _, entry in kept:
        for attempt, epochs in entry.kept.items():
            connection.execute(
                update(_attempts)
                .where(
                    _attempts.c.study_key == study.key,
                    _attempts.c.number == entry.claim.number,
                    _attempts.c.attempt == attempt,
                    _attempts.c.kept.is_(None),
                )
                .values(kept=case((_attempts.c.epochs < epochs, _attempts.c.epochs), else_=epochs))
            )


def _write_outcomes(rows: Target, study: StoredStudy, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Write the values, attributes and series of the trials that ended."""
    ended = _outcomes(kept)
    write_values(
        rows,
        {held.trial_id: {0: outcome.value} for held, _, outcome in ended if outcome.value is not None},
    )
    write_attributes(
        rows,
        optuna_schema.trial_user_attributes,
        {
            held.trial_id: {
                **entry.user_attributes,
                "verdict": outcome.finding.cause.value,
                "epochs": entry.epochs,
                "worker": held.row["worker"],
                **({} if outcome.spread is None else {SPREAD_ATTRIBUTE: outcome.spread}),
            }
            for held, entry, outcome in ended
        },
    )
    write_rows(
        rows,
        schema.series,
        [
            {
                "study_key": study.key,
                "number": entry.claim.number,
                "format": SERIES_FORMAT,
                "payload": pack_series(outcome.series),
            }
            for _, entry, outcome in ended
        ],
    )


def _write_ours(target: Target, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Write each trial's progress and, if it ended, why; an ended trial's lease is over."""
    rows: list[dict[str, Any]] = []
    for held, entry in kept:
        finding = None if entry.outcome is None else entry.outcome.finding
        rows.append(
            {
                **held.row,
                "lease_until": held.row["lease_until"] if finding is None else None,
                "epochs": entry.epochs,
                "steps": entry.steps,
                "reported": max([held.reported, *entry.reports]),
                "version": held.row["version"] + 1,
                "verdict": None if finding is None else finding.cause.value,
                "finding": None if finding is None else pack_finding(finding),
            }
        )
    # These rows exist and are locked: the upsert is an update of many rows, each with values of its own.
    write_rows(target, _ours, rows, key=("study_key", "number"))
