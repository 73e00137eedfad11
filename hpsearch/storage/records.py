"""Records that pass between the database and the workers, the report and the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, final

from hpsearch.study.messages import format_count
from hpsearch.study.spec import Dimension, StudySpec
from hpsearch.telemetry import Series
from hpsearch.trials import Fate, ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The place of a study in a database: Optuna's id and, if the study is ours, our key."""

    study_id: int
    key: str | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Foreign:
    """A study that another Optuna client made: each objective's name, and whether higher is better."""

    metrics: tuple[str, ...]
    maximize: tuple[bool, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StoredStudy:
    """A study as stored in the database.

    `key` is our own identity of it and never reused; `study_id` is Optuna's and may be reused. `spec.trials` is the
    present budget, and "auto" is resolved in `spec`. `fingerprint` names the data. `version` is that of the
    hpsearch that created it; workers serve studies of higher `priority` first. `parent` is the key of the study that
    this one follows up, which may be deleted.

    With `foreign`, another Optuna client made it. Then `key` and `fingerprint` are empty, `spec.metric` is its first
    objective, `spec.search` what its trials searched, `created` the start of the first, which may be unknown; the rest
    of `spec` is meaningless.
    """

    key: str
    study_id: int
    spec: StudySpec
    fingerprint: str
    created: datetime | None
    version: str
    priority: int = 0
    parent: str | None = None
    foreign: Foreign | None = None

    @property
    def name(self) -> str:
        """The name of the study, as Optuna and all other clients use it."""
        return self.spec.name

    @property
    def unit(self) -> Literal["epoch", "step"]:
        """The unit that numbers a trial's reports: epochs, or the steps that another Optuna client chose."""
        return "epoch" if self.foreign is None else "step"

    @property
    def planned_epochs(self) -> int:
        """The epochs of a trial that the study fixes; 1 if another program decides about them."""
        is_known = self.foreign is None and self.spec.objective is None
        return self.spec.training.epochs if is_known else 1

    def numbered(self, curve: Mapping[int, float]) -> dict[int, float]:
        """Return a trial's curve in order, by epochs from 1, or by another client's steps as reported."""
        first = int(self.foreign is None)
        return {number + first: value for number, value in sorted(curve.items())}

    @property
    def maximize(self) -> bool:
        """True if a higher metric is better."""
        if self.foreign is not None:
            return self.foreign.maximize[0]
        return self.spec.maximize


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadableStudy:
    """A study of ours whose row this version cannot read.

    `reason` holds the reason and the remedy; `version` is the stored version of the hpsearch that wrote it.
    """

    key: str
    study_id: int
    name: str
    version: str
    reason: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedTrial:
    """One trial that a worker took out of the budget, and the token that fences its writes.

    `params` is None if nothing was sampled yet; then `fixed` holds the requested values of an enqueued trial. `attempt`
    counts from 1. `crashes` counts the lost workers that count against the trial. A suspect, which has any or an
    earlier expired lease, is trained alone. `ignored` lists values requested by another Optuna client that no trial can
    have; those are sampled instead.
    """

    number: int
    trial_id: int
    token: int
    attempt: int
    crashes: int = 0
    is_suspect: bool = False
    params: Mapping[str, ParameterValue] | None = None
    fixed: Mapping[str, ParameterValue] = field(default_factory=dict)
    ignored: str | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """The parameters that a sampler chose for a claim, and the attributes that the sampler stores with the trial."""

    claim: ClaimedTrial
    params: Mapping[str, ParameterValue]
    system_attributes: Mapping[str, Any] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialOutcome:
    """How a trial ended. `value` is None if the metric is NaN; infinity is kept.

    `spread` is the standard deviation of the value over folds, or None without folds and if it is not finite.
    """

    state: TrialState
    value: float | None
    finding: Finding
    series: Series
    spread: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """A worker's write to one of its trials: its values by epoch, and optionally its outcome.

    `reports` are all values so far, and `assignment` holds the parameters chosen for the claim: a database that crashed
    may have lost earlier writes, and stores the missing ones. `suggested` are parameters outside the search
    space that the trial has, each with its range or choices; `user_attributes` are stored with the outcome. `kept` maps
    earlier attempts at the trial to the first epochs of theirs with which this one went on.
    """

    claim: ClaimedTrial
    reports: Mapping[int, float]
    epochs: int
    steps: int
    system_attributes: Mapping[str, Any] = field(default_factory=dict)
    suggested: Sequence[tuple[Dimension, ParameterValue]] = ()
    user_attributes: Mapping[str, Any] = field(default_factory=dict)
    outcome: TrialOutcome | None = None
    assignment: Assignment | None = None
    kept: Mapping[int, int] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """The number of trials with one fate, and the epochs that they began."""

    trials: int
    epochs: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ForeignTrial:
    """A running trial that no worker of ours holds: another Optuna client runs it, or ran it until it was killed.

    `seen` is its last observed sign of life. It `counts` against the budget until `counts_until`. `note` is the record
    to store for the next reader. Times are in UTC.
    """

    number: int
    trial_id: int
    started: datetime | None
    seen: datetime
    counts_until: datetime
    counts: bool
    note: Mapping[str, Any] | None = None


LimitName: TypeAlias = Literal["hours", "epochs", "until", "patience"]
"""The names of the limits of a study: the keys of `[budget]`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LimitStanding:
    """How a study stands against one of its limits.

    `used` is in the unit of the `limit`: hours, epochs, or finished trials without improvement; of `until`, it is the
    best value so far, None if no trial is complete.
    """

    name: LimitName
    limit: float
    used: float | None
    is_reached: bool


def limit_words(standing: LimitStanding) -> str:
    """Return `1.5 of 2 hours`, `400 of 500 epochs`, `best 0.97, until 0.98`, `12 of 50 trials without improvement`."""
    limit, used = standing.limit, standing.used
    match standing.name:
        case "hours":
            return f"{used or 0:.3g} of {limit:g} hours"
        case "epochs":
            return f"{int(used or 0):,} of {format_count(int(limit), 'epoch')}"
        case "until":
            return f"best {'none yet' if used is None else f'{used:.4g}'}, until {limit:g}"
        case "patience":
            return f"{int(used or 0):,} of {format_count(int(limit), 'trial')} without improvement"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """The progress of a study.

    `budget` is in finished trials (complete and pruned). `ledger` maps causes to epochs, as `trials.ledger_of` of its
    trials and attempts; its values add up to `epochs`. `stopped` is the reason why the study takes no more trials
    although its budget is not spent, or None; if it was paused, it `is_paused`. `foreign` are the running trials of
    other Optuna clients. `limits` are those of `[budget]`. A study that another Optuna client made `is_foreign`: it has
    no budget and no ledger, and `budget` counts its trials.

    >>> def note(progress: hpsearch.Progress) -> None:
    ...     print(f"{progress.finished} of {progress.budget}")
    >>> note(study.progress)
    40 of 40
    """

    name: str
    budget: int
    complete: int
    pruned: int
    failed: int
    running: int
    waiting: int
    fates: Mapping[Fate, Tally]
    ledger: Mapping[str, int]
    epochs: int
    best: Trial | None
    stopped: str | None = None
    is_paused: bool = False
    is_foreign: bool = False
    foreign: tuple[ForeignTrial, ...] = ()
    limits: tuple[LimitStanding, ...] = ()

    @property
    def ended_by(self) -> LimitStanding | None:
        """The limit that ended the study before its budget was spent; None if none did."""
        reached = next((limit for limit in self.limits if limit.is_reached), None)
        return None if self.finished >= self.budget else reached

    @property
    def waits_for(self) -> tuple[ForeignTrial, ...]:
        """The trials of other Optuna clients, if the study waits only for them."""
        counting = tuple(trial for trial in self.foreign if trial.counts)
        is_full = self.finished + len(counting) >= self.budget and self.running == len(self.foreign)
        return counting if is_full and self.stopped is None and not self.is_done else ()

    @property
    def finished(self) -> int:
        """Trials that count against the budget."""
        return self.complete + self.pruned

    @property
    def is_done(self) -> bool:
        """True if the budget is spent, or a limit ended the study."""
        return not self.is_foreign and (self.finished >= self.budget or self.ended_by is not None)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One study of a database, made by any client, for listings.

    `trials` counts its trials by state. For an unreadable study of ours, `unreadable` holds the reason, and `study` and
    `progress` are None; a foreign `study` lacks its search space here.
    """

    name: str
    study_id: int
    trials: Mapping[TrialState, int]
    study: StoredStudy | None = None
    progress: Progress | None = None
    unreadable: str | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The remaining work of a study.

    `room` is the number of trials that a claim could take now. A study `is_open` until its budget is spent or it
    `is_stopped`, by a pause, failures or a limit; an open one without room may get some if trials of other workers come
    back. `waits_for` are the trials of other Optuna clients, if it waits only for them; `foreign` are all that were
    examined.
    """

    study: StoredStudy
    room: int
    is_open: bool
    is_stopped: bool
    waits_for: tuple[ForeignTrial, ...] = ()
    foreign: tuple[ForeignTrial, ...] = ()


AttemptKind: TypeAlias = Literal["handed_back", "crashed", "lost", "expired", "superseded"]
"""Kinds of unsuccessful attempts; see the state machine in `schema`."""


def attempt_cause(kind: AttemptKind) -> Cause:
    """Return the cause under which the ledger counts the epochs of an unsuccessful attempt."""
    return Cause.STOPPED if kind == "handed_back" else Cause.WORKER_LOST


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One unsuccessful attempt at a trial: its worker, why it ended, and the epochs that were lost with it.

    These are the ones that it began, except those with which a later attempt went on from a checkpoint. `attempt`
    counts from 1. `kind` is how it ended; with `crashed` it counts against the trial. Times are in UTC; `started` is
    None if an older hpsearch wrote the attempt.
    """

    attempt: int
    worker: str | None
    why: str
    crashed: bool
    epochs: int
    ended: datetime
    started: datetime | None = None
    kind: AttemptKind = "handed_back"

    @property
    def cause(self) -> Cause:
        """The cause under which the ledger counts its epochs: `stopped` if it was handed back, else `worker_lost`."""
        return attempt_cause(self.kind)


Part: TypeAlias = Literal["validation", "test"]
"""The part of the data that an evaluation measured."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The configuration of trial `number`, trained again to its end with another `seed`, and measured on `part`.

    `loss` is the mean data loss, `accuracy` is None in regression, and `score` is the study's metric if it is neither;
    each is None if it is not finite. `made` is in UTC.
    """

    number: int
    part: Part
    seed: int
    loss: float | None
    accuracy: float | None
    made: datetime
    score: float | None = None

    def value(self, metric: str) -> float | None:
        """Return the value of the study's `metric` on this part."""
        return {"validation_accuracy": self.accuracy, "validation_loss": self.loss}.get(metric, self.score)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Unsealing:
    """The one opening of a study's sealed test part: for which trial, by which command, when (UTC).

    `seeds` is the number of fresh seeds it is measured with, or None if the command did not set it.
    """

    number: int
    command: str
    opened: datetime
    seeds: int | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerIdentity:
    """The identity of a worker. `name` is unique among the workers of a database.

    A worker that `has_parent` was started by a process of ours, which sees it end.
    """

    name: str
    host: str
    process_id: int
    version: str
    has_parent: bool = False


WorkerState: TypeAlias = Literal["lost", "stopping", "working", "idle"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """A registered worker. `running` maps the names of studies to the number of trials that it holds there.

    `is_lost` is true if it was not seen for a while, `should_stop` if it was asked to drain. Times are in UTC.
    """

    identity: WorkerIdentity
    started: datetime
    seen: datetime
    is_lost: bool
    should_stop: bool
    running: Mapping[str, int]

    @property
    def state(self) -> WorkerState:
        """The worker's state in one word; `lost` means not seen for a while."""
        if self.is_lost:
            return "lost"
        if self.should_stop:
            return "stopping"
        return "working" if self.running else "idle"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """The result of a heartbeat: the number of renewed leases, and whether the worker was asked to stop."""

    leases: int
    should_stop: bool
