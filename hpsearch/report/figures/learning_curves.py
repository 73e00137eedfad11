"""Learning curves by fate: each trial's values epoch by epoch, and where and why it ended."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, count_ticks
from hpsearch.analysis.best_trials import setting_words
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
    marker,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.figures.scales import ResultScale, ScalePlace, rails_of, scale_of, study_scale
from hpsearch.report.palette import INK, LOOKS, STAR
from hpsearch.storage.records import StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.trials import SURVIVED, Fate, Trial

BEST = 20
OTHERS_PER_FATE = 12


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """A value after `epoch` finished epochs (from 1), and its place on the panel's scale or rails.

    For a study of another Optuna client, `epoch` is the reported step (from 0).
    """

    epoch: int
    value: float | None
    place: ScalePlace


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """One trial's line. `end` is the place of the end marker: the last point, or the rail at epoch 0.

    `is_best` is true for the best 20 trials, and for a trial that is alone. `end` is None while the trial waits or
    runs.
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
    """All drawn curves of one series on its scale. `epochs` ends the axis of `unit`; `best` is the best trial."""

    scale: ResultScale
    rails: tuple[str, ...]
    curves: tuple[Curve, ...]
    epochs: int
    unit: str
    ticks: tuple[Tick, ...]
    best: int | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurves:
    """The panels of training loss and of the study's metric, with their numbers of trials."""

    training: CurvePanel
    metric: CurvePanel
    shown: int
    total: int
    caption: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """A trial with its values: finished epochs (from 1) -> value. `is_empty` is true if it finished no epoch."""

    trial: Trial
    values: Mapping[int, float]
    is_empty: bool


def learning_curves(snapshot: Snapshot) -> LearningCurves | None:
    """Return both panels; None if no trial has finished an epoch, since a scale needs a value."""
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
        training=_panel(training, _training_scale(training), snapshot.study, best=best),
        metric=_panel(metric, study_scale(snapshot), snapshot.study, best=best),
        shown=len(drawn),
        total=len(begun),
        caption=_caption(len(drawn), len(begun), snapshot.study),
    )


def _chosen(trials: Sequence[Trial], best: frozenset[int]) -> list[Trial]:
    """Return the best trials and, for each fate, up to 12 others spread evenly over the trial numbers."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    chosen = [trial for trial in ordered if trial.number in best]
    others: dict[Fate, list[Trial]] = {fate: [] for fate in Fate}
    for trial in ordered:
        if trial.number not in best:
            others[trial.fate].append(trial)
    for group in others.values():
        chosen += _spread(group, OTHERS_PER_FATE)
    return chosen


def _spread(trials: Sequence[Trial], count: int) -> list[Trial]:
    if len(trials) <= count:
        return list(trials)
    return [trials[index * (len(trials) - 1) // (count - 1)] for index in range(count)]


def _line(trial: Trial, snapshot: Snapshot, series: str) -> _Line:
    """Return a recorded series of the trial; for the metric, the values reported during training."""
    recorded = snapshot.series.get(trial.number, {})
    values = dict(enumerate(recorded.get(series, ()), start=1))
    if series == snapshot.study.spec.metric and trial.curve:
        values = snapshot.study.numbered(trial.curve)
    is_empty = not trial.curve and not any(len(numbers) for numbers in recorded.values())
    return _Line(trial=trial, values=values, is_empty=is_empty)


def _training_scale(lines: Sequence[_Line]) -> ResultScale:
    survivors = [line for line in lines if line.trial.fate in SURVIVED]
    return scale_of(
        "training_loss",
        [value for line in lines for value in line.values.values()],
        survivors=[value for line in survivors for value in line.values.values()],
    )


def _panel(
    lines: Sequence[_Line], scale: ResultScale, study: StoredStudy, *, best: Sequence[int]
) -> CurvePanel:
    curves = tuple(
        _curve(line, scale, study, is_best=len(lines) == 1 or line.trial.number in best)
        for line in lines
        if line.values or (line.is_empty and line.trial.state.is_final)
    )
    points = [point for curve in curves for point in (*curve.points, curve.end) if point is not None]
    epochs = max([study.planned_epochs, *(point.epoch for point in points)])
    return CurvePanel(
        scale=scale,
        rails=rails_of(scale, (point.place for point in points)),
        curves=curves,
        epochs=epochs,
        unit=study.unit,
        ticks=count_ticks(epochs),
        best=best[0] if best else None,
    )


def _curve(line: _Line, scale: ResultScale, study: StoredStudy, *, is_best: bool) -> Curve:
    points = tuple(
        CurvePoint(epoch=epoch, value=value, place=scale.place(value)) for epoch, value in line.values.items()
    )
    no_value = CurvePoint(epoch=0, value=None, place=scale.place(None))
    trial, spec = line.trial, study.spec
    return Curve(
        number=trial.number,
        fate=trial.fate,
        is_best=is_best,
        points=points,
        end=(points[-1] if points else no_value) if trial.state.is_final else None,
        label=f"trial {trial.number}: {setting_words(trial, spec)}",
        hover=(*hover_lines(trial, spec), f"ended {_end_words(trial, points, study)}"),
    )


def _end_words(trial: Trial, points: Sequence[CurvePoint], study: StoredStudy) -> str:
    """Return `in epoch 3` or `after epoch 3`, the epoch in or after which the trial ended."""
    if study.foreign is not None and points:
        return f"after step {points[-1].epoch}"
    return f"in epoch {trial.epochs}" if trial.epochs > len(points) else f"after epoch {len(points)}"


def _caption(shown: int, total: int, study: StoredStudy) -> str:
    begun = "began an epoch" if study.foreign is None else "reported values"
    if shown == total:
        return f"All {format_count(total, 'trial')} that {begun}; strong lines are the best {BEST}."
    return (
        f"{shown:,} of {format_count(total, 'trial')} that {begun}: the best {BEST} as strong lines, and of"
        f" every fate up to {OTHERS_PER_FATE} others, spread evenly over the trial numbers."
    )


def draw_learning_curves(data: CurvePanel) -> go.Figure:
    """Draw the panel of one series with its rails."""
    places, height = domains(result_bands(data.scale, data.rails, 320))
    span = [-0.02 * data.epochs, 1.03 * data.epochs]
    anchor = lowest_axis(data.scale, data.rails)
    layout: dict[str, Any] = {
        "xaxis": plain_axis(f"{data.unit}s", anchor=anchor, range=span, **ticked(data.ticks)),
        **result_axes(data.scale, data.rails, places),
    }
    return figure(_traces(data), layout, plot_px=height)


def _traces(data: CurvePanel) -> Iterator[go.Scatter]:
    for fate in reversed(Fate):
        curves = [curve for curve in data.curves if curve.fate is fate]
        for is_best in (False, True):
            group = [curve for curve in curves if curve.is_best is is_best and curve.points]
            if group:
                yield _lines(fate, group, data, is_best=is_best)
        yield from _railed(fate, curves, data)
        yield from _ends(fate, curves, data)
    yield from _best(data)


def _lines(fate: Fate, curves: Sequence[Curve], data: CurvePanel, *, is_best: bool) -> go.Scatter:
    """Return a group's lines as one trace; gaps separate the lines and mark values on a rail."""
    x: list[int | None] = []
    y: list[float | None] = []
    texts: list[str] = []
    for curve in curves:
        x += [*(point.epoch for point in curve.points), None]
        y += [*(_height(point) for point in curve.points), None]
        texts += [*(_point_words(curve, point, data) for point in curve.points), ""]
    return fate_trace(
        fate,
        mode="lines",
        x=x,
        y=y,
        hovertext=texts,
        line={"color": LOOKS[fate].colour, "width": 1.8 if is_best else 1},
        opacity=0.9 if is_best else 0.45,
        connectgaps=False,
        showlegend=False,
    )


def _railed(fate: Fate, curves: Sequence[Curve], data: CurvePanel) -> Iterator[go.Scatter]:
    """Yield a dot on its rail for each value without a place on the scale, except the end marker."""
    dots = [
        (curve, point)
        for curve in curves
        for point in curve.points
        if point.place.rail and point != curve.end
    ]
    if dots:
        rows = rail_rows(data.rails, data.scale)
        yield fate_trace(
            fate,
            mode="markers",
            x=[point.epoch for _, point in dots],
            y=[rows[point.place.rail or ""] for _, point in dots],
            yaxis="y2",
            hovertext=[_point_words(curve, point, data) for curve, point in dots],
            marker={"color": LOOKS[fate].colour, "size": 4},
            showlegend=False,
        )


def _ends(fate: Fate, curves: Sequence[Curve], data: CurvePanel) -> Iterator[go.Scatter]:
    ended = [(curve, curve.end) for curve in curves if curve.end is not None]
    rows = rail_rows(data.rails, data.scale)
    scaled = [(curve, end, _height(end)) for curve, end in ended if end.place.rail is None]
    railed = [(curve, end, float(rows[end.place.rail])) for curve, end in ended if end.place.rail is not None]
    for group, settings in ((scaled, {}), (railed, {"yaxis": "y2"})):
        if group:
            yield fate_trace(
                fate,
                mode="markers",
                x=[end.epoch for _, end, _ in group],
                y=[height for _, _, height in group],
                hovertext=[hover(curve.hover) for curve, _, _ in group],
                marker=marker(fate, size=8, hollow=bool(settings)),
                cliponaxis=False,
                showlegend=group is scaled or not scaled,
                **settings,
            )


def _best(data: CurvePanel) -> Iterator[go.Scatter]:
    for curve in data.curves:
        if curve.number == data.best:
            shared = {"name": "best", "meta": {"fate": Fate.COMPLETE.value}, "hoverinfo": "text"}
            x = [point.epoch for point in curve.points]
            y = [_height(point) for point in curve.points]
            texts = [_point_words(curve, point, data) for point in curve.points]
            ink = {"color": INK, "width": 2}
            yield go.Scatter(mode="lines", x=x, y=y, hovertext=texts, line=ink, showlegend=False, **shared)
            yield go.Scatter(
                mode="markers",
                x=x[-1:],
                y=y[-1:],
                hovertext=[hover(curve.hover)],
                marker={"symbol": "star", "color": STAR, "size": 16, "line": {"color": INK, "width": 1}},
                cliponaxis=False,
                **shared,
            )


def _height(point: CurvePoint) -> float | None:
    return None if point.place.position is None else rounded(point.place.position)


def _point_words(curve: Curve, point: CurvePoint, data: CurvePanel) -> str:
    value = escaped(format_result(point.value, data.scale.metric))
    return f"{data.unit} {point.epoch}: {value}<br>{escaped(curve.label)}"
