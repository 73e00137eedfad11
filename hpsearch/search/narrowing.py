"""Stepwise narrowing: the search of a follow-up study, from the best trials of this one and its dead ones.

A bound of a range moves in if the best trials lie closer together than by chance, or if every trial beyond it died; it
moves out if the best trials lie at it, none of the trials there died, and the field allows more. Choices are removed if
they always died, or are missing among the best beyond chance. Bounds and choices without evidence are unchanged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, final

from hpsearch.errors import HpsearchError
from hpsearch.search.ranking import is_dead
from hpsearch.search.regions import (
    EDGE_SHARE,
    LARGEST_CHANCE,
    LEAST_BEST,
    LEAST_DEAD,
    DeadRegion,
    Values,
    allows,
    best_tenth,
    binomial_tail,
    chance_of_deaths,
    dead_regions,
    ended_trials,
    is_at_edge,
    place,
    points,
    rounded_inward,
    rounded_outward,
    share,
)
from hpsearch.study.conditions import allows as allows_value
from hpsearch.study.conditions import applies, missing_names, reachable
from hpsearch.study.messages import format_count, format_number
from hpsearch.study.spec import Choices, Dimension, Range, StudySpec
from hpsearch.trials import ParameterValue, Trial, best_trials

Change: TypeAlias = Literal["kept", "narrowed", "widened", "moved", "removed"]

SPREAD_CHANCE: Final = 0.05
"""The best trials lie close together if chance would place them so close less often than this."""

LEAST_SHARE: Final = 0.05
"""A range is never cut to less than this share of it, on its own scale."""

WIDENED_BY: Final = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
"""The shares of a range by which it is widened: the first that its field allows counts."""

LEAST_FACTOR: Final = 10**0.5
"""The least factor, half a decade, by which a bound on a logarithmic scale moves out, if its field allows that."""

WARM_TRIALS: Final = 5
WARM_SHARE: Final = 5
"""A follow-up begins with at most this many configurations of its parent, and at most a fifth of its budget."""

_BOUND_BY_DATA: Final = frozenset({"training.batch_size"})
"""Fields whose upper bound depends on the data, which is unknown here."""


class CannotNarrowError(HpsearchError):
    """The trials of a study are no evidence for a smaller or another search."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One dimension before and after, with reasons: for the low and the high bound, or for the choices.

    It is removed if it has a condition that no trial of the new search space can meet.
    """

    before: Dimension
    after: Dimension
    reasons: tuple[str, ...]
    is_removed: bool = False

    @property
    def change(self) -> Change:
        """The change of the dimension; a range that grew at one end and shrank at the other has moved."""
        before, after = self.before, self.after
        if self.is_removed:
            return "removed"
        if before == replace(after, when=before.when):
            return "kept"
        if isinstance(before, Choices) or isinstance(after, Choices):
            return "narrowed"
        is_wider = after.low < before.low or after.high > before.high
        is_narrower = after.low > before.low or after.high < before.high
        return "moved" if is_wider and is_narrower else "widened" if is_wider else "narrowed"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The search of a follow-up study.

    `best` are the trials that it follows, best first, `inside` the ended ones that lie in the new search space.
    """

    revisions: tuple[Revision, ...]
    best: tuple[Trial, ...]
    inside: tuple[Trial, ...]

    @property
    def search(self) -> tuple[Dimension, ...]:
        """The new search space."""
        return tuple(revision.after for revision in self.revisions if not revision.is_removed)

    @property
    def changes(self) -> bool:
        """True if the search would change."""
        return any(revision.change != "kept" for revision in self.revisions)


def propose(spec: StudySpec, trials: Sequence[Trial], *, maximize: bool) -> Proposal:
    """Return the search that should follow `trials` of a study of `spec`. Raises CannotNarrowError for too few trials.

    Trials of other Optuna clients count if they have parameters, a state and a value.
    """
    if spec.configurations:
        raise CannotNarrowError(
            f'study "{spec.name}": must search ranges or choices to be narrowed (got a list of '
            f"{len(spec.configurations)} exact configurations): hpsearch study confirm finds the best of them"
        )
    if not spec.search:
        raise CannotNarrowError(
            f'study "{spec.name}": must search ranges or choices to be narrowed (got none in [search], since its '
            "function asks for its parameters): change the ranges in the function"
        )
    best = best_tenth(trials, maximize=maximize)
    if not best:
        ranked = sum(trial.is_ranked for trial in trials)
        raise CannotNarrowError(
            f'study "{spec.name}": must have at least {2 * LEAST_BEST} complete trials with a finite result to be '
            f"narrowed by (got {ranked}): raise its budget, or prune less"
        )
    revisions = _with_conditions([_revision(dimension, trials, best) for dimension in spec.search])
    proposal = Proposal(revisions=revisions, best=tuple(best), inside=())
    inside = (trial for trial in ended_trials(trials) if lies_inside(trial.params, proposal.search))
    return replace(proposal, inside=tuple(inside))


def _with_conditions(revisions: Sequence[Revision]) -> tuple[Revision, ...]:
    """Return the revisions without conditions on choices that are removed, and without dimensions that never apply."""
    kept = {each.name: each for each in reachable([revision.after for revision in revisions])}
    never = ("removed: no value that its condition needs is left",)
    return tuple(
        replace(one, after=kept[one.after.name])
        if one.after.name in kept
        else replace(one, after=one.before, reasons=never * len(one.reasons), is_removed=True)
        for one in revisions
    )


def lies_inside(params: Mapping[str, ParameterValue], search: Sequence[Dimension]) -> bool:
    """Return True if every searched parameter that the trial should have is set, and inside its dimension."""
    mine = [dimension for dimension in search if applies(dimension, params)]
    return not missing_names(search, params) and all(allows_value(d, params[d.name]) for d in mine)


def warm_start(
    spec: StudySpec, trials: Sequence[Trial], *, maximize: bool
) -> list[dict[str, ParameterValue]]:
    """Return the first configurations of a study of `spec`, best first: the best of its parent's `trials`.

    They are trained again, and count against the budget: a value that was the best of many was also lucky, and a copy
    of it would count as a trial that this study never ran. A grid has points of its own and begins with none.
    """
    if spec.sampler.name == "grid":
        return []
    inside = [trial for trial in trials if lies_inside(trial.params, spec.search)]
    count = min(WARM_TRIALS, max(1, spec.trials // WARM_SHARE))
    best = best_trials(inside, maximize=maximize, count=count)
    return [{d.name: trial.params[d.name] for d in spec.search if applies(d, trial.params)} for trial in best]


def _revision(dimension: Dimension, trials: Sequence[Trial], best: Sequence[Trial]) -> Revision:
    if isinstance(dimension, Choices):
        return _choices_revision(dimension, trials, best)
    return _range_revision(dimension, trials, best)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Bound:
    """The new end of a range on one side, and its reason."""

    value: float
    reason: str


def _range_revision(dimension: Range, trials: Sequence[Trial], best: Sequence[Trial]) -> Revision:
    values = sorted(point.value for point in points(dimension, best))
    ends = {end.is_high: end for end in dead_regions(dimension, trials)}
    limits = {side: _limit(dimension, ends.get(side), is_high=side) for side in (False, True)}
    span = _span(dimension, values, low=limits[False], high=limits[True])
    low, high = (
        _edge_bound(dimension, trials, values, is_high=side) or span[side]
        if side not in ends
        else _dead_bound(ends[side], limits[side])
        if span[side].value == limits[side]
        else span[side]
        for side in (False, True)
    )
    after = replace(dimension, low=low.value, high=high.value)
    return Revision(before=dimension, after=after, reasons=(low.reason, high.reason))


def _limit(dimension: Range, end: DeadRegion | None, *, is_high: bool) -> float:
    """Return the limit of the range on a side: its end, or the point after which all trials died."""
    if end is None:
        return dimension.high if is_high else dimension.low
    return rounded_inward(dimension, end.bound, is_high=is_high)


def _dead_bound(end: DeadRegion, limit: float) -> _Bound:
    causes = sorted({point.verdict for point in end.dead if point.verdict is not None})
    listed = f" ({', '.join(causes)})" if causes else ""
    side = "above" if end.is_high else "below"
    return _Bound(value=limit, reason=f"all {len(end.dead)} trials {side} {_number(end.bound)} died{listed}")


def _span(dimension: Range, values: Values, *, low: float, high: float) -> dict[bool, _Bound]:
    """Return both bounds by the places of the best trials, by side: inside `low`..`high`, the range of survivors."""
    count = len(values)
    if count < LEAST_BEST:
        few = "kept: too few of the best trials have a value here"
        return {False: _Bound(value=low, reason=few), True: _Bound(value=high, reason=few)}
    covered = share(dimension, values[0], values[-1])
    if _spread_chance(count, covered) >= SPREAD_CHANCE:
        spread = f"kept: the best {count} are spread over {100 * covered:.0f} % of the range, as by chance"
        return {False: _Bound(value=low, reason=spread), True: _Bound(value=high, reason=spread)}
    places = [place(dimension, value) for value in values]
    # Of k draws from a range, the span is on average k - 1 of k + 1 parts; this much on each side has no bias.
    width = places[-1] - places[0]
    margin = max(width / (count - 1), (LEAST_SHARE - width) / 2)
    new_low = max(low, rounded_outward(dimension, places[0] - margin, is_high=False))
    new_high = min(high, rounded_outward(dimension, places[-1] + margin, is_high=True))
    if not new_low < new_high:
        new_low, new_high = low, high
    return {
        False: _margin_bound(values, new_low, end=low, is_high=False),
        True: _margin_bound(values, new_high, end=high, is_high=True),
    }


def _margin_bound(values: Values, bound: float, *, end: float, is_high: bool) -> _Bound:
    if bound == end:
        return _Bound(value=bound, reason=f"kept: the best {len(values)} come close to it")
    outermost, side = (values[-1], "up to") if is_high else (values[0], "down to")
    return _Bound(
        value=bound,
        reason=f"the best {len(values)} reach {side} {_number(outermost)}; the rest is margin",
    )


def _spread_chance(count: int, covered: float) -> float:
    """Return the probability that `count` draws from a range span at most the share `covered` of it.

    The range of a uniform sample (David and Nagaraja 2003, "Order Statistics", example 2.3).
    """
    covered = min(covered, 1.0)
    return count * covered ** (count - 1) - (count - 1) * covered**count


def _edge_bound(dimension: Range, trials: Sequence[Trial], values: Values, *, is_high: bool) -> _Bound | None:
    """Return the bound on a side with the best trials at it; None if they are elsewhere.

    It moves out if no trial at that edge died, and the field allows more.
    """
    end, name = (dimension.high, "upper") if is_high else (dimension.low, "lower")
    if not values:
        return None
    there = sum(is_at_edge(place(dimension, value), is_high=is_high) for value in values)
    usual = max(EDGE_SHARE, share(dimension, end, end))
    if binomial_tail(there, len(values), min(usual, 1.0)) >= LARGEST_CHANCE:
        return None
    seen = f"{there} of the best {len(values)} sit at the {name} edge"
    dead = sum(
        point.is_dead and is_at_edge(place(dimension, point.value), is_high=is_high)
        for point in points(dimension, trials)
    )
    if dead:
        return _Bound(value=end, reason=f"kept: {seen}, but {format_count(dead, 'trial')} there died")
    wider = _widened_bound(dimension, is_high=is_high)
    if wider is None:
        return _Bound(value=end, reason=f"kept: {seen}, which is the limit of the field")
    return _Bound(value=wider, reason=f"{seen}, where no trial died")


def _widened_bound(dimension: Range, *, is_high: bool) -> float | None:
    """Return the bound further out, None if the field allows none."""
    if is_high and dimension.name in _BOUND_BY_DATA:
        return None
    least = math.log(LEAST_FACTOR) / math.log(dimension.high / dimension.low) if dimension.log else 0.0
    for by in (max(WIDENED_BY[0], least), *WIDENED_BY[1:]):
        bound = rounded_outward(dimension, 1 + by if is_high else -by, is_high=is_high)
        if allows(dimension.name, int(bound) if dimension.integer else bound):
            return bound
    return None


def _choices_revision(dimension: Choices, trials: Sequence[Trial], best: Sequence[Trial]) -> Revision:
    ended = [trial for trial in ended_trials(trials) if dimension.name in trial.params]
    best = [trial for trial in best if dimension.name in trial.params]
    reasons = {choice: _removal_reason(dimension, choice, ended, best) for choice in dimension.choices}
    kept = tuple(choice for choice in dimension.choices if reasons[choice] is None) or dimension.choices
    if kept == dimension.choices:
        return Revision(before=dimension, after=dimension, reasons=("kept: no evidence against any",))
    dropped = tuple(f"without {choice}: {why}" for choice, why in reasons.items() if why is not None)
    return Revision(before=dimension, after=replace(dimension, choices=kept), reasons=dropped)


def _removal_reason(
    dimension: Choices, choice: ParameterValue, ended: Sequence[Trial], best: Sequence[Trial]
) -> str | None:
    """Return the reason to remove a choice; None to keep it."""
    mine = [trial for trial in ended if _has(trial, dimension, choice)]
    if any(_has(trial, dimension, choice) for trial in best):
        return None
    deaths = sum(map(is_dead, ended))
    always_died = len(mine) >= LEAST_DEAD and all(map(is_dead, mine))
    if always_died and chance_of_deaths(len(mine), deaths, len(ended) - deaths) < LARGEST_CHANCE:
        return f"all {len(mine)} trials with it died"
    if mine and (1 - len(mine) / len(ended)) ** len(best) < SPREAD_CHANCE:
        return f"none of the best {len(best)} has it, of {format_count(len(mine), 'trial')} that do"
    return None


def _has(trial: Trial, dimension: Choices, choice: ParameterValue) -> bool:
    value = trial.params.get(dimension.name)
    return type(value) is type(choice) and value == choice


def _number(value: float) -> str:
    return format_number(value, digits=3)
