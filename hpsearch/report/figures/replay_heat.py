"""Distributions over time as a figure: steps to the right, magnitudes of either sign upwards, shares as colour."""

from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.replay_moments import HeatMap
from hpsearch.report.figures.drawing import figure, heading_words, plain_axis
from hpsearch.report.palette import PAPER, RESULT_COLOURS

_ROW_PX: Final = 7
_LEAST_PX: Final = 110
_MOST_LABELS: Final = 9


def draw_heat_map(data: HeatMap, *, heading: str = "") -> go.Figure:
    """Return the map, with `heading` above it."""
    labels = [*range(0, len(data.bins), -(-len(data.bins) // _MOST_LABELS))]
    layout: dict[str, Any] = {
        "xaxis": plain_axis("step", tickformat=",d", nticks=7),
        "yaxis": plain_axis(
            data.title,
            type="category",
            automargin=True,
            tickmode="array",
            tickvals=labels,
            ticktext=[data.bins[place] for place in labels],
        ),
        "annotations": list(heading_words(heading)),
    }
    height = max(_LEAST_PX, _ROW_PX * len(data.bins))
    return figure([_trace(data)], layout, plot_px=height, top_px=22 if heading else 0)


def _trace(data: HeatMap) -> go.Heatmap:
    last = len(RESULT_COLOURS)
    # Squared places show shares as their roots do: a hundredth of the numbers can still be seen.
    stops = [(place / last) ** 2 for place in range(last + 1)]
    return go.Heatmap(
        x=list(data.steps),
        y=list(data.bins),
        z=[list(row) for row in data.shares],
        zmin=0,
        zmax=1,
        colorscale=list(map(list, zip(stops, (PAPER, *RESULT_COLOURS), strict=True))),
        showscale=False,
        hovertemplate="step %{x:,d}<br>%{y}: %{z:.1%}<extra></extra>",
    )
