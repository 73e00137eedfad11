"""What is written about trials. Each function works inside its caller's transaction.

A trial that has ended is never written: what is written locks the trial's row first, as every Optuna client does
that ends a trial.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy import Connection, Table, func, insert, select, update

from hpsearch.storage import optuna_schema
from hpsearch.storage.as_optuna.record import Details, Head, local, stored_time
from hpsearch.storage.bulk import upsert_rows
from hpsearch.storage.optuna_schema import RUNNING, WAITING, stored_number

_studies = optuna_schema.studies
_trials = optuna_schema.trials

_UNFINISHED: Final = (WAITING, RUNNING)


def create_trial(connection: Connection, head: Head, details: Details, *, newest_trial_id: int) -> Head:
    """Store a new trial and return its head, with an id and the study's next number.

    `newest_trial_id` is a trial of the study, the newest that the caller knows, or -1. Raises KeyError when there
    is no such study.
    """
    locked = select(_studies.c.study_id).where(_studies.c.study_id == head.study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise KeyError(f"study_id {head.study_id}: there is no such study")
    number = _next_number(connection, head.study_id, newest_trial_id)
    trial_id = connection.execute(
        insert(_trials).values(
            study_id=head.study_id,
            number=number,
            state=head.state.name,
            datetime_start=stored_time(head.start),
            datetime_complete=stored_time(head.complete),
        )
    ).inserted_primary_key[0]
    write_details(connection, {trial_id: details})
    return Head(
        trial_id=trial_id,
        study_id=head.study_id,
        number=number,
        state=head.state,
        start=head.start,
        complete=head.complete,
    )


def _next_number(connection: Connection, study_id: int, newest_trial_id: int) -> int:
    """Return the next number of a study whose row is locked: numbers grow with ids."""
    last = select(func.max(_trials.c.number)).where(_trials.c.study_id == study_id)
    number = connection.execute(last.where(_trials.c.trial_id >= newest_trial_id)).scalar()
    if number is None:
        number = connection.execute(last).scalar()
    return 0 if number is None else number + 1


def set_state(
    connection: Connection, trial_id: int, state: TrialState, now: datetime, *, again: bool
) -> bool:
    """Set the state of a trial that has not ended and say whether that changed it; `now` is naive and local.

    Only one of many that set a waiting trial running does. With `again` the same call may have been made before,
    its answer lost. Raises KeyError, and UpdateFinishedTrialError for a trial that has ended.
    """
    changes: dict[str, Any] = {"state": state.name}
    if state is TrialState.RUNNING:
        changes["datetime_start"] = stored_time(now)
    if state.is_finished():
        changes["datetime_complete"] = stored_time(now)
    before = (WAITING,) if state is TrialState.RUNNING else _UNFINISHED
    changed = connection.execute(
        update(_trials).where(_trials.c.trial_id == trial_id, _trials.c.state.in_(before)).values(changes)
    )
    if changed.rowcount:
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
    """Return the message for a trial that cannot be written any more."""
    return f"Trial#{number} has already finished and can not be updated."


def writable(connection: Connection, ids: Collection[int]) -> set[int]:
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
    """Store the rows of trials by id, over those of the same name, key, step or objective."""
    for table, key, rows in (
        (
            optuna_schema.trial_params,
            "param_name",
            [
                {"trial_id": i, "param_name": name, "param_value": stored, "distribution_json": text}
                for i, each in details.items()
                for name, (stored, text) in each.params.items()
            ],
        ),
        (optuna_schema.trial_intermediate_values, "step", _report_rows(details)),
        (
            optuna_schema.trial_user_attributes,
            "key",
            _attribute_rows({i: each.user_attributes for i, each in details.items()}),
        ),
        (
            optuna_schema.trial_system_attributes,
            "key",
            _attribute_rows({i: each.system_attributes for i, each in details.items()}),
        ),
        (optuna_schema.trial_values, "objective", _value_rows(details)),
    ):
        upsert_rows(connection, table, rows, key=("trial_id", key))
