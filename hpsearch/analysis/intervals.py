"""The uncertainty of a mean or a share: the 95 % intervals in the report and on the command line.

SciPy is imported when an interval is computed, because importing it takes a third of the time of other commands.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev, variance
from typing import Final, TypeAlias

from hpsearch.study.metrics import METRICS

Interval: TypeAlias = tuple[float, float]

CONFIDENCE: Final = 0.95

_EVERYTHING: Final[Interval] = (-math.inf, math.inf)


def metric_bounds(metric: str) -> Interval:
    """Return the bounds of the metric's values: an accuracy in 0..1, a loss above 0, R2 below 1."""
    return METRICS[metric].bounds if metric in METRICS else _EVERYTHING


def within(interval: Interval, bounds: Interval) -> Interval:
    """Return the part of the interval within the bounds."""
    return max(interval[0], bounds[0]), min(interval[1], bounds[1])


def students_quantile(freedom: float, *, confidence: float = CONFIDENCE) -> float:
    """Return the distance from the mean to an interval's end in standard errors, with `freedom` degrees of freedom.

    Student (1908), "The probable error of a mean".
    """
    from scipy.special import stdtrit  # noqa: PLC0415  # see the module's docstring

    return float(stdtrit(freedom, (1 + confidence) / 2))


def mean_interval(
    values: Sequence[float], *, bounds: Interval = _EVERYTHING, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return the interval, within `bounds`, of the mean of which `values` are draws; None for fewer than two.

    It is mean plus and minus t(n - 1) s / sqrt(n), see `students_quantile`.
    """
    if len(values) < 2:
        return None
    quantile = students_quantile(len(values) - 1, confidence=confidence)
    mean, reach = fmean(values), quantile * stdev(values) / math.sqrt(len(values))
    return within((mean - reach, mean + reach), bounds)


def difference_interval(
    one: Sequence[float], other: Sequence[float], *, confidence: float = CONFIDENCE
) -> Interval | None:
    """Return the interval of the mean of `one` less that of `other`; None if one has fewer than two draws.

    The draws are independent and their spreads may differ: Welch (1947), "The generalization of Student's problem when
    several different population variances are involved", with v = s^2 / n of each and (v1 + v2)^2 / (v1^2 / (n1 - 1) +
    v2^2 / (n2 - 1)) degrees of freedom.
    """
    if min(len(one), len(other)) < 2:
        return None
    errors = [variance(values) / len(values) for values in (one, other)]
    difference, error = fmean(one) - fmean(other), sum(errors)
    if error == 0:
        return difference, difference
    parts = [own**2 / (len(values) - 1) for own, values in zip(errors, (one, other), strict=True)]
    reach = students_quantile(error**2 / sum(parts), confidence=confidence) * math.sqrt(error)
    return difference - reach, difference + reach


def share_interval(hits: int, of: int) -> Interval:
    """Return the interval of the true share, given `hits` of `of` draws: it is conservatively wide.

    It is exact: quantiles of beta distributions (Clopper and Pearson 1934, "The use of confidence or fiducial limits").
    """
    from scipy.special import betaincinv  # noqa: PLC0415  # see the module's docstring

    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return low, high


def wilson_interval(share: float, of: int) -> Interval:
    """Return the interval of a share seen in `of` draws, with the nominal coverage on average.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference": the shares p with |share - p|
    <= z sqrt(p (1 - p) / of).
    """
    from scipy.special import ndtri  # noqa: PLC0415  # see the module's docstring

    z = float(ndtri((1 + CONFIDENCE) / 2))
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    spread = z / (1 + z**2 / of) * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    low, high = within((middle - spread, middle + spread), (0.0, 1.0))
    # If all draws agree, the bound is exact; rounding would miss it.
    return (low if share > 0 else 0.0, high if share < 1 else 1.0)
