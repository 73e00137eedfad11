"""Whether a worker's trials fail far more often than those of other workers on like configurations.

Each of the worker's trials is paired with the trial of another worker whose configuration is nearest. If the worker is
sound, then of the pairs in which just one trial failed, each has it on either side with probability 1/2, whatever the
sampler chooses and wherever in the search space trials fail. The evidence against that is a mixture of likelihood
ratios, over all probabilities above 1/2, so it may be looked at after every trial: by Ville's inequality it ever
exceeds 1/a with probability a at most (Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe
anytime-valid inference", Statistical Science 38, 2023, sections 2 and 3).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from hpsearch.study.messages import format_count
from hpsearch.study.spec import Dimension, Range
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause

FALSE_ALARM_RATE: Final = 0.001
"""The largest probability that a sound worker is ever found failing in a study. 13 pairs against it are enough."""

MOST_UNPAIRED: Final = 5
"""A worker takes no more trials while so many failures of its own have no counterpart: others must finish some."""

MOST_TRIALS: Final = 1000
"""Only so many of the newest trials are compared, on either side."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRate:
    """How many of a worker's paired trials failed, and how many of their counterparts.

    `only_own` and `only_others` count pairs in which just one side failed. `unpaired` are failures of the worker
    without a counterpart, while other workers train trials.
    """

    pairs: int = 0
    failed: int = 0
    others_failed: int = 0
    only_own: int = 0
    only_others: int = 0
    unpaired: int = 0

    @property
    def is_too_high(self) -> bool:
        """True if a sound worker has such failures with probability `FALSE_ALARM_RATE` at most."""
        return log_evidence(self.only_own, self.only_others) >= -math.log(FALSE_ALARM_RATE)

    @property
    def is_undecided(self) -> bool:
        """True if the worker should wait until others have finished comparable trials."""
        return self.unpaired >= MOST_UNPAIRED

    @property
    def sentence(self) -> str:
        """The two rates in words."""
        return (
            f"{self.failed} of its {format_count(self.pairs, 'trial')} failed, and {self.others_failed} of as many "
            "by other workers on like configurations"
        )


def log_evidence(own: int, others: int) -> float:
    """Return the logarithm of the evidence that failures belong to the worker: 0 is none.

    It is log of the integral of (2p)^own (2(1-p))^others over p, uniform from 1/2 to 1.
    """
    from scipy.special import betainc, betaln  # noqa: PLC0415 # few workers ever need it

    tail = float(betainc(others + 1, own + 1, 0.5))  # the beta distribution's mass above 1/2
    return (own + others + 1) * math.log(2.0) + float(betaln(own + 1, others + 1)) + math.log(tail)


def failure_rate(trials: Sequence[Trial], worker: str, search: Sequence[Dimension]) -> FailureRate:
    """Compare the failures of `worker` with those of other workers in the same study, searched over `search`.

    Trials in training count as sound: they are those that did not fail yet. Trials that were lost with several workers
    do not count.
    """
    ours = [trial for trial in trials if trial.worker == worker and _counts(trial)][-MOST_TRIALS:]
    others = [trial for trial in trials if trial.worker not in (None, worker) and _counts(trial)]
    ended = [trial for trial in others if trial.state.is_final]
    newest = ended[-MOST_TRIALS:]
    pairs = _nearest_pairs(
        [_point(t.params, search) for t in ours], [_point(t.params, search) for t in newest]
    )
    own = [_failed(ours[i]) for i, _ in pairs]
    theirs = [_failed(newest[j]) for _, j in pairs]
    return FailureRate(
        pairs=len(pairs),
        failed=sum(own),
        others_failed=sum(theirs),
        only_own=sum(a and not b for a, b in zip(own, theirs, strict=True)),
        only_others=sum(b and not a for a, b in zip(own, theirs, strict=True)),
        unpaired=sum(map(_failed, ours)) - sum(own) if len(others) > len(ended) else 0,
    )


def _counts(trial: Trial) -> bool:
    has_begun = trial.state.is_final or trial.state is TrialState.RUNNING
    return has_begun and trial.verdict is not Cause.WORKER_LOST


def _failed(trial: Trial) -> bool:
    return trial.state is TrialState.FAILED


def _nearest_pairs(
    own: Sequence[Sequence[float]], others: Sequence[Sequence[float]]
) -> list[tuple[int, int]]:
    """Return (own, other) indices: each point with the nearest one that is left, in order."""
    pairs: list[tuple[int, int]] = []
    points = np.array(others, dtype=np.float64)
    is_left = np.ones(len(others), dtype=bool)
    for i, point in enumerate(own[: len(others)]):
        distances = np.abs(points - np.array(point)).clip(max=1.0).sum(axis=1)
        j = int(np.argmin(np.where(is_left, distances, np.inf)))
        is_left[j] = False
        pairs.append((i, j))
    return pairs


def _point(params: Mapping[str, ParameterValue], search: Sequence[Dimension]) -> list[float]:
    """Return a configuration as coordinates: two choices differ by 1 at least, the ends of a range by 1."""
    return [_coordinate(params, dimension) for dimension in search]


def _coordinate(params: Mapping[str, ParameterValue], dimension: Dimension) -> float:
    value = params.get(dimension.name)
    if not isinstance(dimension, Range):
        is_known = dimension.name in params and value in dimension.choices
        return float(dimension.choices.index(value)) if is_known else -1.0
    if not isinstance(value, int | float) or dimension.high <= dimension.low:
        return 0.0
    scale = math.log if dimension.log else float
    low, high = scale(dimension.low), scale(dimension.high)
    return (scale(max(float(value), dimension.low)) - low) / (high - low)
