"""The search map as a figure."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.results import ResultScale
from hpsearch.report.figure_data.search_map import MapMark, SearchMap
from hpsearch.report.figure_data.stability import Boundary
from hpsearch.report.figures.drawing import (
    colour_bar,
    fate_trace,
    figure,
    hover,
    marker,
    marker_size,
    rounded,
    search_axis,
)
from hpsearch.report.palette import INK, LOOKS, RESULT_COLOURS, STAR
from hpsearch.trials import Fate


def draw_search_map(data: SearchMap) -> go.Figure:
    """Return the map: fill is the result, symbol and edge are the fate, hollow is without a finite result."""
    layout = {
        "xaxis": search_axis(data.x),
        "yaxis": search_axis(data.y),
        "coloraxis": _colour_axis(data.scale, shown=any(mark.result is not None for mark in data.marks)),
    }
    return figure(_traces(data), layout, plot_px=420, top_px=36)


def _traces(data: SearchMap) -> Iterator[go.Scatter]:
    if data.boundary is not None:
        yield from _boundary(data.boundary, is_transposed=data.is_transposed)
    size = marker_size(len(data.marks))
    for fate in reversed(Fate):
        marks = [mark for mark in data.marks if mark.fate is fate]
        filled = [mark for mark in marks if mark.result is not None]
        empty = [mark for mark in marks if mark.result is None]
        if filled:
            yield _filled(fate, filled, size)
        if empty:
            settings = {"marker": marker(fate, size=size, hollow=True), "showlegend": not filled}
            yield fate_trace(fate, **_points(empty), **settings)
    if data.best is not None:
        yield _star(data.best)


def _boundary(boundary: Boundary, *, is_transposed: bool) -> Iterator[go.Scatter]:
    """Return the band of the stability boundary, and its line above it."""
    points = boundary.points
    around = [*((p.low, p.y) for p in points), *((p.high, p.y) for p in reversed(points))]
    colour = LOOKS[Fate.DIVERGED].colour
    band = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}, "opacity": 0.13}
    line = {"line": {"color": colour, "width": 1.8, "dash": "dash"}}
    for name, path, look in (
        ("stability boundary, 95 %", around, band),
        ("stability boundary", [(p.x, p.y) for p in points], line),
    ):
        across, along = [rounded(a) for a, _ in path], [rounded(b) for _, b in path]
        x, y = (along, across) if is_transposed else (across, along)
        yield go.Scatter(name=name, mode="lines", x=x, y=y, hoverinfo="skip", **look)


def _filled(fate: Fate, marks: Sequence[MapMark], size: float) -> go.Scatter:
    look = marker(fate, size=size)
    results = [rounded(mark.result) for mark in marks if mark.result is not None]
    return fate_trace(fate, **_points(marks), marker={**look, "color": results, "coloraxis": "coloraxis"})


def _points(marks: Sequence[MapMark]) -> dict[str, Any]:
    return {
        "mode": "markers",
        "x": [rounded(mark.x) for mark in marks],
        "y": [rounded(mark.y) for mark in marks],
        "hovertext": [hover(mark.hover) for mark in marks],
        "cliponaxis": False,
    }


def _star(best: MapMark) -> go.Scatter:
    return go.Scatter(
        **_points([best]),
        name="best",
        meta={"fate": Fate.COMPLETE.value},
        hoverinfo="text",
        marker={"symbol": "star", "size": 19, "color": STAR, "line": {"color": INK, "width": 1.2}},
    )


def _colour_axis(scale: ResultScale, *, shown: bool) -> dict[str, Any]:
    colours = RESULT_COLOURS if scale.maximize else tuple(reversed(RESULT_COLOURS))
    last = len(colours) - 1
    return {
        "cmin": scale.low,
        "cmax": scale.high,
        "colorscale": [[index / last, colour] for index, colour in enumerate(colours)],
        "showscale": shown,
        "colorbar": colour_bar(_colour_title(scale), scale.ticks),
    }


def _colour_title(scale: ResultScale) -> str:
    """Return the metric, and from which result on colours differ."""
    if not math.isfinite(scale.worst):
        return scale.title
    return f"{scale.title}, {scale.rails[0]} all in one colour"
