"""Dates as tables have them, in seconds since the start of 1970 (UTC)."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

_YEAR_FIRST: Final = r"(?P<y>\d{4})(?P<mark>[-/.])(?P<a>\d{1,2})(?P=mark)(?P<b>\d{1,2})"
_YEAR_LAST: Final = r"(?P<a>\d{1,2})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<y>\d{4}|\d{2})"
_TIME: Final = (
    r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?"
    r"(?:\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2}))?)?"
)
_FORMS: Final = tuple(re.compile(form + _TIME) for form in (_YEAR_FIRST, _YEAR_LAST))

_PIVOT: Final = 69
"""Years of two digits below it are after 2000 (POSIX, strptime, %y)."""

_DAY_S: Final = 86_400


def date_number(text: str, *, day_first: bool = False) -> float | None:
    """Return the seconds of a date such as `2024-01-31`, `31.01.2024` or `2024-01-31 13:30`; None for another text.

    With points, or with `day_first`, a date that ends in its year begins with its day; else with its month.
    """
    match = next((found for form in _FORMS if (found := form.fullmatch(text.strip()))), None)
    if match is None:
        return None
    first, second, year = int(match["a"]), int(match["b"]), int(match["y"])
    if len(match["y"]) == 2:
        year += 2000 if year < _PIVOT else 1900
    is_day_first = match.re is _FORMS[1] and (day_first or match["mark"] == ".")
    month, day = (second, first) if is_day_first else (first, second)
    try:
        moment = datetime(
            year,
            month,
            day,
            int(match["hour"] or 0),
            int(match["minute"] or 0),
            int(match["second"] or 0),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1) - _offset_s(match["zone"])


def _offset_s(zone: str | None) -> float:
    if zone is None or not zone.startswith(("+", "-")):
        return 0.0
    digits = zone[1:].replace(":", "")
    return (-1.0 if zone[0] == "-" else 1.0) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)


def day_first_of(texts: Iterable[str]) -> bool | None:
    """Return whether these dates have their day before their month, and None if both ways read them all.

    Dates that no way reads all count as month first, and then as no dates.
    """
    every = list(texts)
    is_possible = [
        all(date_number(text, day_first=way) is not None for text in every) for way in (False, True)
    ]
    if all(is_possible):
        numbers = ([date_number(text, day_first=way) for way in (False, True)] for text in every)
        return None if any(first != second for first, second in numbers) else False
    return is_possible[1]


def has_time(seconds: float) -> bool:
    """Return True for a moment that is not midnight."""
    return not math.isnan(seconds) and seconds % _DAY_S != 0
