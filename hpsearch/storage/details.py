"""Rows that belong to trials, many at once: parameters, values, reports, attributes.

Optuna stores a parameter as one float, plus the distribution that interprets it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

from sqlalchemy import Connection, LargeBinary, Select, Table, bindparam, cast, func, select

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.optuna_schema import number_of, stored_number
from hpsearch.storage.statements import DriverStatement, RawRow, Target, write_rows
from hpsearch.study.spec import Dimension, StudySpec
from hpsearch.trials import ParameterValue

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

StoredParameter: TypeAlias = tuple[str, float, str]
"""A parameter's name, its float, and its distribution as JSON text."""


def stored_parameters(spec: StudySpec, params: Mapping[str, ParameterValue]) -> list[StoredParameter]:
    """Return Optuna's stored form of `params` of a trial of `spec`.

    Raises ValueError for a name that is not searched and for a value outside its dimension.
    """
    return all_stored_parameters(spec, {0: params})[0]


def all_stored_parameters(
    spec: StudySpec, params: Mapping[int, Mapping[str, ParameterValue]]
) -> dict[int, list[StoredParameter]]:
    """Return the results of `stored_parameters` for many trials, by any number: a specification is slow to look up."""
    dimensions = _stored_dimensions(spec)
    stored: dict[int, list[StoredParameter]] = {}
    for key, values in params.items():
        rows = stored[key] = []
        for name, value in values.items():
            if name not in dimensions:
                raise ValueError(f"{name}: not a searched parameter (got {value!r})")
            distribution, text = dimensions[name]
            rows.append((name, float(distribution.to_internal_repr(value)), text))
    return stored


def stored_parameter(dimension: Dimension, value: ParameterValue) -> StoredParameter:
    """Return Optuna's stored form of a parameter that is not searched. Raises ValueError for a value outside it."""
    distribution, text = _stored_dimension(dimension)
    return dimension.name, float(distribution.to_internal_repr(value)), text


@lru_cache(maxsize=1024)
def _stored_dimension(dimension: Dimension) -> "tuple[BaseDistribution, str]":
    from optuna.distributions import distribution_to_json  # noqa: PLC0415  # reading needs no Optuna

    from hpsearch.search.space import distribution_of  # noqa: PLC0415  # nor this, which imports it

    made = distribution_of(dimension)
    return made, distribution_to_json(made)


@lru_cache(maxsize=16)
def _stored_dimensions(spec: StudySpec) -> "dict[str, tuple[BaseDistribution, str]]":
    from optuna.distributions import distribution_to_json  # noqa: PLC0415  # reading needs no Optuna

    from hpsearch.search.space import distributions  # noqa: PLC0415  # nor this, which imports it

    return {name: (made, distribution_to_json(made)) for name, made in distributions(spec).items()}


def parameter(stored: float, distribution: str) -> Any:
    """Return the value that `stored` represents under the JSON text `distribution`."""
    kind, choices = _meaning(distribution)
    if choices is not None:
        return choices[int(stored)]
    return int(stored) if kind.startswith("Int") else float(stored)


def as_value(choice: Any) -> ParameterValue:
    """Return another client's choice in the form of our records: as JSON text if Optuna allows no such choice."""
    return choice if isinstance(choice, float | int | str | None) else json.dumps(choice)


@lru_cache(maxsize=1024)
def _meaning(distribution: str) -> tuple[str, tuple[Any, ...] | None]:
    """Return the class of Optuna's distribution and its choices, if it has any."""
    raw = json.loads(distribution)
    choices = raw["attributes"].get("choices")
    return raw["name"], None if choices is None else tuple(choices)


IDS_MAX: Final = 5000
"""Most ids in one statement; databases accept 32766 variables and more."""

_trials = optuna_schema.trials
_params = optuna_schema.trial_params
_values = optuna_schema.trial_values
_reports = optuna_schema.trial_intermediate_values
_attributes = optuna_schema.trial_system_attributes


@final
class Reading:
    """A query of rows that belong to trials, many at once. It reads `table`."""

    def __init__(self, statement: Select[Any], table: Table) -> None:
        joined = statement
        if table is not _trials:
            joined = statement.join(_trials, _trials.c.trial_id == table.c.trial_id)
        self._whole = DriverStatement(joined.where(_trials.c.study_id == bindparam("study_id")))
        self._chosen = DriverStatement(
            statement.where(table.c.trial_id.in_(bindparam("trial_ids", expanding=True)))
        )

    def rows(
        self, connection: Connection, study_id: int, ids: Sequence[int] | None, **values: Any
    ) -> Sequence[RawRow]:
        """Return the rows of a study's trials: of all if `ids` is None, else of those with these ids."""
        if ids is None:
            return self._whole.rows(connection, {"study_id": study_id, **values})
        found: list[RawRow] = []
        for start in range(0, len(ids), IDS_MAX):
            chunk = _padded(ids[start : start + IDS_MAX])
            found += self._chosen.rows(connection, {"trial_ids": chunk, **values})
        return found


def _padded(ids: Sequence[int]) -> list[int]:
    """Return the ids, the last one repeated up to a common length: each length has its own statement text."""
    missing = (1 << (len(ids) - 1).bit_length()) - len(ids)
    return [*ids, *[ids[-1]] * missing]


_PARAMS: Final = Reading(
    select(
        _params.c.trial_id, _params.c.param_name, _params.c.param_value, _params.c.distribution_json
    ).order_by(_params.c.param_id),
    _params,
)
_BARE_PARAMS: Final = Reading(
    select(_params.c.trial_id, _params.c.param_name, _params.c.param_value).order_by(_params.c.param_id),
    _params,
)
_NAME_AND_DISTRIBUTION: Final = (_params.c.param_name, _params.c.distribution_json)
_DISTRIBUTIONS: Final = Reading(select(*_NAME_AND_DISTRIBUTION).distinct(), _params)
_MYSQL_DISTRIBUTIONS: Final = Reading(
    select(*map(func.min, _NAME_AND_DISTRIBUTION)).group_by(
        *(cast(column, LargeBinary) for column in _NAME_AND_DISTRIBUTION)
    ),
    _params,
)
"""The same for MariaDB and MySQL, where texts that differ in case, accents or trailing spaces may count as equal."""

_VALUES: Final = Reading(
    select(_values.c.trial_id, _values.c.value, _values.c.value_type).where(_values.c.objective == 0), _values
)
_ALL_VALUES: Final = Reading(
    select(_values.c.trial_id, _values.c.value, _values.c.value_type).order_by(
        _values.c.trial_id, _values.c.objective
    ),
    _values,
)
_REPORTS: Final = Reading(
    select(
        _reports.c.trial_id,
        _reports.c.step,
        _reports.c.intermediate_value,
        _reports.c.intermediate_value_type,
    ).order_by(_reports.c.trial_id, _reports.c.step),
    _reports,
)
_ATTRIBUTES: Final = Reading(
    select(_attributes.c.trial_id, _attributes.c.key, _attributes.c.value_json), _attributes
)


SPREAD_ATTRIBUTE: Final = "spread"
"""The user attribute with the standard deviation of a trial's value over its folds."""

_user = optuna_schema.trial_user_attributes
_SPREADS: Final = Reading(
    select(_user.c.trial_id, _user.c.value_json).where(_user.c.key == SPREAD_ATTRIBUTE), _user
)


def spreads_of(connection: Connection, study_id: int, ids: Sequence[int] | None) -> dict[int, float]:
    """Return trial_id -> standard deviation of its value over folds, of the trials that have one."""
    read = ((trial_id, _loaded(text)) for trial_id, text in _SPREADS.rows(connection, study_id, ids))
    return {trial_id: float(spread) for trial_id, spread in read if isinstance(spread, int | float)}


def params_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[str, ParameterValue]]:
    """Return trial_id -> parameters, in the order of storage."""
    params: dict[int, dict[str, ParameterValue]] = {}
    if ids is None and (single := _single_distributions(connection, study_id)) is not None:
        for trial_id, name, value in _BARE_PARAMS.rows(connection, study_id, None):
            choices, kind = single[name]
            params.setdefault(trial_id, {})[name] = kind(value) if choices is None else choices[int(value)]
        return params
    for trial_id, name, value, distribution in _PARAMS.rows(connection, study_id, ids):
        params.setdefault(trial_id, {})[name] = as_value(parameter(value, distribution))
    return params


def _single_distributions(
    connection: Connection, study_id: int
) -> dict[str, tuple[tuple[ParameterValue, ...] | None, type[int] | type[float]]] | None:
    """Return name -> choices, or None and the type of a range, if each parameter has one distribution in all trials.

    Then the rows of a large study need not repeat it. Returns None otherwise.
    """
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    found = (_MYSQL_DISTRIBUTIONS if is_mysql else _DISTRIBUTIONS).rows(connection, study_id, None)
    if len({name for name, _ in found}) < len(found):
        return None
    meanings = {name: _meaning(distribution) for name, distribution in found}
    return {
        name: (
            None if choices is None else tuple(map(as_value, choices)),
            int if kind.startswith("Int") else float,
        )
        for name, (kind, choices) in meanings.items()
    }


def values_of(connection: Connection, study_id: int, ids: Sequence[int] | None) -> dict[int, float]:
    """Return trial_id -> value of its first objective."""
    return {
        trial_id: number_of(value, kind) for trial_id, value, kind in _VALUES.rows(connection, study_id, ids)
    }


def all_values_of(connection: Connection, study_id: int) -> dict[int, tuple[float, ...]]:
    """Return trial_id -> values of all objectives, in order."""
    found: dict[int, list[float]] = {}
    for trial_id, value, kind in _ALL_VALUES.rows(connection, study_id, None):
        found.setdefault(trial_id, []).append(number_of(value, kind))
    return {trial_id: tuple(values) for trial_id, values in found.items()}


def reports_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[int, float]]:
    """Return trial_id -> epoch -> reported value, by epoch."""
    reports: dict[int, dict[int, float]] = {}
    last, curve = None, {}
    for trial_id, step, value, kind in _REPORTS.rows(connection, study_id, ids):
        if trial_id != last:  # rows of a trial follow each other
            last, curve = trial_id, reports.setdefault(trial_id, {})
        curve[step] = value if kind == "FINITE" and value is not None else number_of(value, kind)
    return reports


def system_attributes_of(
    connection: Connection, study_id: int, ids: Sequence[int] | None
) -> dict[int, dict[str, Any]]:
    """Return trial_id -> attributes that Optuna's samplers and pruners store with it."""
    attributes: dict[int, dict[str, Any]] = {}
    for trial_id, key, value in _ATTRIBUTES.rows(connection, study_id, ids):
        if key != schema.SEEN_ATTRIBUTE:
            attributes.setdefault(trial_id, {})[key] = _loaded(value)
    return attributes


def _loaded(value: str) -> Any:
    """Return the value of a JSON text; text of other clients that is no JSON is returned as text."""
    try:
        return json.loads(value)
    except (RecursionError, TypeError, ValueError):
        return value


def write_params(target: Target, params: Mapping[int, Iterable[StoredParameter]]) -> None:
    """Write parameters by trial_id, replacing those of the same name: another Optuna client may have been faster."""
    rows = [
        {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": text}
        for trial_id, stored in params.items()
        for name, value, text in stored
    ]
    write_rows(target, _params, rows, key=("trial_id", "param_name"))


def write_values(target: Target, values: Mapping[int, Mapping[int, float]]) -> None:
    """Write final values by trial_id and objective, replacing those of another Optuna client. None of them is NaN."""
    rows = []
    for trial_id, numbers in values.items():
        for objective, number in numbers.items():
            value, kind = stored_number(number)
            rows.append({"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind})
    write_rows(target, _values, rows, key=("trial_id", "objective"))


def write_reports(target: Target, reports: Mapping[int, Mapping[int, float]]) -> None:
    """Write reports by trial_id and epoch, replacing those of another Optuna client for that epoch."""
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
    write_rows(target, _reports, rows, key=("trial_id", "step"))


def write_attributes(target: Target, table: Table, attributes: Mapping[int, Mapping[str, Any]]) -> None:
    """Write attributes by trial_id into `table`, replacing those of the same key."""
    rows = [
        {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        for trial_id, pairs in attributes.items()
        for key, value in pairs.items()
    ]
    write_rows(target, table, rows, key=("trial_id", "key"))
