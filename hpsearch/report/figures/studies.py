"""Compared studies as a figure: a stepped line each, with the study's name at its end."""

from collections.abc import Iterator
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.studies import StudiesCompared, StudyLine
from hpsearch.report.figures.comparison import DASHES
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, rounded, ticked
from hpsearch.report.palette import INK, SOFT_INK

_LONGEST_LABEL = 24


def draw_studies(data: StudiesCompared) -> go.Figure:
    """Return the best so far of every study against epochs."""
    span = [-0.02 * data.epochs, 1.25 * data.epochs]
    scale = data.scale
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs begun", range=span, **ticked(data.ticks)),
        "yaxis": plain_axis(scale.title, range=[scale.low, scale.high], **ticked(scale.ticks)),
    }
    return figure((trace for line in data.lines for trace in _traces(line)), layout, plot_px=320, top_px=14)


def _traces(line: StudyLine) -> Iterator[go.Scatter]:
    colour = SOFT_INK if line.order else INK
    last = line.records[-1]
    shared = {"name": escaped(line.name), "legendgroup": str(line.order), "hoverinfo": "text"}
    yield go.Scatter(
        mode="lines",
        x=[*(record.epochs for record in line.records), line.epochs],
        y=[*(rounded(record.position) for record in line.records), rounded(last.position)],
        line={"color": colour, "width": 2, "shape": "hv", "dash": DASHES[line.order % len(DASHES)]},
        hovertext=[hover((line.name, *record.hover)) for record in (*line.records, last)],
        **shared,
    )
    yield go.Scatter(
        mode="text",
        x=[line.epochs],
        y=[rounded(last.position)],
        text=[f"  {escaped(_short(line.name))}"],
        textposition="middle right",
        textfont={"color": colour, "size": 12},
        hovertext=[hover((line.name,))],
        cliponaxis=False,
        showlegend=False,
        **shared,
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
