"""Stored JSON that may come from anywhere: read within bounds, and never into anything but plain values."""

import json
import re
import warnings
from functools import lru_cache
from typing import Any, Final

from hpsearch.storage.cells import is_number

DEEPEST: Final = 100
"""Most levels of lists and tables in stored JSON; Python's reader stops at about 1,000."""

_STRUCTURE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)

NOT_JSON: Final = object()
"""What `plain_json` returns for text that is no JSON, or too deep."""


def plain_json(text: str) -> Any:
    """Return the value of JSON text, or `NOT_JSON`. NaN and infinity pass: Python's JSON, and so Optuna's, has them."""
    if depth_of(text) > DEEPEST:
        return NOT_JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return NOT_JSON


def depth_of(text: str) -> int:
    """Return how deep lists and tables are nested in JSON text; if there are few, how many there are."""
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
    """True for what a choice of Optuna's, and so a parameter, may be."""
    return value is None or isinstance(value, str | bool) or is_number(value)


@lru_cache(maxsize=1024)
def stored_distribution(text: str) -> Any:
    """Return the distribution of JSON text, or None."""
    from optuna.distributions import CategoricalDistribution, json_to_distribution  # noqa: PLC0415  # slow to import

    if depth_of(text) > DEEPEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of choices that are lists, which are refused below
            found: Any = json_to_distribution(text)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None
    if isinstance(found, CategoricalDistribution):
        return found if all(is_choice(choice) for choice in found.choices) else None
    bounds = [found.low, found.high, *([] if found.step is None else [found.step])]
    are_numbers = all(is_number(bound) for bound in bounds) and isinstance(found.log, bool)
    return found if are_numbers and found.low <= found.high else None


def holds(distribution: Any, value: float) -> bool:
    """True for a value that lies inside, to Optuna's own tolerance, and that the distribution can show."""
    from optuna.distributions import FloatDistribution  # noqa: PLC0415  # slow to import

    try:
        if not isinstance(distribution, FloatDistribution) and value != int(value):
            return False
        distribution.to_external_repr(value)
        return bool(distribution._contains(value))  # noqa: SLF001  # Optuna has no public test for one value
    except (ValueError, TypeError, LookupError, OverflowError, ArithmeticError):
        return False
