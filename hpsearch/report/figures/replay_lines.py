"""Lines of a replay as a figure: each in its colour and dash, rails below for what has no place, events marked."""

from collections.abc import Iterator
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.axes import Tick
from hpsearch.report.figure_data.replay_lines import Line, LinePanel, Point, rail_of
from hpsearch.report.figures.drawing import (
    RAIL_PX,
    Band,
    domains,
    escaped,
    figure,
    ground,
    heading_words,
    plain_axis,
    rounded,
    ticked,
)
from hpsearch.report.figures.key import KeyEntry, key_height_px, key_words
from hpsearch.report.palette import INK, LINE_COLOURS, LOOKS, SOFT_INK
from hpsearch.study.messages import format_number
from hpsearch.trials import Fate

_HEIGHT_PX: Final = 230
_DASHES: Final = ("solid", "dot")
_SIGNS: Final = {"solid": "&#9473;", "dot": "&#9477;"}
_EVENTS_PX: Final = 16
"""Room of the words of an event, between the plot and the key. Each event has a row: they are often near each other."""


def draw_lines(data: LinePanel, *, heading: str = "") -> go.Figure:
    """Return the panel, with `heading` and the names of its lines above it."""
    key = _key(data)
    key_px = key_height_px(key)
    events_px = _EVENTS_PX * max(len(data.events), 1)
    bands = [Band(name="lines", height_px=_HEIGHT_PX)]
    if data.rails:
        bands.append(Band(name="rails", height_px=RAIL_PX * len(data.rails)))
    places, height = domains(bands)
    low, high = data.span.low, data.span.high
    edge = 0.02 * (high - low)
    whole = {"dtick": 1} if high - low <= 10 else {"nticks": 7}
    anchor = "y2" if data.rails else "y"
    x = plain_axis(data.span.title, range=[low - edge, high + edge], anchor=anchor, tickformat=",d", **whole)
    ticks = ticked(data.scale.ticks) if data.scale.ticks else {"nticks": 6}
    y_range = [data.scale.low, data.scale.high]
    layout: dict[str, Any] = {
        "xaxis": x,
        "yaxis": plain_axis(data.title, range=y_range, domain=places["lines"], **ticks),
        "shapes": [_event_line(event.x) for event in data.events],
        "annotations": [
            *_event_words(data),
            *key_words(key, shift_px=events_px),
            *heading_words(heading, shift_px=events_px + 2 + key_px),
        ],
    }
    if data.rails:
        rows = [Tick(at=row, text=rail) for row, rail in enumerate(reversed(data.rails))]
        settings = {"range": [-0.6, len(rows) - 0.4], "domain": places["rails"], **ticked(rows)}
        layout["yaxis2"] = plain_axis("", showgrid=False, fixedrange=True, **settings)
        layout["shapes"].append(ground(places["rails"]))
    return figure(_traces(data), layout, plot_px=height, top_px=events_px + key_px + (18 if heading else 0))


def _look(number: int) -> tuple[str, str]:
    """Return the colour and the dash of a line."""
    return LINE_COLOURS[number % len(LINE_COLOURS)], _DASHES[number // len(LINE_COLOURS) % len(_DASHES)]


def _key(data: LinePanel) -> list[KeyEntry]:
    """Return the names of the lines; nothing of one, and of so many that looks repeat."""
    if not 1 < len(data.lines) <= len(LINE_COLOURS) * len(_DASHES):
        return []
    looks = [(line.name, *_look(number)) for number, line in enumerate(data.lines)]
    return [KeyEntry(name=name, colour=colour, sign=_SIGNS[dash]) for name, colour, dash in looks]


def _traces(data: LinePanel) -> Iterator[go.Scatter]:
    for number, line in enumerate(data.lines):
        colour, dash = _look(number)
        yield _line(line, data, {"color": colour, "width": 1.5, "dash": dash})
        yield from _railed(line, data, colour)
        if line.marked is not None and data.scale.place(line.marked.value) is not None:
            yield _mark(line, line.marked, data, colour)


def _line(line: Line, data: LinePanel, style: dict[str, Any]) -> go.Scatter:
    places = [data.scale.place(point.value) for point in line.points]
    return go.Scatter(
        name=line.name,
        mode="lines" if data.span.title == "step" and len(line.points) > 1 else "lines+markers",
        x=[point.x for point in line.points],
        y=[None if place is None else rounded(place) for place in places],
        customdata=[format_number(point.value, digits=4) for point in line.points],
        hovertemplate=f"{escaped(data.span.title)} %{{x:,d}}<br>{escaped(line.name)}: %{{customdata}}<extra></extra>",
        line=style,
        connectgaps=False,
    )


def _railed(line: Line, data: LinePanel, colour: str) -> Iterator[go.Scatter]:
    rows = {rail: row for row, rail in enumerate(reversed(data.rails))}
    dots = [(point, rail) for point in line.points if (rail := rail_of(point.value, data.scale.kind))]
    if dots:
        yield go.Scatter(
            name=line.name,
            mode="markers",
            x=[point.x for point, _ in dots],
            y=[rows[rail] for _, rail in dots],
            yaxis="y2",
            hovertemplate=f"{escaped(data.span.title)} %{{x:,d}}<br>{escaped(line.name)}<extra></extra>",
            marker={"color": colour, "size": 4},
        )


def _mark(line: Line, at: Point, data: LinePanel, colour: str) -> go.Scatter:
    return go.Scatter(
        name=f"{line.name} {line.mark}",
        mode="markers",
        x=[at.x],
        y=[data.scale.place(at.value)],
        hovertemplate=f"{escaped(line.name)} {escaped(line.mark)}<extra></extra>",
        marker={
            "symbol": LOOKS[Fate.DYING].symbol,
            "size": 9,
            "color": colour,
            "line": {"color": INK, "width": 1},
        },
        cliponaxis=False,
    )


def _event_line(x: int) -> dict[str, Any]:
    line = {"color": SOFT_INK, "width": 1, "dash": "dash"}
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line}


def _event_words(data: LinePanel) -> Iterator[dict[str, Any]]:
    """Yield the words of the events above the plot, on the side of their line that has more room."""
    for row, event in enumerate(data.events):
        is_left = 2 * event.x > data.span.low + data.span.high
        yield {
            "x": event.x,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "xanchor": "right" if is_left else "left",
            "yshift": _EVENTS_PX * (len(data.events) - 1 - row),
            "text": escaped(event.text),
            "showarrow": False,
            "font": {"size": 11, "color": SOFT_INK},
        }
