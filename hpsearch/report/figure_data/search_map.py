"""The search map: every trial at its place in the search space."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.report.confirmation import best_of
from hpsearch.report.figure_data.axes import SECOND_STRIDE, Axis, axis_of, coordinate, learning_rate_of
from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.results import Place, ResultScale, place_of, result_scale
from hpsearch.report.figure_data.stability import Boundary, NoBoundary, stability_boundary
from hpsearch.report.formats import format_count
from hpsearch.report.snapshot import Snapshot
from hpsearch.trials import Fate, Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MapMark:
    """One trial in the map. `result` is its position on the scale, None if it has no finite result.

    A result below the scale has the position, and so the colour, of the scale's low end.
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
    """All trials that have parameters, over the whole search space. `best` is also among the marks.

    `boundary` parts the trials that diverge or die from the others; its own x is the map's y where
    `is_transposed`. `stability` says in a sentence what it is, or why there is none.
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
    """Return the map of the first two searched dimensions, None where fewer than two are searched."""
    search = snapshot.study.spec.search
    if len(search) < 2:
        return None
    x, y = axis_of(search[0]), axis_of(search[1], stride=SECOND_STRIDE)
    scale = result_scale(snapshot)
    placed = [(trial, _mark(trial, snapshot, (x, y), scale)) for trial in snapshot.trials]
    marks = tuple(mark for _, mark in placed if mark is not None)
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
        caption=_caption(snapshot, marks, (x, y)),
    )


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


def _colour_of(place: Place, scale: ResultScale) -> float | None:
    is_below = place.rail is not None and math.isfinite(scale.worst) and place.rail == scale.rails[0]
    return scale.low if is_below else place.position


def _stability(boundary: Boundary | NoBoundary) -> str:
    if isinstance(boundary, NoBoundary):
        return f"No stability boundary is drawn: {boundary.why}."
    return (
        f"The dashed line is the stability boundary, where half of the trials diverge or die"
        f" ({boundary.deaths:,} did, {boundary.survivors:,} did not); the band is its 95 % interval."
    )


def _caption(snapshot: Snapshot, marks: Sequence[MapMark], axes: tuple[Axis, Axis]) -> str:
    sentences = [f"{format_count(len(marks), 'trial')} over the whole search space.".capitalize()]
    absent = len(snapshot.trials) - len(marks)
    if absent:
        sentences.append(f"Not drawn, having no parameters yet: {format_count(absent, 'trial')}.")
    outside = sum(_is_outside(trial, axes) for trial in snapshot.trials)
    if outside:
        sentences.append(f"Drawn at the edge, lying outside: {format_count(outside, 'trial')}.")
    others = ", ".join(dimension.name for dimension in snapshot.study.spec.search[2:])
    if others:
        sentences.append(f"Also searched: {others}.")
    return " ".join(sentences)


def _is_outside(trial: Trial, axes: tuple[Axis, Axis]) -> bool:
    """True when a trial that some client enqueued asks for what is not searched."""
    return any(axis.title in trial.params and not axis.holds(trial.params[axis.title]) for axis in axes)
