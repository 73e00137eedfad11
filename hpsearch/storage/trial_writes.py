"""A worker's writes to the trials that it holds, many at once.

Each function runs inside its caller's transaction and writes only trials whose token it has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import Connection, DateTime, and_, bindparam, delete, exists, select, update

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds, naive_utc
from hpsearch.storage.details import (
    stored_parameters,
    write_attributes,
    write_params,
    write_reports,
    write_values,
)
from hpsearch.storage.driver_errors import CollisionError
from hpsearch.storage.leases import forgive
from hpsearch.storage.optuna_schema import RUNNING, STATE_NAMES
from hpsearch.storage.payloads import SERIES_FORMAT, pack_finding, pack_series
from hpsearch.storage.records import Assignment, ClaimedTrial, StoredStudy, TrialOutcome, Update
from hpsearch.storage.statements import DriverStatement, Target, insert_rows, together, upsert_rows
from hpsearch.trials import TrialState

_ours = schema.trials
_theirs = optuna_schema.trials
_params = optuna_schema.trial_params


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
        raise ValueError(f"claims: each trial must be there once (got {[c.number for c in claims]})")
    at = {"study_id": study.study_id, "study_key": study.key, "numbers": list(tokens)}
    ours = [row for row in _FENCED.named(connection, at) if row.token == tokens[row.number]]
    held = {
        row.number: _Held(
            row={column.key: getattr(row, column.key) for column in _ours.columns},
            has_params=bool(row.has_params),
            now_s=row.now_s,
        )
        for row in ours
        if row.state == RUNNING and row.lease_until is not None
    }
    ended = {row.number for row in ours if row.state != RUNNING and row.lease_until is None}
    return _Fence(held=held, lost=frozenset(tokens) - set(held) - ended)


def assign(connection: Connection, study: StoredStudy, assignments: Sequence[Assignment]) -> frozenset[int]:
    """Store the parameters of claimed trials; return the numbers whose lease was lost."""
    fence = _fence(connection, study, [assignment.claim for assignment in assignments])
    forgive(connection, study.key, [a.claim for a in assignments if a.claim.number in fence.lost])
    # The same claim may assign again if the answer to its first try was lost: the last one wins.
    again = [held.trial_id for held in fence.held.values() if held.has_params]
    if again:
        connection.execute(delete(_params).where(_params.c.trial_id.in_(again)))
    held = fence.held
    kept = [(held[a.claim.number], a) for a in assignments if a.claim.number in held]
    with together(connection) as rows:
        _write_assignments(rows, study, kept)
    return fence.lost


def _write_assignments(
    rows: Target, study: StoredStudy, assignments: Sequence[tuple[_Held, Assignment]]
) -> None:
    """Write the parameters of trials that have none, and the sampler's attributes of them."""
    params = {held.trial_id: stored_parameters(study.spec, chosen.params) for held, chosen in assignments}
    write_params(rows, params)
    attributes = {held.trial_id: chosen.system_attributes for held, chosen in assignments}
    write_attributes(rows, optuna_schema.trial_system_attributes, attributes)


def record(connection: Connection, study: StoredStudy, updates: Sequence[Update]) -> frozenset[int]:
    """Store reports and outcomes of claimed trials; return the numbers whose lease was lost."""
    for entry in updates:
        _check(entry)
    fence = _fence(connection, study, [entry.claim for entry in updates])
    forgive(connection, study.key, [e.claim for e in updates if e.claim.number in fence.lost])
    kept = [(fence.held[e.claim.number], e) for e in updates if e.claim.number in fence.held]
    if not kept:
        return fence.lost
    # Lock Optuna's row first: MySQL locks it for a row that refers to it, and two such locks could deadlock.
    _end_trials(connection, kept)
    undone = [(held, e.assignment) for held, e in kept if e.assignment is not None and not held.has_params]
    with together(connection) as rows:
        _write_assignments(rows, study, undone)
        write_reports(rows, {held.trial_id: _new_reports(held, entry) for held, entry in kept})
        write_attributes(
            rows,
            optuna_schema.trial_system_attributes,
            {held.trial_id: entry.system_attributes for held, entry in kept},
        )
        _write_outcomes(rows, study, kept)
        _write_ours(rows, kept)
    return fence.lost


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


def _write_outcomes(rows: Target, study: StoredStudy, kept: Sequence[tuple[_Held, Update]]) -> None:
    """Write the values, attributes and series of the trials that ended."""
    ended = _outcomes(kept)
    write_values(
        rows,
        {held.trial_id: outcome.value for held, _, outcome in ended if outcome.value is not None},
    )
    write_attributes(
        rows,
        optuna_schema.trial_user_attributes,
        {
            held.trial_id: {
                "verdict": outcome.finding.cause.value,
                "epochs": entry.epochs,
                "worker": held.row["worker"],
            }
            for held, entry, outcome in ended
        },
    )
    insert_rows(
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
    upsert_rows(target, _ours, rows, key=("study_key", "number"))
