"""Writes to trials, including their heartbeats. Each function runs inside its caller's transaction.

A trial that has ended is never written: every write locks the trial's row first, like every Optuna client that ends a
trial.

Heartbeats are in Optuna's own table, so every Optuna client that uses them sees those of all others. A heartbeat is
`CURRENT_TIMESTAMP` of the client's session, as `RDBStorage` writes it: UTC on SQLite, the session's time zone on
servers. Trials of our workers have a lease instead, which `leases` sweeps.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, DateTime, Table, and_, bindparam, exists, func, insert, select, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError

from hpsearch.errors import ValueRefusedError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.details import write_params, write_reports, write_values
from hpsearch.storage.driver_errors import is_about_a_value
from hpsearch.storage.optuna.records import Details, Head, stored_time
from hpsearch.storage.optuna_schema import RUNNING, WAITING
from hpsearch.storage.statements import DriverStatement, Target, Together, write_rows

_studies = optuna_schema.studies
_trials = optuna_schema.trials

_UNFINISHED: Final = (WAITING, RUNNING)


_LOCK_STUDY: Final = DriverStatement(
    select(_studies.c.study_id).where(_studies.c.study_id == bindparam("at_study_id")).with_for_update()
)
_LAST_NUMBER: Final = DriverStatement(
    select(func.max(_trials.c.number)).where(
        _trials.c.study_id == bindparam("at_study_id"), _trials.c.trial_id >= bindparam("newest_trial_id")
    )
)
_INSERT: Final = insert(_trials).values(
    study_id=bindparam("at_study_id"),
    number=bindparam("new_number"),
    state=bindparam("new_state"),
    datetime_start=bindparam("new_start"),
    datetime_complete=bindparam("new_complete"),
)
_INSERT_HERE: Final = DriverStatement(_INSERT)
_INSERT_RETURNING: Final = DriverStatement(_INSERT.returning(_trials.c.trial_id))


def create_trial(connection: Connection, head: Head, details: Details, *, newest_trial_id: int) -> Head:
    """Store a new trial and return its head, with an id and the study's next number.

    `newest_trial_id` is the newest trial of the study that the caller has seen, or -1. Raises KeyError if there is no
    such study.
    """
    if not _LOCK_STUDY.rows(connection, {"at_study_id": head.study_id}):
        raise KeyError(f"study_id {head.study_id}: there is no such study")
    number = _next_number(connection, head.study_id, newest_trial_id)
    made = {
        "at_study_id": head.study_id,
        "new_number": number,
        "new_state": head.state.name,
        "new_start": stored_time(head.start),
        "new_complete": stored_time(head.complete),
    }
    trial_id = (
        _INSERT_RETURNING.rows(connection, made)[0][0]
        if connection.dialect.name == "postgresql"
        else _INSERT_HERE.run(connection, made).lastrowid
    )
    if len(details):
        write_details(connection, {trial_id: details})
    return replace(head, trial_id=trial_id, number=number)


def _next_number(connection: Connection, study_id: int, newest_trial_id: int) -> int:
    """Return the next number of a study whose row is locked: numbers grow with ids."""
    for oldest_looked_at in (newest_trial_id, -1):
        at = {"at_study_id": study_id, "newest_trial_id": oldest_looked_at}
        last: int | None = _LAST_NUMBER.rows(connection, at)[0][0]
        if last is not None:
            return last + 1
    return 0


_SET_STATE: Final = DriverStatement(
    update(_trials)
    .where(
        _trials.c.trial_id == bindparam("at_trial_id"),
        _trials.c.state.in_(bindparam("before", expanding=True)),
    )
    .values(
        state=bindparam("new_state"),
        datetime_start=func.coalesce(bindparam("new_start", type_=DateTime()), _trials.c.datetime_start),
        datetime_complete=func.coalesce(
            bindparam("new_complete", type_=DateTime()), _trials.c.datetime_complete
        ),
    )
)


def set_state(
    connection: Connection, trial_id: int, state: TrialState, now: datetime, *, again: bool
) -> bool:
    """Set the state of a trial that has not ended and return whether that changed it; `now` is naive and local.

    Of several concurrent calls that set a waiting trial running, only one succeeds. With `again`, the same call may
    have been made earlier and its answer lost. Raises KeyError, and UpdateFinishedTrialError for a trial that has
    ended.
    """
    change = {
        "at_trial_id": trial_id,
        "before": [WAITING] if state is TrialState.RUNNING else [WAITING, RUNNING],
        "new_state": state.name,
        "new_start": stored_time(now) if state is TrialState.RUNNING else None,
        "new_complete": stored_time(now) if state.is_finished() else None,
    }
    if _SET_STATE.count(connection, change):
        return True
    there = connection.execute(select(_trials).where(_trials.c.trial_id == trial_id)).one_or_none()
    if there is None:
        raise KeyError(f"trial_id {trial_id}: there is no such trial")
    if again and there.state == state.name:
        return True
    if there.state not in _UNFINISHED:
        raise UpdateFinishedTrialError(finished(there.number))
    return False


def finished(number: int) -> str:
    """Return the message for a trial that can no longer be written."""
    return f"Trial#{number} has already finished and can not be updated."


def write_waiting(
    connection: Connection, waiting: Mapping[int, Details], *, held: Collection[int] = ()
) -> set[int]:
    """Store the rows of trials by id, except those that have ended; return the ids of the stored ones.

    The transaction has already locked the trials in `held`.
    """
    written = _lock_unfinished(connection, waiting.keys() - set(held)) | set(held)
    write_details(connection, {i: details for i, details in waiting.items() if i in written})
    return written


def write_apart(
    connection: Connection, waiting: Mapping[int, Details]
) -> tuple[set[int], list[tuple[int, str, Exception]]]:
    """Store the rows of trials by id as `write_waiting` does, each row separately.

    Return the ids of the trials that have not ended, and each row that the database refuses: its trial, its name and
    the error.
    """
    written = _lock_unfinished(connection, waiting.keys())
    refused: list[tuple[int, str, Exception]] = []
    for trial_id in sorted(written):
        for name, row in waiting[trial_id].apart():
            try:
                with connection.begin_nested():
                    write_details(connection, {trial_id: row})
            except (DBAPIError, ValueRefusedError) as error:
                if not is_about_a_value(error):
                    raise
                refused.append((trial_id, name, error))
    return written, refused


def _lock_unfinished(connection: Connection, ids: Collection[int]) -> set[int]:
    """Lock the trials with these ids and return those that have not ended."""
    if not ids:
        return set()
    rows = connection.execute(
        select(_trials.c.trial_id)
        .where(_trials.c.trial_id.in_(list(ids)), _trials.c.state.in_(_UNFINISHED))
        .order_by(_trials.c.trial_id)
        .with_for_update()
    )
    return set(rows.scalars())


def write_details(connection: Connection, details: Mapping[int, Details]) -> None:
    """Store the rows of trials by id, replacing those of the same name, key, step or objective."""
    rows = Together()
    write_params(rows, {i: [(n, *param) for n, param in each.params.items()] for i, each in details.items()})
    write_reports(rows, {i: each.reports for i, each in details.items()})
    write_values(rows, {i: each.values for i, each in details.items()})
    _write_attributes(rows, optuna_schema.trial_user_attributes, details)
    _write_attributes(rows, optuna_schema.trial_system_attributes, details)
    rows.write(connection)


def _write_attributes(target: Target, table: Table, details: Mapping[int, Details]) -> None:
    """Store attributes in `table`."""
    is_user = table is optuna_schema.trial_user_attributes
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": text}
        for trial_id, each in details.items()
        for key, text in (each.user_attributes if is_user else each.system_attributes).items()
    ]
    write_rows(target, table, rows, key=("trial_id", "key"))


StaleTrialCallback: TypeAlias = Callable[[Study, FrozenTrial], None]
"""The callback that gets a study and a trial of it that was failed because its heartbeats stopped."""


_heartbeats = optuna_schema.trial_heartbeats


def check_heartbeat_periods(**periods_s: float | None) -> None:
    """Raise ValueError, naming all of them, for seconds that are not positive and finite. None passes."""
    wrong = [
        f"{name}: must be a positive number of seconds (got {value!r})"
        for name, value in periods_s.items()
        if value is not None and not _is_period(value)
    ]
    if wrong:
        raise ValueError("; ".join(wrong) + ": give one such as 60, or leave it out")


def _is_period(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def record_heartbeat(connection: Connection, trial_id: int) -> None:
    """Record that the trial is running at this moment. Raises KeyError if there is no such trial."""
    now = func.current_timestamp()
    rows = select(_trials.c.trial_id, now).where(_trials.c.trial_id == trial_id)
    columns = ["trial_id", "heartbeat"]
    statement: Any
    if connection.dialect.name in ("mysql", "mariadb"):
        statement = (
            mysql_insert(_heartbeats).from_select(columns, rows).on_duplicate_key_update(heartbeat=now)
        )
    else:
        insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
        statement = (
            insert(_heartbeats)
            .from_select(columns, rows)
            .on_conflict_do_update(index_elements=["trial_id"], set_={"heartbeat": now})
        )
    # An insert from a query returns no row count unless it is requested.
    if connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 0:
        raise KeyError(f"trial_id {trial_id}: there is no such trial")


_LEASED: Final = exists().where(
    schema.studies.c.study_id == _trials.c.study_id,
    schema.trials.c.study_key == schema.studies.c.study_key,
    schema.trials.c.trial_id == _trials.c.trial_id,
    schema.trials.c.lease_until.is_not(None),
)


def stale_trials(connection: Connection, study_id: int, *, grace_s: float) -> list[int]:
    """Return the ids of the study's running trials whose last heartbeat is more than `grace_s` seconds ago.

    Excludes trials without any heartbeat and those that a worker of ours holds.
    """
    rows = connection.execute(
        select(_trials.c.trial_id, _heartbeats.c.heartbeat, func.now().label("now"))
        .join(_heartbeats, and_(_heartbeats.c.trial_id == _trials.c.trial_id))
        .where(_trials.c.study_id == study_id, _trials.c.state == RUNNING, ~_LEASED)
        .order_by(_trials.c.trial_id)
    )
    grace = timedelta(seconds=grace_s)
    return [row.trial_id for row in rows if _naive(row.now) - row.heartbeat > grace]


def _naive(now: datetime) -> datetime:
    """Return the time as stored in the column; PostgreSQL adds the session's zone."""
    return now.replace(tzinfo=None)
