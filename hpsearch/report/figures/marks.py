"""Trials as marks on a scale with rails, the same in every figure that has them."""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.results import PlacedMark, Scale
from hpsearch.report.figures.drawing import fate_trace, hover, marker, marker_size, rail_rows, rounded
from hpsearch.trials import Fate


def placed_marks(
    marks: Sequence[PlacedMark], rails: Sequence[str], scale: Scale, *, in_legend: bool, **settings: Any
) -> Iterator[go.Scatter]:
    """Yield the marks of each fate: filled on the scale, hollow on a rail. With `in_legend` each fate is named once.

    `settings` are of Plotly's traces.
    """
    size = marker_size(len(marks)) - 2
    rows = rail_rows(rails, scale)
    for fate in reversed(Fate):
        own = [mark for mark in marks if mark.fate is fate]
        scaled = [mark for mark in own if mark.place.position is not None]
        railed = [mark for mark in own if mark.place.rail is not None]
        if scaled:
            heights = [rounded(mark.place.position or 0.0) for mark in scaled]
            look = marker(fate, size=size)
            yield _points(fate, scaled, y=heights, marker=look, showlegend=in_legend, **settings)
        if railed:
            heights = [rows[mark.place.rail or ""] for mark in railed]
            look = marker(fate, size=size, hollow=True)
            named = in_legend and not scaled
            yield _points(fate, railed, y=heights, yaxis="y2", marker=look, showlegend=named, **settings)


def _points(fate: Fate, marks: Sequence[PlacedMark], **settings: Any) -> go.Scatter:
    return fate_trace(
        fate,
        mode="markers",
        x=[rounded(mark.x) for mark in marks],
        hovertext=[hover(mark.hover) for mark in marks],
        **settings,
    )
