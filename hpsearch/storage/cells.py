"""What a stored value may be, looked at when it is read: SQLite takes any value in any column.

Functions that name a `column` raise ValueError, with the column in front, for what no hpsearch writes.
"""

import math
from datetime import datetime
from typing import Any, Final

from hpsearch.storage.clock import utc

MOST: Final = 2**63 - 1
"""The largest whole number that every database holds."""


def is_whole(value: Any, *, low: int = 0, high: int = MOST) -> bool:
    """True for a whole number from `low` to `high`."""
    return type(value) is int and low <= value <= high


def is_number(value: Any) -> bool:
    """True for a finite number that a float holds."""
    return math.isfinite(value) if type(value) is float else is_whole(value, low=-_LARGEST, high=_LARGEST)


_LARGEST: Final = 2**1023
"""Whole numbers up to here are floats too."""


def whole(value: object, column: str, *, low: int | None = None) -> int:
    """Return a whole number, at least `low`."""
    if not isinstance(value, int) or not is_whole(value, low=-MOST if low is None else low):
        least = "" if low is None else f" from {low} on"
        raise ValueError(f"{column}: must be a whole number{least} (got {shown_value(value)})")
    return value


def counted(value: object) -> int:
    """Return a count; 0 for what is none. It raises nothing."""
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
