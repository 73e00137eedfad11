"""The stability boundary: where in the search map half of the trials break down, with its uncertainty."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.axes import Axis, coordinate
from hpsearch.trials import SURVIVED, Fate, Trial
from hpsearch.verdicts import Cause

LEAST: Final = 5
"""Minimum number of deaths, and of survivors, for a boundary between them."""

_NINETY_FIVE: Final = 1.959964
"""The 97.5 % quantile of the normal distribution."""

_POINTS: Final = 41
_ITERATIONS: Final = 60
_TOLERANCE: Final = 1e-8
_WIDEST: Final = 0.5
"""A band whose narrowest width exceeds this share of the axis is not informative."""

_ALIVE: Final = SURVIVED | {Fate.TOO_SLOW}
_UNSTABLE: Final = frozenset({Fate.DIVERGED, Fate.DYING})

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BoundaryPoint:
    """The crossing of the boundary at `y` of the second dimension: at `x`, with 95 % between `low` and `high`.

    All are in the axes' own units, and may lie outside the search space.
    """

    y: float
    x: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Boundary:
    """The boundary from the lowest to the highest `y`, and the number of trials in its fit."""

    points: tuple[BoundaryPoint, ...]
    deaths: int
    survivors: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NoBoundary:
    """The reason for a missing boundary, as a clause."""

    why: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """Coefficients (3,) of the intercept and both dimensions in 0..1, and their covariance (3, 3)."""

    coefficients: Floats
    covariance: Floats


def stability_boundary(trials: Sequence[Trial], x: Axis, y: Axis) -> Boundary | NoBoundary:
    """Return the line of both dimensions on which a trial diverges or dies with probability one half.

    The probability of a death is a logistic function of both places (logarithms on log axes), fitted with Firth's
    penalty. Trials that ended for other reasons are left out as uninformative. The band is the delta method's: the
    logit at x has the variance v' C v with v = (1, x, y) and C the coefficients' covariance, which divided by the
    squared slope along x is the variance of the crossing (Wasserman 2004, "All of Statistics", theorem 9.24).
    """
    if "category" in (x.kind, y.kind):
        return NoBoundary(why="choices have no boundary between them")
    placed = [(place, _is_dead(trial)) for trial in trials if (place := _place(trial, x, y)) is not None]
    deaths = sum(is_dead for _, is_dead in placed)
    survivors = len(placed) - deaths
    if min(deaths, survivors) < LEAST:
        return NoBoundary(
            why=f"it needs {LEAST} deaths and {LEAST} survivors, and there are {deaths} and {survivors}"
        )
    places = np.array([place for place, _ in placed], dtype=np.float64)
    fit = _fit(places, np.array([is_dead for _, is_dead in placed], dtype=np.float64))
    if fit is None:
        return NoBoundary(why="the fit did not converge")
    return _boundary(fit, x, y, deaths=deaths, survivors=survivors)


def _place(trial: Trial, x: Axis, y: Axis) -> tuple[float, float] | None:
    """Return both coordinates as shares of the axes; None if the trial is no evidence about stability."""
    if trial.fate not in _ALIVE | _UNSTABLE or trial.verdict in (Cause.BORN_DEAD, Cause.LOG_ZERO):
        return None
    found = [coordinate(trial, axis) for axis in (x, y)]
    if found[0] is None or found[1] is None:
        return None
    return _share(x, found[0]), _share(y, found[1])


def _is_dead(trial: Trial) -> bool:
    return trial.fate in _UNSTABLE


def _share(axis: Axis, value: float) -> float:
    low, high = _plain(axis, axis.low), _plain(axis, axis.high)
    return (_plain(axis, value) - low) / (high - low) if high > low else 0.0


def _plain(axis: Axis, value: float) -> float:
    return math.log10(value) if axis.kind == "log" else value


def _value(axis: Axis, share: float) -> float:
    """Return the value at a share of the axis, which may be outside 0..1."""
    low, high = _plain(axis, axis.low), _plain(axis, axis.high)
    plain = low + share * (high - low)
    return float(10.0 ** min(max(plain, -300.0), 300.0)) if axis.kind == "log" else float(plain)


def _fit(places: Floats, is_dead: Floats) -> _Fit | None:
    """Fit a logistic regression with Firth's penalty; return None if it does not converge.

    places (N, 2), is_dead (N,). The score is X' (y - p + h (1/2 - p)), h being the diagonal of the hat matrix W^(1/2) X
    (X' W X)^-1 X' W^(1/2): Firth (1993), "Bias reduction of maximum likelihood estimates"; Heinze and Schemper (2002),
    "A solution to the problem of separation in logistic regression", equation 2. It is finite if deaths and survivors
    are separated completely, as they often are. The pseudo-inverse leaves out a dimension that does not vary.
    """
    design = np.column_stack([np.ones(len(places)), places])
    coefficients = np.zeros(3)
    for _ in range(_ITERATIONS):
        chance, covariance = _state(design, coefficients)
        weight = chance * (1 - chance)
        leverage = weight * np.einsum("ni,ij,nj->n", design, covariance, design)
        step = covariance @ (design.T @ (is_dead - chance + leverage * (0.5 - chance)))
        # A step of at most 5 logits: the usual guard of Newton's method far from the solution.
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        coefficients = coefficients + step
        if not np.isfinite(coefficients).all():
            return None
        if float(np.abs(step).max()) < _TOLERANCE:
            return _Fit(coefficients=coefficients, covariance=_state(design, coefficients)[1])
    return None


def _state(design: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
    """Return the probabilities (N,) and the inverse Fisher information (3, 3)."""
    chance = 1 / (1 + np.exp(-np.clip(design @ coefficients, -30, 30)))
    information = design.T @ (design * (chance * (1 - chance))[:, None])
    return chance, np.asarray(np.linalg.pinv(information, hermitian=True), dtype=np.float64)


def _boundary(fit: _Fit, x: Axis, y: Axis, *, deaths: int, survivors: int) -> Boundary | NoBoundary:
    slope = float(fit.coefficients[1])
    if slope <= 0:
        return NoBoundary(why=f"deaths do not grow with {x.title}")
    crossings = [_crossing(fit, share) for share in np.linspace(0, 1, _POINTS)]
    inside = [(at, spread) for _, at, spread in crossings if 0 <= at <= 1]
    if not inside:
        return NoBoundary(why="it lies outside the search space")
    if 2 * min(spread for _, spread in inside) > _WIDEST:
        return NoBoundary(why="the trials do not determine where it is")
    points = tuple(
        BoundaryPoint(
            y=_value(y, share), x=_value(x, at), low=_value(x, at - spread), high=_value(x, at + spread)
        )
        for share, at, spread in crossings
    )
    return Boundary(points=points, deaths=deaths, survivors=survivors)


def _crossing(fit: _Fit, share: float) -> tuple[float, float, float]:
    """Return the share of y, the share of x at which the probability is one half, and half the width of the band."""
    constant, slope, other = (float(number) for number in fit.coefficients)
    at = -(constant + other * share) / slope
    direction = np.array([1.0, at, share])
    variance = float(direction @ fit.covariance @ direction) / slope**2
    return share, at, _NINETY_FIVE * math.sqrt(max(variance, 0.0))
