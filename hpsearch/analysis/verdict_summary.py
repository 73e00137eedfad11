"""Trials by verdict: a table with a row for each, and how often stops were wrong, as measured on audited trials."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from hpsearch.analysis.axes import learning_rate_of
from hpsearch.analysis.formats import format_parameter
from hpsearch.analysis.intervals import Interval, share_interval
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.trial_facts import OUTSIDE
from hpsearch.study.messages import format_number
from hpsearch.study.spec import Dimension, Range
from hpsearch.trials import Fate, Trial, TrialState, best_trials
from hpsearch.verdicts import AUDITED_AT, Cause, Finding, diagnosed_cause

BEST_OF: Final = 10
"""The best tenth, as its divisor."""

RANK_EVIDENCE: Final = ("value", "epochs")
"""The evidence of every outranked trial; the rest belongs to its diagnosis, which differs from trial to trial."""


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


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRow:
    """One verdict: its number of trials, their place in the search space, cost, evidence, and the remedy.

    `ended` counts the trials that were not stopped: those diagnosed at their end, and audited ones. It is empty if all
    were stopped. `also` counts the faults that diagnosis found in outranked trials. `epochs` are the epochs that the
    trials began.
    """

    cause: Cause
    fate: Fate
    trials: int
    ended: str
    also: str
    span: str
    epochs: int
    evidence: str
    remedy: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictTable:
    """The verdicts, most frequent first. `dimension` is the parameter of `span`, None if there is no range."""

    dimension: str | None
    rows: tuple[VerdictRow, ...]


def verdict_table(snapshot: Snapshot) -> VerdictTable:
    """Return a row for each verdict except `healthy`, which does not explain an end."""
    groups: dict[Cause, list[Trial]] = {}
    for trial in snapshot.trials:
        if trial.verdict is not None and trial.verdict is not Cause.HEALTHY:
            groups.setdefault(trial.verdict, []).append(trial)
    dimension = _spanned(snapshot.study.spec.search)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    rows = tuple(_row(cause, trials, dimension) for cause, trials in ordered)
    return VerdictTable(dimension=dimension, rows=rows)


def common_remedy(search: Sequence[Dimension], trials: Sequence[Trial]) -> str:
    """Return the remedy that all trials of one verdict share, else that of the trial in the middle of their range."""
    return _remedy(trials, _spanned(search))


def _spanned(search: Sequence[Dimension]) -> str | None:
    """Return the name of the learning rate, else of the first searched range."""
    ranges = [learning_rate_of(search), *(dimension for dimension in search if isinstance(dimension, Range))]
    return next((dimension.name for dimension in ranges if dimension is not None), None)


def _row(cause: Cause, trials: Sequence[Trial], dimension: str | None) -> VerdictRow:
    findings = [trial.finding for trial in trials if trial.finding is not None]
    return VerdictRow(
        cause=cause,
        fate=Counter(trial.fate for trial in trials).most_common(1)[0][0],
        trials=len(trials),
        ended=_ended(trials),
        also=_also(findings),
        span=_span(trials, dimension),
        epochs=sum(trial.epochs for trial in trials),
        evidence=_evidence(findings),
        remedy=_remedy(trials, dimension),
    )


def _ended(trials: Sequence[Trial]) -> str:
    """Return `2 audited, 1 complete`: the trials that ran to their end in spite of the verdict."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    audited = sum(is_audited(trial) for trial in complete)
    counts = (("audited", audited), ("complete", len(complete) - audited))
    return ", ".join(f"{count:,} {name}" for name, count in counts if count)


def _also(findings: Sequence[Finding]) -> str:
    """Return `of them 2 also dead_relu_total, 1 also overfit`: the faults of outranked trials, most frequent first."""
    counts = Counter(cause for finding in findings if (cause := diagnosed_cause(finding)) is not None)
    ordered = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    words = ", ".join(f"{count:,} also {cause}" for cause, count in ordered)
    return f"of them {words}" if words else ""


def _span(trials: Sequence[Trial], dimension: str | None) -> str:
    values = [value for trial in trials if (value := _coordinate(trial, dimension)) is not None]
    if not values:
        return ""
    low, high = format_parameter(min(values)), format_parameter(max(values))
    return low if low == high else f"{low} to {high}"


def _coordinate(trial: Trial, dimension: str | None) -> float | None:
    value = None if dimension is None else trial.params.get(dimension)
    return value if isinstance(value, int | float) else None


def _remedy(trials: Sequence[Trial], dimension: str | None) -> str:
    """Return the remedy that all trials share, else that of the trial in the middle of their range.

    If diagnosis found faults in some outranked trials, only these count: the others need no remedy.
    """
    diagnosed = [trial for trial in trials if trial.finding is not None and diagnosed_cause(trial.finding)]
    trials = diagnosed or trials
    remedies = {trial.number: trial.finding.remedy for trial in trials if trial.finding is not None}
    if len(set(remedies.values())) == 1:
        return next(iter(remedies.values()))
    ordered = sorted(trials, key=lambda trial: (_coordinate(trial, dimension) or 0.0, trial.number))
    middle = ordered[len(ordered) // 2].number
    return f"For trial {middle}: {remedies[middle]}"


def _evidence(findings: Sequence[Finding]) -> str:
    """Return the median of each statistic and of the first step: `dead_share 0.98, from step 132`."""
    names = list(
        dict.fromkeys(
            name
            for finding in findings
            for name in finding.evidence
            if name != AUDITED_AT and (finding.cause is not Cause.OUTRANKED or name in RANK_EVIDENCE)
        )
    )
    columns: Mapping[str, list[float]] = {
        name: [finding.evidence[name] for finding in findings if name in finding.evidence] for name in names
    }
    words = [f"{name} {format_number(_median(values))}" for name, values in columns.items()]
    # A rank, a crash or a lost worker does not begin at a step of the optimizer.
    diagnosed = [finding for finding in findings if finding.cause not in OUTSIDE]
    steps = [float(finding.first_step) for finding in diagnosed if finding.first_step > 0]
    return ", ".join([*words, f"from step {_median(steps):,.0f}"] if steps else words)


def _median(values: Sequence[float]) -> float:
    """Return the median; if values are not finite, a middle element, with NaN ordered last."""
    if all(math.isfinite(value) for value in values):
        return median(values)
    ordered = sorted(values, key=lambda value: (math.isnan(value), value))
    return ordered[len(ordered) // 2]
