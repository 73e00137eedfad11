"""Lines over training steps or network layers, on scales that hold every value of a replay."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

import numpy as np
import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, ticks_between
from hpsearch.analysis.formats import format_tick
from hpsearch.report.figures.drawing import (
    RAIL_PX,
    Band,
    KeyEntry,
    domains,
    escaped,
    figure,
    ground,
    heading_words,
    key_height_px,
    key_words,
    plain_axis,
    rounded,
    ticked,
)
from hpsearch.report.palette import INK, LINE_COLOURS, LOOKS, SOFT_INK
from hpsearch.study.messages import format_number
from hpsearch.training.tracks import Track
from hpsearch.trials import Fate

LineScaleKind: TypeAlias = Literal["linear", "log", "symlog"]

POINTS = 200
"""Maximum number of step intervals per line; each shows its lowest and its highest value."""

GROWTH = 100.0
"""Lines that grow by more than this factor are drawn on a symmetric logarithmic scale."""

_SMALLEST_BEGINNING = 0.1
_LARGEST_LINEAR = 1e12
_MOST_TICKS = 7


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LineScale:
    """A scale for values: linear, log10, or symmetric around 0 as sign(v) log10(1 + |v| / `unit`)."""

    kind: LineScaleKind
    unit: float
    low: float
    high: float
    ticks: tuple[Tick, ...]

    def place(self, value: float) -> float | None:
        """Return the position of `value`; None if it belongs on a rail."""
        return None if rail_of(value, self.kind) else _position(value, self.kind, self.unit)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LinePoint:
    """A value at `x`, or at the interval that begins there."""

    x: int
    value: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line; `marked` is the position of an ending, labelled `mark`."""

    name: str
    points: tuple[LinePoint, ...]
    marked: LinePoint | None = None
    mark: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LineEvent:
    """An event at `x`, in one or two words."""

    x: int
    text: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LineAxis:
    """The x axis of the lines: whole numbers from `low` to `high`."""

    title: str
    low: int
    high: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LinePanel:
    """Lines with one scale over one x axis. `rails` are those that any of their values needs."""

    title: str
    span: LineAxis
    scale: LineScale
    rails: tuple[str, ...]
    lines: tuple[Line, ...]
    events: tuple[LineEvent, ...] = ()


def rail_of(value: float, kind: LineScaleKind = "linear") -> str | None:
    """Return the rail of a number without a place on that kind of scale; None if it has one."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return "exactly 0" if kind == "log" and value <= 0 else None


RAILS = ("exactly 0", "-infinite", "infinite", "NaN")
"""All rails in their order below a scale."""


def track_points(track: Track, column: int) -> tuple[LinePoint, ...]:
    """Return a line of at most `POINTS` intervals: the low and high value of each, and NaN if it contains one."""
    group = -(-len(track.steps) // POINTS) or 1
    points: list[LinePoint] = []
    for start in range(0, len(track.steps), group):
        part = slice(start, start + group)
        x = int(track.steps[start])
        lows, highs = track.low[part, column], track.high[part, column]
        if not np.isnan(lows).all():
            low, high = float(np.nanmin(lows)), float(np.nanmax(highs))
            points += (
                [LinePoint(x=x, value=low)]
                if low == high
                else [LinePoint(x=x, value=low), LinePoint(x=x, value=high)]
            )
        if track.has_nan[part, column].any():
            points.append(LinePoint(x=x, value=math.nan))
    return tuple(points)


def scale_over(lines: Sequence[Line], kind: LineScaleKind | None = None) -> LineScale:
    """Return a scale over the finite values: of `kind`, or linear unless the lines outgrow their beginning."""
    values = [point.value for line in lines for point in line.points]
    if kind is None:
        unit = max([_SMALLEST_BEGINNING, *(_beginning(line) for line in lines)])
        largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
        kind = "symlog" if largest > min(GROWTH * unit, _LARGEST_LINEAR) else "linear"
    else:
        unit = 1.0
    placed = [_position(value, kind, unit) for value in values if rail_of(value, kind) is None]
    low, high = (min(placed), max(placed)) if placed else (0.0, 1.0)
    margin = 0.05 * (high - low) or 0.05 * max(abs(high), 1e-3)
    return LineScale(
        kind=kind, unit=unit, low=low - margin, high=high + margin, ticks=_ticks(low, high, kind, unit)
    )


def rails_over(lines: Iterable[Line], kind: LineScaleKind) -> tuple[str, ...]:
    """Return the rails that the lines need, in the order of `RAILS`."""
    needed = {rail_of(point.value, kind) for line in lines for point in line.points}
    return tuple(rail for rail in RAILS if rail in needed)


def _beginning(line: Line) -> float:
    first = next((point.value for point in line.points if math.isfinite(point.value)), 0.0)
    return abs(first)


def _position(value: float, kind: LineScaleKind, unit: float) -> float:
    match kind:
        case "linear":
            return value
        case "log":
            return math.log10(value)
        case "symlog":
            return math.copysign(math.log10(1 + abs(value) / unit), value)


def _ticks(low: float, high: float, kind: LineScaleKind, unit: float) -> tuple[Tick, ...]:
    """Return ticks at round numbers; none for a linear scale, whose ticks Plotly chooses."""
    if kind == "linear":
        return ()
    if kind == "log":
        ticks = ticks_between(10.0**low, 10.0**high, log=True)
        return tuple(Tick(at=math.log10(tick.at), text=tick.text) for tick in ticks)
    return _symlog_ticks(low, high, unit)


def _symlog_ticks(low: float, high: float, unit: float) -> tuple[Tick, ...]:
    """Return 0 and, from the largest down, the powers of ten that are far enough apart."""
    gap = (high - low) / _MOST_TICKS
    largest = max(abs(low), abs(high))
    kept = [0.0]
    at = math.inf
    for power in range(math.floor(math.log10(unit) + largest), math.floor(math.log10(unit)) - 1, -1):
        place = _position(10.0**power, "symlog", unit)
        if gap <= place <= min(at - gap, largest):
            kept += [10.0**power, -(10.0**power)]
            at = place
    placed = sorted((_position(value, "symlog", unit), value) for value in kept)
    return tuple(Tick(at=at, text=format_tick(value)) for at, value in placed if low <= at <= high)


def panel(title: str, lines: Sequence[Line], span: LineAxis, kind: LineScaleKind | None = None) -> LinePanel:
    """Return the panel of `lines` with the scale and rails that they need."""
    scale = scale_over(lines, kind)
    return LinePanel(
        title=title, span=span, scale=scale, rails=rails_over(lines, scale.kind), lines=tuple(lines)
    )


_HEIGHT_PX: Final = 230
_DASHES: Final = ("solid", "dot")
_SIGNS: Final = {"solid": "&#9473;", "dot": "&#9477;"}
_EVENTS_PX: Final = 16
"""Height of an event label between the plot and the key. Each event has a row because events are often close together.
"""


def draw_lines(data: LinePanel, *, heading: str = "") -> go.Figure:
    """Draw the panel, with `heading` and the names of its lines above it."""
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


def _line_style(number: int) -> tuple[str, str]:
    """Return the colour and the dash of a line."""
    return LINE_COLOURS[number % len(LINE_COLOURS)], _DASHES[number // len(LINE_COLOURS) % len(_DASHES)]


def _key(data: LinePanel) -> list[KeyEntry]:
    """Return the lines' names; none for one line, or for so many that styles repeat."""
    if not 1 < len(data.lines) <= len(LINE_COLOURS) * len(_DASHES):
        return []
    looks = [(line.name, *_line_style(number)) for number, line in enumerate(data.lines)]
    return [KeyEntry(name=name, colour=colour, sign=_SIGNS[dash]) for name, colour, dash in looks]


def _traces(data: LinePanel) -> Iterator[go.Scatter]:
    for number, line in enumerate(data.lines):
        colour, dash = _line_style(number)
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


def _mark(line: Line, at: LinePoint, data: LinePanel, colour: str) -> go.Scatter:
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
    """Yield the event labels above the plot, each on the side of its line with more room."""
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
