"""Rows that belong to trials, many at once: parameters, values, reports, attributes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Table, select

from hpsearch.records import ParameterValue
from hpsearch.storage import optuna_schema
from hpsearch.storage.bulk import Target, insert_rows, upsert_rows
from hpsearch.storage.optuna_schema import number_of, stored_number
from hpsearch.storage.parameters import StoredParameter, parameter

IDS_MAX: Final = 5000
"""Most ids in one statement; databases take 32766 variables and more."""

_trials = optuna_schema.trials
_params = optuna_schema.trial_params
_values = optuna_schema.trial_values
_reports = optuna_schema.trial_intermediate_values


def rows_of(
    connection: Connection, statement: Select[Any], table: Table, study_id: int, ids: Sequence[int] | None
) -> Iterator[Row[Any]]:
    """Yield the rows of `statement`, which reads `table`, that belong to a study's trials.

    All of them where `ids` is None, else those of the trials with these ids.
    """
    if ids is None:
        if table is not _trials:
            statement = statement.join(_trials, _trials.c.trial_id == table.c.trial_id)
        yield from connection.execute(statement.where(_trials.c.study_id == study_id))
        return
    for start in range(0, len(ids), IDS_MAX):
        chunk = ids[start : start + IDS_MAX]
        yield from connection.execute(statement.where(table.c.trial_id.in_(chunk)))


def params_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[str, ParameterValue]]:
    """Return trial_id -> parameters, in the order in which they were stored."""
    statement = select(
        _params.c.trial_id, _params.c.param_name, _params.c.param_value, _params.c.distribution_json
    ).order_by(_params.c.param_id)
    params: dict[int, dict[str, ParameterValue]] = {}
    for row in rows_of(connection, statement, _params, study_id, ids):
        value = parameter(row.param_value, row.distribution_json)
        params.setdefault(row.trial_id, {})[row.param_name] = value
    return params


def values_of(connection: Connection, study_id: int, ids: Sequence[int] | None) -> dict[int, float]:
    """Return trial_id -> the value of its first objective."""
    statement = select(_values.c.trial_id, _values.c.value, _values.c.value_type).where(
        _values.c.objective == 0
    )
    return {
        row.trial_id: number_of(row.value, row.value_type)
        for row in rows_of(connection, statement, _values, study_id, ids)
    }


def reports_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[int, float]]:
    """Return trial_id -> epoch -> reported value, by epoch."""
    statement = select(
        _reports.c.trial_id,
        _reports.c.step,
        _reports.c.intermediate_value,
        _reports.c.intermediate_value_type,
    ).order_by(_reports.c.trial_id, _reports.c.step)
    reports: dict[int, dict[int, float]] = {}
    for row in rows_of(connection, statement, _reports, study_id, ids):
        number = number_of(row.intermediate_value, row.intermediate_value_type)
        reports.setdefault(row.trial_id, {})[row.step] = number
    return reports


def system_attributes_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[str, Any]]:
    """Return trial_id -> what Optuna's samplers and pruners keep with it."""
    table = optuna_schema.trial_system_attributes
    statement = select(table.c.trial_id, table.c.key, table.c.value_json)
    attributes: dict[int, dict[str, Any]] = {}
    for row in rows_of(connection, statement, table, study_id, ids):
        attributes.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    return attributes


def write_params(target: Target, params: Mapping[int, Iterable[StoredParameter]]) -> None:
    """Insert parameters by trial_id."""
    insert_rows(
        target,
        _params,
        [
            {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
            for trial_id, stored in params.items()
            for name, value, text in stored
        ],
    )


def write_values(target: Target, values: Mapping[int, float]) -> None:
    """Insert final values by trial_id. None of them is NaN."""
    rows = []
    for trial_id, number in values.items():
        value, kind = stored_number(number)
        rows.append({"trial_id": trial_id, "objective": 0, "value": value, "value_type": kind})
    insert_rows(target, _values, rows)


def write_reports(target: Target, reports: Mapping[int, Mapping[int, float]]) -> None:
    """Insert reports by trial_id and epoch. None of them is there yet."""
    rows = []
    for trial_id, curve in reports.items():
        for epoch, number in curve.items():
            value, kind = stored_number(number)
            rows.append(
                {
                    "trial_id": trial_id,
                    "step": epoch,
                    "intermediate_value": value,
                    "intermediate_value_type": kind,
                }
            )
    insert_rows(target, _reports, rows)


def write_attributes(target: Target, table: Table, attributes: Mapping[int, Mapping[str, Any]]) -> None:
    """Write attributes by trial_id into `table`, over those of the same key."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, pairs in attributes.items()
        for key, value in pairs.items()
    ]
    upsert_rows(target, table, rows, key=("trial_id", "key"))
