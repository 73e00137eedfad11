"""The failures of training functions: of one trial in full, and of a study grouped by kind and place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.study.messages import format_count
from hpsearch.trials import Failure, Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Trials that failed in the same way: `failure` is that of the first of them, `numbers` are all."""

    failure: Failure
    numbers: tuple[int, ...]


def failure_groups(trials: Sequence[Trial]) -> list[FailureGroup]:
    """Return the failures of training functions by kind and place, the most frequent first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.failure is not None:
            groups.setdefault(trial.failure.words, []).append(trial)
    found = [
        FailureGroup(failure=failure, numbers=tuple(trial.number for trial in group))
        for group in groups.values()
        if (failure := group[0].failure) is not None
    ]
    return sorted(found, key=lambda group: -len(group.numbers))


def failure_lines(trials: Sequence[Trial]) -> list[str]:
    """Return a sentence for each group: `7 of 60 trials: ValueError in train.py:41: no such width (trial 3, ...)`."""
    return [_line(group, len(trials)) for group in failure_groups(trials)]


_SHOWN = 5


def _line(group: FailureGroup, trials: int) -> str:
    shown = ", ".join(map(str, group.numbers[:_SHOWN]))
    more = f" and {len(group.numbers) - _SHOWN:,} more" if len(group.numbers) > _SHOWN else ""
    noun = "trial" if len(group.numbers) == 1 else "trials"
    message = f": {group.failure.message}" if group.failure.message else ""
    of = format_count(trials, "trial")
    return f"{len(group.numbers):,} of {of}: {group.failure.words}{message} ({noun} {shown}{more})"
