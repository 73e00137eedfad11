"""Judgements from measurements: pure functions."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hpsearch.analysis.intervals import wilson_interval
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.records import Claim, Condition, Judged, Judgement, Measured, Outcome
from hpsearch.reproduction.words import missed_words


def judge(claim: Claim, outcomes: Mapping[str, Outcome], *, is_mnist: bool, is_full: bool) -> Judged:
    """Return the judgement of `claim` from the outcomes of the studies that were run, by name.

    A claim of which only details are unmet holds in part. A condition without a seed's evidence is neither met nor
    unmet: the claim is not tested, unless another condition is unmet.
    """
    if not claim.conditions:
        return Judged(claim=claim, measured=(), judgement=Judgement.UNTESTED, reason=claim.answer)
    if claim.needs == "full" and not is_full:
        return _untested(claim, "needs --full")
    outcome = outcomes.get(claim.study)
    if outcome is None:
        return _untested(claim, f"{claim.study} was not run")
    measured = tuple(measure(condition, outcome.values) for condition in claim.conditions)
    if claim.needs != "nothing" and not is_mnist:
        return Judged(claim=claim, measured=measured, judgement=Judgement.UNTESTED, reason="needs MNIST")
    judgement, reason = _judgement(measured)
    return Judged(claim=claim, measured=measured, judgement=judgement, reason=reason)


def _judgement(measured: Sequence[Measured]) -> tuple[Judgement, str]:
    """Return the judgement from the measures, with its reason if there is one."""
    missed = [one for one in measured if one.count and not one.is_met and not one.is_undecided]
    if any(not one.condition.is_detail for one in missed):
        return Judgement.FAILS, ""
    if unseen := [one.condition.words for one in measured if not one.count]:
        return Judgement.UNTESTED, f"no seed shows {', '.join(unseen)}"
    if undecided := [one.condition.words for one in measured if one.is_undecided]:
        return Judgement.UNTESTED, f"the runs were too short for {', '.join(undecided)}"
    if missed:
        return Judgement.PARTLY, "; ".join(map(missed_words, missed))
    return Judgement.HOLDS, ""


def measure(condition: Condition, values: Mapping[str, Sequence[float]]) -> Measured:
    """Return the measurement over seeds, without seeds that have no number; NaN if none is left.

    If a run ended before the event, its lower bound is used instead: the true median is no smaller.

    Raises KeyError for a measure that the experiment does not have: a bug.
    """
    ends = np.array([value for value in values[condition.measure] if not math.isnan(value)])
    numbers = _known(condition, values)
    if not len(numbers):
        return Measured(condition=condition, value=math.nan, low=math.nan, high=math.nan, count=0)
    if condition.is_share:
        value = float(numbers.mean())
        low, high = wilson_interval(value, len(numbers))
    else:
        value, low, high = float(np.median(numbers)), float(numbers.min()), float(numbers.max())
    return Measured(
        condition=condition,
        value=value,
        low=low,
        high=high,
        count=len(numbers),
        never=int((numbers != ends).sum()),
        is_bound=not condition.is_share and float(np.median(ends)) != value,
    )


def _known(condition: Condition, values: Mapping[str, Sequence[float]]) -> Array:
    """Return the numbers of the seeds that have one, and the lower bounds of those whose runs ended earlier."""
    own = values[condition.measure]
    below = values[condition.beyond] if condition.beyond else own
    pairs = [pair for pair in zip(own, below, strict=True) if not math.isnan(pair[0])]
    return np.array([bound if value == math.inf else value for value, bound in pairs])


def _untested(claim: Claim, reason: str) -> Judged:
    return Judged(claim=claim, measured=(), judgement=Judgement.UNTESTED, reason=reason)
