"""The importance of parameters as a figure: a dot with its interval for each."""

from typing import Any

import plotly.graph_objects as go

from hpsearch.analysis.axes import ticks_between
from hpsearch.analysis.importance import Importance, ImportancePanel
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, rounded, ticked
from hpsearch.report.palette import INK

_ROW_PX = 40


def draw_importance(data: ImportancePanel) -> go.Figure:
    """Draw one group of trials: a row for each parameter, shares from 0 to 1."""
    count = len(data.rows)
    rows = {
        "tickvals": list(range(count)),
        "ticktext": [escaped(row.name) for row in data.rows],
        "range": [count - 0.5, -0.5],
        "automargin": True,
        "fixedrange": True,
    }
    title = f"share explained, {data.title} ({data.trials:,})"
    layout: dict[str, Any] = {
        "xaxis": plain_axis(title, range=[-0.02, 1.02], **ticked(ticks_between(0, 1, log=False))),
        "yaxis": plain_axis("", **rows),
    }
    return figure([_dots(data)], layout, plot_px=count * _ROW_PX, top_px=14)


def _dots(data: ImportancePanel) -> go.Scatter:
    error = {
        "type": "data",
        "symmetric": False,
        "array": [rounded(row.high - row.share) for row in data.rows],
        "arrayminus": [rounded(row.share - row.low) for row in data.rows],
        "color": INK,
        "thickness": 1.5,
        "width": 5,
    }
    return go.Scatter(
        name=data.title,
        mode="markers",
        x=[rounded(row.share) for row in data.rows],
        y=list(range(len(data.rows))),
        error_x=error,
        marker={"color": INK, "size": 9, "symbol": "line-ns-open", "line": {"color": INK, "width": 2.5}},
        hoverinfo="text",
        hovertext=[hover(_hover_lines(row, data)) for row in data.rows],
        cliponaxis=False,
        showlegend=False,
    )


def _hover_lines(row: Importance, data: ImportancePanel) -> tuple[str, ...]:
    return (
        f"{row.name}: {100 * row.share:.0f} % of the ranks of {data.title}",
        f"90 % interval: {100 * row.low:.0f} to {100 * row.high:.0f} %",
    )
