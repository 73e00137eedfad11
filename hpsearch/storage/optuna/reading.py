"""What is read of trials: the heads of a study, and whole trials, each with one statement.

One statement sees one state of the database, so a trial is read whole without a transaction around it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from optuna.trial import TrialState
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)

from hpsearch.storage import optuna_schema
from hpsearch.storage.driver_statements import DriverStatement, RawRow
from hpsearch.storage.optuna.connection import Database
from hpsearch.storage.optuna.record import Details, Head, local
from hpsearch.storage.optuna_schema import RUNNING, WAITING, number_of

FEW: Final = 256
"""So many trials are read by their ids; more are read as a range of the study."""

_RANGE: Final = 5000
"""So many trials are read with one statement."""

Whole: TypeAlias = tuple[Head, Details]
"""A trial and everything that belongs to it."""

_studies = optuna_schema.studies
_trials = optuna_schema.trials

_HEADS: Final = DriverStatement(
    select(
        _studies.c.study_name,
        _trials.c.trial_id,
        _trials.c.number,
        cast(_trials.c.state, String(16)),
        _trials.c.datetime_start,
        _trials.c.datetime_complete,
    )
    .select_from(
        _studies.outerjoin(
            _trials,
            and_(
                _trials.c.study_id == _studies.c.study_id,
                or_(
                    _trials.c.trial_id > bindparam("last_trial_id"),
                    _trials.c.trial_id.in_(bindparam("ids", expanding=True)),
                ),
            ),
        )
    )
    .where(_studies.c.study_id == bindparam("at_study_id"))
)


def heads(
    database: Database, study_id: int, *, last_trial_id: int, ids: Sequence[int]
) -> tuple[str, list[Head]]:
    """Return a study's name and the heads of its trials after the last id, and of those with these ids.

    Raises KeyError when there is no such study.
    """
    at = {"at_study_id": study_id, "last_trial_id": last_trial_id, "ids": _padded(ids)}
    rows = database.rows(_HEADS, at)
    if not rows:
        raise KeyError(f"study_id {study_id}: there is no such study")
    found = [
        Head(
            trial_id=trial_id,
            study_id=study_id,
            number=number,
            state=TrialState[state],
            start=local(start),
            complete=local(complete),
        )
        for _, trial_id, number, state, start, complete in rows
        if trial_id is not None
    ]
    return rows[0][0], found


def trials(database: Database, ids: Sequence[int]) -> list[Whole]:
    """Return the trials with these ids, of whatever study, at most `FEW`; those that are not there are missing."""
    return _assembled(database.rows(_BY_ID, {"ids": _padded(ids)}))


def trials_of(database: Database, study_id: int, ids: Sequence[int]) -> Iterator[Whole]:
    """Yield the trials of a study with these ids, any number of them."""
    if len(ids) <= FEW:
        yield from trials(database, ids)
        return
    wanted = sorted(ids)
    for start in range(0, len(wanted), _RANGE):
        chunk = wanted[start : start + _RANGE]
        there = {"at_study_id": study_id, "low": chunk[0], "high": chunk[-1]}
        asked = set(chunk)
        for head, details in _assembled(database.rows(_BY_RANGE, there)):
            if head.trial_id in asked:
                yield head, details


_STATE: Final = DriverStatement(
    select(_trials.c.study_id, _trials.c.number, cast(_trials.c.state, String(16))).where(
        _trials.c.trial_id == bindparam("at_trial_id")
    )
)


def is_open(database: Database, head: Head) -> bool:
    """Return True if that trial is there and has not ended."""
    rows = database.rows(_STATE, {"at_trial_id": head.trial_id})
    if not rows:
        return False
    study_id, number, state = rows[0]
    return (study_id, number) == (head.study_id, head.number) and state in (RUNNING, WAITING)


def distribution(connection: Connection, study_id: int, name: str) -> str | None:
    """Return the distribution, as JSON text, that some trial of the study has for a parameter of that name."""
    params = optuna_schema.trial_params
    return connection.execute(
        select(params.c.distribution_json)
        .join(_trials, _trials.c.trial_id == params.c.trial_id)
        .where(_trials.c.study_id == study_id, params.c.param_name == name)
        .limit(1)
    ).scalar()


def _padded(ids: Sequence[int]) -> list[int]:
    """Return `ids`, at least one, with the last repeated up to a power of two: few texts of one statement."""
    some = [*ids] or [-1]
    return some + some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))


_HEAD, _PARAM, _REPORT, _USER_ATTRIBUTE, _SYSTEM_ATTRIBUTE, _VALUE = range(6)


def _whole(among: Any) -> Any:
    """Return the statement for whole trials, `among(column)` being the condition on a column `trial_id`.

    It yields a row per stored row: its part, trial, own id, name, place, number, text, start, end.
    """
    params, reports = optuna_schema.trial_params, optuna_schema.trial_intermediate_values
    values = optuna_schema.trial_values

    def part(kind: int, table: Table, own_id: str, **columns: Any) -> Select[Any]:
        return select(
            literal_column(str(kind), Integer).label("part"),
            table.c.trial_id,
            table.c[own_id].label("own_id"),
            _or_null(columns, "name", String()),
            _or_null(columns, "place", Integer()),
            _or_null(columns, "number", Float(53)),
            _or_null(columns, "text", String()),
            _or_null(columns, "start", DateTime()),
            _or_null(columns, "complete", DateTime()),
        ).where(among(table.c.trial_id))

    def attributes(kind: int, table: Table, own_id: str) -> Select[Any]:
        return part(kind, table, own_id, name=table.c.key, text=table.c.value_json)

    # PostgreSQL takes the types of a column from the first two parts: a head and a parameter have them all.
    return union_all(
        part(
            _HEAD,
            _trials,
            "study_id",
            name=cast(_trials.c.state, String(16)),
            place=_trials.c.number,
            start=_trials.c.datetime_start,
            complete=_trials.c.datetime_complete,
        ),
        part(
            _PARAM,
            params,
            "param_id",
            name=params.c.param_name,
            number=params.c.param_value,
            text=params.c.distribution_json,
        ),
        part(
            _REPORT,
            reports,
            "trial_intermediate_value_id",
            place=reports.c.step,
            number=reports.c.intermediate_value,
            text=cast(reports.c.intermediate_value_type, String(16)),
        ),
        attributes(_USER_ATTRIBUTE, optuna_schema.trial_user_attributes, "trial_user_attribute_id"),
        attributes(_SYSTEM_ATTRIBUTE, optuna_schema.trial_system_attributes, "trial_system_attribute_id"),
        part(
            _VALUE,
            values,
            "trial_value_id",
            place=values.c.objective,
            number=values.c.value,
            text=cast(values.c.value_type, String(16)),
        ),
    )


def _or_null(columns: dict[str, Any], name: str, of_type: Any) -> Any:
    return type_coerce(columns.get(name, null()), of_type).label(name)


def _in_range(column: Column[Any]) -> Any:
    ids = select(_trials.c.trial_id).where(
        _trials.c.study_id == bindparam("at_study_id"),
        _trials.c.trial_id.between(bindparam("low"), bindparam("high")),
    )
    return and_(column.between(bindparam("low"), bindparam("high")), column.in_(ids))


_BY_ID: Final = DriverStatement(_whole(lambda column: column.in_(bindparam("ids", expanding=True))))
_BY_RANGE: Final = DriverStatement(_whole(_in_range))


def _assembled(rows: Sequence[RawRow]) -> list[Whole]:
    """Return trials from their rows, which come in any order."""
    found: dict[int, Head] = {}
    parts: dict[int, list[RawRow]] = {}
    for row in rows:
        if row[0] == _HEAD:
            found[row[1]] = _head(row)
        else:
            parts.setdefault(row[1], []).append(row)
    return [(head, _details(parts.get(trial_id, ()))) for trial_id, head in found.items()]


def _head(row: RawRow) -> Head:
    _, trial_id, study_id, name, number, _, _, start, complete = row
    return Head(
        trial_id=trial_id,
        study_id=study_id,
        number=number,
        state=TrialState[name],
        start=local(start),
        complete=local(complete),
    )


def _details(rows: Sequence[RawRow]) -> Details:
    """Return the rows of one trial in the order in which they were stored."""
    details = Details()
    for part, _, _, name, place, number, text, _, _ in sorted(rows, key=lambda row: row[2]):
        if part == _PARAM:
            details.params[name] = number, text
        elif part == _REPORT:
            details.reports[place] = number_of(number, text)
        elif part == _USER_ATTRIBUTE:
            details.user_attributes[name] = text
        elif part == _SYSTEM_ATTRIBUTE:
            details.system_attributes[name] = text
        else:
            details.values[place] = number_of(number, text)
    return details
