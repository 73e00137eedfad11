"""Charts of numbers against numbers with their ranges over seeds, and pictures of runs and recordings for the page."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

import numpy as np
import plotly.graph_objects as go

from hpsearch.analysis.intervals import wilson_interval
from hpsearch.nn.arrays import Array
from hpsearch.report.figures.drawing import (
    KeyEntry,
    escaped,
    figure,
    heading_words,
    key_height_px,
    key_words,
    plain_axis,
    rounded,
)
from hpsearch.report.figures.replay_lines import LinePanel, draw_lines
from hpsearch.report.figures.replay_tracks import step_panel
from hpsearch.report.palette import LOOKS
from hpsearch.training.recording import Recording
from hpsearch.trials import Fate

ChartAxisKind: TypeAlias = Literal["linear", "log"]
Style: TypeAlias = Literal["line", "dots", "steps"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChartPoint:
    """A number `y` at `x`, and its range: over the seeds for a median, 95 % for a share."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChartSeries:
    """Points with one name: joined by a line, as dots alone, or as the steps of a histogram."""

    name: str
    points: tuple[ChartPoint, ...]
    style: Style = "line"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Series on common axes. On a log axis every number is above 0; `left_out` counts points without a place."""

    x_title: str
    y_title: str
    series: tuple[ChartSeries, ...]
    x_kind: ChartAxisKind = "linear"
    y_kind: ChartAxisKind = "linear"
    left_out: int = 0


def chart(
    titles: tuple[str, str],
    series: Iterable[ChartSeries],
    kinds: tuple[ChartAxisKind, ChartAxisKind] = ("linear", "linear"),
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
    """Return the median of `values` at `x` with their range; NaN if one of them is."""
    numbers = np.asarray(values, np.float64)
    low, median, high = (float(number) for number in np.quantile(numbers, (0, 0.5, 1)))
    return ChartPoint(x=x, y=median, low=low, high=high)


def share_over_seeds(x: float, values: Sequence[float]) -> ChartPoint:
    """Return the share of `values`, each 1 or 0, at `x` with its 95 % interval (Wilson 1927)."""
    share = float(np.mean(values))
    low, high = wilson_interval(share, len(values))
    return ChartPoint(x=x, y=share, low=min(low, share), high=max(high, share))


def _has_place(point: ChartPoint, kinds: tuple[ChartAxisKind, ChartAxisKind]) -> bool:
    return all(
        math.isfinite(value) and (kind == "linear" or value > 0)
        for value, kind in ((point.x, kinds[0]), (point.y, kinds[1]))
    )


_HEIGHT_PX: Final = 260
_LOOKS: Final = tuple(
    LOOKS[fate]
    for fate in (Fate.COMPLETE, Fate.DIVERGED, Fate.OTHER, Fate.DYING, Fate.TOO_SLOW, Fate.CRASHED)
)
_MOST_NAMES: Final = 8
_DASHES: Final = ("solid", "dot")
_SHAPES: Final = {"line": "linear", "dots": "linear", "steps": "hvh"}


def draw_chart(data: Chart, *, heading: str = "") -> go.Figure:
    """Draw the chart, with `heading` and the names of its series above it."""
    key = _key(data)
    key_px = key_height_px(key)
    layout: dict[str, Any] = {
        "xaxis": plain_axis(data.x_title, **_kind(data.x_kind)),
        "yaxis": plain_axis(data.y_title, **_kind(data.y_kind)),
        "annotations": [*heading_words(heading, shift_px=4 + key_px), *key_words(key)],
    }
    traces = [_trace(series, place, data) for place, series in enumerate(data.series)]
    return figure(traces, layout, plot_px=_HEIGHT_PX, top_px=key_px + (22 if heading else 0))


def _key(data: Chart) -> list[KeyEntry]:
    """Return the names of the series; none for a single one, or for so many that only hover texts identify them."""
    if not 1 < len(data.series) <= _MOST_NAMES:
        return []
    return [
        KeyEntry(name=series.name, colour=_LOOKS[place % len(_LOOKS)].colour)
        for place, series in enumerate(data.series)
    ]


def _kind(kind: str) -> dict[str, Any]:
    return {"type": "log", "dtick": 1, "exponentformat": "power"} if kind == "log" else {"nticks": 7}


def _trace(series: ChartSeries, place: int, data: Chart) -> go.Scatter:
    look = _LOOKS[place % len(_LOOKS)]
    mode = {"line": "lines+markers", "dots": "markers", "steps": "lines"}[series.style]
    return go.Scatter(
        name=series.name,
        mode=mode if len(series.points) <= 60 or series.style != "line" else "lines",
        x=[rounded(point.x) for point in series.points],
        y=[rounded(point.y) for point in series.points],
        error_y=_bars(series.points),
        hovertemplate=(
            f"{escaped(data.x_title)} %{{x:.3~g}}<br>{escaped(series.name)}: %{{y:.3~g}}<extra></extra>"
        ),
        marker={"symbol": look.symbol, "size": 7, "color": look.colour},
        line={
            "color": look.colour,
            "width": 1.5,
            "shape": _SHAPES[series.style],
            "dash": _DASHES[place // len(_LOOKS) % len(_DASHES)],
        },
    )


def _bars(points: tuple[ChartPoint, ...]) -> dict[str, Any] | None:
    if not any(point.high is not None and point.low is not None for point in points):
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [_length(point.y, point.high) for point in points],
        "arrayminus": [_length(point.low, point.y) for point in points],
        "thickness": 1,
        "width": 3,
    }


def _length(low: float | None, high: float | None) -> float:
    """Return the distance from `low` to `high`; 0 if one of them is missing or not finite."""
    if low is None or high is None or not math.isfinite(high - low):
        return 0.0
    return rounded(high - low)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """One drawing as Plotly's JSON; `label` describes it in words."""

    name: str
    label: str
    figure: Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Related drawings, with a title and a caption."""

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]


FIVE_PANELS = ("accuracy", "output-weights", "output-biases", "first-weights", "first-biases")
"""The panels of the articles: accuracy by minibatch, then mean weights and biases of both layers."""

_TITLES = {
    "accuracy": "Training accuracy",
    "output-weights": "Mean weights of layer 2",
    "output-biases": "Biases of layer 2",
    "first-weights": "Mean weights of layer 1",
    "first-biases": "Biases of layer 1",
}
_POINTS = 300


def five_panels(name: str, title: str, recording: Recording) -> Picture:
    """Return the articles' five panels of one recorded run."""
    drawings = [
        drawing(f"{name}-{panel}", f"{_TITLES[panel]} by minibatch: {title}", data, heading=_TITLES[panel])
        for panel in FIVE_PANELS
        if (data := step_panel(panel, recording, None)) is not None
    ]
    return Picture(
        name=name,
        title=title,
        caption=(
            "By minibatch: accuracy; mean weight and bias of each of ten units of layer 2, and of ten watched units of "
            "layer 1. A triangle marks a unit's last firing. Values that grow more than a hundredfold have a "
            "symmetric logarithmic scale; values that are not finite are on a separate rail."
        ),
        drawings=tuple(drawings),
    )


def charts(name: str, title: str, caption: str, shown: Mapping[str, Chart]) -> Picture:
    """Return charts side by side, each under its heading, which is empty for a single chart."""
    drawings = [
        drawing(
            f"{name}-{place}",
            f"{data.y_title} against {data.x_title}. {heading}".strip(),
            data,
            heading=heading,
        )
        for place, (heading, data) in enumerate(shown.items())
    ]
    left_out = sum(data.left_out for data in shown.values())
    missing = f" Not drawn: {left_out} points that are not finite or have no place." if left_out else ""
    return Picture(name=name, title=title, caption=caption + missing, drawings=tuple(drawings))


def drawing(name: str, label: str, data: LinePanel | Chart, *, heading: str = "") -> Drawing:
    """Return one drawing, as JSON for Plotly."""
    figure = (
        draw_chart(data, heading=heading) if isinstance(data, Chart) else draw_lines(data, heading=heading)
    )
    return Drawing(name=name, label=label, figure=_json_of(figure))


def curve(name: str, values: Array | Sequence[float], *, first: int = 0) -> ChartSeries:
    """Return successive numbers as a line of at most 300 evenly spread points."""
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _POINTS)).astype(int))
    points = (ChartPoint(x=float(place + first), y=float(values[place])) for place in places.tolist())
    return ChartSeries(name=name, points=tuple(points))


def dots(name: str, pairs: Iterable[tuple[float, float]]) -> ChartSeries:
    """Return points alone."""
    return ChartSeries(name=name, points=tuple(ChartPoint(x=x, y=y) for x, y in pairs), style="dots")


def smoothed(values: Array, width: int) -> Array:
    """Return the means (S - width + 1,) of `width` neighbours; all of `values` (S,) if there are fewer."""
    if len(values) <= width:
        return values
    kernel = np.full(width, 1 / width)
    means: Array = np.convolve(values, kernel, mode="valid")
    return means


def _json_of(figure: go.Figure) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(figure.to_json())
    return made
