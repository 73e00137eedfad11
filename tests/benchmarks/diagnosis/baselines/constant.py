"""Constant answers: what a detector must beat to be of any use."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import NO_ALARM, SILENCE, Call
from tests.benchmarks.diagnosis.runs import Run


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class AlwaysHealthy:
    """Never sees anything wrong."""

    name: str = "always healthy"
    names_causes: bool = True

    def call(self, run: Run) -> Call:
        """Say nothing."""
        return SILENCE


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class AlwaysIll:
    """Says `cause` of every run before its first step."""

    cause: Cause
    names_causes: bool = True

    @property
    def name(self) -> str:
        """What the tables call it."""
        return f"always {self.cause}"

    def call(self, run: Run) -> Call:
        """Say the one cause."""
        return Call(causes=(self.cause,), step=0)


def commonest_fault(runs: Sequence[Run]) -> Cause:
    """Return the fault that most of `runs` have as their first label, of equals the first in the catalogue."""
    counts = Counter(run.labels[0] for run in runs if run.labels[0] not in NO_ALARM)
    return max(Cause, key=lambda cause: counts[cause])
