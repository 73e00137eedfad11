"""Trials as records: all of a study, or those that changed. Each function reads in its caller's transaction."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, func, null, or_, select

from hpsearch.errors import TrialNotFoundError
from hpsearch.storage import leases, optuna_schema, schema
from hpsearch.storage.details import (
    IDS_MAX,
    Reading,
    all_values_of,
    params_of,
    reports_of,
    system_attributes_of,
    values_of,
)
from hpsearch.storage.optuna_schema import RUNNING, STATES, WAITING
from hpsearch.storage.payloads import readable_finding, readable_series
from hpsearch.storage.records import Attempt, StoredStudy
from hpsearch.storage.statements import RawRow
from hpsearch.storage.stored_values import counted, moment, whole
from hpsearch.storage.studies import check_there
from hpsearch.telemetry import Series
from hpsearch.trials import ParameterValue, Trial, TrialState

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


def trials(connection: Connection, study: StoredStudy, *, ids: Sequence[int] | None = None) -> list[Trial]:
    """Return the trials of a study by number: all, or those with these ids.

    Raises StudyNotFoundError if the study was deleted.
    """
    check_there(connection, study)
    return list(_read(connection, study, ids).values())


def trial(connection: Connection, study: StoredStudy, number: int) -> Trial:
    """Return one trial. Raises TrialNotFoundError, and StudyNotFoundError if the study was deleted."""
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


def attempts(connection: Connection, study: StoredStudy, number: int) -> list[Attempt]:
    """Return the unsuccessful attempts at a trial, oldest first."""
    return every_attempt(connection, study, _attempts.c.number == number).get(number, [])


def every_attempt(
    connection: Connection, study: StoredStudy, *conditions: ColumnElement[bool]
) -> dict[int, list[Attempt]]:
    """Return number -> unsuccessful attempts, oldest first, for the trials that have any."""
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
        epochs=counted(row.epochs),
        ended=moment(row.ended, "ended"),
        started=None if row.started is None else moment(row.started, "started"),
        kind=leases.kind_of(row.kind, crashed=bool(row.crashed), why=row.why),
    )


def changes(connection: Connection, study: StoredStudy, since: Mark) -> tuple[list[Trial], Mark]:
    """Return the trials that are new or changed since the mark, by number, and the next mark.

    Raises StudyNotFoundError if the study was deleted.
    """
    check_there(connection, study)
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


def _signatures(connection: Connection, study: StoredStudy, since: Mark) -> dict[int, _Signature]:
    """Return trial_id -> signature of the trials that are new or were not final at the mark.

    Final trials do not change, and trials get their ids in order, under the lock on the study.
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
    if study.foreign is None or len(study.foreign.metrics) == 1:
        return made
    values = all_values_of(connection, study_id)
    return {trial_id: replace(trial, values=values.get(trial_id, ())) for trial_id, trial in made.items()}


def by_id(connection: Connection, ids: Sequence[int], *, has_ours: bool) -> dict[int, Trial]:
    """Return trial_id -> trial, of any studies. Without `has_ours`, our tables are not read."""
    rows = (_BY_ID if has_ours else _THEIRS).rows(connection, -1, ids)
    return _made(connection, -1, ids, rows) if ids else {}


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
        finding=None if row.finding is None else readable_finding(row.finding),
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


def series(connection: Connection, study: StoredStudy, numbers: Sequence[int]) -> dict[int, Series | None]:
    """Return number -> series of those trials among `numbers` that have ended with one; None for unreadable ones."""
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
