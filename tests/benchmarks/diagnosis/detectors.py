"""What says of a run what ails it: ours, and the shape that all others take."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, final

from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.study.spec import DEFAULT_FATAL
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Verdict
from tests.benchmarks.diagnosis.runs import Run, moments

NO_ALARM = frozenset({Cause.HEALTHY, Cause.INCONCLUSIVE})
"""What is said of a run in which nothing is found wrong."""

RATE_KEYS = ("learning_rate", "training.learning_rate")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What a detector says of one run.

    `causes` are the causes that it names, strongest first, and empty or one of `NO_ALARM` where it sees nothing
    wrong. `step` is the number of optimizer steps that the run had made when the alarm came, None without one.
    `suggested` are the values that it would try instead, as in `Finding.suggested`. `confidence` is that of the
    strongest cause, NaN for systems without one. `stops` is True if hpsearch would have stopped the trial.
    """

    causes: tuple[Cause, ...]
    step: int | None
    suggested: Mapping[str, ParameterValue] = field(default_factory=dict)
    confidence: float = math.nan
    stops: bool = False

    @property
    def cause(self) -> Cause:
        """The strongest cause; HEALTHY if none is named."""
        return self.causes[0] if self.causes else Cause.HEALTHY

    @property
    def is_alarm(self) -> bool:
        """Return True if the run is called ill."""
        return self.cause not in NO_ALARM

    @property
    def suggested_learning_rate(self) -> float | None:
        """The learning rate to try instead, or None if none is suggested."""
        return next((float(self.suggested[key]) for key in RATE_KEYS if key in self.suggested), None)


SILENCE = Call(causes=(), step=None)
"""Nothing wrong."""


class Detector(Protocol):
    """Anything that can be asked what ails a run."""

    @property
    def name(self) -> str:
        """What the tables call it."""

    @property
    def names_causes(self) -> bool:
        """Return False if it can only say ill or healthy, and its causes count as wrong."""

    def call(self, run: Run) -> Call:
        """Say what ails `run`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ours:
    """hpsearch itself, asked after every sample and every epoch as `hpsearch diagnose` asks it.

    The first sure finding of a `fatal` cause stops the run, and the whole verdict at that moment is the call, whose
    first cause may be another; without one it is the verdict at the end. The alarm
    counts from the moment from which on the primary cause of the call was said without a break. The defaults of a
    study file decide what is fatal.
    """

    name: str = "hpsearch"
    names_causes: bool = True
    fatal: frozenset[Cause] = frozenset(DEFAULT_FATAL)

    def call(self, run: Run) -> Call:
        """Walk through the run's moments until a verdict is fatal or the run ends."""
        since = 0
        verdict: Verdict | None = None
        stops = False
        for known in moments(run, steps_per_epoch=run.facts.steps_per_epoch):
            last, verdict = verdict, judge(known, run.facts)
            if last is None or last.cause is not verdict.cause:
                since = known.steps
            if stops := fatal_finding(known, run.facts, self.fatal) is not None:
                break
        return SILENCE if verdict is None else _said(verdict, since, stops=stops)


def _said(verdict: Verdict, since: int, *, stops: bool) -> Call:
    return Call(
        stops=stops,
        causes=tuple(dict.fromkeys(finding.cause for finding in verdict.findings)),
        step=None if verdict.cause in NO_ALARM else since,
        suggested=verdict.findings[0].suggested,
        confidence=verdict.findings[0].confidence,
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """One rule of a published system has fired, when the run had made `step` steps."""

    step: int
    cause: Cause


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FirstAlarm:
    """A published system that ends a run at its first alarm, as nearly all of them do.

    `alarms` returns what its rules say of a whole run, in any order, and may leave out what comes after the first
    alarm; of rules that fire at the same step the earlier one is the stronger.
    """

    name: str
    alarms: Callable[[Run], Iterable[Alarm]]
    names_causes: bool = True

    def call(self, run: Run) -> Call:
        """Return the causes of the first step at which a rule fires."""
        return first_of(list(self.alarms(run)))


def first_of(alarms: Sequence[Alarm]) -> Call:
    """Return the call of the earliest of `alarms`; silence if there are none."""
    if not alarms:
        return SILENCE
    step = min(alarm.step for alarm in alarms)
    causes = tuple(dict.fromkeys(alarm.cause for alarm in alarms if alarm.step == step))
    return Call(causes=causes, step=step)
