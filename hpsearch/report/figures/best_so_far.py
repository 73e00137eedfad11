"""The best result so far as a figure."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import plotly.graph_objects as go

from hpsearch.report.figure_data.axes import count_ticks
from hpsearch.report.figure_data.best_so_far import BestSoFar, BestStep
from hpsearch.report.figures.drawing import (
    domains,
    fate_trace,
    figure,
    hover,
    instant,
    lowest_axis,
    marker,
    marker_size,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.palette import INK, STAR
from hpsearch.trials import Fate

Against: TypeAlias = Literal["trials", "epochs", "time"]


def draw_best_so_far(data: BestSoFar, against: Against) -> go.Figure:
    """Return every ended trial, and the best of them as a line, against trials, epochs or time."""
    places, height = domains(result_bands(data.scale, data.rails, 270))
    layout: dict[str, Any] = {
        "xaxis": _axis(data, against),
        **result_axes(data.scale, data.rails, places),
    }
    traces = [*_noise(data, against), *_marks(data, against), *_line(data, against)]
    return figure(traces, layout, plot_px=height)


def _axis(data: BestSoFar, against: Against) -> dict[str, Any]:
    anchor = lowest_axis(data.scale, data.rails)
    low, high = _ends(data, against)
    margin = 0.02 * (high - low) or 1.0
    span = [low - margin, high + margin]
    if against == "time":
        return plain_axis("time (UTC)", anchor=anchor, range=span, type="date", nticks=4)
    title = "trials ended" if against == "trials" else "epochs begun"
    return plain_axis(title, anchor=anchor, range=span, **ticked(count_ticks(round(high))))


def _ends(data: BestSoFar, against: Against) -> tuple[float, float]:
    if against == "time":
        return instant(data.start), max(instant(step.ended) for step in data.steps)
    return 0.0, float(data.trials if against == "trials" else data.epochs)


def _noise(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    """Return the band of results that chance alone can reach from the best."""
    if data.band is None:
        return
    (left, right), (low, high) = _ends(data, against), data.band
    yield go.Scatter(
        name="noise of seeds",
        mode="lines",
        x=[left, right, right, left],
        y=[rounded(low), rounded(low), rounded(high), rounded(high)],
        fill="toself",
        fillcolor=STAR,
        line={"width": 0},
        opacity=0.3,
        hoverinfo="skip",
    )


def _marks(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    size = marker_size(len(data.steps)) - 3
    rows = rail_rows(data.rails, data.scale)
    for fate in reversed(Fate):
        steps = [step for step in data.steps if step.fate is fate]
        scaled = [step for step in steps if step.place.position is not None]
        railed = [step for step in steps if step.place.rail is not None]
        if scaled:
            heights = [rounded(step.place.position or 0.0) for step in scaled]
            yield _points(fate, scaled, against, y=heights, marker=marker(fate, size=size), opacity=0.8)
        if railed:
            heights = [rows[step.place.rail or ""] for step in railed]
            look = marker(fate, size=size, hollow=True)
            yield _points(fate, railed, against, y=heights, yaxis="y2", marker=look, showlegend=not scaled)


def _points(fate: Fate, steps: Sequence[BestStep], against: Against, **settings: Any) -> go.Scatter:
    return fate_trace(
        fate,
        mode="markers",
        x=[_x(step, against) for step in steps],
        hovertext=[hover(step.hover) for step in steps],
        **settings,
    )


def _line(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    """Return the best so far: a line that steps where a record fell, and runs on to the last trial."""
    records = [step for step in data.steps if step.is_record]
    if not records:
        return
    x = [_x(step, against) for step in (*records, data.steps[-1])]
    y = [rounded(step.place.position or 0.0) for step in (*records, records[-1])]
    yield go.Scatter(
        name="best so far",
        mode="lines",
        x=x,
        y=y,
        line={"color": INK, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    yield go.Scatter(
        name="best",
        mode="markers",
        x=[x[-2]],
        y=[y[-2]],
        meta={"fate": Fate.COMPLETE.value},
        hoverinfo="text",
        hovertext=[hover(records[-1].hover)],
        marker={"symbol": "star", "size": 16, "color": STAR, "line": {"color": INK, "width": 1}},
    )


def _x(step: BestStep, against: Against) -> float:
    if against == "time":
        return instant(step.ended)
    return step.trials if against == "trials" else step.epochs
