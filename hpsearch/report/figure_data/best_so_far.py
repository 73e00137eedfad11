"""The best result so far, against finished trials and against the epochs that they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import final

from hpsearch.records import Fate, Trial
from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.figure_data.results import Place, ResultScale, measured, rails_of, study_scale
from hpsearch.report.formats import format_count
from hpsearch.report.snapshot import Snapshot

_EARLIEST = datetime.min.replace(tzinfo=UTC)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestStep:
    """One ended trial: it was the `trials`-th to end, and `epochs` epochs had been begun by then.

    `best` is the best ranked value of all trials up to it, None while there is none; `is_record` is true
    where this trial made it better.
    """

    number: int
    fate: Fate
    trials: int
    epochs: int
    place: Place
    best: float | None
    is_record: bool
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BestSoFar:
    """Every ended trial in the order of their ends. `trials` and `epochs` are the lengths of the two axes."""

    scale: ResultScale
    rails: tuple[str, ...]
    steps: tuple[BestStep, ...]
    trials: int
    epochs: int
    caption: str


def best_so_far(snapshot: Snapshot) -> BestSoFar | None:
    """Return the trials in the order in which they ended (then by number); None where none has ended."""
    ended = [trial for trial in snapshot.trials if trial.state.is_final]
    if not ended:
        return None
    ended.sort(key=lambda trial: (trial.finished or _EARLIEST, trial.number))
    scale = study_scale(snapshot)
    steps = _steps(ended, snapshot, scale)
    return BestSoFar(
        scale=scale,
        rails=rails_of(scale, (step.place for step in steps)),
        steps=steps,
        trials=max(len(ended), snapshot.progress.budget),
        epochs=max(steps[-1].epochs, 1),
        caption=_caption(steps),
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
            place=scale.place(measured(trial)),
            best=best,
            is_record=is_record,
            hover=hover_lines(trial, snapshot.study.spec),
        )
        steps.append(step)
    return tuple(steps)


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
