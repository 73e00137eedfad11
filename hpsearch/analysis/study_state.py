"""The state of a study: in a word, in a sentence, and by the fates of its trials, also per decade of learning rates."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

from hpsearch.analysis.axes import learning_rate_of
from hpsearch.storage.records import Progress, limit_words
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Dimension, Range
from hpsearch.trials import Fate, Trial

StudyState: TypeAlias = Literal["finished", "paused", "stopped", "running", "open", "idle"]

MADE_BY_OPTUNA = "made by Optuna"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FateRow:
    """The number of trials with one fate, and the epochs that they began."""

    fate: Fate
    trials: int
    epochs: int


def fate_rows(progress: Progress) -> list[FateRow]:
    """Return the fates of at least one trial, in the order of `Fate`."""
    tallies = [(fate, progress.fates.get(fate)) for fate in Fate]
    return [
        FateRow(fate=fate, trials=tally.trials, epochs=tally.epochs)
        for fate, tally in tallies
        if tally is not None and tally.trials
    ]


def state_of(progress: Progress) -> StudyState:
    """Return the study's state in one word; `open` waits for a worker, `idle` is another client's inactive study."""
    if progress.is_foreign:
        return "running" if progress.running else "idle"
    if progress.is_done:
        return "finished"
    if progress.stopped is not None:
        return "paused" if progress.is_paused else "stopped"
    return "running" if progress.running else "open"


def state_sentence(progress: Progress) -> str:
    """Return the study's state as a sentence."""
    if progress.is_foreign:
        return f"{MADE_BY_OPTUNA}: {_state_counts(progress)}.".capitalize().replace("optuna", "Optuna")
    done = f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"
    match state_of(progress):
        case "finished" if progress.ended_by is not None:
            waiting = f", {progress.waiting:,} waiting" if progress.waiting else ""
            return f"Finished at a limit, {limit_words(progress.ended_by)}: {done} finished{waiting}."
        case "finished":
            beyond = progress.finished - progress.budget
            return f"Finished: {done}{f', {beyond:,} more than the budget' if beyond else ''}."
        case "paused" | "stopped" as word:
            return f"{_sentence(word)}: {done} finished. {_sentence(progress.stopped or '')}"
        case "running":
            return f"Running: {done} finished, {progress.running:,} in training."
        case _:
            return f"Open: {done} finished, none in training."


def limits_sentence(progress: Progress) -> str:
    """Return how the study stands against each of its limits, as a clause; empty if it has none."""
    return ", ".join(map(limit_words, progress.limits))


def _state_counts(progress: Progress) -> str:
    """Return `12 trials, 10 complete, 2 failed`."""
    states = ("complete", "pruned", "failed", "running", "waiting")
    counts = [f"{getattr(progress, state):,} {state}" for state in states if getattr(progress, state)]
    return ", ".join([format_count(progress.budget, "trial"), *counts])


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Decade:
    """The trials with a learning rate in [`low`, `high`): the number with each fate, in the order of `Fate`.

    The last decade of the search space includes its upper end.
    """

    low: float
    high: float
    fates: Mapping[Fate, int]

    @property
    def trials(self) -> int:
        """The number of trials."""
        return sum(self.fates.values())


def fates_by_decade(search: Sequence[Dimension], trials: Sequence[Trial]) -> tuple[Decade, ...]:
    """Return the decades in which trials ended, lowest first; none if no range of learning rates is searched."""
    dimension = learning_rate_of(search)
    if dimension is None:
        return ()
    counts: dict[int, Counter[Fate]] = {}
    for trial in trials:
        exponent = _exponent(trial, dimension)
        if exponent is not None and trial.state.is_final:
            counts.setdefault(exponent, Counter())[trial.fate] += 1
    return tuple(_decade(exponent, counts[exponent]) for exponent in sorted(counts))


def _exponent(trial: Trial, dimension: Range) -> int | None:
    """Return the decade's power of ten; None for a rate without one, which another program may have set."""
    rate = trial.params.get(dimension.name)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    exponent = math.floor(math.log10(rate))
    is_upper_end = rate == dimension.high == float(f"1e{exponent}")
    return exponent - 1 if is_upper_end else exponent


def _decade(exponent: int, counts: Mapping[Fate, int]) -> Decade:
    return Decade(
        low=float(f"1e{exponent}"),
        high=float(f"1e{exponent + 1}"),
        fates={fate: counts[fate] for fate in Fate if counts.get(fate)},
    )
