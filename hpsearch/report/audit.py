"""How often stopping a trial for its verdict was wrong, by the trials that ran on all the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from scipy.special import betaincinv

from hpsearch.records import Trial, best_trials
from hpsearch.worker.auditing import AUDITED_AT

BEST_OF: Final = 10
"""The best tenth: one of so many."""

CONFIDENCE: Final = 0.95


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What became of the audited trials of a study.

    `audited` of them have ended, and `wrong` of those as well as the best tenth of the study's complete trials.
    """

    audited: int
    wrong: int

    @property
    def false_stop_rate(self) -> float | None:
        """The share of stops that would have been wrong; None where nothing was audited."""
        return self.wrong / self.audited if self.audited else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of that share; all of 0..1 where nothing was audited."""
        return share_interval(self.wrong, self.audited)


def audit_of(trials: Sequence[Trial], *, maximize: bool) -> Audit:
    """Return what the ended ones of `trials` say about stopping. Who equals the last of the best tenth is one of it."""
    audited = sum(is_audited(trial) for trial in trials)
    return Audit(audited=audited, wrong=len(wrong_stops(trials, maximize=maximize)))


def wrong_stops(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """Return the audited trials that ended as well as the best tenth."""
    worst = _worst_of_the_best(trials, maximize=maximize)
    return [trial for trial in trials if is_audited(trial) and _is_as_good(trial, worst, maximize=maximize)]


def is_audited(trial: Trial) -> bool:
    """True for a trial that ran on, and has ended, although diagnosis would have stopped it."""
    return trial.finding is not None and AUDITED_AT in trial.finding.evidence


def share_interval(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of the share that `hits` of `of` draws are evidence of.

    Exact: quantiles of beta distributions (Clopper and Pearson 1934, "The use of confidence or fiducial limits").
    """
    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(hits, of - hits + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, of - hits, 1 - tail)) if hits < of else 1.0
    return low, high


def _worst_of_the_best(trials: Sequence[Trial], *, maximize: bool) -> float | None:
    """Return the value of the last trial of the best tenth, rounded up; None where no trial is ranked."""
    ranked = sum(trial.is_ranked for trial in trials)
    best = best_trials(trials, maximize=maximize, count=-(-ranked // BEST_OF))
    return best[-1].value if best else None


def _is_as_good(trial: Trial, worst: float | None, *, maximize: bool) -> bool:
    if not trial.is_ranked or trial.value is None or worst is None:
        return False
    return trial.value >= worst if maximize else trial.value <= worst
