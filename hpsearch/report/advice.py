"""One sentence of advice: what to change in the study file before the next search.

What the search space shows comes first: a part of it in which every trial died, then the best trials at its edge.
Where it shows nothing, the cause that cost most epochs says its remedy.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from hpsearch.records import Cause, Trial, TrialState, best_trials
from hpsearch.report.audit import is_audited, wrong_stops
from hpsearch.report.figure_data.causes import common_remedy
from hpsearch.report.formats import format_count
from hpsearch.search.standing import is_dead
from hpsearch.study.amounts import format_number
from hpsearch.study.schema import SEARCHED
from hpsearch.study.shown import key_path
from hpsearch.study.spec import AILMENTS, SHORT_NAMES, Dimension, Range, StudySpec

LEAST_DEAD: Final = 5
LARGEST_CHANCE: Final = 0.01
"""What is this likely to happen by chance alone is no reason to change a study."""

EDGE_SHARE: Final = 0.1
"""The part of a range, on its own scale, that is its edge."""

LEAST_BEST: Final = 5
MOST_BEST: Final = 20
BEST_OF: Final = 10
EDGE_MAJORITY: Final = 0.8
MOST_DIGITS: Final = 17


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One ended trial in one searched range: its value there, and whether it died."""

    value: float
    is_dead: bool
    verdict: Cause | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DeadEnd:
    """A part of a range, beyond the last survivor, in which all of `dead` trials died.

    `is_high` says that it is the upper part; `bound` lies between the last survivor and the first death.
    """

    dimension: Range
    is_high: bool
    bound: float
    dead: Sequence[Point]


def advice(spec: StudySpec, trials: Sequence[Trial], *, maximize: bool) -> str | None:
    """Return what the ended ones of `trials` advise, as a clause without capital and full stop; None for nothing.

    A trial that diagnosis would have stopped, and that ran on to be audited, neither survived nor died, unless it
    ended among the best. A study of exact configurations has no ranges to change.
    """
    if spec.configurations:
        return None
    wrong = {trial.number for trial in wrong_stops(trials, maximize=maximize)}
    counted = [trial for trial in trials if trial.number in wrong or not is_audited(trial)]
    has_more = len(counted) < len(trials)
    trials = counted
    ranges = [dimension for dimension in spec.search if isinstance(dimension, Range)]
    ends = [end for dimension in ranges for end in _dead_ends(dimension, trials)]
    if ends:
        return _dead_end_words(max(ends, key=lambda end: len(end.dead)), audited_aside=has_more)
    best = _best(trials, maximize=maximize)
    edges = (words for dimension in ranges if (words := _edge_words(dimension, trials, best)))
    return next(edges, None) or _costliest_words(spec.search, trials)


def _dead_ends(dimension: Range, trials: Sequence[Trial]) -> Iterator[DeadEnd]:
    points = _points(dimension, trials)
    survivors = [point.value for point in points if not point.is_dead]
    if not survivors:
        return
    below = [point for point in points if point.value < min(survivors)]
    above = [point for point in points if point.value > max(survivors)]
    for is_high, dead, others in ((True, above, below), (False, below, above)):
        # The dead of the other end say nothing about this one.
        deaths = sum(point.is_dead for point in points) - len(others)
        if len(dead) >= LEAST_DEAD and _chance(len(dead), deaths, len(survivors)) < LARGEST_CHANCE:
            bound = _bound(dimension, dead, survivors, is_high=is_high)
            yield DeadEnd(dimension=dimension, is_high=is_high, bound=bound, dead=dead)


def _points(dimension: Range, trials: Sequence[Trial]) -> list[Point]:
    """Return the trials that completed or were stopped, inside the range."""
    ended = (trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED))
    return [
        Point(value=float(value), is_dead=is_dead(trial), verdict=trial.verdict)
        for trial in ended
        if isinstance(value := trial.params.get(dimension.name), int | float)
        and dimension.low <= value <= dimension.high
    ]


def _chance(drawn: int, deaths: int, survivors: int) -> float:
    """Return how likely it is that `drawn` trials out of all are dead, if deaths were spread at random."""
    everybody = deaths + survivors
    return math.prod((deaths - i) / (everybody - i) for i in range(drawn))


def _bound(dimension: Range, dead: Sequence[Point], survivors: Sequence[float], *, is_high: bool) -> float:
    """Return a number between the last survivor and the first death, as round as there is room for."""
    survivor = max(survivors) if is_high else min(survivors)
    death = min(point.value for point in dead) if is_high else max(point.value for point in dead)
    if dimension.integer:
        return survivor
    middle = math.sqrt(survivor * death) if dimension.log else (survivor + death) / 2
    rounded = (float(f"{middle:.{digits}g}") for digits in range(2, MOST_DIGITS + 1))
    low, high = sorted((survivor, death))
    return next((number for number in rounded if low < number < high), survivor)


def _dead_end_words(end: DeadEnd, *, audited_aside: bool) -> str:
    name, count = end.dimension.name, len(end.dead)
    side, change, key = ("above", "lower", "high") if end.is_high else ("below", "raise", "low")
    is_slow = all(point.verdict is Cause.LR_TOO_LOW for point in end.dead)
    bound = format_number(end.bound, digits=_digits(end.bound))
    aside = ", audited ones aside" if audited_aside else ""
    return (
        f"no trial with {_noun(name)} {side} {bound} {'got anywhere' if is_slow else 'survived'} "
        f"({count:,} of {count:,}{aside}): {change} `{key_path('search', name, key)}`"
    )


def _digits(number: float) -> int:
    """Return how many significant digits a number has, at least 2."""
    return next(digits for digits in range(2, MOST_DIGITS + 1) if float(f"{number:.{digits}g}") == number)


def _noun(name: str) -> str:
    return f"a {name.replace('_', ' ')}" if name in SHORT_NAMES else name


def _best(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """Return the best tenth, at least 5 and at most 20; none where there are not twice as many."""
    ranked = sum(trial.is_ranked for trial in trials)
    count = min(MOST_BEST, max(LEAST_BEST, -(-ranked // BEST_OF)))
    return best_trials(trials, maximize=maximize, count=count) if ranked >= 2 * count else []


def _edge_words(dimension: Range, trials: Sequence[Trial], best: Sequence[Trial]) -> str | None:
    """Say so where most of the best trials sit at an edge of the range that can be moved, and not by chance."""
    everybody = [_place(dimension, point.value) for point in _points(dimension, trials)]
    places = [_place(dimension, point.value) for point in _points(dimension, best)]
    if not places:
        return None
    for key, name, change in (("high", "upper", "raise"), ("low", "lower", "lower")):
        is_high = key == "high"
        there = sum(_is_at_edge(place, is_high=is_high) for place in places)
        usual = sum(_is_at_edge(place, is_high=is_high) for place in everybody) / len(everybody)
        is_sound = there >= EDGE_MAJORITY * len(places) and _tail(there, len(places), usual) < LARGEST_CHANCE
        if is_sound and _can_move(dimension, is_high=is_high):
            path = key_path("search", dimension.name, key)
            return f"the best trials sit at the {name} edge of {dimension.name}: {change} `{path}`"
    return None


def _place(dimension: Range, value: float) -> float:
    """Return where a value lies in the range, on its own scale, from 0 to 1."""
    if dimension.log:
        return math.log(value / dimension.low) / math.log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)


def _is_at_edge(place: float, *, is_high: bool) -> bool:
    return place >= 1 - EDGE_SHARE if is_high else place <= EDGE_SHARE


def _tail(hits: int, of: int, share: float) -> float:
    """Return the chance of `hits` or more in `of` draws that hit with the chance `share`."""
    return sum(math.comb(of, i) * share**i * (1 - share) ** (of - i) for i in range(hits, of + 1))


def _can_move(dimension: Range, *, is_high: bool) -> bool:
    """True where the field may hold a number beyond that end of the range: a tenth of the range, at least 1."""
    end, sign = (dimension.high, 1) if is_high else (dimension.low, -1)
    beyond = end * 2.0**sign if dimension.log else end + sign * EDGE_SHARE * (dimension.high - dimension.low)
    if dimension.integer:
        beyond = min(math.floor(beyond), int(end) - 1) if sign < 0 else max(math.ceil(beyond), int(end) + 1)
    full = SHORT_NAMES.get(dimension.name, dimension.name)
    return not SEARCHED[full].problems(full, beyond)


def _costliest_words(search: Sequence[Dimension], trials: Sequence[Trial]) -> str | None:
    """Return the remedy of the cause that cost most epochs; None where diagnosis stopped nothing."""
    groups: dict[Cause, list[Trial]] = {}
    for trial in trials:
        if trial.state is TrialState.PRUNED and trial.verdict in AILMENTS:
            groups.setdefault(trial.verdict, []).append(trial)
    if not groups:
        return None
    costs = {cause: sum(trial.epochs for trial in group) for cause, group in groups.items()}
    cause = max(costs, key=lambda cause: (costs[cause], len(groups[cause])))
    price = f"{format_count(costs[cause], 'epoch')} of {format_count(len(groups[cause]), 'trial')}"
    return f"{cause} cost most, {price}: {common_remedy(search, groups[cause]).removesuffix('.')}"
