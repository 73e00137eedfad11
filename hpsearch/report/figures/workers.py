"""Workers as lanes over time."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import accumulate, pairwise
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.workers import Bar, Event, Lane, Workers
from hpsearch.report.figures.drawing import escaped, fate_trace, figure, hover, instant, marker, plain_axis
from hpsearch.report.palette import INK, LOOKS, RAIL, SOFT_INK
from hpsearch.trials import Fate

_USUAL_PX: Final = 600
_LEAST_PX: Final = 2.5
_MOST_PX: Final = 14.0
_LANE_PX: Final = 16.0
_TWO_LINES_PX: Final = 32.0
_NAME: Final = 22
_LEAST_SHARE: Final = 1 / 2000
"""A bar takes at least this share of the axis, so that the shortest trial can be seen and hovered over."""


def draw_workers(data: Workers) -> go.Figure:
    """Return the lanes on shaded grounds, whoever began first at the top."""
    row_px = _row_px(data.lanes)
    heights = [max(lane.rows, _LANE_PX / row_px) + 1 for lane in data.lanes]
    tops = [0.0, *accumulate(heights)]
    margin = max((data.end - data.start) * 0.02, timedelta(milliseconds=10))
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "time (UTC)",
            type="date",
            range=[instant(data.start - margin), instant(data.end + margin)],
            nticks=4,
            automargin=True,
        )
        | {"title": {"text": "time (UTC)", "font": {"color": SOFT_INK, "size": 12}, "standoff": 20}},
        "yaxis": _lane_axis(data.lanes, tops, row_px),
        "barmode": "overlay",
        "shapes": [_ground(top, height - 1) for top, height in zip(tops, heights, strict=False)],
    }
    return figure(
        [*_bars(data, tops), *_marks(data, tops, heights)], layout, plot_px=round(tops[-1] * row_px)
    )


def _row_px(lanes: Sequence[Lane]) -> float:
    return min(max(_USUAL_PX / sum(lane.rows + 1 for lane in lanes), _LEAST_PX), _MOST_PX)


def _lane_axis(lanes: Sequence[Lane], tops: Sequence[float], row_px: float) -> dict[str, Any]:
    heights = [(bottom - top) * row_px for top, bottom in pairwise(tops)]
    return plain_axis(
        "",
        range=[tops[-1], -1],
        showgrid=False,
        automargin=True,
        tickmode="array",
        tickvals=[(top + bottom - 1) / 2 for top, bottom in pairwise(tops)],
        ticktext=[_lane_words(lane, height) for lane, height in zip(lanes, heights, strict=True)],
    )


def _lane_words(lane: Lane, height_px: float) -> str:
    name = escaped(_short(lane.worker))
    return f"{name}<br>{lane.busy}" if lane.busy and height_px > _TWO_LINES_PX else name


def _short(name: str) -> str:
    """Return a name that leaves room for the lanes: its beginning and its end, which tells workers apart."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2 - 1]}…{name[-_NAME // 2 :]}"


def _ground(top: float, height: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": top - 0.5,
        "y1": top + height - 0.5,
        "fillcolor": RAIL,
        "line": {"width": 0},
        "layer": "below",
    }


def _bars(data: Workers, tops: Sequence[float]) -> Iterator[go.Bar]:
    least = (data.end - data.start) * _LEAST_SHARE
    placed = [(top + bar.row, bar) for top, lane in zip(tops, data.lanes, strict=False) for bar in lane.bars]
    for fate in Fate:
        own = [(row, bar) for row, bar in placed if bar.fate is fate]
        if own:
            yield go.Bar(
                orientation="h",
                base=[instant(bar.start) for _, bar in own],
                x=[_milliseconds(bar, least) for _, bar in own],
                y=[row for row, _ in own],
                width=0.86,
                name=fate.value,
                legendgroup=fate.value,
                meta={"fate": fate.value},
                marker={"color": LOOKS[fate].colour, "line": {"width": 0}},
                hoverinfo="text",
                hovertext=[hover(bar.hover) for _, bar in own],
                textposition="none",
            )


def _milliseconds(bar: Bar, least: timedelta) -> float:
    return max(bar.end - bar.start, least, timedelta(milliseconds=1)) / timedelta(milliseconds=1)


def _marks(data: Workers, tops: Sequence[float], heights: Sequence[float]) -> Iterator[go.Scatter]:
    middles = [top + (height - 2) / 2 for top, height in zip(tops, heights, strict=False)]
    beats = [(y, lane.beat) for y, lane in zip(middles, data.lanes, strict=True) if lane.beat is not None]
    lost = [(y, event) for y, lane in zip(middles, data.lanes, strict=True) for event in lane.lost]
    if beats:
        yield go.Scatter(
            name="last heartbeat",
            hoverinfo="text",
            **_places(beats),
            marker={"symbol": "line-ns-open", "size": 13, "color": INK, "line": {"color": INK, "width": 2.5}},
        )
    if lost:
        yield fate_trace(Fate.LOST, showlegend=False, **_places(lost), marker=marker(Fate.LOST, size=11))


def _places(events: Sequence[tuple[float, Event]]) -> dict[str, Any]:
    return {
        "mode": "markers",
        "x": [instant(event.at) for _, event in events],
        "y": [y for y, _ in events],
        "hovertext": [hover(event.hover) for _, event in events],
        "cliponaxis": False,
    }
