"""How often stopping a trial for its verdict was wrong, measured on audited trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from hpsearch.analysis.intervals import Interval, share_interval
from hpsearch.trials import Trial, best_trials
from hpsearch.verdicts import AUDITED_AT

BEST_OF: Final = 10
"""The best tenth, as its divisor."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The outcome of the audited trials of a study.

    `audited` of them have ended, and `wrong` of those as well as the best tenth of the study's complete trials.
    """

    audited: int
    wrong: int

    @property
    def false_stop_rate(self) -> float | None:
        """The share of stops that would have been wrong; None if nothing was audited."""
        return self.wrong / self.audited if self.audited else None

    @property
    def interval(self) -> Interval:
        """The 95 % interval of that share; all of 0..1 if nothing was audited."""
        return share_interval(self.wrong, self.audited)


def audit_of(trials: Sequence[Trial], *, maximize: bool) -> Audit:
    """Return the audit of the ended `trials`. A value equal to the last of the best tenth counts as one of it."""
    audited = sum(is_audited(trial) for trial in trials)
    return Audit(audited=audited, wrong=len(wrong_stops(trials, maximize=maximize)))


def wrong_stops(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """Return the audited trials that ended as well as the best tenth."""
    worst = _worst_of_the_best(trials, maximize=maximize)
    return [trial for trial in trials if is_audited(trial) and _is_as_good(trial, worst, maximize=maximize)]


def is_audited(trial: Trial) -> bool:
    """Return True for a trial that diagnosis would have stopped, but that ran on and has ended."""
    return trial.finding is not None and AUDITED_AT in trial.finding.evidence


def _worst_of_the_best(trials: Sequence[Trial], *, maximize: bool) -> float | None:
    """Return the value of the last trial of the best tenth, rounded up; None if no trial is ranked."""
    ranked = sum(trial.is_ranked for trial in trials)
    best = best_trials(trials, maximize=maximize, count=-(-ranked // BEST_OF))
    return best[-1].value if best else None


def _is_as_good(trial: Trial, worst: float | None, *, maximize: bool) -> bool:
    if not trial.is_ranked or trial.value is None or worst is None:
        return False
    return trial.value >= worst if maximize else trial.value <= worst
