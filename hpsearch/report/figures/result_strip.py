"""Results against one searched dimension, and the number of trials of each fate along it."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Axis, axis_of, coordinate, learning_rate_of
from hpsearch.analysis.formats import format_tick
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import (
    Band,
    domains,
    figure,
    hover,
    hover_lines,
    placed_marks,
    plain_axis,
    result_axes,
    result_bands,
    rounded,
    search_axis,
)
from hpsearch.report.figures.sample import count_words, sample
from hpsearch.report.figures.scales import PlacedMark, ResultScale, place_of, rails_of, result_scale
from hpsearch.report.palette import LOOKS, PAPER
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import Fate, Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """The trials with a value in [low, high); the last bin includes its upper edge."""

    low: float
    high: float
    label: str
    fates: Mapping[Fate, int]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ResultStrip:
    """Results over the whole range of one dimension, and fates in bins of the same range."""

    x: Axis
    scale: ResultScale
    rails: tuple[str, ...]
    marks: tuple[PlacedMark, ...]
    bins: tuple[Bin, ...]
    caption: str


def learning_rate_strip(snapshot: Snapshot) -> ResultStrip | None:
    """Return the strip over learning rates; None if the study searches none."""
    dimension = learning_rate_of(snapshot.study.spec.search)
    return None if dimension is None else result_strip(snapshot, dimension)


def result_strip(snapshot: Snapshot, dimension: Dimension) -> ResultStrip:
    """Return the trials along `dimension` that have a result, or ended without one: all, or a sample in the marks."""
    axis, scale = axis_of(dimension), result_scale(snapshot)
    marks = [_mark(trial, snapshot, axis, scale) for trial in sample(snapshot)]
    drawn = tuple(mark for mark in marks if mark is not None)
    placed = sum(_is_placed(trial, axis, scale) for trial in snapshot.trials)
    ended = [trial for trial in snapshot.trials if trial.state.is_final]
    return ResultStrip(
        x=axis,
        scale=scale,
        rails=rails_of(scale, (mark.place for mark in drawn)),
        marks=drawn,
        bins=_bins(axis, dimension, ended),
        caption=_caption(dimension, count_words(len(drawn), placed), len(ended)),
    )


def _mark(trial: Trial, snapshot: Snapshot, axis: Axis, scale: ResultScale) -> PlacedMark | None:
    x, place = coordinate(trial, axis), place_of(trial, scale)
    if x is None or place is None:
        return None
    hover = hover_lines(trial, snapshot.study.spec)
    return PlacedMark(number=trial.number, fate=trial.fate, x=x, place=place, hover=hover)


def _bins(axis: Axis, dimension: Dimension, trials: Sequence[Trial]) -> tuple[Bin, ...]:
    """Return bins: half decades on a log axis, one per choice on a category axis, else 12 equal ones."""
    edges = _edges(axis)
    counts: list[Counter[Fate]] = [Counter() for _ in pairwise(edges)]
    for trial in trials:
        x = coordinate(trial, axis)
        if x is not None:
            counts[_bin_of(x, edges)][trial.fate] += 1
    labels = [tick.text for tick in axis.ticks] if isinstance(dimension, Choices) else _labels(edges)
    return tuple(
        Bin(low=low, high=high, label=label, fates=count)
        for (low, high), label, count in zip(pairwise(edges), labels, counts, strict=True)
    )


def _edges(axis: Axis) -> list[float]:
    if axis.kind == "category":
        return [index - 0.5 for index in range(len(axis.choices) + 1)]
    if not axis.high > axis.low:
        return [axis.low, axis.high]
    if axis.kind == "linear":
        return [axis.low + (axis.high - axis.low) * index / 12 for index in range(13)]
    first = math.floor(2 * math.log10(axis.low) + 1e-9)
    last = math.ceil(2 * math.log10(axis.high) - 1e-9)
    inner = [10.0 ** (half / 2) for half in range(first + 1, last)]
    return [axis.low, *inner, axis.high]


def _bin_of(x: float, edges: Sequence[float]) -> int:
    inside = sum(edge <= x * (1 + 1e-12) for edge in edges[:-1])
    return max(inside - 1, 0)


def _labels(edges: Sequence[float]) -> list[str]:
    texts = [format_tick(float(f"{edge:.2g}")) for edge in edges]
    return [f"{low} to {high}" for low, high in pairwise(texts)]


def _is_placed(trial: Trial, axis: Axis, scale: ResultScale) -> bool:
    return coordinate(trial, axis) is not None and place_of(trial, scale) is not None


def _caption(dimension: Dimension, drawn: str, ended: int) -> str:
    is_log = not isinstance(dimension, Choices) and dimension.log
    width = (
        "half decade" if is_log else "choice" if isinstance(dimension, Choices) else "twelfth of the range"
    )
    return (
        f"Above: the results of {drawn}."
        f" Below: the fates of {format_count(ended, 'trial')} that ended, per {width} of {dimension.name}."
    )


def draw_result_strip(data: ResultStrip) -> go.Figure:
    """Draw the strip with its rails, and stacked bars of fates below it on the same x axis."""
    bands = [*result_bands(data.scale, data.rails, 270), Band(name="fates", height_px=130)]
    places, height = domains(bands)
    counts = {"domain": places["fates"], "rangemode": "tozero", "nticks": 5, "tickformat": ",d"}
    layout: dict[str, Any] = {
        "xaxis": search_axis(data.x, anchor="y3"),
        **result_axes(data.scale, data.rails, places),
        "yaxis3": plain_axis("trials", **counts),
        "barmode": "stack",
    }
    marks = placed_marks(data.marks, data.rails, data.scale, in_legend=False)
    return figure([*_bars(data), *marks], layout, plot_px=height)


def _bars(data: ResultStrip) -> Iterator[go.Bar]:
    # Plotly reads a bar's position and width in the axis's own units, on log axes too, so its edges are the bin's.
    centres = [rounded((part.low + part.high) / 2) for part in data.bins]
    widths = [rounded(part.high - part.low) or 1.0 for part in data.bins]
    for fate in Fate:
        counts = [part.fates.get(fate, 0) for part in data.bins]
        if any(counts):
            yield go.Bar(
                x=centres,
                width=widths,
                y=counts,
                yaxis="y3",
                name=fate.value,
                legendgroup=fate.value,
                meta={"fate": fate.value},
                marker={"color": LOOKS[fate].colour, "line": {"color": PAPER, "width": 1}},
                hoverinfo="text",
                hovertext=[_bar_words(data, fate, index) for index in range(len(data.bins))],
                textposition="none",
            )


def _bar_words(data: ResultStrip, fate: Fate, index: int) -> str:
    part = data.bins[index]
    ended = format_count(sum(part.fates.values()), "trial")
    return hover((f"{data.x.title} {part.label}", f"{fate}: {part.fates.get(fate, 0):,} of {ended}"))
