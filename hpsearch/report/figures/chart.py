"""A chart as a figure: each series in its colour, with bars from the lowest to the highest seed."""

import math
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.chart import Chart, ChartPoint, ChartSeries
from hpsearch.report.figures.drawing import escaped, figure, heading_words, plain_axis, rounded
from hpsearch.report.figures.key import KeyEntry, key_height_px, key_words
from hpsearch.report.palette import LOOKS
from hpsearch.trials import Fate

_HEIGHT_PX: Final = 260
_LOOKS: Final = tuple(
    LOOKS[fate]
    for fate in (Fate.COMPLETE, Fate.DIVERGED, Fate.OTHER, Fate.DYING, Fate.TOO_SLOW, Fate.CRASHED)
)
_MOST_NAMES: Final = 8
_DASHES: Final = ("solid", "dot")
_SHAPES: Final = {"line": "linear", "dots": "linear", "steps": "hvh"}


def draw_chart(data: Chart, *, heading: str = "") -> go.Figure:
    """Return the chart, with `heading` and the names of its series above it."""
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
    """Return the names of the series; nothing of one, and of so many that hovering must tell them apart."""
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
    """Return how far it is from `low` to `high`; 0 where one of them is missing or not finite."""
    if low is None or high is None or not math.isfinite(high - low):
        return 0.0
    return rounded(high - low)
