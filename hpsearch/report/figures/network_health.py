"""What the networks looked like inside, as figures."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from hpsearch.report.figure_data.axes import Tick, count_ticks
from hpsearch.report.figure_data.network_health import HealthPanel, HeatMap, HeatRow
from hpsearch.report.figure_data.results import INFINITE, NOT_A_NUMBER, Place
from hpsearch.report.figures.drawing import (
    colour_bar,
    domains,
    figure,
    hover,
    lowest_axis,
    plain_axis,
    result_axes,
    result_bands,
    rounded,
    search_axis,
    ticked,
)
from hpsearch.report.figures.marks import placed_marks
from hpsearch.report.palette import RAIL_COLOURS, RESULT_COLOURS
from hpsearch.trials import Fate

_ROW_PX = 4
_STEP = 0.15
"""How much of the colours each rail takes, as a share of the scale."""


def draw_health_panel(data: HealthPanel) -> go.Figure:
    """Return one statistic against the learning rate: a mark for each trial, rails above it."""
    places, height = domains(result_bands(data.scale, data.rails, 200))
    layout: dict[str, Any] = {
        "xaxis": search_axis(data.x, anchor=lowest_axis(data.scale, data.rails)),
        **result_axes(data.scale, data.rails, places),
    }
    marks = placed_marks(data.marks, data.rails, data.scale, in_legend=True, cliponaxis=False)
    return figure(marks, layout, plot_px=height)


def draw_heat_map(data: HeatMap) -> go.Figure:
    """Return a statistic as colour, a row for each trial; the fates are traces of their own, for the filter."""
    rows = len(data.rows)
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "epochs", range=[0.5, data.epochs + 0.5], showgrid=False, **ticked(_epoch_ticks(data.epochs))
        ),
        "yaxis": plain_axis(data.rows_title, range=[-0.5, rows - 0.5], showgrid=False, **ticked(data.ticks)),
        "coloraxis": _colour_axis(data),
    }
    return figure(_cells(data), layout, plot_px=max(_ROW_PX * rows, 160), top_px=36)


def _epoch_ticks(epochs: int) -> tuple[Tick, ...]:
    return tuple(tick for tick in count_ticks(epochs) if tick.at >= 1) or (Tick(at=1, text="1"),)


def _cells(data: HeatMap) -> Iterator[go.Heatmap]:
    for fate in Fate:
        rows = [row if row.fate is fate else None for row in data.rows]
        longest = max((len(row.places) for row in rows if row is not None), default=0)
        if longest:
            yield go.Heatmap(
                name=fate.value,
                meta={"fate": fate.value},
                x=list(range(1, longest + 1)),
                y=list(range(len(rows))),
                z=[[] if row is None else [_colour(place, data) for place in row.places] for row in rows],
                text=[[] if row is None else list(row.texts) for row in rows],
                hovertext=[_cell_words(row) for row in rows],
                hovertemplate=f"epoch %{{x}}: {data.title} %{{text}}<br>%{{hovertext}}<extra></extra>",
                hoverongaps=False,
                coloraxis="coloraxis",
                xgap=1 if data.epochs <= 60 else 0,
            )


def _cell_words(row: HeatRow | None) -> list[str]:
    return [] if row is None else [hover(row.hover)] * len(row.places)


def _colour(place: Place, data: HeatMap) -> float:
    """Return the place's position on the colours: rails are beyond the upper end."""
    if place.position is not None:
        return rounded(place.position)
    return rounded(_rail_position(place.rail or "", data))


def _rail_position(rail: str, data: HeatMap) -> float:
    width = _STEP * (data.scale.high - data.scale.low)
    return data.scale.high + width * (_rail_index(rail) + 0.5)


def _rail_index(rail: str) -> int:
    return {INFINITE: 1, NOT_A_NUMBER: 2}.get(rail, 0)


def _colour_axis(data: HeatMap) -> dict[str, Any]:
    """Return colours from little to much, and behind them one for each of the rails that are in use."""
    used = {place.rail for row in data.rows for place in row.places if place.rail is not None}
    rails = [rail for rail in data.scale.rails if rail in used]
    last = max((_rail_index(rail) for rail in rails), default=-1)
    blocks = last + 1
    whole = 1 + blocks * _STEP
    colours = [
        [index / (len(RESULT_COLOURS) - 1) / whole, colour] for index, colour in enumerate(RESULT_COLOURS)
    ]
    edges = [(1 + index * _STEP) / whole for index in range(blocks + 1)]
    for colour, (low, high) in zip(RAIL_COLOURS, pairwise(edges), strict=False):
        colours += [[low, colour], [min(high, 1.0), colour]]
    labels = [Tick(at=_rail_position(rail, data), text=rail.replace("above ", "> ")) for rail in rails]
    return {
        "cmin": data.scale.low,
        "cmax": data.scale.low + whole * (data.scale.high - data.scale.low),
        "colorscale": colours,
        "colorbar": colour_bar(data.title, (*data.scale.ticks, *labels), length=1.0),
    }
