"""One sentence of advice: what to change in the study file before the next search.

Faults of the data come first, since no search fixes them; then evidence about the search space: a part of it in which
every trial died, then the best trials at its edge. Without these, the costliest cause gives its remedy, unless its
epochs are negligible; then a finished search is advised to confirm its best, or to narrow its ranges.
"""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Final

from hpsearch.analysis.verdict_summary import common_remedy, is_audited, wrong_stops
from hpsearch.search.regions import (
    LARGEST_CHANCE,
    DeadRegion,
    best_tenth,
    binomial_tail,
    can_move,
    dead_regions,
    is_at_edge,
    place,
    points,
)
from hpsearch.study.messages import format_count, format_number, key_path
from hpsearch.study.spec import DIAGNOSED_CAUSES, SHORT_NAMES, Dimension, Range, StudySpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause

DATA_CAUSES: Final = frozenset(
    {Cause.NONFINITE_INPUT, Cause.INPUT_DEGENERATE, Cause.LABELS_UNRELATED, Cause.VAL_MISALIGNED}
)
DATA_MAJORITY: Final = 0.5
LEAST_SHARE: Final = 0.05
"""A cause with a smaller share of all epochs is negligible: fixing it would save next to nothing."""
FEWEST_RANKED: Final = 10
"""With this many ranked trials, determining the best of them is worthwhile."""
FEWEST_WITNESSES: Final = 3
EDGE_MAJORITY: Final = 0.8
MOST_DIGITS: Final = 17


def advice(
    spec: StudySpec, trials: Sequence[Trial], *, maximize: bool, is_confirmed: bool = False
) -> str | None:
    """Return the advice from the ended `trials`, as a clause without capital and full stop; None if there is none.

    A trial that diagnosis would have stopped, and that ran on to be audited, neither survived nor died, unless it ended
    among the best. A study of exact configurations has no ranges to change. `is_confirmed` is true if its best trials
    were trained with fresh seeds.
    """
    every = trials
    if words := _data_words(spec.search, trials):
        return words
    if spec.configurations:
        return None
    wrong = {trial.number for trial in wrong_stops(trials, maximize=maximize)}
    format_count = [trial for trial in trials if trial.number in wrong or not is_audited(trial)]
    has_more = len(format_count) < len(trials)
    trials = format_count
    ranges = [dimension for dimension in spec.search if isinstance(dimension, Range)]
    ends = [end for dimension in ranges for end in dead_regions(dimension, trials)]
    if ends:
        return _dead_end_words(max(ends, key=lambda end: len(end.dead)), audited_aside=has_more)
    best = best_tenth(trials, maximize=maximize)
    edges = (words for dimension in ranges if (words := _edge_words(dimension, trials, best)))
    found = next(edges, None) or _costliest_words(spec.search, trials)
    return found or _next_words(spec, every, is_confirmed=is_confirmed)


def _data_words(search: Sequence[Dimension], trials: Sequence[Trial]) -> str | None:
    """Return a clause if half of the trials that ended, or trained to their end, indicate broken data; else None."""
    ended = [trial for trial in trials if trial.state.is_final]
    complete = [trial for trial in ended if trial.state is TrialState.COMPLETE]
    for group, noun in ((ended, "trial"), (complete, "complete trial")):
        causes = Counter(trial.verdict for trial in group if trial.verdict in DATA_CAUSES)
        cause, count = causes.most_common(1)[0] if causes else (None, 0)
        if count >= max(FEWEST_WITNESSES, DATA_MAJORITY * len(group)):
            witnesses = [trial for trial in group if trial.verdict is cause]
            return f"{cause} in {count:,} of {format_count(len(group), noun)}: {_clause(search, witnesses)}"
    return None


def _clause(search: Sequence[Dimension], trials: Sequence[Trial]) -> str:
    """Return the remedy of trials of one cause as a clause, without capital and full stop."""
    remedy = common_remedy(search, trials).removesuffix(".")
    return re.sub(r"^(For trial \d+: )?([A-Z][a-z]+\b)?", lambda start: start[0].lower(), remedy)


def _dead_end_words(end: DeadRegion, *, audited_aside: bool) -> str:
    name, count = end.dimension.name, len(end.dead)
    side, change, key = ("above", "lower", "high") if end.is_high else ("below", "raise", "low")
    is_slow = all(point.verdict is Cause.LR_TOO_LOW for point in end.dead)
    bound = format_number(end.bound, digits=_digits(end.bound))
    aside = ", not counting audited ones" if audited_aside else ""
    return (
        f"no trial with {_noun(name)} {side} {bound} {'made progress' if is_slow else 'survived'} "
        f"(0 of {count:,}{aside}): {change} `{key_path('search', name, key)}`"
    )


def _digits(number: float) -> int:
    """Return how many significant digits a number has, at least 2."""
    return next(digits for digits in range(2, MOST_DIGITS + 1) if float(f"{number:.{digits}g}") == number)


def _noun(name: str) -> str:
    return f"a {name.replace('_', ' ')}" if name in SHORT_NAMES else name


def _edge_words(dimension: Range, trials: Sequence[Trial], best: Sequence[Trial]) -> str | None:
    """Return a clause if most of the best trials are at a movable edge of the range, and not by chance; else None."""
    usual_places = [place(dimension, point.value) for point in points(dimension, trials)]
    places = [place(dimension, point.value) for point in points(dimension, best)]
    if not places:
        return None
    for key, name, change in (("high", "upper", "raise"), ("low", "lower", "lower")):
        is_high = key == "high"
        there = sum(is_at_edge(one, is_high=is_high) for one in places)
        usual = sum(is_at_edge(one, is_high=is_high) for one in usual_places) / len(usual_places)
        is_sound = (
            there >= EDGE_MAJORITY * len(places) and binomial_tail(there, len(places), usual) < LARGEST_CHANCE
        )
        if is_sound and can_move(dimension, is_high=is_high):
            path = key_path("search", dimension.name, key)
            return f"the best trials are at the {name} edge of {dimension.name}: {change} `{path}`"
    return None


def _costliest_words(search: Sequence[Dimension], trials: Sequence[Trial]) -> str | None:
    """Return the remedy of the cause that cost most epochs; None if diagnosis stopped nothing, or nothing costly."""
    groups: dict[Cause, list[Trial]] = {}
    for trial in trials:
        if trial.state is TrialState.PRUNED and trial.verdict in DIAGNOSED_CAUSES:
            groups.setdefault(trial.verdict, []).append(trial)
    if not groups:
        return None
    costs = {cause: sum(trial.epochs for trial in group) for cause, group in groups.items()}
    cause = max(costs, key=lambda cause: (costs[cause], len(groups[cause])))
    if costs[cause] < LEAST_SHARE * sum(trial.epochs for trial in trials):
        return None
    price = f"{format_count(costs[cause], 'epoch')} of {format_count(len(groups[cause]), 'trial')}"
    return f"{cause} cost most, {price}: {_clause(search, groups[cause])}"


def _next_words(spec: StudySpec, trials: Sequence[Trial], *, is_confirmed: bool) -> str | None:
    """Return the next step for a search with a spent budget and no fault; None for any other."""
    ended = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    ranked = sum(trial.is_ranked for trial in trials)
    if ended < spec.trials or ranked < FEWEST_RANKED:
        return None
    name = shlex.quote(spec.name)
    if spec.objective is not None and not spec.objective.is_importable:
        return "nothing costly went wrong"
    if is_confirmed:
        return f"nothing costly went wrong: `hpsearch study narrow {name}` proposes what to search next"
    return f"nothing costly went wrong: `hpsearch study confirm {name}` shows how much of the best result is luck"
