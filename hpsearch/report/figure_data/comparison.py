"""A few trials side by side, epoch by epoch: curves, and what was measured inside the networks."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from hpsearch.report.figure_data.axes import Tick, count_ticks, ticks_between
from hpsearch.report.figure_data.compared_trials import Chosen, chosen_trials
from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.results import Place, ResultScale, rails_of, scale_of, study_scale
from hpsearch.report.formats import format_parameters
from hpsearch.report.request import FEWEST_COMPARED, Request
from hpsearch.report.snapshot import Snapshot
from hpsearch.trials import Fate, Trial

HEALTH: Final[Mapping[str, str]] = {
    "dead_share": "largest share of dead units",
    "gradient_norm": "gradient norm",
    "weight_norm": "weight norm",
    "output_range": "distance of outputs",
    "logit_max": "largest output before activation",
}
"""The stored series of health with their titles, in the order of their panels."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedPoint:
    """A value after `epoch` finished epochs (from 1), and its place on the panel's scale or rails."""

    epoch: int
    value: float | None
    place: Place


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedLine:
    """One trial's values; one that finished no epoch has a point on the rail at epoch 0.

    `order` is the trial's place among the compared, from 0.
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
    """One series of all the compared trials. `epochs` ends the epoch axis."""

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


def comparison(snapshot: Snapshot, request: Request) -> Comparison | None:
    """Return the trials that were asked for, or typical ones; None where there are not two."""
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
    epochs = max([snapshot.study.spec.training.epochs, *(point.epoch for point in points)])
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
    nowhere = ComparedPoint(epoch=0, value=None, place=scale.place(None))
    return ComparedLine(
        number=trial.number,
        fate=trial.fate,
        order=order,
        points=points or (nowhere,),
        label=f"trial {trial.number}: {format_parameters(trial.params, snapshot.study.spec.search)}",
        hover=hover_lines(trial, snapshot.study.spec),
    )


def _series(trial: Trial, snapshot: Snapshot, name: str) -> dict[int, float]:
    """Return finished epochs (from 1) -> value; of the metric, what was reported while the trial ran."""
    if name == snapshot.study.spec.metric and trial.curve:
        return {epoch + 1: value for epoch, value in sorted(trial.curve.items())}
    return dict(enumerate(snapshot.series.get(trial.number, {}).get(name, ()), start=1))


def _values(snapshot: Snapshot, chosen: Sequence[Chosen], name: str) -> list[float]:
    return [value for one in chosen for value in _series(one.trial, snapshot, name).values()]


def _loss_scale(snapshot: Snapshot, chosen: Sequence[Chosen]) -> ResultScale:
    survivors = [one for one in chosen if one.trial.fate in (Fate.COMPLETE, Fate.OUTRANKED)]
    return scale_of(
        "training_loss",
        _values(snapshot, chosen, "training_loss"),
        survivors=_values(snapshot, survivors, "training_loss"),
    )


def _health_scale(name: str, values: Sequence[float]) -> ResultScale:
    """Return a scale of shares from 0 to 1, or of logarithms with a place of its own for 0 below all others."""
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


def _place(scale: ResultScale, value: float) -> Place:
    is_share = scale.metric == HEALTH["dead_share"] and math.isfinite(value)
    return Place(position=value, rail=None) if is_share else scale.place(value)


def _caption(chosen: Sequence[Chosen], study: str) -> str:
    named = [
        f"trial {one.trial.number} ({one.why})" if one.why else f"trial {one.trial.number}" for one in chosen
    ]
    command = f"hpsearch report {shlex.quote(study)} --trials 3,17"
    others = "" if not chosen[0].why else f" `{command}` compares others."
    words = (
        f"{', '.join(named)}, epoch by epoch: the results, and of each epoch's last look inside the network what was"
        f" measured. The number at the end of a line is its trial's.{others}"
    )
    return words[:1].upper() + words[1:]
