"""What the columns of a stored row may hold. SQLite keeps anything in any column, so its rows are checked as they are.

A row that comes from elsewhere is read here before anything else looks at it. A value that its column must not hold
raises StorageError with table, row, column, rule and value.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
    type_coerce,
)
from sqlalchemy.types import NULLTYPE

from hpsearch.errors import StorageError
from hpsearch.storage.cells import is_number, is_whole, shown_value

TEXT_MAX: Final = 16 * 2**20
"""Most characters of one text, such as the value of an attribute: what a MEDIUMTEXT of MySQL holds."""

BLOB_MAX: Final = 64 * 2**20
"""Most bytes of one value in a row: more than a compressed series ever has (`payloads.SERIES_MAX_BYTES`)."""

UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""What no other database takes in text: NUL, and halves of a surrogate pair."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?")

_YEARS: Final = range(1970, 2262)
"""Years that every part of this program can show and compute with."""

_Check: TypeAlias = Callable[[Any], Any]
"""Returns the value as Python has it. Raises ValueError with the rule."""


def raw_columns(connection: Connection, columns: Sequence[Column[Any]]) -> list[Any]:
    """Return `columns` for a SELECT: of SQLite without a type, since conversions fail in ways of their own."""
    if connection.dialect.name != "sqlite":
        return list(columns)
    return [type_coerce(column, NULLTYPE).label(column.name) for column in columns]


def checked_row(table: Table, row: Mapping[Any, Any], *, where: str) -> dict[str, Any]:
    """Return the row with every value as its column has it. Raises StorageError, naming the row by `where`."""
    return {name: checked_value(table.c[name], value, where=where) for name, value in row.items()}


def checked_value(column: Column[Any], value: Any, *, where: str) -> Any:
    """Return the value as its column has it. Raises StorageError."""
    try:
        return _check(column)(value)
    except ValueError as error:
        raise broken_row(column.table.name, where, column.name, rule=str(error), value=value) from None


def broken_row(table: str, where: str, column: str, *, rule: str, value: object) -> StorageError:
    """Return the error for a value that breaks a rule."""
    return StorageError(f"table {table}, {where}, column {column}: {rule} (got {shown_value(value)})")


_checks: dict[tuple[str, str], _Check] = {}


def _check(column: Column[Any]) -> _Check:
    key = column.table.name, column.name
    if key not in _checks:
        _checks[key] = _or_null(column, _of_type(column))
    return _checks[key]


def _or_null(column: Column[Any], check: _Check) -> _Check:
    may_be_null = bool(column.nullable) and column.name not in _NEVER_NULL

    def checked(value: Any) -> Any:
        if value is not None:
            return check(value)
        if may_be_null:
            return None
        raise ValueError("must not be null")

    return checked


_NEVER_NULL: Final = frozenset(
    {"key", "value_json", "number", "study_id", "trial_id", "param_name", "param_value", "distribution_json"}
)
"""Columns that Optuna's tables allow to be null, and Optuna never leaves so."""


def _of_type(column: Column[Any]) -> _Check:  # noqa: PLR0911  # one line for each type
    kind = column.type
    match kind:
        case Boolean():
            return _flag
        case BigInteger():
            return lambda value: _whole(value, 2**63 - 1)
        case Integer():
            return lambda value: _whole(value, 2**31 - 1)
        case Float() | Double():
            return _number
        case Enum():
            return lambda value: _word(value, kind.enums)
        case DateTime():
            return _time
        case LargeBinary():
            return _bytes
        case String():
            longest = kind.length or TEXT_MAX
            return lambda value: _text(value, longest)
    raise AssertionError(f"{column}: no rule for its type (got {kind!r})")


def _flag(value: Any) -> bool:
    if type(value) is bool or is_whole(value, high=1):
        return bool(value)
    raise ValueError("must be 0 or 1")


def _whole(value: Any, largest: int) -> int:
    if is_whole(value, low=-largest - 1, high=largest):
        return int(value)
    raise ValueError(f"must be a whole number from {-largest - 1} to {largest}")


def _number(value: Any) -> float:
    if is_number(value):
        return float(value)
    raise ValueError("must be a finite number")


def _word(value: Any, words: Sequence[str]) -> str:
    if isinstance(value, str) and value in words:
        return value
    raise ValueError(f"must be one of {', '.join(words)}")


def _time(value: Any) -> datetime:
    if isinstance(value, str) and _TIME.fullmatch(value):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.year in _YEARS:
        return value
    raise ValueError(
        f"must be a time from {_YEARS.start} to {_YEARS.stop - 1}, such as 2026-01-31 12:00:00.000000"
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes) and len(value) <= BLOB_MAX:
        return value
    raise ValueError(f"must be at most {BLOB_MAX} bytes")


def _text(value: Any, longest: int) -> str:
    if isinstance(value, str) and len(value) <= longest and UNSTORABLE.search(value) is None:
        return value
    raise ValueError(f"must be text of at most {longest} characters in UTF-8, without NUL")
