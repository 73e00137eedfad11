"""The trials of a training function that a worker holds: what their processes reported, and how they ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.programs import facts_of_program
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.errors import HpsearchError
from hpsearch.objective.children import Children, can_limit_memory
from hpsearch.objective.messages import End, FromChild, Noted, Reported, Returned, Stopped, TelemetryUpdate
from hpsearch.objective.trial import Objective
from hpsearch.storage.records import Assignment, ClaimedTrial, StoredStudy, TrialOutcome, Update
from hpsearch.study.messages import format_count
from hpsearch.study.spec import Dimension, PruningSpec
from hpsearch.telemetry import Series, Telemetry
from hpsearch.trials import FAILURE, Failure, ParameterValue, Trial, TrialState
from hpsearch.verdicts import DIAGNOSED, Cause, Finding
from hpsearch.worker.active_trial import early_stopped, with_audit_step
from hpsearch.worker.checkpoints import checkpoint_folder

MOST_FAILURES_IN_A_ROW: Final = 5
"""Failures of one kind in a row after which a study pauses: more would only repeat them."""


@final
@dataclass(kw_only=True, slots=True)
class ChildTrial:
    """One claimed trial whose function runs in a child process, with the parameters of its `assignment`.

    `pruning` is the study's. With `continues` it goes on from a checkpoint. `reports` are the values that rank it by
    epoch, `numbers` all that it reported; `suggested` are the parameters that its function asked for. `telemetry` is
    what a monitor measured, None without one. `stored` counts the epochs and the suggested parameters in the database;
    `unsaved` are the `system_attributes` that are not stored there. `audited_finding` is the finding that would have
    stopped an audited trial.
    """

    assignment: Assignment
    pruning: PruningSpec = field(default_factory=PruningSpec)
    continues: bool = False
    reports: dict[int, float] = field(default_factory=dict)
    numbers: dict[int, Mapping[str, float]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    suggested: list[tuple[Dimension, ParameterValue]] = field(default_factory=list)
    telemetry: Telemetry | None = None
    stored: int = 0
    audited_finding: Finding | None = None
    outcome: TrialOutcome | None = None
    system_attributes: dict[str, Any] = field(default_factory=dict)
    unsaved: dict[str, Any] = field(default_factory=dict)

    @property
    def claim(self) -> ClaimedTrial:
        """The claim that holds the trial."""
        return self.assignment.claim

    @property
    def last_value(self) -> float:
        """The last value that ranks the trial; NaN if there is none."""
        return self.reports[max(self.reports)] if self.reports else math.nan

    @property
    def failed(self) -> bool:
        """True if the trial has ended as failed."""
        return self.outcome is not None and self.outcome.state is TrialState.FAILED

    def keep(self, attributes: Mapping[str, Any]) -> None:
        """Keep the attributes that sampler and pruner store with the trial."""
        self.system_attributes |= attributes
        self.unsaved |= attributes

    def receive(self, message: FromChild) -> None:
        """Keep what the trial's process sent, and set the trial's outcome if it has ended."""
        match message:
            case Reported(epoch=epoch, value=value, numbers=numbers):
                self.numbers[epoch] = numbers
                if value is not None:
                    self.reports[epoch] = value
            case Noted(name=name, value=value):
                self.notes[name] = value
            case TelemetryUpdate(telemetry=telemetry):
                self.telemetry = telemetry
            case Returned() | Stopped() | Failure():
                self._end_with(message)
            case _:
                pass

    def fatal_finding(self, fatal: frozenset[Cause]) -> Finding | None:
        """Return the first sure finding of a `fatal` cause; None unless the study lets diagnosis act on programs."""
        facts = self._facts()
        if self.telemetry is None or facts is None or not facts.acts or self.continues:
            return None
        return fatal_finding(self.telemetry, facts, fatal)

    def judge(self) -> Finding:
        """Return the strongest finding in what was measured so far; `inconclusive` if there is nothing to judge."""
        facts = self._facts()
        if self.telemetry is None or facts is None:
            return self._finding(Cause.INCONCLUSIVE, _UNMEASURED)
        if self.continues:
            return self._finding(Cause.INCONCLUSIVE, _CONTINUED)
        return judge(self.telemetry, facts).primary

    def audit(self, finding: Finding) -> None:
        """Let the audited trial run on although `finding` would have stopped it now."""
        self.audited_finding = with_audit_step(finding, step=self._step)

    def end(self, state: TrialState, finding: Finding, value: float | None = None) -> None:
        """Set the trial's outcome, by default with its last value.

        A trial that is complete without a finite value counts as pruned.
        """
        value = self.last_value if value is None else value
        if state is TrialState.COMPLETE and not math.isfinite(value):
            state = TrialState.PRUNED
        self.outcome = TrialOutcome(
            state=state,
            value=None if math.isnan(value) or state is TrialState.FAILED else value,
            finding=finding,
            series=series_of_numbers([self.numbers[epoch] for epoch in sorted(self.numbers)]),
        )

    def update(self) -> Update | None:
        """Return the update to store now, or None if there is nothing new."""
        count = len(self.numbers) + len(self.suggested)
        if self.outcome is None and self.stored == count:
            return None
        self.stored = count
        # At the end all of them: a database that crashed may have lost some.
        attributes, self.unsaved = self.unsaved if self.outcome is None else self.system_attributes, {}
        return Update(
            claim=self.claim,
            reports=dict(self.reports),
            epochs=max([len(self.numbers), *(epoch + 1 for epoch in self.reports)]),
            steps=self._step,
            system_attributes=attributes,
            suggested=tuple(self.suggested),
            user_attributes=self.notes,
            outcome=self.outcome,
            assignment=self.assignment,
            kept=self._kept,
        )

    @property
    def _kept(self) -> Mapping[int, int]:
        """The epochs before its first report that earlier attempts trained, by attempt: it went on from the last."""
        first = min(self.numbers, default=0) if self.continues else 0
        return dict.fromkeys(range(1, self.claim.attempt), first) if first else {}

    def _end_with(self, end: End) -> None:
        match end:
            case Returned(value=value) if math.isfinite(value):
                self.end(TrialState.COMPLETE, self._last_finding(), value)
            case Returned(value=value):
                remedy = (
                    f"The function returned {value}, which no sampler can use: let it return a finite number."
                )
                self.end(TrialState.PRUNED, self._problem_or(Cause.INCONCLUSIVE, remedy), value)
            case Stopped():
                remedy = "The function gave the trial up by itself."
                self.end(TrialState.PRUNED, self._problem_or(Cause.OUTRANKED, remedy))
            case Failure():
                self.keep({FAILURE: asdict(end)})
                self.end(TrialState.FAILED, self._finding(end.cause, failure_remedy(end)))

    def _best_epoch(self, *, maximize: bool) -> int | None:
        """Return the first epoch with the best finite value, None if there is none."""
        sign = -1 if maximize else 1
        finite = [(sign * value, epoch) for epoch, value in self.reports.items() if math.isfinite(value)]
        return min(finite)[1] if finite else None

    def has_stalled(self, epochs: int, *, maximize: bool) -> bool:
        """Return True if its best value is that many epochs old."""
        best = self._best_epoch(maximize=maximize)
        return best is not None and max(self.reports) - best >= epochs

    def stop_early(self, epochs: int, *, maximize: bool) -> None:
        """End a trial that has stalled for `epochs`: complete with its best value."""
        best = self._best_epoch(maximize=maximize)
        if best is None:
            raise ValueError(f"trial {self.claim.number}: it has no value, so none can be the best")
        finding = early_stopped(self.judge(), step=self._step, best=best, epochs=epochs)
        finding = finding if self.audited_finding is None else self.audited_finding
        self.end(TrialState.COMPLETE, finding, self.reports[best])

    def outrank(self, rank: str) -> None:
        """End the trial because Optuna's pruner `rank` stopped it at its last value."""
        remedy = f'Others did better after as many epochs (pruning.rank = "{rank}").'
        evidence = {"value": self.last_value, "epochs": float(len(self.reports))}
        problem, suggested = self.judge(), {}
        if problem.cause not in _WELL:
            remedy = f"{remedy[:-1]}; diagnosis found {problem.cause}: {problem.remedy}"
            evidence |= {DIAGNOSED + problem.cause: problem.confidence, **problem.evidence}
            suggested = dict(problem.suggested)
        finding = self._finding(Cause.OUTRANKED, remedy, evidence)
        self.end(TrialState.PRUNED, replace(finding, suggested=suggested))

    @property
    def _step(self) -> int:
        return 0 if self.telemetry is None else self.telemetry.steps

    def _facts(self) -> TrialFacts | None:
        if self.telemetry is None or self.telemetry.program is None:
            return None
        return facts_of_program(
            self.telemetry.program,
            acts=self.pruning.diagnosis == "act",
            expected=frozenset(self.pruning.expected),
        )

    def _last_finding(self) -> Finding:
        return self.judge() if self.audited_finding is None else self.audited_finding

    def _problem_or(self, cause: Cause, remedy: str) -> Finding:
        """Return the problem that diagnosis finds, or a finding of `cause` if there is none."""
        found = self._last_finding()
        return self._finding(cause, remedy) if found.cause in _WELL else found

    def _finding(self, cause: Cause, remedy: str, evidence: Mapping[str, float] | None = None) -> Finding:
        return Finding(
            cause=cause,
            confidence=0.0 if cause is Cause.INCONCLUSIVE else 1.0,
            first_step=self._step,
            evidence=evidence or {},
            remedy=remedy,
        )


_WELL: Final = frozenset({Cause.HEALTHY, Cause.INCONCLUSIVE})

_UNMEASURED: Final = "Nothing was measured inside the model, so diagnosis has nothing to judge."

_CONTINUED: Final = "The trial went on from a checkpoint, so its first steps were not measured."


def failure_remedy(failure: Failure) -> str:
    """Return the remedy of a failure, with its message."""
    said = f": {failure.message}" if failure.message else ""
    match failure.cause:
        case Cause.TIMEOUT:
            return f"Raise limits.trial_seconds, or search smaller models{said}."
        case Cause.OUT_OF_MEMORY:
            return f"Raise limits.trial_memory_mb, or search smaller models and minibatches{said}."
        case _:
            return f"Correct the function, {failure.words}{said}."


def children_of(study: StoredStudy, folder: Path, function: Objective | None) -> Children:
    """Return the processes of a study's training function. Checkpoints are in `folder`, unless a variable names it.

    Raises HpsearchError if the function cannot run here: it exists in another process only, or a limit is unknown to
    this system.
    """
    objective, limits, where = study.spec.objective, study.spec.limits, f'study "{study.spec.name}"'
    if objective is None:
        raise ValueError(f"{where}: it has no training function")
    if function is None and not objective.is_importable:
        raise HpsearchError(
            f"{where}: its function was passed by a program and cannot be imported (got {objective.function}): "
            "run it from that program, or put the function into a module"
        )
    if limits.trial_memory_mb is not None and not can_limit_memory():
        raise HpsearchError(
            f"{where}: limits.trial_memory_mb: needs a system that shows the memory of processes in /proc "
            f"(got {limits.trial_memory_mb} here): leave it out, or use Linux"
        )
    return Children(
        objective=objective,
        metric=study.spec.metric,
        seed=study.spec.seed,
        folder=checkpoint_folder(study, folder),
        limits=limits,
        function=function,
    )


def series_of_numbers(numbers: Sequence[Mapping[str, float]]) -> Series:
    """Return the reported numbers as series, one number per report, NaN if a report lacks it."""
    names = dict.fromkeys(name for one in numbers for name in one)
    return {name: [one.get(name, math.nan) for one in numbers] for name in names}


def repeated_failure(trials: Sequence[Trial]) -> str | None:
    """Return the kind and place of the failure of the last trials, if they failed in the same way; else None."""
    ended = [trial for trial in trials if trial.state.is_final and trial.finished is not None]
    ended.sort(key=lambda trial: (trial.finished, trial.number))
    last = [trial.failure for trial in ended[-MOST_FAILURES_IN_A_ROW:]]
    if len(last) < MOST_FAILURES_IN_A_ROW or last[-1] is None:
        return None
    words = last[-1].words
    return words if all(one is not None and one.words == words for one in last) else None


def pause_reason(words: str) -> str:
    """Return by whom a study is paused whose trials fail in the same way."""
    return f"hpsearch after {format_count(MOST_FAILURES_IN_A_ROW, 'failure')} in a row, {words},"
