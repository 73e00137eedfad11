"""The best result so far, against finished trials, the epochs that they took, and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import final

from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.noise_floor import NoiseFloor, noise_floor
from hpsearch.report.figure_data.results import Place, ResultScale, measured, rails_of, study_scale
from hpsearch.report.formats import format_count
from hpsearch.report.snapshot import Snapshot
from hpsearch.trials import Fate, Trial

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestStep:
    """One ended trial: it was the `trials`-th to end, at `ended`, and `epochs` epochs had been begun by then.

    `best` is the best ranked value of all trials up to it, None while there is none; `is_record` is true
    where this trial made it better.
    """

    number: int
    fate: Fate
    trials: int
    epochs: int
    ended: datetime
    place: Place
    best: float | None
    is_record: bool
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestSoFar:
    """Every ended trial in the order of their ends. `trials` and `epochs` are the lengths of two of the axes.

    The axis of time goes from `start` to the last end. `noise` is the band that chance alone can reach, None where
    nothing tells; `band` is where it lies on the scale.
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
    """Return the trials in the order in which they ended (then by number); None where none has ended."""
    ended = [trial for trial in snapshot.trials if trial.state.is_final]
    if not ended:
        return None
    ended.sort(key=lambda trial: (trial.finished or _EARLIEST, trial.number))
    scale = study_scale(snapshot)
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
        caption=f"{_caption(steps)} {_noise_words(steps, noise)}".rstrip(),
    )


def _steps(ended: Sequence[Trial], snapshot: Snapshot, scale: ResultScale) -> tuple[BestStep, ...]:
    steps: list[BestStep] = []
    best: float | None = None
    epochs = 0
    for count, trial in enumerate(ended, start=1):
        epochs += trial.epochs
        is_record = _is_better(trial, best, maximize=snapshot.study.maximize)
        best = trial.value if is_record else best
        step = BestStep(
            number=trial.number,
            fate=trial.fate,
            trials=count,
            epochs=epochs,
            ended=trial.finished or snapshot.study.created,
            place=scale.place(measured(trial)),
            best=best,
            is_record=is_record,
            hover=hover_lines(trial, snapshot.study.spec),
        )
        steps.append(step)
    return tuple(steps)


def _start(snapshot: Snapshot) -> datetime:
    """Return when the first trial began; when the study was made where no trial says."""
    return min((t.started for t in snapshot.trials if t.started is not None), default=snapshot.study.created)


def _band(noise: NoiseFloor, scale: ResultScale) -> tuple[float, float]:
    """Return the band in positions of the scale, cut off at its ends."""
    ends = [scale.place(value).position for value in (noise.low, noise.high)]
    low, high = (scale.high if end is None else min(max(end, scale.low), scale.high) for end in ends)
    return low, high


def _noise_words(steps: Sequence[BestStep], noise: NoiseFloor | None) -> str:
    """Say what the band is, or that nothing tells how much chance changes."""
    if steps[-1].best is None:
        return ""
    if noise is None:
        return (
            "How much seeds alone change is not known: no configuration was trained again with fresh seeds."
        )
    return noise.words


def _is_better(trial: Trial, best: float | None, *, maximize: bool) -> bool:
    if not trial.is_ranked or trial.value is None:
        return False
    return best is None or (trial.value > best if maximize else trial.value < best)


def _caption(steps: Sequence[BestStep]) -> str:
    records = [step for step in steps if step.is_record]
    if not records:
        return "No trial is complete with a finite result yet, so there is no best."
    last = records[-1]
    return (
        f"The best was found by trial {last.number}, the {_ordinal(last.trials)} of {len(steps):,} to end,"
        f" when {format_count(last.epochs, 'epoch')} had been begun; it improved {_times(len(records) - 1)}"
        " after the first result."
    )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _ordinal(count: int) -> str:
    teens = 11 <= count % 100 <= 13
    return f"{count:,}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(count % 10, 'th')}"
