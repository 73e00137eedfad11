"""Searched ranges: bounds on their own scale, parts in which every trial died, and the places of the best ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, TypeAlias, final

from hpsearch.search.ranking import is_dead
from hpsearch.study.schema import SEARCHABLE
from hpsearch.study.spec import Range, full_name
from hpsearch.trials import Trial, TrialState, best_trials
from hpsearch.verdicts import Cause

Values: TypeAlias = Sequence[float]
"""Values of one range, rising."""


def share(dimension: Range, low: float, high: float) -> float:
    """Return the share of the range, on its own scale, that the values from `low` to `high`, both included, cover."""
    unit = _unit(dimension)
    if dimension.log:
        return math.log((high + unit) / low) / math.log((dimension.high + unit) / dimension.low)
    return (high - low + unit) / (dimension.high - dimension.low + unit)


def rounded_outward(dimension: Range, where: float, *, is_high: bool) -> float:
    """Return the value at the place `where` (0 is the low end, 1 the high one, beyond is allowed), rounded outwards.

    A range with steps has a whole number of them from its old low end; whole numbers stay whole; others have two
    digits: of their own on a logarithmic scale, of the range's width on a linear one.
    """
    return _rounded(dimension, _value(dimension, where), up=is_high)


def rounded_inward(dimension: Range, value: float, *, is_high: bool) -> float:
    """Return `value`, or if the range has steps the next one inside of it."""
    return _rounded(dimension, value, up=not is_high) if _unit(dimension) else value


def _unit(dimension: Range) -> float:
    """Return the distance of neighbours; 0 if any value may be."""
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
    """Return the next whole number; a number within rounding error of one gives that one."""
    nearest = number.to_integral_value()
    if abs(number - nearest) < Decimal("1e-9"):
        return nearest
    return number.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)


LEAST_DEAD: Final = 5
LARGEST_CHANCE: Final = 0.01
"""A result that is this likely by chance alone is no reason to change a study."""

EDGE_SHARE: Final = 0.1
"""The part of a range, on its own scale, that is its edge."""

LEAST_BEST: Final = 5
MOST_BEST: Final = 20
BEST_OF: Final = 10
_MOST_DIGITS: Final = 17


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One ended trial in one searched range: its value there, and whether it died."""

    value: float
    is_dead: bool
    verdict: Cause | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DeadRegion:
    """A part of a range, beyond the last survivor, in which all of `dead` trials died.

    `is_high` is True for the upper part; `bound` lies between the last survivor and the first death.
    """

    dimension: Range
    is_high: bool
    bound: float
    dead: Sequence[Point]


def ended_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that completed or were stopped."""
    return [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


def best_tenth(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """Return the best tenth, at least 5 and at most 20; none if there are not twice as many."""
    ranked = sum(trial.is_ranked for trial in trials)
    count = min(MOST_BEST, max(LEAST_BEST, -(-ranked // BEST_OF)))
    return best_trials(trials, maximize=maximize, count=count) if ranked >= 2 * count else []


def dead_regions(dimension: Range, trials: Sequence[Trial]) -> Iterator[DeadRegion]:
    """Yield the upper and the lower part of the range in which all trials died, and not by chance."""
    found = points(dimension, trials)
    survivors = [point.value for point in found if not point.is_dead]
    if not survivors:
        return
    lowest, highest = min(survivors), max(survivors)
    below = [point for point in found if point.value < lowest]
    above = [point for point in found if point.value > highest]
    for is_high, dead, others in ((True, above, below), (False, below, above)):
        # The dead of the other end are no evidence about this one.
        deaths = sum(point.is_dead for point in found) - len(others)
        if len(dead) >= LEAST_DEAD and chance_of_deaths(len(dead), deaths, len(survivors)) < LARGEST_CHANCE:
            bound = _bound(dimension, dead, survivors, is_high=is_high)
            yield DeadRegion(dimension=dimension, is_high=is_high, bound=bound, dead=dead)


def points(dimension: Range, trials: Sequence[Trial]) -> list[Point]:
    """Return the trials that completed or were stopped, inside the range."""
    return [
        Point(value=float(value), is_dead=is_dead(trial), verdict=trial.verdict)
        for trial in ended_trials(trials)
        if isinstance(value := trial.params.get(dimension.name), int | float)
        and dimension.low <= value <= dimension.high
    ]


def chance_of_deaths(drawn: int, deaths: int, survivors: int) -> float:
    """Return the probability that all `drawn` trials are dead, if deaths were spread at random."""
    total = deaths + survivors
    return math.prod((deaths - i) / (total - i) for i in range(drawn))


def _bound(dimension: Range, dead: Sequence[Point], survivors: Sequence[float], *, is_high: bool) -> float:
    """Return a number between the last survivor and the first death, as round as the gap allows."""
    survivor = max(survivors) if is_high else min(survivors)
    death = min(point.value for point in dead) if is_high else max(point.value for point in dead)
    if dimension.integer:
        return survivor
    middle = math.sqrt(survivor * death) if dimension.log else (survivor + death) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(2, _MOST_DIGITS + 1))
    low, high = sorted((survivor, death))
    return next((number for number in rounded if low < number < high), survivor)


def place(dimension: Range, value: float) -> float:
    """Return the place of a value in the range, on its own scale, from 0 to 1."""
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def is_at_edge(where: float, *, is_high: bool) -> bool:
    """Return True for a place in the outermost tenth of the range."""
    return where >= 1 - EDGE_SHARE if is_high else where <= EDGE_SHARE


def binomial_tail(hits: int, of: int, share: float) -> float:
    """Return the chance of `hits` or more in `of` draws that hit with the chance `share`."""
    return sum(math.comb(of, i) * share**i * (1 - share) ** (of - i) for i in range(hits, of + 1))


def can_move(dimension: Range, *, is_high: bool) -> bool:
    """Return True if the field allows a number beyond that end of the range: a tenth of the range, at least 1."""
    end, sign = (dimension.high, 1) if is_high else (dimension.low, -1)
    beyond = end * 2.0**sign if dimension.log else end + sign * EDGE_SHARE * (dimension.high - dimension.low)
    if dimension.integer:
        beyond = min(math.floor(beyond), int(end) - 1) if sign < 0 else max(math.ceil(beyond), int(end) + 1)
    return allows(dimension.name, beyond)


def allows(name: str, value: float) -> bool:
    """Return True if the searched field allows that value, in whatever range it is searched.

    The parameters of a training function have no known rule: only the user may move their bounds outward.
    """
    full = full_name(name)
    return full in SEARCHABLE and not SEARCHABLE[full].problems(full, value)
