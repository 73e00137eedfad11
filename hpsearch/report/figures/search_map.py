"""The search map: every trial at its place in the search space."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import SECOND_STRIDE, Axis, axis_of, coordinate, learning_rate_of
from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.stability import Boundary, NoBoundary, stability_boundary
from hpsearch.report.figures.drawing import (
    colour_bar,
    fate_trace,
    figure,
    hover,
    hover_lines,
    marker,
    marker_size,
    rounded,
    search_axis,
)
from hpsearch.report.figures.sample import count_words, sample
from hpsearch.report.figures.scales import ResultScale, ScalePlace, place_of, result_scale
from hpsearch.report.palette import INK, LOOKS, RESULT_COLOURS, STAR
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Dimension
from hpsearch.trials import Fate, Trial

RARE_SHARE: Final = 0.1
"""A dimension that more than this share of the trials lack is on the map only if there are not two others."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MapMark:
    """One trial in the map. `result` is its position on the scale, None if it has no finite result.

    A result below the scale has the position, and therefore the colour, of the scale's low end.
    """

    number: int
    fate: Fate
    x: float
    y: float
    result: float | None
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchMap:
    """The trials that have parameters, over the whole search space: all, or a sample. `best` is also among the marks.

    `boundary` separates the trials that diverge or die from the others; its own x is the map's y if `is_transposed`.
    `stability` describes it in a sentence, or gives the reason for its absence.
    """

    x: Axis
    y: Axis
    scale: ResultScale
    marks: tuple[MapMark, ...]
    best: MapMark | None
    boundary: Boundary | None
    is_transposed: bool
    stability: str
    caption: str


def search_map(snapshot: Snapshot) -> SearchMap | None:
    """Return the map of two searched dimensions; None if fewer than two are searched.

    They are the first two that nearly all trials have.
    """
    search = _by_presence(snapshot)
    if len(search) < 2:
        return None
    x, y = axis_of(search[0]), axis_of(search[1], stride=SECOND_STRIDE)
    scale = result_scale(snapshot)
    placed = [_mark(trial, snapshot, (x, y), scale) for trial in sample(snapshot)]
    marks = tuple(mark for mark in placed if mark is not None)
    best = best_of(snapshot, 1)
    number = best[0].number if best else None
    is_transposed = learning_rate_of(search) is search[1]
    boundary = stability_boundary(snapshot.trials, *((y, x) if is_transposed else (x, y)))
    return SearchMap(
        x=x,
        y=y,
        scale=scale,
        marks=marks,
        best=next((mark for mark in marks if mark.number == number), None),
        boundary=boundary if isinstance(boundary, Boundary) else None,
        is_transposed=is_transposed,
        stability=_stability(boundary),
        caption=_caption(snapshot, len(marks), (x, y)),
    )


def _by_presence(snapshot: Snapshot) -> list[Dimension]:
    """Return the searched dimensions, those last that more than a tenth of the sampled trials lack."""
    sampled = [trial.params for trial in snapshot.trials if trial.params]

    def is_rare(dimension: Dimension) -> bool:
        return sum(dimension.name not in params for params in sampled) > RARE_SHARE * len(sampled)

    return sorted(snapshot.study.spec.search, key=is_rare)


def _mark(trial: Trial, snapshot: Snapshot, axes: tuple[Axis, Axis], scale: ResultScale) -> MapMark | None:
    x, y = (coordinate(trial, axis) for axis in axes)
    if x is None or y is None:
        return None
    place = place_of(trial, scale)
    return MapMark(
        number=trial.number,
        fate=trial.fate,
        x=x,
        y=y,
        result=None if place is None else _colour_of(place, scale),
        hover=hover_lines(trial, snapshot.study.spec),
    )


def _colour_of(place: ScalePlace, scale: ResultScale) -> float | None:
    is_below = place.rail is not None and math.isfinite(scale.worst) and place.rail == scale.rails[0]
    return scale.low if is_below else place.position


def _stability(boundary: Boundary | NoBoundary) -> str:
    if isinstance(boundary, NoBoundary):
        return f"No stability boundary is drawn: {boundary.why}."
    return (
        f"The dashed line is the stability boundary, where half of the trials diverge or die"
        f" ({boundary.deaths:,} did, {boundary.survivors:,} did not); the band is its 95 % interval."
    )


def _caption(snapshot: Snapshot, drawn: int, axes: tuple[Axis, Axis]) -> str:
    placed = sum(all(coordinate(trial, axis) is not None for axis in axes) for trial in snapshot.trials)
    sentences = [f"{count_words(drawn, placed)} over the whole search space.".capitalize()]
    unsampled = sum(not trial.params for trial in snapshot.trials)
    if unsampled:
        sentences.append(
            f"Not drawn, because they have no parameters yet: {format_count(unsampled, 'trial')}."
        )
    if absent := len(snapshot.trials) - placed - unsampled:
        sentences.append(
            f"Not drawn, because they lack one of the two parameters: {format_count(absent, 'trial')}."
        )
    outside = sum(_is_outside(trial, axes) for trial in snapshot.trials)
    if outside:
        sentences.append(f"Drawn at the edge, because they are outside: {format_count(outside, 'trial')}.")
    titles = {axis.title for axis in axes}
    others = ", ".join(each.name for each in snapshot.study.spec.search if each.name not in titles)
    if others:
        sentences.append(f"Also searched: {others}.")
    return " ".join(sentences)


def _is_outside(trial: Trial, axes: tuple[Axis, Axis]) -> bool:
    """Return True if a trial, enqueued by some client, has values outside the search."""
    return any(axis.title in trial.params and not axis.holds(trial.params[axis.title]) for axis in axes)


def draw_search_map(data: SearchMap) -> go.Figure:
    """Draw the map: fill is the result, symbol and edge are the fate, hollow is without a finite result."""
    layout = {
        "xaxis": search_axis(data.x),
        "yaxis": search_axis(data.y),
        "coloraxis": _colour_axis(data.scale, shown=any(mark.result is not None for mark in data.marks)),
    }
    return figure(_traces(data), layout, plot_px=420, top_px=36)


def _traces(data: SearchMap) -> Iterator[go.Scatter]:
    if data.boundary is not None:
        yield from _boundary(data.boundary, is_transposed=data.is_transposed)
    size = marker_size(len(data.marks))
    for fate in reversed(Fate):
        marks = [mark for mark in data.marks if mark.fate is fate]
        filled = [mark for mark in marks if mark.result is not None]
        empty = [mark for mark in marks if mark.result is None]
        if filled:
            yield _filled(fate, filled, size)
        if empty:
            settings = {"marker": marker(fate, size=size, hollow=True), "showlegend": not filled}
            yield fate_trace(fate, **_points(empty), **settings)
    if data.best is not None:
        yield _star(data.best)


def _boundary(boundary: Boundary, *, is_transposed: bool) -> Iterator[go.Scatter]:
    """Yield the band of the stability boundary, followed by its line."""
    points = boundary.points
    around = [*((p.low, p.y) for p in points), *((p.high, p.y) for p in reversed(points))]
    colour = LOOKS[Fate.DIVERGED].colour
    band = {"fill": "toself", "fillcolor": colour, "line": {"width": 0}, "opacity": 0.13}
    line = {"line": {"color": colour, "width": 1.8, "dash": "dash"}}
    for name, path, look in (
        ("stability boundary, 95 %", around, band),
        ("stability boundary", [(p.x, p.y) for p in points], line),
    ):
        across, along = [rounded(a) for a, _ in path], [rounded(b) for _, b in path]
        x, y = (along, across) if is_transposed else (across, along)
        yield go.Scatter(name=name, mode="lines", x=x, y=y, hoverinfo="skip", **look)


def _filled(fate: Fate, marks: Sequence[MapMark], size: float) -> go.Scatter:
    look = marker(fate, size=size)
    results = [rounded(mark.result) for mark in marks if mark.result is not None]
    return fate_trace(fate, **_points(marks), marker={**look, "color": results, "coloraxis": "coloraxis"})


def _points(marks: Sequence[MapMark]) -> dict[str, Any]:
    return {
        "mode": "markers",
        "x": [rounded(mark.x) for mark in marks],
        "y": [rounded(mark.y) for mark in marks],
        "hovertext": [hover(mark.hover) for mark in marks],
        "cliponaxis": False,
    }


def _star(best: MapMark) -> go.Scatter:
    return go.Scatter(
        **_points([best]),
        name="best",
        meta={"fate": Fate.COMPLETE.value},
        hoverinfo="text",
        marker={"symbol": "star", "size": 19, "color": STAR, "line": {"color": INK, "width": 1.2}},
    )


def _colour_axis(scale: ResultScale, *, shown: bool) -> dict[str, Any]:
    colours = RESULT_COLOURS if scale.maximize else tuple(reversed(RESULT_COLOURS))
    last = len(colours) - 1
    return {
        "cmin": scale.low,
        "cmax": scale.high,
        "colorscale": [[index / last, colour] for index, colour in enumerate(colours)],
        "showscale": shown,
        "colorbar": colour_bar(_colour_title(scale), scale.ticks),
    }


def _colour_title(scale: ResultScale) -> str:
    """Return the metric, and the result from which colours differ."""
    if not math.isfinite(scale.worst):
        return scale.title
    return f"{scale.title}, {scale.rails[0]} all in one colour"
