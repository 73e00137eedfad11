"""Numbers against numbers, with their ranges over seeds: what one chart shows, and on which scales."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np

from hpsearch.analysis.intervals import wilson_interval

AxisKind: TypeAlias = Literal["linear", "log"]
Style: TypeAlias = Literal["line", "dots", "steps"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChartPoint:
    """A number `y` at `x`, and the range around it: of the seeds for a median, 95 % for a share."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChartSeries:
    """Points under one name: joined by a line, as dots alone, or as the steps of a histogram."""

    name: str
    points: tuple[ChartPoint, ...]
    style: Style = "line"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Series on common axes. On a log axis every number is above 0; `left_out` points had no place."""

    x_title: str
    y_title: str
    series: tuple[ChartSeries, ...]
    x_kind: AxisKind = "linear"
    y_kind: AxisKind = "linear"
    left_out: int = 0


def chart(
    titles: tuple[str, str],
    series: Iterable[ChartSeries],
    kinds: tuple[AxisKind, AxisKind] = ("linear", "linear"),
) -> Chart:
    """Return the chart of `series` with the titles and kinds of its x and its y axis.

    Points that are not finite, or not above 0 on a log axis, are left out and counted.
    """
    given = tuple(series)
    kept = [tuple(point for point in one.points if _has_place(point, kinds)) for one in given]
    return Chart(
        x_title=titles[0],
        y_title=titles[1],
        x_kind=kinds[0],
        y_kind=kinds[1],
        series=tuple(
            ChartSeries(name=one.name, points=points, style=one.style)
            for one, points in zip(given, kept, strict=True)
        ),
        left_out=sum(len(one.points) - len(points) for one, points in zip(given, kept, strict=True)),
    )


def over_seeds(x: float, values: Sequence[float]) -> ChartPoint:
    """Return the median of `values` at `x` with their range; NaN where one of them is."""
    numbers = np.asarray(values, np.float64)
    low, median, high = (float(number) for number in np.quantile(numbers, (0, 0.5, 1)))
    return ChartPoint(x=x, y=median, low=low, high=high)


def share_over_seeds(x: float, values: Sequence[float]) -> ChartPoint:
    """Return the share of `values`, each 1 or 0, at `x` with its 95 % interval (Wilson 1927)."""
    share = float(np.mean(values))
    low, high = wilson_interval(share, len(values))
    return ChartPoint(x=x, y=share, low=min(low, share), high=max(high, share))


def _has_place(point: ChartPoint, kinds: tuple[AxisKind, AxisKind]) -> bool:
    return all(
        math.isfinite(value) and (kind == "linear" or value > 0)
        for value, kind in ((point.x, kinds[0]), (point.y, kinds[1]))
    )
