"""Learning curves by fate: what each trial did epoch by epoch, where it ended and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from hpsearch.report.confirmation import best_of
from hpsearch.report.figure_data.axes import Tick, count_ticks
from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.results import Place, ResultScale, rails_of, scale_of, study_scale
from hpsearch.report.formats import format_count
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import setting_words
from hpsearch.study.spec import StudySpec
from hpsearch.trials import Fate, Trial

BEST = 20
OTHERS_PER_FATE = 12


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """A value after `epoch` finished epochs (from 1), and its place on the panel's scale or rails."""

    epoch: int
    value: float | None
    place: Place


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One trial's line. `end` is where the end marker stands: the last point, or the rail at epoch 0.

    `is_best` is true for the best 20 trials. `end` is None while the trial waits or runs.
    """

    number: int
    fate: Fate
    is_best: bool
    points: tuple[CurvePoint, ...]
    end: CurvePoint | None
    label: str
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePanel:
    """All drawn curves of one series on its scale. `epochs` ends the epoch axis; `best` numbers the best trial."""

    scale: ResultScale
    rails: tuple[str, ...]
    curves: tuple[Curve, ...]
    epochs: int
    ticks: tuple[Tick, ...]
    best: int | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurves:
    """The panels of training loss and of the study's metric, and how many trials are in them."""

    training: CurvePanel
    metric: CurvePanel
    shown: int
    total: int
    caption: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A trial with its values: finished epochs (from 1) -> value. `is_empty`: no epoch of it ever finished."""

    trial: Trial
    values: Mapping[int, float]
    is_empty: bool


def learning_curves(snapshot: Snapshot) -> LearningCurves | None:
    """Return both panels; None if no trial has finished an epoch: without a number there is no scale."""
    begun = [trial for trial in snapshot.trials if trial.epochs or trial.curve]
    if not begun:
        return None
    best = [trial.number for trial in best_of(replace(snapshot, trials=begun), BEST)]
    drawn = _chosen(begun, frozenset(best))
    training = [_line(trial, snapshot, "training_loss") for trial in drawn]
    metric = [_line(trial, snapshot, snapshot.study.spec.metric) for trial in drawn]
    if not any(line.values for line in (*training, *metric)):
        return None
    return LearningCurves(
        training=_panel(training, _training_scale(training), snapshot.study.spec, best=best),
        metric=_panel(metric, study_scale(snapshot), snapshot.study.spec, best=best),
        shown=len(drawn),
        total=len(begun),
        caption=_caption(len(drawn), len(begun)),
    )


def _chosen(trials: Sequence[Trial], best: frozenset[int]) -> list[Trial]:
    """Return the best trials and, of each fate, up to 12 others spread evenly over the trial numbers."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    chosen = [trial for trial in ordered if trial.number in best]
    for fate in Fate:
        others = [trial for trial in ordered if trial.fate is fate and trial.number not in best]
        chosen += _spread(others, OTHERS_PER_FATE)
    return chosen


def _spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    if len(trials) <= count:
        return list(trials)
    return [trials[index * (len(trials) - 1) // (count - 1)] for index in range(count)]


def _line(trial: Trial, snapshot: Snapshot, series: str) -> _Line:
    """Return a recorded series of the trial; of the metric, what was reported while it ran."""
    recorded = snapshot.series.get(trial.number, {})
    values = dict(enumerate(recorded.get(series, ()), start=1))
    if series == snapshot.study.spec.metric and trial.curve:
        values = {epoch + 1: value for epoch, value in sorted(trial.curve.items())}
    is_empty = not trial.curve and not any(len(numbers) for numbers in recorded.values())
    return _Line(trial=trial, values=values, is_empty=is_empty)


def _training_scale(lines: Sequence[_Line]) -> ResultScale:
    survivors = [line for line in lines if line.trial.fate in (Fate.COMPLETE, Fate.OUTRANKED)]
    return scale_of(
        "training_loss",
        [value for line in lines for value in line.values.values()],
        survivors=[value for line in survivors for value in line.values.values()],
    )


def _panel(lines: Sequence[_Line], scale: ResultScale, spec: StudySpec, *, best: Sequence[int]) -> CurvePanel:
    curves = tuple(
        _curve(line, scale, spec, is_best=line.trial.number in best)
        for line in lines
        if line.values or (line.is_empty and line.trial.state.is_final)
    )
    points = [point for curve in curves for point in (*curve.points, curve.end) if point is not None]
    epochs = max([spec.training.epochs, *(point.epoch for point in points)])
    return CurvePanel(
        scale=scale,
        rails=rails_of(scale, (point.place for point in points)),
        curves=curves,
        epochs=epochs,
        ticks=count_ticks(epochs),
        best=best[0] if best else None,
    )


def _curve(line: _Line, scale: ResultScale, spec: StudySpec, *, is_best: bool) -> Curve:
    points = tuple(
        CurvePoint(epoch=epoch, value=value, place=scale.place(value)) for epoch, value in line.values.items()
    )
    nowhere = CurvePoint(epoch=0, value=None, place=scale.place(None))
    trial = line.trial
    return Curve(
        number=trial.number,
        fate=trial.fate,
        is_best=is_best,
        points=points,
        end=(points[-1] if points else nowhere) if trial.state.is_final else None,
        label=f"trial {trial.number}: {setting_words(trial, spec)}",
        hover=(*hover_lines(trial, spec), f"ended {_epoch_words(trial, len(points))}"),
    )


def _epoch_words(trial: Trial, finished: int) -> str:
    """Say in which epoch the trial ended; `finished` is how many of its epochs have a value."""
    return f"in epoch {trial.epochs}" if trial.epochs > finished else f"after epoch {finished}"


def _caption(shown: int, total: int) -> str:
    if shown == total:
        return f"All {format_count(total, 'trial')} that began an epoch; strong lines are the best {BEST}."
    return (
        f"{shown:,} of {format_count(total, 'trial')} that began an epoch: the best {BEST} as strong lines, and of"
        f" every fate up to {OTHERS_PER_FATE} others, spread evenly over the trial numbers."
    )
