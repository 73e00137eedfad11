"""The best result so far, against finished trials, trained epochs, and time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import count_ticks
from hpsearch.analysis.noise_floor import NoiseFloor, noise_floor
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import (
    domains,
    fate_trace,
    figure,
    hover,
    hover_lines,
    instant,
    lowest_axis,
    marker,
    marker_size,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.figures.sample import count_words, sample
from hpsearch.report.figures.scales import ResultScale, ScalePlace, measured, rails_of, study_scale
from hpsearch.report.palette import INK, STAR
from hpsearch.storage.records import StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate, Trial, TrialState

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestStep:
    """One ended trial: the `trials`-th to end, at `ended`, after `epochs` epochs had been begun.

    `best` is the best ranked value of all trials up to it, or None if there is none; `is_record` is true if this trial
    improved it. `hover` is empty if the trial is not drawn: of a large study the records and a sample are.
    """

    number: int
    fate: Fate
    trials: int
    epochs: int
    ended: datetime
    place: ScalePlace
    best: float | None
    is_record: bool
    hover: tuple[str, ...]

    @property
    def is_drawn(self) -> bool:
        """True if the trial is drawn as a mark."""
        return bool(self.hover)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestSoFar:
    """Every ended trial in order of ending. `trials` and `epochs` are the lengths of two of the axes.

    The time axis runs from `start` to the last end. `noise` is the band within reach of chance alone, or None if it is
    unknown; `band` is its place on the scale.
    """

    scale: ResultScale
    rails: tuple[str, ...]
    steps: tuple[BestStep, ...]
    trials: int
    epochs: int
    start: datetime
    noise: NoiseFloor | None
    band: tuple[float, float] | None
    caption: str


def best_so_far(snapshot: Snapshot) -> BestSoFar | None:
    """Return the trials in order of ending (then by number); None if no trial has ended."""
    ended = [trial for trial in snapshot.trials if trial.state.is_final]
    if not ended:
        return None
    ended.sort(key=lambda trial: (trial.finished or _EARLIEST, trial.number))
    scale, study = study_scale(snapshot), snapshot.study
    steps = _steps(ended, snapshot, scale)
    noise = noise_floor(snapshot, steps[-1].best)
    return BestSoFar(
        scale=scale,
        rails=rails_of(scale, (step.place for step in steps)),
        steps=steps,
        trials=max(len(ended), snapshot.progress.budget),
        epochs=max(steps[-1].epochs, 1),
        start=_start(snapshot),
        noise=noise,
        band=None if noise is None else _band(noise, scale),
        caption=" ".join(
            filter(
                None,
                (
                    _caption(steps, study),
                    _drawn_words(steps),
                    _infinite_words(ended),
                    _noise_words(steps, noise, study),
                ),
            )
        ),
    )


def _steps(ended: Sequence[Trial], snapshot: Snapshot, scale: ResultScale) -> tuple[BestStep, ...]:
    steps: list[BestStep] = []
    best: float | None = None
    epochs = 0
    drawn = {trial.number for trial in sample(snapshot)}
    for count, trial in enumerate(ended, start=1):
        epochs += trial.epochs
        is_record = _is_better(trial, best, maximize=snapshot.study.maximize)
        best = trial.value if is_record else best
        step = BestStep(
            number=trial.number,
            fate=trial.fate,
            trials=count,
            epochs=epochs,
            ended=trial.finished or snapshot.study.created or snapshot.taken,
            place=scale.place(measured(trial)),
            best=best,
            is_record=is_record,
            hover=hover_lines(trial, snapshot.study.spec) if is_record or trial.number in drawn else (),
        )
        steps.append(step)
    return tuple(steps)


def _start(snapshot: Snapshot) -> datetime:
    """Return the first trial's start or, if no trial has one, the first end; without trials, the study's creation."""
    started = [trial.started for trial in snapshot.trials if trial.started is not None]
    ended = [trial.finished for trial in snapshot.trials if trial.finished is not None]
    return min(started or ended, default=snapshot.study.created or snapshot.taken)


def _band(noise: NoiseFloor, scale: ResultScale) -> tuple[float, float]:
    """Return the band in positions of the scale, clipped to its ends."""
    ends = [scale.place(value).position for value in (noise.low, noise.high)]
    low, high = (scale.high if end is None else min(max(end, scale.low), scale.high) for end in ends)
    return low, high


def _drawn_words(steps: Sequence[BestStep]) -> str:
    """Return which trials are drawn; empty if all are."""
    drawn = sum(step.is_drawn for step in steps)
    if drawn == len(steps):
        return ""
    return f"Drawn are {count_words(drawn, len(steps))}; the line is the best of all."


def _infinite_words(ended: Sequence[Trial]) -> str:
    """Return how many complete trials have an infinite value, which cannot be the best; empty if none has."""
    count = sum(
        trial.state is TrialState.COMPLETE and trial.value is not None and math.isinf(trial.value)
        for trial in ended
    )
    return (
        f"Infinite values are on the rail and are never the best: {format_count(count, 'trial')}."
        if count
        else ""
    )


def _noise_words(steps: Sequence[BestStep], noise: NoiseFloor | None, study: StoredStudy) -> str:
    """Return a description of the band, or that chance is unmeasured; empty for other clients' studies."""
    if steps[-1].best is None or study.foreign is not None:
        return ""
    if noise is None:
        return "The effect of seeds alone is unknown: no configuration was trained again with fresh seeds."
    return noise.words


def _is_better(trial: Trial, best: float | None, *, maximize: bool) -> bool:
    if not trial.is_ranked or trial.value is None:
        return False
    return best is None or (trial.value > best if maximize else trial.value < best)


def _caption(steps: Sequence[BestStep], study: StoredStudy) -> str:
    records = [step for step in steps if step.is_record]
    if not records:
        return "No trial is complete with a finite result yet, so there is no best."
    last = records[-1]
    begun = f", when {format_count(last.epochs, 'epoch')} had been begun" if study.foreign is None else ""
    return (
        f"The best was found by trial {last.number}, the {_ordinal(last.trials)} of {len(steps):,} to end{begun};"
        f" it {_improved(len(records) - 1)} after the first result."
    )


def _improved(count: int) -> str:
    ways = {0: "never improved", 1: "improved once", 2: "improved twice"}
    return ways.get(count, f"improved {count:,} times")


def _ordinal(count: int) -> str:
    teens = 11 <= count % 100 <= 13
    return f"{count:,}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"


Against: TypeAlias = Literal["trials", "epochs", "time"]


def draw_best_so_far(data: BestSoFar, against: Against) -> go.Figure:
    """Draw the ended trials, and the best so far as a line, against trials, epochs or time."""
    places, height = domains(result_bands(data.scale, data.rails, 270))
    layout: dict[str, Any] = {
        "xaxis": _axis(data, against),
        **result_axes(data.scale, data.rails, places),
    }
    traces = [*_noise(data, against), *_marks(data, against), *_line(data, against)]
    return figure(traces, layout, plot_px=height)


def _axis(data: BestSoFar, against: Against) -> dict[str, Any]:
    anchor = lowest_axis(data.scale, data.rails)
    low, high = _ends(data, against)
    margin = 0.02 * (high - low) or 1.0
    span = [low - margin, high + margin]
    if against == "time":
        return plain_axis("time (UTC)", anchor=anchor, range=span, type="date", nticks=4)
    title = "trials ended" if against == "trials" else "epochs begun"
    return plain_axis(title, anchor=anchor, range=span, **ticked(count_ticks(round(high))))


def _ends(data: BestSoFar, against: Against) -> tuple[float, float]:
    if against == "time":
        return instant(data.start), max(instant(step.ended) for step in data.steps)
    return 0.0, float(data.trials if against == "trials" else data.epochs)


def _noise(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    """Yield the band of results within reach of the best by chance alone."""
    if data.band is None:
        return
    (left, right), (low, high) = _ends(data, against), data.band
    yield go.Scatter(
        name="noise of seeds",
        mode="lines",
        x=[left, right, right, left],
        y=[rounded(low), rounded(low), rounded(high), rounded(high)],
        fill="toself",
        fillcolor=STAR,
        line={"width": 0},
        opacity=0.3,
        hoverinfo="skip",
    )


def _marks(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    drawn = [step for step in data.steps if step.is_drawn]
    size = marker_size(len(drawn)) - 3
    rows = rail_rows(data.rails, data.scale)
    for fate in reversed(Fate):
        steps = [step for step in drawn if step.fate is fate]
        scaled = [step for step in steps if step.place.position is not None]
        railed = [step for step in steps if step.place.rail is not None]
        if scaled:
            heights = [rounded(step.place.position or 0.0) for step in scaled]
            yield _points(fate, scaled, against, y=heights, marker=marker(fate, size=size), opacity=0.8)
        if railed:
            heights = [rows[step.place.rail or ""] for step in railed]
            look = marker(fate, size=size, hollow=True)
            yield _points(fate, railed, against, y=heights, yaxis="y2", marker=look, showlegend=not scaled)


def _points(fate: Fate, steps: Sequence[BestStep], against: Against, **settings: Any) -> go.Scatter:
    return fate_trace(
        fate,
        mode="markers",
        x=[_x(step, against) for step in steps],
        hovertext=[hover(step.hover) for step in steps],
        **settings,
    )


def _line(data: BestSoFar, against: Against) -> Iterator[go.Scatter]:
    """Yield the best so far as a line with a step at each record, extended to the last trial."""
    records = [step for step in data.steps if step.is_record]
    if not records:
        return
    x = [_x(step, against) for step in (*records, data.steps[-1])]
    y = [rounded(step.place.position or 0.0) for step in (*records, records[-1])]
    yield go.Scatter(
        name="best so far",
        mode="lines",
        x=x,
        y=y,
        line={"color": INK, "width": 2, "shape": "hv"},
        hoverinfo="skip",
    )
    yield go.Scatter(
        name="best",
        mode="markers",
        x=[x[-2]],
        y=[y[-2]],
        meta={"fate": Fate.COMPLETE.value},
        hoverinfo="text",
        hovertext=[hover(records[-1].hover)],
        marker={"symbol": "star", "size": 16, "color": STAR, "line": {"color": INK, "width": 1}},
    )


def _x(step: BestStep, against: Against) -> float:
    if against == "time":
        return instant(step.ended)
    return step.trials if against == "trials" else step.epochs
