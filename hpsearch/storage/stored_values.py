"""Checks of stored values: SQLite accepts any value in any column, so every value read is checked.

Functions that take a `column` raise ValueError, prefixed with the column, for values that hpsearch never writes. JSON
from unknown sources is read within bounds, and only into plain values.
"""

import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
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
from hpsearch.storage.clock import utc

MOST: Final = 2**63 - 1
"""The largest whole number that every database stores."""


def is_whole(value: Any, *, low: int = 0, high: int = MOST) -> bool:
    """Return True for a whole number from `low` to `high`."""
    return type(value) is int and low <= value <= high


def is_number(value: Any) -> bool:
    """Return True for a finite number that a float holds."""
    return math.isfinite(value) if type(value) is float else is_whole(value, low=-_LARGEST, high=_LARGEST)


_LARGEST: Final = 2**1023
"""Whole numbers up to this one can be converted to floats."""


def whole(value: object, column: str, *, low: int | None = None) -> int:
    """Return a whole number, at least `low`."""
    if not isinstance(value, int) or not is_whole(value, low=-MOST if low is None else low):
        least = "" if low is None else f" from {low} on"
        raise ValueError(f"{column}: must be a whole number{least} (got {shown_value(value)})")
    return value


def counted(value: object) -> int:
    """Return a count, or 0 for any other value. Never raises."""
    return value if isinstance(value, int) and value >= 0 else 0


def text_cell(value: object, column: str) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{column}: must be a text (got {shown_value(value)})")  # noqa: TRY004  # damage, no bug
    return value


def moment(value: object, column: str) -> datetime:
    """Return a time in UTC."""
    try:
        return utc(seconds(value, column))
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{column}: must be seconds since 1970 (got {shown_value(value)})") from error


def seconds(value: Any, column: str) -> float:
    """Return a time as seconds since 1970."""
    if not is_number(value):
        raise ValueError(f"{column}: must be seconds since 1970 (got {shown_value(value)})")
    return float(value)


def shown_value(value: object) -> str:
    """Return a value for a message, shortened if it is long."""
    text = f"{len(value)} bytes" if isinstance(value, bytes) and len(value) > 40 else repr(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"


DEEPEST: Final = 100
"""Most nested levels of lists and tables in stored JSON; Python's reader stops at about 1,000."""

_STRUCTURE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

NOT_JSON: Final = object()
"""The result of `plain_json` for text that is no JSON, or nested too deeply."""


def plain_json(text: str) -> Any:
    """Return the value of JSON text, or `NOT_JSON`. NaN and infinity pass, as in Python's JSON and so Optuna's."""
    if depth_of(text) > DEEPEST:
        return NOT_JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def depth_of(text: str) -> int:
    """Return the nesting depth of lists and tables in JSON text, or their total number if there are few."""
    if (most := text.count("[") + text.count("{")) <= DEEPEST:
        return most
    depth = deepest = 0
    for token in _STRUCTURE.finditer(text):
        step = {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        depth += step
        deepest = max(deepest, depth)
        if deepest > DEEPEST:
            break
    return deepest


def is_choice(value: Any) -> bool:
    """Return True for a permitted value of Optuna's choices, and so of a parameter."""
    return value is None or isinstance(value, str | bool) or is_number(value)


@lru_cache(maxsize=1024)
def stored_distribution(text: str) -> Any:
    """Return the distribution described by JSON text, or None."""
    from optuna.distributions import CategoricalDistribution, json_to_distribution  # noqa: PLC0415  # slow to import

    if depth_of(text) > DEEPEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of list choices, which are refused below
            found: Any = json_to_distribution(text)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None
    if isinstance(found, CategoricalDistribution):
        return found if all(is_choice(choice) for choice in found.choices) else None
    bounds = [found.low, found.high, *([] if found.step is None else [found.step])]
    are_numbers = all(is_number(bound) for bound in bounds) and isinstance(found.log, bool)
    return found if are_numbers and found.low <= found.high else None


def holds(distribution: Any, value: float) -> bool:
    """Return True for a value inside the distribution, to Optuna's own tolerance, that it can represent."""
    from optuna.distributions import FloatDistribution  # noqa: PLC0415  # slow to import

    try:
        if not isinstance(distribution, FloatDistribution) and value != int(value):
            return False
        distribution.to_external_repr(value)
        return bool(distribution._contains(value))  # noqa: SLF001  # Optuna has no public test for one value
    except (ValueError, TypeError, LookupError, OverflowError, ArithmeticError):
        return False


TEXT_MAX: Final = 16 * 2**20
"""Most characters of one text, such as the value of an attribute: the size of a MEDIUMTEXT in MySQL."""

BLOB_MAX: Final = 64 * 2**20
"""Most bytes of one value in a row: more than any compressed series (`payloads.SERIES_MAX_BYTES`)."""

UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""Characters that no other database accepts in text: NUL, and halves of a surrogate pair."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?")

_YEARS: Final = range(1970, 2262)
"""Years that every part of this program can display and compute with."""

_Check: TypeAlias = Callable[[Any], Any]
"""Returns the Python value. Raises ValueError with the rule."""


def raw_columns(connection: Connection, columns: Sequence[Column[Any]]) -> list[Any]:
    """Return `columns` for a SELECT: untyped for SQLite, because type conversions raise errors of their own."""
    if connection.dialect.name != "sqlite":
        return list(columns)
    return [type_coerce(column, NULLTYPE).label(column.name) for column in columns]


def checked_row(table: Table, row: Mapping[Any, Any], *, where: str) -> dict[str, Any]:
    """Return the row with values converted to the columns' types. Raises StorageError, naming the row by `where`."""
    return {name: checked_value(table.c[name], value, where=where) for name, value in row.items()}


def checked_value(column: Column[Any], value: Any, *, where: str) -> Any:
    """Return the value converted to its column's type. Raises StorageError."""
    try:
        return _check(column)(value)
    except ValueError as error:
        raise broken_row(column.table.name, where, column.name, rule=str(error), value=value) from None


def broken_row(table: str, where: str, column: str, *, rule: str, value: object) -> StorageError:
    """Return the error for a value that violates a rule."""
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
"""Columns that Optuna's tables allow to be null, but Optuna always fills."""


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
