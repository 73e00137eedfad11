"""Figure data and drawings that compare a few trials epoch by epoch: learning curves and network health."""

import math
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, count_ticks, ticks_between
from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.formats import format_metric, format_parameter, format_parameters, format_result
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.trial_facts import verdict_words
from hpsearch.report.figures.drawing import (
    domains,
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
from hpsearch.report.figures.scales import ResultScale, ScalePlace, measured, rails_of, scale_of, study_scale
from hpsearch.report.palette import LOOKS, SOFT_INK
from hpsearch.report.request import FEWEST_COMPARED, ReportRequest
from hpsearch.search.ranking import is_dead
from hpsearch.trials import SURVIVED, Fate, Trial, best_trials

TYPICAL: Final = 4
"""Number of trials that are compared if the request names none."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A trial to compare, and why: `the best`, `median of the complete`, a failure cause; empty if it was requested."""

    trial: Trial
    why: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRow:
    """One property of the trials, with one cell per trial; `differs` is true if the cells are not all equal."""

    name: str
    cells: tuple[str, ...]
    differs: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedHead:
    """The heading of a trial's column."""

    number: int
    fate: Fate
    why: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedTable:
    """The compared trials as a table: searched parameters first, then the outcome."""

    heads: tuple[ComparedHead, ...]
    rows: tuple[ComparedRow, ...]


def chosen_trials(snapshot: Snapshot, numbers: Sequence[int]) -> tuple[Chosen, ...]:
    """Return the trials with these numbers, all of which exist; else the best, the median and the deadliest causes'."""
    if numbers:
        by_number = {trial.number: trial for trial in snapshot.trials}
        return tuple(Chosen(trial=by_number[number], why="") for number in numbers)
    return _typical(snapshot)


def compared_table(snapshot: Snapshot, chosen: Sequence[Chosen]) -> ComparedTable:
    """Return the table of the compared trials."""
    metric = snapshot.study.spec.metric
    searched = [dimension.name for dimension in snapshot.study.spec.search]
    others = sorted({name for one in chosen for name in one.trial.params} - set(searched))
    properties: list[tuple[str, Callable[[Trial], str]]] = [
        (format_metric(metric), lambda trial: format_result(measured(trial), metric)),
        ("fate", lambda trial: trial.fate.value),
        ("verdict", verdict_words),
        ("epochs begun", lambda trial: f"{trial.epochs:,}"),
    ]
    rows = [
        *(_parameter_row(name, chosen) for name in (*searched, *others)),
        *(_row(name, [text_of(one.trial) for one in chosen]) for name, text_of in properties),
    ]
    heads = tuple(ComparedHead(number=one.trial.number, fate=one.trial.fate, why=one.why) for one in chosen)
    return ComparedTable(heads=heads, rows=tuple(rows))


def _typical(snapshot: Snapshot) -> tuple[Chosen, ...]:
    ranked = best_trials(snapshot.trials, maximize=snapshot.study.maximize, count=len(snapshot.trials))
    best = best_of(snapshot, 1)
    others = [trial for trial in ranked if trial not in best]
    chosen = [Chosen(trial=trial, why="the best") for trial in best]
    chosen += [
        Chosen(trial=trial, why="median of the complete") for trial in others[len(ranked) // 2 - 1 :][:1]
    ]
    dead = [trial for trial in snapshot.trials if trial.state.is_final and trial.verdict and is_dead(trial)]
    taken = {one.trial.number for one in chosen}
    for cause, _ in Counter(trial.verdict for trial in dead).most_common():
        own = [trial for trial in dead if trial.verdict is cause and trial.number not in taken]
        # Of a cause's trials, the longest-lived one is the most informative.
        longest = max(own, key=lambda trial: (len(trial.curve), -trial.number), default=None)
        if longest is not None and len(chosen) < TYPICAL:
            chosen.append(Chosen(trial=longest, why=str(cause)))
    return tuple(chosen)


def _parameter_row(name: str, chosen: Sequence[Chosen]) -> ComparedRow:
    """Return a parameter's row. Values are written in full if they differ but their short forms are equal."""
    params = [one.trial.params for one in chosen]
    different = {(name in each, each.get(name)) for each in params}
    short = [format_parameter(each[name]) if name in each else "" for each in params]
    if len(set(short)) == len(different):
        return _row(name, short)
    return _row(name, [str(each[name]) if name in each else "" for each in params])


def _row(name: str, cells: Sequence[str]) -> ComparedRow:
    return ComparedRow(name=name, cells=tuple(cells), differs=len(set(cells)) > 1)


HEALTH: Final[Mapping[str, str]] = {
    "dead_share": "largest share of dead units",
    "gradient_norm": "gradient norm",
    "weight_norm": "weight norm",
    "output_range": "distance of outputs",
    "logit_max": "largest output before activation",
}
"""The stored series of network health with their titles, in panel order."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedPoint:
    """A value after `epoch` finished epochs (from 1), and its place on the panel's scale or rails."""

    epoch: int
    value: float | None
    place: ScalePlace


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedLine:
    """One trial's values. A trial that finished no epoch has a point on the rail at epoch 0.

    `order` is the trial's index among the compared trials, from 0.
    """

    number: int
    fate: Fate
    order: int
    points: tuple[ComparedPoint, ...]
    label: str
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedPanel:
    """One series of all compared trials. `epochs` is the end of the epoch axis."""

    name: str
    scale: ResultScale
    rails: tuple[str, ...]
    lines: tuple[ComparedLine, ...]
    epochs: int
    ticks: tuple[Tick, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The compared trials and their panels: the metric, the training loss, and the stored series of health."""

    chosen: tuple[Chosen, ...]
    panels: tuple[ComparedPanel, ...]
    caption: str


def comparison(snapshot: Snapshot, request: ReportRequest) -> Comparison | None:
    """Return the requested trials, or typical ones; None if there are fewer than two."""
    chosen = chosen_trials(snapshot, request.trials)
    if len(chosen) < FEWEST_COMPARED:
        return None
    metric = snapshot.study.spec.metric
    scales: dict[str, ResultScale] = {str(metric): study_scale(snapshot)}
    scales["training_loss"] = _loss_scale(snapshot, chosen)
    for name in HEALTH:
        scales[name] = _health_scale(name, _values(snapshot, chosen, name))
    panels = [_panel(name, scale, snapshot, chosen) for name, scale in scales.items()]
    shown = tuple(panel for panel in panels if any(line.points[-1].epoch for line in panel.lines))
    return Comparison(chosen=chosen, panels=shown, caption=_caption(chosen, snapshot.study.spec.name))


def _panel(name: str, scale: ResultScale, snapshot: Snapshot, chosen: Sequence[Chosen]) -> ComparedPanel:
    lines = tuple(_line(one.trial, name, scale, snapshot, order=order) for order, one in enumerate(chosen))
    points = [point for line in lines for point in line.points]
    epochs = max([snapshot.study.planned_epochs, *(point.epoch for point in points)])
    rails = rails_of(scale, (point.place for point in points))
    return ComparedPanel(
        name=name.replace("_", "-"),
        scale=scale,
        rails=rails,
        lines=lines,
        epochs=epochs,
        ticks=count_ticks(epochs),
    )


def _line(trial: Trial, name: str, scale: ResultScale, snapshot: Snapshot, *, order: int) -> ComparedLine:
    values = _series(trial, snapshot, name)
    points = tuple(ComparedPoint(epoch=e, value=v, place=_place(scale, v)) for e, v in values.items())
    no_value = ComparedPoint(epoch=0, value=None, place=scale.place(None))
    return ComparedLine(
        number=trial.number,
        fate=trial.fate,
        order=order,
        points=points or (no_value,),
        label=f"trial {trial.number}: {format_parameters(trial.params, snapshot.study.spec.search)}",
        hover=hover_lines(trial, snapshot.study.spec),
    )


def _series(trial: Trial, snapshot: Snapshot, name: str) -> dict[int, float]:
    """Return finished epochs (from 1) -> value; for the metric, the values reported during training."""
    if name == snapshot.study.spec.metric and trial.curve:
        return snapshot.study.numbered(trial.curve)
    return dict(enumerate(snapshot.series.get(trial.number, {}).get(name, ()), start=1))


def _values(snapshot: Snapshot, chosen: Sequence[Chosen], name: str) -> list[float]:
    return [value for one in chosen for value in _series(one.trial, snapshot, name).values()]


def _loss_scale(snapshot: Snapshot, chosen: Sequence[Chosen]) -> ResultScale:
    survivors = [one for one in chosen if one.trial.fate in SURVIVED]
    return scale_of(
        "training_loss",
        _values(snapshot, chosen, "training_loss"),
        survivors=_values(snapshot, survivors, "training_loss"),
    )


def _health_scale(name: str, values: Sequence[float]) -> ResultScale:
    """Return a linear scale for shares from 0 to 1, or a log scale with a separate place for 0 below it."""
    if name == "dead_share":
        scale = scale_of(HEALTH[name], [])
        return replace(scale, low=-0.04, high=1.04, ticks=ticks_between(0, 1, log=False))
    scale = scale_of(HEALTH[name], [value for value in values if value > 0])
    if 0 not in values:
        return scale
    margin = 0.15 * (scale.high - scale.low)
    zero = scale.low - margin
    ticks = (Tick(at=zero, text="0"), *scale.ticks)
    return replace(scale, low=zero - margin / 2, floor=10.0**zero, ticks=ticks)


def _place(scale: ResultScale, value: float) -> ScalePlace:
    is_share = scale.metric == HEALTH["dead_share"] and math.isfinite(value)
    return ScalePlace(position=value, rail=None) if is_share else scale.place(value)


def _caption(chosen: Sequence[Chosen], study: str) -> str:
    named = [
        f"trial {one.trial.number} ({one.why})" if one.why else f"trial {one.trial.number}" for one in chosen
    ]
    command = f"hpsearch report {shlex.quote(study)} --trials 3,17"
    others = "" if not chosen[0].why else f" `{command}` compares others."
    words = (
        f"{', '.join(named)}, epoch by epoch: the results, and the last measurements inside the network in each"
        f" epoch. Each line ends with the number of its trial.{others}"
    )
    return words[:1].upper() + words[1:]


_NUMBER_WIDTH: Final = 0.08
_NUMBER_HEIGHT: Final = 0.06
"""Share of the plot's width and height that a trial number occupies: 13 of 230 px."""

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def draw_comparison(data: ComparedPanel) -> go.Figure:
    """Draw one series of the compared trials, with its rails."""
    places, height = domains(result_bands(data.scale, data.rails, 230))
    span = [-0.02 * data.epochs, 1.1 * data.epochs]
    anchor = lowest_axis(data.scale, data.rails)
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs", anchor=anchor, range=span, **ticked(data.ticks)),
        **result_axes(data.scale, data.rails, places),
    }
    return figure(
        (trace for line in data.lines for trace in _traces(line, data)), layout, plot_px=height, top_px=14
    )


def _traces(line: ComparedLine, data: ComparedPanel) -> Iterator[go.Scatter]:
    scaled = [point for point in line.points if point.place.rail is None]
    railed = [point for point in line.points if point.place.rail is not None]
    if scaled:
        look = {"color": LOOKS[line.fate].colour, "width": 2, "dash": DASHES[line.order % len(DASHES)]}
        settings = {"mode": "lines", "line": look, "connectgaps": False, "showlegend": False}
        heights = [_height(point) for point in line.points]
        yield _trace(line, line.points, data, y=heights, **settings)
    if railed[:-1] or (railed and railed[-1] != line.points[-1]):
        yield _on_rail(line, [point for point in railed if point != line.points[-1]], data)
    yield _end(line, data)


def _number_place(line: ComparedLine, data: ComparedPanel) -> str:
    """Return the text position of the trial number at its line's end, clear of numbers of lines that end nearby."""
    own = _height_at_end(line, data)
    near = sorted(
        (_height_at_end(other, data), other.order)
        for other in data.lines
        if other.points[-1].place.rail == line.points[-1].place.rail
        and abs(other.points[-1].epoch - line.points[-1].epoch) < _NUMBER_WIDTH * data.epochs
        and abs(_height_at_end(other, data) - own) < _NUMBER_HEIGHT * (data.scale.high - data.scale.low)
    )
    rank = near.index((own, line.order))
    if len(near) == 1 or 0 < rank < len(near) - 1:
        return "middle right"
    return "bottom right" if rank == 0 else "top right"


def _height_at_end(line: ComparedLine, data: ComparedPanel) -> float:
    position = line.points[-1].place.position
    return data.scale.low if position is None else position


def _on_rail(line: ComparedLine, points: list[ComparedPoint], data: ComparedPanel) -> go.Scatter:
    rows = rail_rows(data.rails, data.scale)
    dots = {"color": LOOKS[line.fate].colour, "size": 4}
    heights = [rows[point.place.rail or ""] for point in points]
    return _trace(line, points, data, mode="markers", y=heights, yaxis="y2", marker=dots, showlegend=False)


def _end(line: ComparedLine, data: ComparedPanel) -> go.Scatter:
    """Return the marker at the trial's last point, with its number next to it."""
    last = line.points[-1]
    settings: dict[str, Any] = {"y": [_height(last)]}
    if last.place.rail is not None:
        settings = {"y": [rail_rows(data.rails, data.scale)[last.place.rail]], "yaxis": "y2"}
    return _trace(
        line,
        [last],
        data,
        mode="markers+text",
        text=[str(line.number)],
        textposition=_number_place(line, data),
        textfont={"color": SOFT_INK, "size": 11},
        marker=marker(line.fate, size=9, hollow=last.place.rail is not None),
        cliponaxis=False,
        **settings,
    )


def _trace(
    compared: ComparedLine,
    points: list[ComparedPoint] | tuple[ComparedPoint, ...],
    data: ComparedPanel,
    **settings: Any,
) -> go.Scatter:
    """Return a trace that the fate filter and the trial selection can show and hide."""
    return go.Scatter(
        name=f"trial {compared.number}: {compared.fate.value}",
        legendgroup=str(compared.number),
        meta={"fate": compared.fate.value, "trial": compared.number},
        x=[point.epoch for point in points],
        hoverinfo="text",
        hovertext=[_words(compared, point, data) for point in points],
        **settings,
    )


def _height(point: ComparedPoint) -> float | None:
    return None if point.place.position is None else rounded(point.place.position)


def _words(line: ComparedLine, point: ComparedPoint, data: ComparedPanel) -> str:
    """Return the hover text: at the last point all about the trial, elsewhere, to save bytes, its parameters only."""
    lines = line.hover if point == line.points[-1] else (line.label,)
    value = format_result(point.value, data.scale.metric)
    return hover((f"epoch {point.epoch}: {data.scale.title} {value}", *lines))
