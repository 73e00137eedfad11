"""Compared studies as a figure: a stepped line each, with the studies' names above the plot."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.studies import StudiesCompared, StudyLine
from hpsearch.report.figures.comparison import DASHES
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, rounded, ticked, words_above
from hpsearch.report.palette import INK, SOFT_INK

_LONGEST_LABEL: Final = 40
_ROW_PX: Final = 17
_SAMPLE_PX: Final = 34


def draw_studies(data: StudiesCompared) -> go.Figure:
    """Return the best so far of every study against epochs."""
    span = [-0.02 * data.epochs, 1.03 * data.epochs]
    scale = data.scale
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs begun", range=span, **ticked(data.ticks)),
        "yaxis": plain_axis(scale.title, range=[scale.low, scale.high], **ticked(scale.ticks)),
        "annotations": list(_names(data.lines)),
        "shapes": list(_samples(data.lines)),
    }
    return figure(map(_trace, data.lines), layout, plot_px=320, top_px=_ROW_PX * len(data.lines))


def _trace(line: StudyLine) -> go.Scatter:
    last = line.records[-1]
    return go.Scatter(
        name=escaped(line.name),
        mode="lines",
        x=[*(record.epochs for record in line.records), line.epochs],
        y=[*(rounded(record.position) for record in line.records), rounded(last.position)],
        line={**_look(line), "shape": "hv"},
        hoverinfo="text",
        hovertext=[hover((line.name, *record.hover)) for record in (*line.records, last)],
    )


def _names(lines: Sequence[StudyLine]) -> Iterator[dict[str, Any]]:
    """Yield the names, a row each above the plot, where no line goes through them."""
    for row, line in enumerate(reversed(lines)):
        font = {"size": 12, "color": _look(line)["color"]}
        yield words_above(escaped(_short(line.name)), xshift=_SAMPLE_PX, yshift=2 + _ROW_PX * row, font=font)


def _samples(lines: Sequence[StudyLine]) -> Iterator[dict[str, Any]]:
    """Yield a piece of each line, which stands before its name."""
    for row, line in enumerate(reversed(lines)):
        height = 2 + _ROW_PX * (row + 0.5)
        yield {
            "type": "line",
            "xref": "paper",
            "xsizemode": "pixel",
            "xanchor": 0,
            "x0": 0,
            "x1": _SAMPLE_PX - 2,
            "yref": "paper",
            "ysizemode": "pixel",
            "yanchor": 1,
            "y0": height,
            "y1": height,
            "line": _look(line),
        }


def _look(line: StudyLine) -> dict[str, Any]:
    colour = SOFT_INK if line.order else INK
    return {"color": colour, "width": 2, "dash": DASHES[line.order % len(DASHES)]}


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
