"""What a cell of our tables may hold, looked at when it is read: SQLite takes any value in any column.

Functions raise ValueError, which names the column, for what no hpsearch writes.
"""

from datetime import datetime

from hpsearch.storage.clock import utc

_SHOWN = 40
"""Characters of a value that a message shows."""


def whole(value: object, column: str, *, low: int | None = None) -> int:
    """Return a whole number, at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or (low is not None and value < low):
        least = "" if low is None else f" from {low} on"
        raise ValueError(f"{column}: must be a whole number{least} (got {shown(value)})")
    return value


def counted(value: object) -> int:
    """Return a count; 0 for what is none. It raises nothing."""
    return value if isinstance(value, int) and value >= 0 else 0


def text_cell(value: object, column: str) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{column}: must be a text (got {shown(value)})")  # noqa: TRY004  # damage, no bug
    return value


def moment(value: object, column: str) -> datetime:
    """Return a time in UTC."""
    try:
        return utc(value)  # type: ignore[arg-type]
    except (OverflowError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"{column}: must be seconds since 1970 (got {shown(value)})") from error


def shown(value: object) -> str:
    """Return a value as messages show it: not long, on one line."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
