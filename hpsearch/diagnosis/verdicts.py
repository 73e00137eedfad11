"""From telemetry to a verdict: every cause is asked in a fixed order; the first that answers is the primary one."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from hpsearch.diagnosis.death import born_dead, dead_partial, dead_total, negative_plateau
from hpsearch.diagnosis.divergence import diverged, exploding, log_zero
from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.slowness import lr_too_low
from hpsearch.records import Cause, Finding, Telemetry, Verdict

Rule: TypeAlias = Callable[[Telemetry, Facts], Finding | None]

CATALOGUE: Sequence[Rule] = (
    log_zero,
    diverged,
    exploding,
    born_dead,
    dead_total,
    negative_plateau,
    lr_too_low,
    dead_partial,
)
"""The causes in the order in which they are asked: what is surest and ends soonest comes first."""

HEALTHY_SHARE = 0.9


def judge(telemetry: Telemetry, facts: Facts) -> Verdict:
    """Say what the telemetry of a trial means so far.

    Without a finding the trial is `healthy` once its loss is a tenth below both its first loss and that of
    chance, and `inconclusive` before.
    """
    findings = tuple(found for rule in CATALOGUE if (found := rule(telemetry, facts)) is not None)
    return Verdict(findings=findings or (_without_finding(telemetry, facts),))


def is_fatal(verdict: Verdict, fatal: Collection[Cause]) -> bool:
    """True when the trial should be stopped at once: its cause is one of those that are `fatal` in its study."""
    return verdict.cause in fatal


def _without_finding(telemetry: Telemetry, facts: Facts) -> Finding:
    first = telemetry.samples[0].loss if telemetry.samples else float("nan")
    last = telemetry.epochs[-1].training_loss if telemetry.epochs else float("nan")
    has_learned = last < HEALTHY_SHARE * min(first, facts.chance_loss)
    return Finding(
        cause=Cause.HEALTHY if has_learned else Cause.INCONCLUSIVE,
        confidence=1.0 if has_learned else 0.0,
        first_step=0,
        evidence={k: v for k, v in (("first_loss", first), ("last_loss", last)) if math.isfinite(v)},
        remedy="Nothing to mend." if has_learned else "Train for more steps to tell.",
    )
