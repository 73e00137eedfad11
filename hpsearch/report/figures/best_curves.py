"""The best trials one by one: training and validation loss of each, on one scale."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, count_ticks
from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.formats import format_result
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import (
    domains,
    escaped,
    fate_trace,
    figure,
    hover,
    hover_lines,
    lowest_axis,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.figures.learning_curves import BEST, CurvePoint
from hpsearch.report.figures.scales import ResultScale, rails_of, scale_of
from hpsearch.report.palette import INK, LOOKS, SOFT_INK
from hpsearch.study.messages import format_count
from hpsearch.telemetry import Series
from hpsearch.trials import Fate, Trial

Part: TypeAlias = Literal["training", "validation"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PartCurve:
    """The loss on one part of the data, epoch by epoch."""

    part: Part
    points: tuple[CurvePoint, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestCurve:
    """One of the best trials: `title` is `Best-1 (trial 17)`."""

    number: int
    title: str
    curves: tuple[PartCurve, ...]
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestCurves:
    """The best trials, best first, with their common scale, rails and epochs."""

    scale: ResultScale
    rails: tuple[str, ...]
    epochs: int
    ticks: tuple[Tick, ...]
    trials: tuple[BestCurve, ...]
    caption: str


def best_curves(snapshot: Snapshot) -> BestCurves | None:
    """Return the best 20 trials with recorded losses; None if there are none."""
    best = best_of(snapshot, BEST)
    recorded = [(rank, trial) for rank, trial in enumerate(best, start=1) if trial.number in snapshot.series]
    if not recorded:
        return None
    scale = _scale([snapshot.series[trial.number] for _, trial in recorded])
    trials = tuple(_best_curve(rank, trial, snapshot, scale) for rank, trial in recorded)
    points = [point for trial in trials for curve in trial.curves for point in curve.points]
    epochs = max((point.epoch for point in points), default=1)
    return BestCurves(
        scale=scale,
        rails=rails_of(scale, (point.place for point in points)),
        epochs=epochs,
        ticks=count_ticks(epochs),
        trials=trials,
        caption=(
            f"The best {format_count(len(trials), 'trial')}, one by one, on the same axes: the loss in training"
            " (dotted) and in validation (solid). If the validation loss rises above the training loss, the network"
            " overfits."
        ),
    )


def _scale(series: Sequence[Series]) -> ResultScale:
    losses = [
        float(value)
        for one in series
        for name in ("training_loss", "validation_loss")
        for value in one.get(name, ())
    ]
    return scale_of("loss", losses, survivors=losses)


def _best_curve(rank: int, trial: Trial, snapshot: Snapshot, scale: ResultScale) -> BestCurve:
    series = snapshot.series[trial.number]
    return BestCurve(
        number=trial.number,
        title=f"Best-{rank} (trial {trial.number})",
        curves=(
            PartCurve(part="training", points=_points(series.get("training_loss", ()), scale)),
            PartCurve(part="validation", points=_points(series.get("validation_loss", ()), scale)),
        ),
        hover=hover_lines(trial, snapshot.study.spec),
    )


def _points(values: Sequence[float], scale: ResultScale) -> tuple[CurvePoint, ...]:
    return tuple(
        CurvePoint(epoch=epoch, value=float(value), place=scale.place(float(value)))
        for epoch, value in enumerate(values, start=1)
    )


_PLOT_PX: Final = 92
_LABELS: Final = 3
_MARGIN: Final = {"l": 40, "r": 8, "t": 24, "b": 24}


def draw_best_curve(trial: BestCurve, data: BestCurves) -> go.Figure:
    """Draw the curves of one of the best trials, on the common axes of `data`."""
    places, height = domains(result_bands(data.scale, data.rails, _PLOT_PX))
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "",
            anchor=lowest_axis(data.scale, data.rails),
            range=[0, 1.04 * data.epochs],
            **ticked(_thinned_ticks(data.ticks)),
        ),
        **result_axes(data.scale, data.rails, places),
        "title": {"text": escaped(trial.title), "x": 0, "xanchor": "left", "y": 1, "yanchor": "top"},
        "margin": _MARGIN,
        "height": height + _MARGIN["t"] + _MARGIN["b"],
    }
    layout["title"] |= {"font": {"size": 12, "color": INK}, "pad": {"t": 4}}
    layout["yaxis"] |= {"title": None, **ticked(_thinned_ticks(data.scale.ticks))}
    return figure(_traces(trial, data), layout, plot_px=height)


def _thinned_ticks(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    """Return at most three evenly spread ticks, so that labels do not overlap in a small figure."""
    stride = max(-(-(len(ticks) - 1) // (_LABELS - 1)), 1)
    return tuple(ticks[::stride])


def _traces(trial: BestCurve, data: BestCurves) -> Iterator[go.Scatter]:
    rows = rail_rows(data.rails, data.scale)
    for curve in trial.curves:
        if curve.points:
            yield _line(curve, trial)
        railed = [point for point in curve.points if point.place.rail is not None]
        if railed:
            yield fate_trace(
                Fate.COMPLETE,
                mode="markers",
                x=[point.epoch for point in railed],
                y=[rows[point.place.rail or ""] for point in railed],
                yaxis="y2",
                hovertext=[_words(curve, trial, point.epoch, point.value) for point in railed],
                marker={"size": 4, "color": _colour(curve)},
            )


def _line(curve: PartCurve, trial: BestCurve) -> go.Scatter:
    """Return the line of one part; values on a rail are gaps, and a single point is a dot."""
    heights = [
        None if point.place.position is None else rounded(point.place.position) for point in curve.points
    ]
    return fate_trace(
        Fate.COMPLETE,
        mode="lines" if len(heights) > 1 else "lines+markers",
        x=[point.epoch for point in curve.points],
        y=heights,
        hovertext=[_words(curve, trial, point.epoch, point.value) for point in curve.points],
        line={"width": 1.6, "color": _colour(curve), "dash": "dot" if curve.part == "training" else "solid"},
        connectgaps=False,
    )


def _colour(curve: PartCurve) -> str:
    return SOFT_INK if curve.part == "training" else LOOKS[Fate.COMPLETE].colour


def _words(curve: PartCurve, trial: BestCurve, epoch: int, value: float | None) -> str:
    """Return the hover text: the point, and at the last point the whole trial."""
    here = f"epoch {epoch}: {curve.part} loss {format_result(value, 'loss')}"
    return hover((here, *trial.hover) if epoch == len(curve.points) else (here, *trial.hover[:2]))
