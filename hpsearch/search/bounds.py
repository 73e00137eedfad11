"""Bounds of a searched range on its own scale: rounded outwards, on its steps, or to whole numbers."""

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TypeAlias

from hpsearch.records import ParameterValue
from hpsearch.study.spec import Choices, Dimension, Range

Values: TypeAlias = Sequence[float]
"""Values of one range, rising."""


def is_in(dimension: Dimension, value: ParameterValue) -> bool:
    """True for one of the choices, and for a number inside the range."""
    if isinstance(dimension, Choices):
        return any(type(value) is type(choice) and value == choice for choice in dimension.choices)
    return isinstance(value, int | float) and dimension.low <= value <= dimension.high


def share(dimension: Range, low: float, high: float) -> float:
    """Return which share of the range, on its own scale, the values from `low` to `high` are, both inside."""
    unit = _unit(dimension)
    if dimension.log:
        return math.log((high + unit) / low) / math.log((dimension.high + unit) / dimension.low)
    return (high - low + unit) / (dimension.high - dimension.low + unit)


def outward(dimension: Range, where: float, *, is_high: bool) -> float:
    """Return the value at the place `where` (0 is the low end, 1 the high one, beyond is allowed), rounded outwards.

    A range with steps has a whole number of them from its old low end; whole numbers stay whole; others have two
    digits: of their own on a logarithmic scale, of the range's width on a linear one.
    """
    return _rounded(dimension, _value(dimension, where), up=is_high)


def inward(dimension: Range, value: float, *, is_high: bool) -> float:
    """Return `value`, or where the range has steps the next one inside of it."""
    return _rounded(dimension, value, up=not is_high) if _unit(dimension) else value


def _unit(dimension: Range) -> float:
    """Return the distance of neighbours; 0 where any value may be."""
    return dimension.step or (1.0 if dimension.integer else 0.0)


def _value(dimension: Range, where: float) -> float:
    if dimension.log:
        return dimension.low * math.exp(where * math.log(dimension.high / dimension.low))
    return dimension.low + where * (dimension.high - dimension.low)


def _rounded(dimension: Range, value: float, *, up: bool) -> float:
    if (unit := _unit(dimension)) and not dimension.log:
        low, step = Decimal(repr(dimension.low)), Decimal(repr(unit))
        return float(low + _whole((Decimal(repr(value)) - low) / step, up=up) * step)
    if unit:
        return float(_whole(Decimal(repr(value)), up=up))
    size = value if dimension.log else dimension.high - dimension.low
    digit = Decimal(1).scaleb(math.floor(math.log10(size)) - 1)
    return float(_whole(Decimal(repr(value)) / digit, up=up) * digit)


def _whole(number: Decimal, *, up: bool) -> Decimal:
    """Return the next whole number; what rounding in binary put a hair beside one is that one."""
    nearest = number.to_integral_value()
    if abs(number - nearest) < Decimal("1e-9"):
        return nearest
    return number.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
