"""Axes that span the whole search space, independent of the trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hpsearch.analysis.formats import format_parameter, format_tick
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Choices, Dimension, Range
from hpsearch.trials import ParameterValue, Trial

AxisKind: TypeAlias = Literal["log", "linear", "category"]

_CATEGORY_SPREAD = 0.5

FIRST_STRIDE, SECOND_STRIDE = 0.7548776662466927, 0.5698402909980532
"""Multiples of these, modulo 1, fill a square evenly: Roberts (2018), "The unreasonable effectiveness of
quasirandom sequences", the sequence R2."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A labelled place on an axis, in the axis's own units."""

    at: float
    text: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One searched dimension as an axis from `low` to `high`.

    Units are the parameter's own on log and linear axes, and the index of the choice on category axes, where trials of
    one choice are separated by `stride` and their numbers, so that they do not hide each other.
    """

    title: str
    kind: AxisKind
    low: float
    high: float
    ticks: tuple[Tick, ...]
    choices: tuple[ParameterValue, ...] = ()
    stride: float = FIRST_STRIDE

    def place(self, value: ParameterValue, number: int) -> float | None:
        """Return the position of trial `number` with `value`, moved to the nearest edge if it is outside.

        Return None if the axis has no place for it.
        """
        if self.kind == "category":
            return self._place_choice(value, number)
        if not isinstance(value, int | float):
            return None
        return min(max(float(value), self.low), self.high)

    def holds(self, value: ParameterValue) -> bool:
        """Return True if `value` is inside the search space."""
        if self.kind == "category":
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high

    def _place_choice(self, value: ParameterValue, number: int) -> float | None:
        if value not in self.choices:
            return None
        return self.choices.index(value) + _CATEGORY_SPREAD * (number * self.stride % 1 - 0.5)


def coordinate(trial: Trial, axis: Axis) -> float | None:
    """Return a trial's position on the axis; None if it has no value, or a value without a place."""
    has_value = axis.title in trial.params
    return axis.place(trial.params[axis.title], trial.number) if has_value else None


def axis_of(dimension: Dimension, *, stride: float = FIRST_STRIDE) -> Axis:
    """Return the axis over the whole range, or over all choices, of a searched dimension."""
    if isinstance(dimension, Choices):
        return _category_axis(dimension, stride)
    return Axis(
        title=dimension.name,
        kind="log" if dimension.log else "linear",
        low=dimension.low,
        high=dimension.high,
        ticks=ticks_between(dimension.low, dimension.high, log=dimension.log),
    )


def learning_rate_of(search: Sequence[Dimension]) -> Range | None:
    """Return the searched range of learning rates; None if the study searches none."""
    for dimension in search:
        if isinstance(dimension, Range) and dimension.name.removeprefix("training.") == "learning_rate":
            return dimension
    return None


def ticks_between(low: float, high: float, *, log: bool) -> tuple[Tick, ...]:
    """Return 2 to 11 ticks at round numbers in [low, high]; on a log axis decades take precedence."""
    values = _log_values(low, high) if log else _linear_values(low, high)
    return tuple(Tick(at=value, text=format_tick(value)) for value in values)


def count_ticks(high: int) -> tuple[Tick, ...]:
    """Return ticks from 0 to `high` at whole numbers, labelled `0`, `500`, `10,000`."""
    values = [value for value in _linear_values(0, high) if value == int(value)]
    return tuple(Tick(at=value, text=format_count(int(value))) for value in values)


def _category_axis(dimension: Choices, stride: float) -> Axis:
    ticks = [Tick(at=i, text=format_parameter(choice)) for i, choice in enumerate(dimension.choices)]
    return Axis(
        title=dimension.name,
        kind="category",
        low=-0.5,
        high=len(ticks) - 0.5,
        ticks=tuple(ticks),
        choices=dimension.choices,
        stride=stride,
    )


def _log_values(low: float, high: float) -> list[float]:
    """Return powers of ten, thinned above 11; below two decades also their multiples 2 and 5."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / 10))
    for multiples in ((1,), (1, 2, 5)):
        decades = range(first, last + 1, stride)
        values = [float(f"{multiple}e{decade}") for decade in decades for multiple in multiples]
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) >= 3:
            return inside
    return _linear_values(low, high)


def _linear_values(low: float, high: float) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten, at most 7 of them; `low` alone if the range is a point."""
    if not high > low:
        return [low]
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(multiple * power for multiple in (1, 2, 5, 10) if multiple * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]
