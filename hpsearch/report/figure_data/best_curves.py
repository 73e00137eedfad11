"""The best trials one by one: training and validation loss of each, on one scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hpsearch.report.confirmation import best_of
from hpsearch.report.figure_data.axes import Tick, count_ticks
from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.learning_curves import BEST, CurvePoint
from hpsearch.report.figure_data.results import ResultScale, rails_of, scale_of
from hpsearch.report.formats import format_count
from hpsearch.report.snapshot import Snapshot
from hpsearch.telemetry import Series
from hpsearch.trials import Trial

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
    """The best trials, best first, on the scale, the rails and the epochs that all of them share."""

    scale: ResultScale
    rails: tuple[str, ...]
    epochs: int
    ticks: tuple[Tick, ...]
    trials: tuple[BestCurve, ...]
    caption: str


def best_curves(snapshot: Snapshot) -> BestCurves | None:
    """Return the best 20 trials that have recorded losses; None where there is none."""
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
            " (dotted) and in validation (solid). Where they part, the network learns by heart."
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
