"""Learning curves as a figure: lines by fate, a marker where each run ended."""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.learning_curves import Curve, CurvePanel, CurvePoint
from hpsearch.report.figures.drawing import (
    domains,
    escaped,
    fate_trace,
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
from hpsearch.report.formats import format_result
from hpsearch.report.palette import INK, LOOKS, STAR
from hpsearch.trials import Fate


def draw_learning_curves(data: CurvePanel) -> go.Figure:
    """Return the panel of one series with its rails."""
    places, height = domains(result_bands(data.scale, data.rails, 320))
    span = [-0.02 * data.epochs, 1.03 * data.epochs]
    anchor = lowest_axis(data.scale, data.rails)
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs", anchor=anchor, range=span, **ticked(data.ticks)),
        **result_axes(data.scale, data.rails, places),
    }
    return figure(_traces(data), layout, plot_px=height)


def _traces(data: CurvePanel) -> Iterator[go.Scatter]:
    for fate in reversed(Fate):
        curves = [curve for curve in data.curves if curve.fate is fate]
        for is_best in (False, True):
            group = [curve for curve in curves if curve.is_best is is_best and curve.points]
            if group:
                yield _lines(fate, group, data, is_best=is_best)
        yield from _railed(fate, curves, data)
        yield from _ends(fate, curves, data)
    yield from _best(data)


def _lines(fate: Fate, curves: Sequence[Curve], data: CurvePanel, *, is_best: bool) -> go.Scatter:
    """Return all lines of a group as one trace; a gap parts one line from the next, and shows what is on a rail."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for curve in curves:
        x += [*(point.epoch for point in curve.points), None]
        y += [*(_height(point) for point in curve.points), None]
        texts += [*(_point_words(curve, point, data) for point in curve.points), ""]
    return fate_trace(
        fate,
        mode="lines",
        x=x,
        y=y,
        hovertext=texts,
        line={"color": LOOKS[fate].colour, "width": 1.8 if is_best else 1},
        opacity=0.9 if is_best else 0.45,
        connectgaps=False,
        showlegend=False,
    )


def _railed(fate: Fate, curves: Sequence[Curve], data: CurvePanel) -> Iterator[go.Scatter]:
    """Return a dot on its rail for every value that has no place on the scale, the end marker apart."""
    dots = [
        (curve, point)
        for curve in curves
        for point in curve.points
        if point.place.rail and point != curve.end
    ]
    if dots:
        rows = rail_rows(data.rails, data.scale)
        yield fate_trace(
            fate,
            mode="markers",
            x=[point.epoch for _, point in dots],
            y=[rows[point.place.rail or ""] for _, point in dots],
            yaxis="y2",
            hovertext=[_point_words(curve, point, data) for curve, point in dots],
            marker={"color": LOOKS[fate].colour, "size": 4},
            showlegend=False,
        )


def _ends(fate: Fate, curves: Sequence[Curve], data: CurvePanel) -> Iterator[go.Scatter]:
    ended = [(curve, curve.end) for curve in curves if curve.end is not None]
    rows = rail_rows(data.rails, data.scale)
    scaled = [(curve, end, _height(end)) for curve, end in ended if end.place.rail is None]
    railed = [(curve, end, float(rows[end.place.rail])) for curve, end in ended if end.place.rail is not None]
    for group, settings in ((scaled, {}), (railed, {"yaxis": "y2"})):
        if group:
            yield fate_trace(
                fate,
                mode="markers",
                x=[end.epoch for _, end, _ in group],
                y=[height for _, _, height in group],
                hovertext=[hover(curve.hover) for curve, _, _ in group],
                marker=marker(fate, size=8, hollow=bool(settings)),
                cliponaxis=False,
                showlegend=group is scaled or not scaled,
                **settings,
            )


def _best(data: CurvePanel) -> Iterator[go.Scatter]:
    for curve in data.curves:
        if curve.number == data.best:
            shared = {"name": "best", "meta": {"fate": Fate.COMPLETE.value}, "hoverinfo": "text"}
            x = [point.epoch for point in curve.points]
            y = [_height(point) for point in curve.points]
            texts = [_point_words(curve, point, data) for point in curve.points]
            ink = {"color": INK, "width": 2}
            yield go.Scatter(mode="lines", x=x, y=y, hovertext=texts, line=ink, showlegend=False, **shared)
            yield go.Scatter(
                mode="markers",
                x=x[-1:],
                y=y[-1:],
                hovertext=[hover(curve.hover)],
                marker={"symbol": "star", "color": STAR, "size": 16, "line": {"color": INK, "width": 1}},
                cliponaxis=False,
                **shared,
            )


def _height(point: CurvePoint) -> float | None:
    return None if point.place.position is None else rounded(point.place.position)


def _point_words(curve: Curve, point: CurvePoint, data: CurvePanel) -> str:
    value = escaped(format_result(point.value, data.scale.metric))
    return f"epoch {point.epoch}: {value}<br>{escaped(curve.label)}"
