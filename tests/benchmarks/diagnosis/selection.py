"""Which labelled runs make up the corpus: about as many of each cause, from all bases, and more that are healthy."""

from collections.abc import Callable, Hashable, Sequence
from typing import Final

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.runs import Run

TUNING_QUOTA: Final = 20
HELD_OUT_QUOTA: Final = 20
"""Most runs of each cause."""

DOUBLE_QUOTAS: Final = (56, 48)
"""Most runs with two faults, tuning and held out."""

HEALTHY_PER_ILL: Final = 4.2
UNTOUCHED_SHARE: Final = 0.3
"""The share of the healthy runs to which nothing was done."""


def selected(runs: Sequence[Run]) -> list[Run]:
    """Return the corpus out of all labelled runs, in their order."""
    chosen: set[int] = set()
    for is_held_out, quota, doubles in (
        (False, TUNING_QUOTA, DOUBLE_QUOTAS[0]),
        (True, HELD_OUT_QUOTA, DOUBLE_QUOTAS[1]),
    ):
        part = [i for i, run in enumerate(runs) if run.is_held_out == is_held_out]
        ill = _ill(runs, part, quota, doubles)
        chosen |= ill | _healthy(runs, part, round(HEALTHY_PER_ILL * len(ill)))
    return [runs[i] for i in sorted(chosen)]


def _ill(runs: Sequence[Run], part: Sequence[int], quota: int, doubles: int) -> set[int]:
    double = [i for i in part if "+" in runs[i].injection and runs[i].labels != (Cause.HEALTHY,)]
    chosen = set(_spread(double, doubles, lambda i: (runs[i].injection, runs[i].base)))
    for cause in Cause:
        single = [i for i in part if runs[i].labels[0] is cause and "+" not in runs[i].injection]
        if cause is not Cause.HEALTHY:
            chosen |= set(_spread(single, quota, lambda i: (runs[i].base, runs[i].injection)))
    return chosen


def _healthy(runs: Sequence[Run], part: Sequence[int], count: int) -> set[int]:
    healthy = [i for i in part if runs[i].labels == (Cause.HEALTHY,)]
    untouched = [i for i in healthy if runs[i].injection == "none"]
    touched = [i for i in healthy if runs[i].injection != "none"]
    easy = _spread(untouched, count, lambda i: (runs[i].base, ""))
    hard = _spread(
        touched, count - round(UNTOUCHED_SHARE * count), lambda i: (runs[i].base, runs[i].injection)
    )
    return {*hard, *easy[: count - len(hard)]}


def _spread(indices: Sequence[int], count: int, key: Callable[[int], tuple[Hashable, Hashable]]) -> list[int]:
    """Return up to `count` of the indices: round after round one of each first key, and in it of each second key."""
    outer: dict[Hashable, dict[Hashable, list[int]]] = {}
    for i in indices:
        first, second = key(i)
        outer.setdefault(first, {}).setdefault(second, []).append(i)
    queues = [
        _interleaved([_from_both_ends(inner) for inner in groups.values()]) for groups in outer.values()
    ]
    return _interleaved(queues)[:count]


def _interleaved(queues: Sequence[Sequence[int]]) -> list[int]:
    """Return the first of each queue, then the second of each, and so on."""
    longest = max(map(len, queues), default=0)
    return [queue[at] for at in range(longest) for queue in queues if at < len(queue)]


def _from_both_ends(indices: Sequence[int]) -> list[int]:
    """Return indices, which rise with severity, as middle, first, last, and then those between."""
    middle = len(indices) // 2
    first = dict.fromkeys([indices[middle], indices[0], indices[-1]])
    return list(dict.fromkeys([*first, *indices[::2], *indices]))
