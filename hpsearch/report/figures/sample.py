"""The trials of a large study that figures draw as marks: everything else in a figure is computed from all trials."""

from collections.abc import Sequence
from typing import Final

from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate, Trial, TrialState

MOST_MARKS: Final = 1000
"""Maximum number of trials that a figure draws. A browser takes 0.1 ms for each mark of each of nine figures."""

_BEST: Final = 20
"""The number of best trials that are always drawn: those of the table of the best."""

_LEAST_PER_FATE: Final = 30
"""The number of trials of each fate that are drawn even if the fate is rare."""

_SPREAD: Final = 2_654_435_769
"""2**32 divided by the golden ratio: multiples of it, modulo 2**32, are spread evenly (Knuth, TAOCP 3, 6.4)."""


def sample(snapshot: Snapshot) -> Sequence[Trial]:
    """Return the trials to draw, by number: all, or about 1,000 of a larger study.

    Those are the best 20, the running ones, and of each fate a share of its trials, at least 30, spread evenly over the
    trial numbers. The choice depends on nothing else, so a growing study keeps most of its marks.
    """
    return snapshot.derived("sample", _sample)


def _sample(snapshot: Snapshot) -> Sequence[Trial]:
    trials = snapshot.trials
    if len(trials) <= MOST_MARKS:
        return trials
    chosen = {trial.number for trial in best_of(snapshot, _BEST)}
    chosen |= {trial.number for trial in trials if trial.state is TrialState.RUNNING}
    by_fate: dict[Fate, list[int]] = {}
    for trial in trials:
        by_fate.setdefault(trial.fate, []).append(trial.number)
    for numbers in by_fate.values():
        numbers.sort(key=_place)
        share = MOST_MARKS * len(numbers) // len(trials)
        chosen |= set(numbers[: max(share, _LEAST_PER_FATE)])
    return [trial for trial in trials if trial.number in chosen]


def _place(number: int) -> int:
    return number * _SPREAD % 2**32


def count_words(drawn: int, total: int) -> str:
    """Return `120 trials`, or `1,000 of 5,000 trials (a sample with the best of them)` if not all are drawn."""
    if drawn == total:
        return format_count(total, "trial")
    return f"{drawn:,} of {format_count(total, 'trial')} (a sample with the best of them)"
