"""The trials that a worker holds: the state of each, its values not stored yet, and which trials are audited.

An audit lets some of the trials that diagnosis would stop run on, to measure how often stopping is wrong. Their
selection depends only on the study's seed and the trial's number (law 1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import numpy as np

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.storage.records import Assignment, ClaimedTrial, TrialOutcome, Update
from hpsearch.study.metrics import has_stalled, kept_epoch
from hpsearch.telemetry import Epoch, Telemetry
from hpsearch.training.folds import mean_series
from hpsearch.training.row import Observation
from hpsearch.trials import TrialState
from hpsearch.verdicts import AUDITED_AT, DIAGNOSED, FOLD, Cause, Finding

AUDIT_STREAM: Final = int.from_bytes(b"audt")
"""Second word of the seed that selects audited trials; the first is the study's seed, the third the trial's number.

No stream of training or of the split uses it.
"""


def is_audited(*, seed: int, number: int, share: float) -> bool:
    """Return True if trial `number` runs on although diagnosis would stop it, as a `share` (0..1) of all trials does.

    A trial that is audited at one share is audited at every larger one.
    """
    draw = np.random.Generator(np.random.PCG64([seed, AUDIT_STREAM, number])).random()
    return bool(draw < share)


def with_audit_step(finding: Finding, *, step: int) -> Finding:
    """Return the finding that would have stopped a trial after `step` steps, with that step in its evidence."""
    return replace(finding, evidence={**finding.evidence, AUDITED_AT: step})


@final
@dataclass(kw_only=True, slots=True)
class ActiveTrial:
    """One claimed trial in training, with the parameters of its `assignment`.

    `facts` are those of each fold, or of the only training; `measured` are the measurements of each, and `telemetry`
    has the means. `metric` is the name of the series that the study ranks by. `reported` counts the epochs stored in
    the database; `unsaved` are the `system_attributes` not stored there. `audited_finding` is the finding that would
    have stopped an audited trial. `kept` maps earlier attempts to the epochs of theirs that a checkpoint contained.
    """

    assignment: Assignment
    facts: Sequence[TrialFacts]
    metric: str
    telemetry: Telemetry | None = None
    measured: Sequence[Telemetry] = ()
    reported: int = 0
    audited_finding: Finding | None = None
    outcome: TrialOutcome | None = None
    system_attributes: dict[str, Any] = field(default_factory=dict)
    unsaved: dict[str, Any] = field(default_factory=dict)
    kept: Mapping[int, int] = field(default_factory=dict)

    @property
    def claim(self) -> ClaimedTrial:
        """The claim that holds the trial."""
        return self.assignment.claim

    def observe(self, observation: Observation) -> None:
        """Take the measurements of a new observation."""
        self.telemetry, self.measured = observation.telemetry, observation.measured

    def fatal_finding(self, observation: Observation, fatal: frozenset[Cause]) -> Finding | None:
        """Return the first sure finding of a `fatal` cause in the training with the new observation, or None."""
        fold = observation.fold
        found = fatal_finding(observation.measured[fold], self.facts[fold], fatal)
        return None if found is None else self._named(found, fold)

    def judge(self) -> Finding:
        """Return the strongest finding so far; of several folds the surest problem, or else the first other one.

        A fold is healthy rather than inconclusive if any is.
        """
        found = [judge(*one).primary for one in zip(self.measured, self.facts, strict=True)]
        order = {Cause.INCONCLUSIVE: 2, Cause.HEALTHY: 1}
        fold = min(range(len(found)), key=lambda i: (order.get(found[i].cause, 0), -found[i].confidence))
        return self._named(found[fold], fold)

    def _named(self, finding: Finding, fold: int) -> Finding:
        """Return `finding` with its fold in the evidence, if there are several."""
        if len(self.facts) == 1:
            return finding
        return replace(finding, evidence={**finding.evidence, FOLD: fold + 1})

    def keep(self, attributes: Mapping[str, Any]) -> None:
        """Keep the attributes that sampler and pruner store with the trial."""
        self.system_attributes |= attributes
        self.unsaved |= attributes

    def value(self, epoch: int) -> float:
        """Return the study's metric after that epoch, or NaN if there is none."""
        value = self._measured.epochs[epoch].value(self.metric)
        return math.nan if value is None else value

    @property
    def values(self) -> tuple[float, ...]:
        """The study's metric after each epoch so far."""
        return tuple(self.value(epoch) for epoch in range(len(self._measured.epochs)))

    def _counting_epoch(self, state: TrialState) -> Epoch | None:
        """Return the epoch whose metric is the trial's value, if there is one; the last unless it is complete."""
        epochs = self._measured.epochs
        if not epochs or state is not TrialState.COMPLETE:
            return epochs[-1] if epochs else None
        return kept_epoch(epochs, metric=self.metric, keep=self.facts[0].configuration.training.keep)

    def end(self, state: TrialState, finding: Finding) -> None:
        """Set the trial's outcome. A trial that is complete without a finite metric counts as pruned."""
        telemetry = self._measured
        if state is TrialState.COMPLETE and not (telemetry.epochs and math.isfinite(self.value(-1))):
            state = TrialState.PRUNED
        epoch = self._counting_epoch(state)
        value = math.nan if epoch is None else self.value(epoch.epoch)
        self.outcome = TrialOutcome(
            state=state,
            value=None if math.isnan(value) else value,
            finding=finding,
            series=mean_series(self.measured, steps_per_epoch=self._steps_per_epoch),
            spread=None if epoch is None else self._spread(epoch.epoch),
        )

    @property
    def _steps_per_epoch(self) -> list[int]:
        return [facts.steps_per_epoch for facts in self.facts]

    def _spread(self, epoch: int) -> float | None:
        """Return the standard deviation over folds of the metric after that epoch; None unless it is finite.

        It is that of the folds themselves, divided by K, as `std_test_score` of scikit-learn's `GridSearchCV`.
        """
        if len(self.measured) == 1:
            return None
        values = [one.epochs[epoch].value(self.metric) for one in self.measured]
        with np.errstate(all="ignore"):
            spread = float(np.std(np.array(values, np.float64)))
        return spread if math.isfinite(spread) else None

    def audit(self, finding: Finding) -> None:
        """Let the audited trial run on although `finding` would have stopped it now."""
        self.audited_finding = with_audit_step(finding, step=self._measured.steps)

    def stop_early(self, epochs: int) -> None:
        """Set the outcome of a trial that has stalled for `epochs`: complete with its best value."""
        best = kept_epoch(self._measured.epochs, metric=self.metric, keep="best").epoch
        finding = early_stopped(self.judge(), step=self._measured.steps, best=best, epochs=epochs)
        self.end(TrialState.COMPLETE, finding)

    def has_stalled(self, epochs: int | None) -> bool:
        """Return True if its best value is that many epochs old; never if `epochs` is None."""
        return has_stalled(self._measured.epochs, metric=self.metric, limit=epochs)

    def end_audit(self, *, is_finished: bool) -> None:
        """Set an audited trial's outcome if it is at its end, or its numbers are no longer finite."""
        if self.audited_finding is None:
            raise ValueError(f"trial {self.claim.number}: it is not audited, so no audit can end")
        if self._measured.nonfinite is not None:
            self.end(TrialState.PRUNED, self.audited_finding)
        elif is_finished:
            self.end(TrialState.COMPLETE, self.audited_finding)

    def update(self) -> Update | None:
        """Return the update to store now, or None if there is nothing new."""
        if self.telemetry is None or (self.reported == len(self.telemetry.epochs) and self.outcome is None):
            return None
        reports = {epoch: self.value(epoch) for epoch in range(len(self.telemetry.epochs))}
        self.reported = len(self.telemetry.epochs)
        # At the end all epochs: a database that crashed may have lost some.
        attributes, self.unsaved = self.unsaved if self.outcome is None else self.system_attributes, {}
        return Update(
            claim=self.claim,
            reports=reports,
            epochs=self.begun,
            steps=self.telemetry.steps,
            system_attributes=attributes,
            outcome=self.outcome,
            assignment=self.assignment,
            kept=self.kept,
        )

    @property
    def begun(self) -> int:
        """The number of epochs that it has begun, by its last observation."""
        of_folds = zip(self.measured, self._steps_per_epoch, strict=False)
        return max((-(-one.steps // steps) for one, steps in of_folds), default=0)

    @property
    def _measured(self) -> Telemetry:
        if self.telemetry is None:
            raise ValueError(f"trial {self.claim.number}: nothing was measured yet")
        return self.telemetry


def early_stopped(finding: Finding, *, step: int, best: int, epochs: int) -> Finding:
    """Return the finding of a trial that ended because epoch `best` (from 0) is `epochs` old, with its diagnosis."""
    evidence = {"best_epoch": best + 1, "epochs_without_improvement": epochs}
    why = f"no epoch after epoch {best + 1} was better (limits.trial_epochs_without_improvement)"
    return _with_diagnosis(Cause.EARLY_STOPPED, why, evidence, step=step, diagnosis=finding)


def outranked(telemetry: Telemetry, value: float, rank: str, *, diagnosis: Finding) -> Finding:
    """Return the finding of a trial that Optuna's pruner `rank` stopped at `value`, with its `diagnosis` so far."""
    evidence = {"value": value, "epochs": len(telemetry.epochs)}
    others = f'others did better after as many epochs (pruning.rank = "{rank}")'
    return _with_diagnosis(Cause.OUTRANKED, others, evidence, step=telemetry.steps, diagnosis=diagnosis)


def _with_diagnosis(
    cause: Cause, why: str, evidence: Mapping[str, float], *, step: int, diagnosis: Finding
) -> Finding:
    """Return the finding of a trial that was ended for `cause`, and `why`, with its diagnosis so far.

    A cause that diagnosis found is kept in the evidence (`verdicts.diagnosed_cause`), and its remedy in the finding's.
    """
    suggested: dict[str, Any] = {}
    if diagnosis.cause in (Cause.HEALTHY, Cause.INCONCLUSIVE):
        is_well = diagnosis.cause is Cause.HEALTHY
        remedy = f"{'Nothing is wrong with it' if is_well else 'No fault was found so far'}: {why}."
    else:
        remedy = f"{why[0].upper()}{why[1:]}; diagnosis found {diagnosis.cause}: {diagnosis.remedy}"
        evidence = {**evidence, DIAGNOSED + diagnosis.cause: diagnosis.confidence, **diagnosis.evidence}
        suggested = dict(diagnosis.suggested)
    return Finding(
        cause=cause,
        confidence=1.0,
        first_step=step,
        evidence=evidence,
        remedy=remedy,
        suggested=suggested,
    )
