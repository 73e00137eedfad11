"""The scale of the results, and the rails for values without a place on it.

Accuracies are drawn on the logarithm of the error (0.9, 0.99 and 0.999 are equally spaced), losses on their own
logarithm, because good trials differ there.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias, final

from hpsearch.analysis.axes import Tick, ticks_between
from hpsearch.analysis.formats import format_metric, format_tick
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.study.metrics import METRICS
from hpsearch.trials import SURVIVED, Fate, Trial, TrialState

NOT_A_NUMBER = "NaN"
INFINITE = "infinite"
NO_EPOCH = "no epoch"
NO_VALUE = "no value"
NO_ACCURACY = "not in 0 to 1"

_ACCURACY_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 1.0)
_CAP_OVER_SURVIVORS = 10.0
_FEWEST_RANKED = 8
"""Minimum number of complete trials that define a typical result."""
_LEAST_SPAN = 0.08
"""Decades of the error: results closer together than this are visually equal."""
_SQUEEZED = 0.2
"""A rail for bad results is used if it frees at least this share of the scale."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ScalePlace:
    """The place of a result: a position on its scale, or the rail with that label."""

    position: float | None
    rail: str | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedMark:
    """One trial: its place on a searched dimension, and the place of its measured value."""

    number: int
    fate: Fate
    x: float
    place: ScalePlace
    hover: tuple[str, ...]


class Scale(Protocol):
    """A scale from `low` to `high` in positions, with rails for values without a position.

    The rails are on the bad side: below the scale if higher is better, else above.
    """

    @property
    def title(self) -> str:
        """The name of the measured quantity."""

    @property
    def maximize(self) -> bool:
        """True if higher is better."""

    @property
    def low(self) -> float:
        """The lower end, a position."""

    @property
    def high(self) -> float:
        """The upper end, a position."""

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The labelled ticks, in positions."""

    @property
    def rails(self) -> tuple[str, ...]:
        """All possible rails of the scale, the nearest to the scale first."""

    def place(self, value: float | None) -> ScalePlace:
        """Return the place of a value; None, NaN and infinities are on rails."""


ScaleKind: TypeAlias = Literal["accuracy", "logarithm", "linear"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ResultScale:
    """A scale from `low` to `high`, in positions, with ticks in positions and labels in the metric.

    `position` rises with the accuracy, or with the loss. `floor` is the smallest error, or loss, that is distinguished.
    Losses above `cap` and accuracies below `worst` are on a rail, since they would compress the rest. So are accuracies
    outside 0..1, which only another Optuna client reports. `kind` is the quantity of positions: the error or the value.
    `nothing` is the rail of trials without a value.
    """

    metric: str
    maximize: bool
    low: float
    high: float
    ticks: tuple[Tick, ...]
    floor: float
    cap: float
    worst: float = -math.inf
    kind: ScaleKind = "logarithm"
    nothing: str = NO_EPOCH

    @property
    def title(self) -> str:
        """The name of the metric."""
        return format_metric(self.metric)

    @property
    def rails(self) -> tuple[str, ...]:
        """All possible rails of the scale, the nearest to the scale first."""
        below = (_below(self.worst),) if math.isfinite(self.worst) else ()
        strange = (NO_ACCURACY,) if self.kind == "accuracy" else ()
        return (*below, *strange, *rails_beyond(self.cap, nothing=self.nothing))

    def place(self, value: float | None) -> ScalePlace:
        """Return the place of a value; None, NaN and infinities are on rails."""
        if value is None:
            return ScalePlace(position=None, rail=self.nothing)
        if math.isfinite(value):
            if self.kind == "accuracy" and not 0 <= value <= 1:
                return ScalePlace(position=None, rail=NO_ACCURACY)
            if value < self.worst:
                return ScalePlace(position=None, rail=_below(self.worst))
            if self.kind == "linear" and value < -self.cap:
                return ScalePlace(position=None, rail=INFINITE)
        return placed(value, cap=self.cap, position=self._position)

    def _position(self, value: float) -> float:
        if self.kind == "linear":
            return value
        return _position(value, maximize=self.kind == "accuracy", floor=self.floor)


def rails_beyond(cap: float, *, nothing: str = NO_EPOCH) -> tuple[str, ...]:
    """Return the rails of a scale that ends at `cap`, the nearest to it first."""
    above = (_above(cap),) if math.isfinite(cap) else ()
    return (*above, INFINITE, NOT_A_NUMBER, nothing)


def placed(value: float | None, *, cap: float, position: Callable[[float], float]) -> ScalePlace:
    """Return the place of a value: its `position`, or a rail if it is missing, not finite or above `cap`."""
    if value is None:
        return ScalePlace(position=None, rail=NO_EPOCH)
    if math.isnan(value):
        return ScalePlace(position=None, rail=NOT_A_NUMBER)
    if math.isinf(value):
        return ScalePlace(position=None, rail=INFINITE)
    if value > cap:
        return ScalePlace(position=None, rail=_above(cap))
    return ScalePlace(position=position(value), rail=None)


def _above(cap: float) -> str:
    return f"above {format_tick(cap)}"


def _below(worst: float) -> str:
    return f"below {format_tick(worst)}"


def scale_of(
    metric: str, values: Iterable[float], *, survivors: Iterable[float] = (), worst: float = -math.inf
) -> ResultScale:
    """Return a scale over the finite `values`; for accuracies, over those that are at least `worst`.

    `survivors` are the losses of trials that no diagnosis stopped. Losses far above them are off the scale. Without
    survivors, no loss is off the scale.
    """
    maximize = _is_accuracy(metric)
    cap = math.inf if maximize else cap_over(survivors)
    finite = [value for value in values if math.isfinite(value) and worst <= value <= cap]
    finite = [value for value in finite if 0 <= value <= 1] if maximize else finite
    distances = [1 - value for value in finite] if maximize else finite
    floor = min((distance for distance in distances if distance > 1e-12), default=1e-3) / 2
    ends = (min(finite), max(finite)) if finite else None
    # Positions rise with the values.
    first, last = (
        (0.0, 1.0) if ends is None else (_position(end, maximize=maximize, floor=floor) for end in ends)
    )
    low, high, ticks = _frame(first, last, maximize=maximize, floor=floor)
    return ResultScale(
        metric=metric,
        maximize=maximize,
        low=low,
        high=high,
        ticks=ticks,
        floor=floor,
        cap=cap,
        worst=worst,
        kind="accuracy" if maximize else "logarithm",
    )


def _is_accuracy(metric: str) -> bool:
    """Return True for a metric of ours that is in 0..1."""
    return metric == "training_accuracy" or (metric in METRICS and METRICS[metric].kind == "share")


_DECADES: Final = 3
"""Another Optuna client's metric is drawn on a log scale if it is always above 0 and spans this many decades."""


def foreign_scale(metric: str, values: Iterable[float], *, maximize: bool) -> ResultScale:
    """Return the scale of another Optuna client's metric, which may have any value."""
    finite = [value for value in values if math.isfinite(value) and abs(value) < _LARGEST]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if low > 0 and high / low >= 10.0**_DECADES:
        start, end, ticks = _frame(math.log10(low), math.log10(high), maximize=False, floor=low / 2)
        return ResultScale(
            metric=metric,
            maximize=maximize,
            low=start,
            high=end,
            ticks=ticks,
            floor=low / 2,
            cap=_LARGEST,
            nothing=NO_VALUE,
        )
    margin = 0.04 * (high - low) or max(abs(high), 1.0) * 0.04
    return ResultScale(
        metric=metric,
        maximize=maximize,
        low=low - margin,
        high=high + margin,
        ticks=ticks_between(low - margin, high + margin, log=False),
        floor=0.0,
        cap=_LARGEST,
        kind="linear",
        nothing=NO_VALUE,
    )


_LEAST_SCORE: Final = -1.0
"""R2 below it is on a rail: predicting the mean gives 0, and a diverged network any negative number."""


def metric_scale(metric: str, values: Sequence[float], *, survivors: Sequence[float] = ()) -> ResultScale:
    """Return the scale of one of our metrics: that of `scale_of`, or a linear one for R2."""
    if metric not in METRICS or METRICS[metric].kind != "score":
        return scale_of(metric, values, survivors=survivors)
    shown = [value for value in values if value >= _LEAST_SCORE]
    return replace(foreign_scale(metric, shown, maximize=True), worst=_LEAST_SCORE, nothing=NO_EPOCH)


def result_scale(snapshot: Snapshot) -> ResultScale:
    """Return the scale of final results: for losses the study's scale, for accuracies one that resolves the good ones.

    The better half of the complete trials occupies at least half of it; values far below are on a rail.
    """
    return snapshot.derived("result scale", _result_scale)


def _result_scale(snapshot: Snapshot) -> ResultScale:
    whole = study_scale(snapshot)
    if whole.kind != "accuracy":
        return whole
    final = [value for trial in snapshot.trials if (value := measured(trial)) is not None]
    ranked = [trial.value for trial in snapshot.trials if trial.is_ranked and trial.value is not None]
    worst = _worst_shown(ranked, final)
    return whole if worst is None else scale_of(whole.metric, final, worst=worst)


def _worst_shown(ranked: Sequence[float], final: Sequence[float]) -> float | None:
    """Return the lowest accuracy that is drawn on the scale; None if the scale can hold all results."""
    ranked, final = ([value for value in values if 0 <= value <= 1] for values in (ranked, final))
    if len(ranked) < _FEWEST_RANKED:
        return None
    ordered = sorted(ranked)
    # An accuracy of 1 has no position: half of the smallest nonzero error replaces it.
    floor = min((1 - value for value in ordered if value < 1 - 1e-12), default=1e-3) / 2
    best, median, least = (
        _position(value, maximize=True, floor=floor)
        for value in (
            ordered[-1],
            ordered[len(ordered) // 2],
            min(final),
        )
    )
    low = median - max(best - median, _LEAST_SPAN)
    if low - least < _SQUEEZED * (best - least):
        return None
    worst: float = math.floor(100 * (1 - 10.0**-low)) / 100
    return worst


_LARGEST: Final = 1e150
"""Numbers beyond it are on a rail: their differences may overflow."""


def study_scale(snapshot: Snapshot) -> ResultScale:
    """Return the one scale of the study's metric, over all reported values."""
    return snapshot.derived("study scale", _study_scale)


def _study_scale(snapshot: Snapshot) -> ResultScale:
    final = [value for trial in snapshot.trials if (value := measured(trial)) is not None]
    curves = [value for trial in snapshot.trials for value in trial.curve.values()]
    if snapshot.study.foreign is not None:
        return foreign_scale(snapshot.study.spec.metric, [*final, *curves], maximize=snapshot.study.maximize)
    survivors = [
        value for trial in snapshot.trials if trial.fate in SURVIVED for value in trial.curve.values()
    ]
    ranked = [trial.value for trial in snapshot.trials if trial.is_ranked and trial.value is not None]
    return metric_scale(snapshot.study.spec.metric, [*final, *curves], survivors=[*survivors, *ranked])


def measured(trial: Trial) -> float | None:
    """Return the trial's result, or its last reported value; None before its first epoch has ended."""
    if trial.value is not None:
        return trial.value
    return trial.curve[max(trial.curve)] if trial.curve else None


def place_of(trial: Trial, scale: ResultScale) -> ScalePlace | None:
    """Return the place of the trial's result; None if it is waiting, or is running without a result."""
    value = measured(trial)
    if value is None and trial.state in (TrialState.WAITING, TrialState.RUNNING):
        return None
    return scale.place(value)


def rails_of(scale: Scale, places: Iterable[ScalePlace | None]) -> tuple[str, ...]:
    """Return the rails that contain at least one of the places, in the scale's order."""
    used = {place.rail for place in places if place is not None}
    return tuple(rail for rail in scale.rails if rail in used)


def cap_over(survivors: Iterable[float], *, times: float = _CAP_OVER_SURVIVORS) -> float:
    """Return `times` the 90th percentile of the survivors' values, rounded up to one digit.

    Return infinity if no survivor has a value above 0. A tenth is ignored because rank pruning, too, can stop a trial
    with an astronomic loss.
    """
    positive = sorted(value for value in survivors if math.isfinite(value) and value > 0)
    if not positive:
        return math.inf
    usual = positive[(9 * (len(positive) - 1)) // 10]
    power = 10.0 ** math.floor(math.log10(usual))
    return math.ceil(usual / power) * times * power


def _position(value: float, *, maximize: bool, floor: float) -> float:
    return -math.log10(max(1 - value, floor)) if maximize else math.log10(max(value, floor))


def _frame(
    lowest: float, highest: float, *, maximize: bool, floor: float
) -> tuple[float, float, tuple[Tick, ...]]:
    """Return low, high and ticks such that all positions are between two ticks, or just inside the frame."""
    margin = max(0.04 * (highest - lowest), 0.02)
    low, high = lowest - margin, highest + margin
    ticks = _accuracy_ticks(floor) if maximize else _loss_ticks(low, high)
    inside = [tick for tick in ticks if low <= tick.at <= high]
    below = [tick for tick in ticks if tick.at < low][-1:]
    above = [tick for tick in ticks if tick.at > high][:1]
    if len(inside) < 3:
        # Adjacent accuracy ticks can be far apart, and would compress the values between them.
        fine = _fine_accuracy_ticks(low, high, floor) if maximize else []
        inside = fine or [*below, *inside, *above]
        low = min([low, *(tick.at for tick in inside)])
        high = max([high, *(tick.at for tick in inside)])
    return low, high, tuple(inside)


def _accuracy_ticks(floor: float) -> Sequence[Tick]:
    return [
        Tick(at=_position(value, maximize=True, floor=floor), text=f"{value:g}")
        for value in _ACCURACY_TICKS
        if value == 1.0 or 1 - value > floor * 1.01
    ]


def _fine_accuracy_ticks(low: float, high: float, floor: float) -> list[Tick]:
    """Return ticks at round accuracies between two positions; none if there would be fewer than three."""
    values = [tick.at for tick in ticks_between(1 - 10.0**-low, 1 - 10.0**-high, log=False)]
    ticks = [
        Tick(at=_position(value, maximize=True, floor=floor), text=f"{value:.6g}")
        for value in values
        if 1 - value > floor * 1.01
    ]
    return ticks if len(ticks) >= 3 else []


def _loss_ticks(low: float, high: float) -> Sequence[Tick]:
    ticks = ticks_between(10.0**low, 10.0**high, log=True)
    return [Tick(at=math.log10(tick.at), text=tick.text) for tick in ticks if tick.at > 0]
