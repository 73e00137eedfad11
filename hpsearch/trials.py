"""Trials: their states and fates, their record in the database, and the ledger of their epochs."""

import gc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias, final

from hpsearch.verdicts import Cause, Finding, known_cause

MaybeNone: TypeAlias = Any
"""None, in a type whose users need not handle it: "the Any trick" of typeshed's CONTRIBUTING.md."""

ParameterValue: TypeAlias = float | int | str | bool | MaybeNone
"""The types of a parameter: None too, if it is a choice of a training function.

A list (such as the widths of layers) is passed as its JSON text. A parameter that a trial lacks is not in its `params`.
"""


@final
class TrialState(StrEnum):
    """The state of a trial. `COMPLETE`, `PRUNED` and `FAILED` are final."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True if the trial will not change any more."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


@final
class Fate(StrEnum):
    """How a trial ended, or its present state, in the words of the report."""

    COMPLETE = "complete"
    EARLY_STOPPED = "early stopped"
    OUTRANKED = "outranked"
    DIVERGED = "diverged"
    DYING = "dying"
    TOO_SLOW = "too slow"
    OTHER = "other verdict"
    CRASHED = "crashed"
    LOST = "lost"
    RUNNING = "running"
    WAITING = "waiting"


_FATE_OF_CAUSE = {
    Cause.OUTRANKED: Fate.OUTRANKED,
    Cause.LOG_ZERO: Fate.DIVERGED,
    Cause.DIVERGED_LR: Fate.DIVERGED,
    Cause.EXPLODING: Fate.DIVERGED,
    Cause.EXPLODING_GRAD: Fate.DIVERGED,
    Cause.DEAD_RELU_TOTAL: Fate.DYING,
    Cause.DEAD_RELU_PARTIAL: Fate.DYING,
    Cause.BORN_DEAD: Fate.DYING,
    Cause.NEG_PLATEAU: Fate.DYING,
    Cause.LR_TOO_LOW: Fate.TOO_SLOW,
    Cause.WORKER_LOST: Fate.LOST,
}


_FAILED_FATES: Mapping[Cause | None, Fate] = {Cause.WORKER_LOST: Fate.LOST, Cause.STOPPED: Fate.OTHER}


SURVIVED: Final = frozenset({Fate.COMPLETE, Fate.EARLY_STOPPED, Fate.OUTRANKED})
"""The fates of trials that learned until their end: nothing was wrong with them that stops a trial."""


def fate_of(state: TrialState, cause: Cause | None) -> Fate:
    """Return in the report's words the fate of a trial in `state` with the verdict `cause`."""
    match state:
        case TrialState.WAITING:
            return Fate.WAITING
        case TrialState.RUNNING:
            return Fate.RUNNING
        case TrialState.COMPLETE:
            return Fate.EARLY_STOPPED if cause is Cause.EARLY_STOPPED else Fate.COMPLETE
        case TrialState.FAILED:
            return _FAILED_FATES.get(cause, Fate.CRASHED)
        case TrialState.PRUNED:
            # A trial that another Optuna client pruned has no verdict of ours.
            return Fate.OUTRANKED if cause is None else _FATE_OF_CAUSE.get(cause, Fate.OTHER)


FIXED = "fixed_params"
"""The system attribute in which Optuna stores the parameters of an enqueued trial."""


FAILURE: Final = "hpsearch:failure"
"""The system attribute that stores the `Failure` of a trial."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """How a training function failed.

    `kind` is the class of its exception, or what ended its process, such as `exit code 3`, `SIGSEGV` or `over
    trial_seconds`; `place` is the line of the user's code, such as `train.py:41`, empty if it is unknown. `output` is
    the end of the trial's standard output and error. `exit_code` and `signal` are those of a process
    that ended by itself.
    """

    cause: Cause
    kind: str
    message: str = ""
    place: str = ""
    traceback: str = ""
    output: str = ""
    exit_code: int | None = None
    signal: int | None = None

    @property
    def words(self) -> str:
        """The kind and the place: `ValueError in train.py:41`."""
        return f"{self.kind} in {self.place}" if self.place else self.kind


def stored_failure(raw: object) -> Failure | None:
    """Return the failure that a trial's system attribute holds; None if it holds none that this version can read."""
    if not isinstance(raw, Mapping):
        return None
    texts = {
        name: raw[name]
        for name in ("kind", "message", "place", "traceback", "output")
        if isinstance(raw.get(name), str)
    }
    numbers = {name: raw[name] for name in ("exit_code", "signal") if isinstance(raw.get(name), int)}
    if "kind" not in texts:
        return None
    return Failure(cause=known_cause(raw.get("cause")), **texts, **numbers)


OTHERS: Final = "another Optuna client"
"""The owner of a trial that no worker of ours trained."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One trial as it is stored in the database.

    `params` has flat dotted names. `value` is the study's metric (the last one reported for a pruned trial) and None if
    there is none; `curve` maps epochs (from 0) to the metric after them, NaN and infinity included. `epochs` counts the
    epochs that the trial started, `steps` its optimizer steps. Times are aware and in UTC. `system_attributes` holds
    the JSON values that Optuna's samplers and pruners store with a trial. `values` are those of all objectives, if a
    study of another Optuna client has several; `value` is then the first. `spread` is the standard deviation of `value`
    over the folds of the study (divided by their number), or None if it has none.
    """

    number: int
    state: TrialState
    params: Mapping[str, ParameterValue]
    value: float | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    finding: Finding | None = None
    epochs: int = 0
    steps: int = 0
    worker: str | None = None
    attempts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    system_attributes: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    spread: float | None = None

    @property
    def owner(self) -> str | None:
        """The owner of the trial, past or present: a worker's name, or `OTHERS`; None if it has not started."""
        if self.worker is not None:
            return self.worker
        has_begun = self.started is not None or self.verdict is not Cause.STOPPED
        return OTHERS if self.state is not TrialState.WAITING and has_begun else None

    @property
    def verdict(self) -> Cause | None:
        """The cause that the trial's verdict names, or None if there is no verdict yet."""
        return None if self.finding is None else self.finding.cause

    @property
    def fate(self) -> Fate:
        """How the trial ended, or its present state."""
        return fate_of(self.state, self.verdict)

    @property
    def failure(self) -> Failure | None:
        """How the trial's training function failed, if it did."""
        return stored_failure(self.system_attributes.get(FAILURE))

    @property
    def is_ranked(self) -> bool:
        """True if the trial can be the best: complete, with a finite value, within Optuna's constraints if any."""
        has_value = self.value is not None and math.isfinite(self.value)
        return self.state is TrialState.COMPLETE and has_value and not self.is_infeasible

    @property
    def is_foreign(self) -> bool:
        """True if another Optuna client ended the trial: no worker of ours, and no verdict."""
        return self.state.is_final and self.finding is None and self.worker is None

    @property
    def constraints(self) -> tuple[float, ...]:
        """The trial's constraints in Optuna: one above 0 is violated."""
        found = self.system_attributes.get("constraints")
        return tuple(c for c in found if isinstance(c, int | float)) if isinstance(found, list) else ()

    @property
    def is_infeasible(self) -> bool:
        """True if the trial violates a constraint of its study."""
        return any(constraint > 0 for constraint in self.constraints)


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause Python's garbage collector while a large number of records is made; also a decorator.

    Records have no cycles, but each new one counts towards the next collection, which visits all that exist: of the
    time in which 20,000 trials were read from PostgreSQL, collections took 40 %.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def best_trials(trials: Sequence[Trial], *, maximize: bool, count: int) -> list[Trial]:
    """Return the `count` best ranked trials, best first; the lower number first if they are equal."""
    ranked = [(trial.value, trial) for trial in trials if trial.is_ranked and trial.value is not None]
    ranked.sort(key=lambda pair: (-pair[0] if maximize else pair[0], pair[1].number))
    return [trial for _, trial in ranked[:count]]


def ledger_key(state: TrialState, cause: Cause | None) -> str:
    """Return the ledger's key for the epochs of a trial in `state` with the verdict `cause`."""
    if state is TrialState.COMPLETE and cause is Cause.EARLY_STOPPED:
        return cause.value
    if state in (TrialState.PRUNED, TrialState.FAILED):
        return (cause or Cause.OUTRANKED).value
    return state.value


def ledger_of(entries: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the ledger of all started epochs: key -> epochs, largest first, without empty entries.

    The key is a trial's `ledger_key`, or the `cause` of an attempt without a result.
    """
    epochs: dict[str, int] = {}
    for key, count in entries:
        epochs[key] = epochs.get(key, 0) + count
    return dict(sorted(((k, n) for k, n in epochs.items() if n), key=lambda item: (-item[1], item[0])))
