"""Common parts of all figures: paper, axes, rails, markers, the key and hover texts."""

import html
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Axis, Tick
from hpsearch.analysis.configurations import configuration_name
from hpsearch.analysis.formats import format_parameters, format_result, format_short_metric
from hpsearch.analysis.trial_facts import verdict_words
from hpsearch.report.figures.scales import PlacedMark, Scale, measured
from hpsearch.report.palette import GRID, INK, LOOKS, PAPER, RAIL, SOFT_INK
from hpsearch.study.messages import format_count
from hpsearch.study.spec import StudySpec
from hpsearch.trials import OTHERS, Fate, Trial, TrialState

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
CLEAR = "rgba(0, 0, 0, 0)"
RAIL_PX = 22
GAP_PX = 6
MARGIN = {"l": 62, "r": 14, "t": 14, "b": 46}

_EDGE_MARGIN = 0.02


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """One of several panels with a common x axis: its name and its height in pixels."""

    name: str
    height_px: int


def domains(bands: Sequence[Band]) -> tuple[dict[str, list[float]], int]:
    """Return the vertical domain of each band, the first at the top, and the total height in pixels."""
    total = sum(band.height_px for band in bands) + GAP_PX * (len(bands) - 1)
    top = total
    found = {}
    for band in bands:
        found[band.name] = [(top - band.height_px) / total, top / total]
        top -= band.height_px + GAP_PX
    return found, total


def figure(traces: Iterable[Any], layout: Mapping[str, Any], *, plot_px: int, top_px: int = 0) -> go.Figure:
    """Return a figure on light paper with a plot height of `plot_px`, and `top_px` of free room above it."""
    margin = {**MARGIN, "t": MARGIN["t"] + top_px}
    common = {
        "template": go.layout.Template(),
        "height": plot_px + margin["t"] + margin["b"],
        "margin": margin,
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "font": {"family": FONT, "size": 12, "color": INK},
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": PAPER,
            "font": {"family": FONT, "color": INK, "size": 12},
            "align": "left",
        },
        "modebar": {"bgcolor": CLEAR, "color": SOFT_INK, "activecolor": INK},
        "showlegend": True,
        "legend": {"orientation": "h", "y": -0.16, "yanchor": "top", "font": {"color": SOFT_INK}},
    }
    return go.Figure(data=list(traces), layout={**common, **layout})


def plain_axis(title: str, **settings: Any) -> dict[str, Any]:
    """Return the settings of an axis with our lines and fonts."""
    return {
        "title": {"text": escaped(title), "font": {"color": SOFT_INK, "size": 12}, "standoff": 8},
        "gridcolor": GRID,
        "linecolor": GRID,
        "tickcolor": GRID,
        "tickfont": {"color": SOFT_INK, "size": 11},
        "showline": True,
        "zeroline": False,
        "exponentformat": "e",
        **settings,
    }


def ticked(ticks: Sequence[Tick]) -> dict[str, Any]:
    """Return the settings that put labels at `ticks` only."""
    return {
        "tickmode": "array",
        "tickvals": [rounded(tick.at) for tick in ticks],
        "ticktext": [escaped(tick.text) for tick in ticks],
    }


def search_axis(axis: Axis, **settings: Any) -> dict[str, Any]:
    """Return the settings of an axis over the whole search space, with a margin for the markers."""
    low, high = _plotted(axis, axis.low), _plotted(axis, axis.high)
    margin = _EDGE_MARGIN * (high - low) or 0.5
    kind = "log" if axis.kind == "log" else "linear"
    span = [low - margin, high + margin]
    room = axis.kind == "category"  # words can be longer than the margin
    return plain_axis(axis.title, type=kind, range=span, automargin=room, **ticked(axis.ticks), **settings)


def _plotted(axis: Axis, value: float) -> float:
    """Return the value in Plotly's units for ranges and shapes: its logarithm on log axes."""
    return math.log10(value) if axis.kind == "log" else value


def colour_bar(title: str, ticks: Sequence[Tick], *, length: float = 0.75) -> dict[str, Any]:
    """Return the settings of a colour bar above the figure, over `length` of its width."""
    return {
        "orientation": "h",
        "x": 0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
        "ypad": 6,
        "len": length,
        "thickness": 8,
        "outlinewidth": 0,
        "title": {"text": title, "side": "top", "font": {"color": SOFT_INK, "size": 12}},
        "tickfont": {"color": SOFT_INK, "size": 11},
        "tickangle": 0,
        **ticked(ticks),
    }


def result_bands(scale: Scale, rails: Sequence[str], height_px: int) -> list[Band]:
    """Return the band `results` and, on the bad side of the scale, `rails` if there are any."""
    results = Band(name="results", height_px=height_px)
    if not rails:
        return [results]
    below = Band(name="rails", height_px=RAIL_PX * len(rails))
    return [results, below] if scale.maximize else [below, results]


def result_axes(scale: Scale, rails: Sequence[str], places: Mapping[str, list[float]]) -> dict[str, Any]:
    """Return the layout of `yaxis` for results and, if there are rails, of `yaxis2` and its shaded background."""
    results = plain_axis(
        scale.title, range=[scale.low, scale.high], domain=places["results"], **ticked(scale.ticks)
    )
    if not rails:
        return {"yaxis": results}
    rows = [Tick(at=row, text=rail) for rail, row in rail_rows(rails, scale).items()]
    settings = {"range": [-0.6, len(rails) - 0.4], "domain": places["rails"], **ticked(rows)}
    return {
        "yaxis": results,
        "yaxis2": plain_axis("", showgrid=False, fixedrange=True, automargin=True, **settings),
        "shapes": [ground(places["rails"])],
    }


def lowest_axis(scale: Scale, rails: Sequence[str]) -> str:
    """Return the vertical axis that anchors an x axis below results and rails."""
    return "y2" if rails and scale.maximize else "y"


def rail_rows(rails: Sequence[str], scale: Scale) -> dict[str, int]:
    """Return the row of each rail: the rail nearest to the scale is drawn nearest to it."""
    last = len(rails) - 1
    return {rail: last - row if scale.maximize else row for row, rail in enumerate(rails)}


def ground(domain: Sequence[float]) -> dict[str, Any]:
    """Return the shaded background that separates the rails from the scale."""
    return {
        "type": "rect",
        "xref": "paper",
        "yref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": domain[0],
        "y1": domain[1],
        "fillcolor": RAIL,
        "line": {"width": 0},
        "layer": "below",
    }


def heading_words(text: str, *, shift_px: int = 4) -> Iterator[dict[str, Any]]:
    """Yield `text`, unless it is empty, as a heading `shift_px` above the plot's left corner."""
    if text:
        yield words_above(f"<b>{escaped(text)}</b>", yshift=shift_px, font={"size": 12, "color": INK})


def words_above(words: str, **settings: Any) -> dict[str, Any]:
    """Return `words` (HTML that Plotly supports) as an annotation above the plot's left corner."""
    return {
        "x": 0,
        "y": 1,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "text": words,
        "showarrow": False,
        **settings,
    }


def marker(fate: Fate, *, size: float, hollow: bool = False) -> dict[str, Any]:
    """Return the marker of a fate: its symbol with an edge in its colour, filled with it unless hollow."""
    look = LOOKS[fate]
    return {
        "symbol": look.hollow if hollow else look.symbol,
        "size": size,
        "color": look.colour,
        "line": {"color": look.colour, "width": 1.5 if hollow or look.is_line else 1},
    }


def marker_size(count: int) -> float:
    """Return the marker size in pixels that keeps `count` markers apart."""
    return 10 if count <= 300 else 8 if count <= 1000 else 6


def fate_trace(fate: Fate, **settings: Any) -> go.Scatter:
    """Return a trace that the fate filter can show and hide, with one legend entry per fate."""
    return go.Scatter(
        name=fate.value, legendgroup=fate.value, meta={"fate": fate.value}, hoverinfo="text", **settings
    )


def escaped(text: str) -> str:
    """Return text that Plotly shows literally: it would interpret `<b>` and `&lt;` as markup."""
    return html.escape(text, quote=False)


def hover(lines: Sequence[str]) -> str:
    """Return the lines of a hover label."""
    return "<br>".join(escaped(line) for line in lines)


def rounded(value: float) -> float:
    """Return `value` with 6 significant digits: the resolution of a screen, in half the bytes."""
    return float(f"{value:.6g}")


def instant(moment: datetime) -> float:
    """Return a time in Plotly's unit for date axes: milliseconds since 1970 in UTC."""
    return float(round(moment.timestamp() * 1000))


def placed_marks(
    marks: Sequence[PlacedMark], rails: Sequence[str], scale: Scale, *, in_legend: bool, **settings: Any
) -> Iterator[go.Scatter]:
    """Yield the markers of each fate: filled on the scale, hollow on a rail. `in_legend` adds one entry per fate.

    `settings` are passed to Plotly's traces.
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


_WIDTH_PX: Final = 280
"""Width of a row of names, which fits a phone."""
_ROW_PX: Final = 17
_LETTER_PX: Final = 6.2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class KeyEntry:
    """The key entry of a line: its name, its colour, and its symbol (as HTML)."""

    name: str
    colour: str
    sign: str = "&#9632;"


def key_height_px(entries: Sequence[KeyEntry]) -> int:
    """Return the height of the key above the plot."""
    return _ROW_PX * len(_rows(entries))


def key_words(entries: Sequence[KeyEntry], *, shift_px: int = 0) -> list[dict[str, Any]]:
    """Return the key as annotations, `shift_px` above the plot, the first entries in the highest row."""
    return [
        words_above(
            f"{entry.sign} {escaped(entry.name)}",
            xshift=at,
            yshift=shift_px + 2 + _ROW_PX * row,
            font={"size": 11, "color": entry.colour},
        )
        for row, placed in enumerate(reversed(_rows(entries)))
        for at, entry in placed
    ]


def _rows(entries: Sequence[KeyEntry]) -> list[list[tuple[float, KeyEntry]]]:
    """Return the entries in rows from the top, each with its offset in pixels from the left."""
    rows: list[list[tuple[float, KeyEntry]]] = []
    at = 0.0
    for entry in entries:
        width = _LETTER_PX * (len(entry.name) + 4)
        if not rows or at + width > _WIDTH_PX:
            rows.append([])
            at = 0.0
        rows[-1].append((at, entry))
        at += width
    return rows


_LINE: Final = 60
_REMEMBERED: Final = 16_384
"""Number of texts: the parameters and remedies of some thousand trials, each of which is in eight figures."""


def hover_lines(trial: Trial, spec: StudySpec) -> tuple[str, ...]:
    """Return the trial's number, parameters, result, verdict and remedy: plain text, short lines."""
    params = format_parameters(trial.params, spec.search) or "no parameters yet"
    name = configuration_name(spec, trial.params)
    return (
        f"trial {trial.number}: {trial.fate}",
        *(() if name is None else _wrapped(f"configuration: {name}")),
        *_wrapped(params),
        _result_words(trial, spec),
        f"verdict: {verdict_words(trial)}",
        *_wrapped(_remedy_words(trial)),
    )


@lru_cache(_REMEMBERED)
def _wrapped(text: str) -> tuple[str, ...]:
    """Return a text as short lines."""
    return tuple(textwrap.wrap(text, _LINE))


def _result_words(trial: Trial, spec: StudySpec) -> str:
    """Return the trial's result and epochs: `val acc 0.971, 12 epochs begun`; other clients' trials have no epochs."""
    value = measured(trial)
    reached = (
        "no result"
        if value is None
        else f"{format_short_metric(spec.metric)} {format_result(value, spec.metric)}"
    )
    begun = (
        "" if trial.owner == OTHERS and not trial.epochs else f", {format_count(trial.epochs, 'epoch')} begun"
    )
    so_far = " so far" if trial.state is TrialState.RUNNING and value is not None else ""
    return f"{reached}{begun}{so_far}"


def _remedy_words(trial: Trial) -> str:
    """Return the remedy of the trial's verdict; empty if there is none."""
    return "" if trial.finding is None else trial.finding.remedy
