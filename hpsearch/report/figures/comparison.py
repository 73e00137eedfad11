"""Compared trials as a figure: a line each, told apart by their dashes, their fates and their numbers."""

from collections.abc import Iterator
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.analysis.formats import format_result
from hpsearch.report.figure_data.comparison import ComparedLine, ComparedPanel, ComparedPoint
from hpsearch.report.figures.drawing import (
    domains,
    figure,
    hover,
    lowest_axis,
    marker,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.palette import LOOKS, SOFT_INK

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def draw_comparison(data: ComparedPanel) -> go.Figure:
    """Return one series of the compared trials, with its rails."""
    places, height = domains(result_bands(data.scale, data.rails, 230))
    span = [-0.02 * data.epochs, 1.1 * data.epochs]
    anchor = lowest_axis(data.scale, data.rails)
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs", anchor=anchor, range=span, **ticked(data.ticks)),
        **result_axes(data.scale, data.rails, places),
    }
    return figure(
        (trace for line in data.lines for trace in _traces(line, data)), layout, plot_px=height, top_px=14
    )


def _traces(line: ComparedLine, data: ComparedPanel) -> Iterator[go.Scatter]:
    scaled = [point for point in line.points if point.place.rail is None]
    railed = [point for point in line.points if point.place.rail is not None]
    if scaled:
        look = {"color": LOOKS[line.fate].colour, "width": 2, "dash": DASHES[line.order % len(DASHES)]}
        settings = {"mode": "lines", "line": look, "connectgaps": False, "showlegend": False}
        heights = [_height(point) for point in line.points]
        yield _trace(line, line.points, data, y=heights, **settings)
    if railed[:-1] or (railed and railed[-1] != line.points[-1]):
        yield _on_rail(line, [point for point in railed if point != line.points[-1]], data)
    yield _end(line, data)


def _on_rail(line: ComparedLine, points: list[ComparedPoint], data: ComparedPanel) -> go.Scatter:
    rows = rail_rows(data.rails, data.scale)
    dots = {"color": LOOKS[line.fate].colour, "size": 4}
    heights = [rows[point.place.rail or ""] for point in points]
    return _trace(line, points, data, mode="markers", y=heights, yaxis="y2", marker=dots, showlegend=False)


def _end(line: ComparedLine, data: ComparedPanel) -> go.Scatter:
    """Return the mark where the trial ended or stands, with its number beside it."""
    last = line.points[-1]
    settings: dict[str, Any] = {"y": [_height(last)]}
    if last.place.rail is not None:
        settings = {"y": [rail_rows(data.rails, data.scale)[last.place.rail]], "yaxis": "y2"}
    return _trace(
        line,
        [last],
        data,
        mode="markers+text",
        text=[str(line.number)],
        textposition="middle right",
        textfont={"color": SOFT_INK, "size": 11},
        marker=marker(line.fate, size=9, hollow=last.place.rail is not None),
        cliponaxis=False,
        **settings,
    )


def _trace(
    compared: ComparedLine,
    points: list[ComparedPoint] | tuple[ComparedPoint, ...],
    data: ComparedPanel,
    **settings: Any,
) -> go.Scatter:
    """Return a trace that the filter of fates, and the choice of trials, show and hide."""
    return go.Scatter(
        name=f"trial {compared.number}: {compared.fate.value}",
        legendgroup=str(compared.number),
        meta={"fate": compared.fate.value, "trial": compared.number},
        x=[point.epoch for point in points],
        hoverinfo="text",
        hovertext=[_words(compared, point, data) for point in points],
        **settings,
    )


def _height(point: ComparedPoint) -> float | None:
    return None if point.place.position is None else rounded(point.place.position)


def _words(line: ComparedLine, point: ComparedPoint, data: ComparedPanel) -> str:
    """Say all of the trial at its end, and elsewhere the trial and its parameters: a file holds every text."""
    said = line.hover if point == line.points[-1] else (line.label,)
    value = format_result(point.value, data.scale.metric)
    return hover((f"epoch {point.epoch}: {data.scale.title} {value}", *said))
