"""Results along one dimension above the fates along it, as a figure."""

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.result_strip import ResultStrip
from hpsearch.report.figures.drawing import (
    Band,
    domains,
    figure,
    hover,
    plain_axis,
    result_axes,
    result_bands,
    rounded,
    search_axis,
)
from hpsearch.report.figures.marks import placed_marks
from hpsearch.report.formats import format_count
from hpsearch.report.palette import LOOKS, PAPER
from hpsearch.trials import Fate


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
    marks = placed_marks(data.marks, data.rails, data.scale, in_legend=False)
    return figure([*_bars(data), *marks], layout, plot_px=height)


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
