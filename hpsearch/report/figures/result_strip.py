"""Results along one dimension above the fates along it, as a figure."""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.records import Fate
from hpsearch.report.figure_data.result_strip import ResultStrip, StripMark
from hpsearch.report.figures.drawing import (
    Band,
    domains,
    fate_trace,
    figure,
    hover,
    marker,
    marker_size,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    search_axis,
)
from hpsearch.report.formats import format_count
from hpsearch.report.palette import LOOKS, PAPER


def draw_result_strip(data: ResultStrip) -> go.Figure:
    """Return the strip with its rails, and stacked bars of fates below it on the same x axis."""
    bands = [*result_bands(data.scale, data.rails, 270), Band(name="fates", height_px=130)]
    places, height = domains(bands)
    counts = {"domain": places["fates"], "rangemode": "tozero", "nticks": 5, "tickformat": ",d"}
    layout: dict[str, Any] = {
        "xaxis": search_axis(data.x, anchor="y3"),
        **result_axes(data.scale, data.rails, places),
        "yaxis3": plain_axis("trials", **counts),
        "barmode": "stack",
    }
    return figure([*_bars(data), *_marks(data)], layout, plot_px=height)


def _marks(data: ResultStrip) -> Iterator[go.Scatter]:
    size = marker_size(len(data.marks)) - 2
    rows = rail_rows(data.rails, data.scale)
    for fate in reversed(Fate):
        marks = [mark for mark in data.marks if mark.fate is fate]
        scaled = [mark for mark in marks if mark.place.position is not None]
        railed = [mark for mark in marks if mark.place.rail is not None]
        if scaled:
            heights = [rounded(mark.place.position or 0.0) for mark in scaled]
            yield _points(fate, scaled, y=heights, marker=marker(fate, size=size))
        if railed:
            heights = [rows[mark.place.rail or ""] for mark in railed]
            yield _points(fate, railed, y=heights, yaxis="y2", marker=marker(fate, size=size, hollow=True))


def _points(fate: Fate, marks: Sequence[StripMark], **settings: Any) -> go.Scatter:
    return fate_trace(
        fate,
        mode="markers",
        x=[rounded(mark.x) for mark in marks],
        hovertext=[hover(mark.hover) for mark in marks],
        showlegend=False,
        **settings,
    )


def _bars(data: ResultStrip) -> Iterator[go.Bar]:
    # Plotly reads a bar's place and width in the axis's own units, on log axes too: its edges are the bin's.
    centres = [rounded((part.low + part.high) / 2) for part in data.bins]
    widths = [rounded(part.high - part.low) or 1.0 for part in data.bins]
    for fate in Fate:
        counts = [part.fates.get(fate, 0) for part in data.bins]
        if any(counts):
            yield go.Bar(
                x=centres,
                width=widths,
                y=counts,
                yaxis="y3",
                name=fate.value,
                legendgroup=fate.value,
                meta={"fate": fate.value},
                marker={"color": LOOKS[fate].colour, "line": {"color": PAPER, "width": 1}},
                hoverinfo="text",
                hovertext=[_bar_words(data, fate, index) for index in range(len(data.bins))],
                textposition="none",
            )


def _bar_words(data: ResultStrip, fate: Fate, index: int) -> str:
    part = data.bins[index]
    ended = format_count(sum(part.fates.values()), "trial")
    return hover((f"{data.x.title} {part.label}", f"{fate}: {part.fates.get(fate, 0):,} of {ended}"))
