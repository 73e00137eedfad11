"""From telemetry to a verdict: every cause is asked in a fixed order; the first that answers is the primary one."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from hpsearch.diagnosis.before import findings_before
from hpsearch.diagnosis.curves import overfit, plateau, train_eval_shift, val_misaligned
from hpsearch.diagnosis.death import born_dead, dead_partial, dead_total, negative_plateau, saturated
from hpsearch.diagnosis.divergence import diverged, exploding, log_zero
from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.gradients import exploding_grad, float_underflow, vanishing_grad
from hpsearch.diagnosis.pace import lr_too_high, lr_too_low
from hpsearch.diagnosis.progress import has_learned
from hpsearch.diagnosis.signal import collapsed_output, labels_unrelated, wd_dominates
from hpsearch.records import Cause, Finding, Telemetry, Verdict

Rule: TypeAlias = Callable[[Telemetry, Facts], Finding | None]

CATALOGUE: Final[Sequence[Rule]] = (
    log_zero,
    exploding_grad,
    diverged,
    exploding,
    born_dead,
    dead_total,
    negative_plateau,
    saturated,
    float_underflow,
    vanishing_grad,
    wd_dominates,
    lr_too_high,
    lr_too_low,
    labels_unrelated,
    collapsed_output,
    val_misaligned,
    train_eval_shift,
    overfit,
    dead_partial,
    plateau,
)
"""The causes in the order in which they are asked: what is surest and ends soonest comes first."""

HEALTHY_SHARE: Final = 0.9
STUCK_STEPS: Final = 200

_CONTRIBUTING: Final = frozenset({Cause.GRAD_REDUCTION_SUM})
"""What a study file does openly is no verdict by itself."""


def judge(telemetry: Telemetry, facts: Facts) -> Verdict:
    """Say what the telemetry of a trial means so far.

    What the study file and the data show by themselves explains whatever ails a trial, so it comes first where
    something does, and last where nothing does. Without a finding the trial is `healthy` once its loss is a tenth
    below both its first loss and that of chance, and `inconclusive` before. What the study expects ails nobody.
    """
    found = [finding for rule in CATALOGUE if (finding := rule(telemetry, facts)) is not None]
    ails = [finding for finding in found if finding.cause not in facts.expected]
    expected = [finding for finding in found if finding.cause in facts.expected]
    if not ails and not _is_stuck(telemetry, facts):
        return Verdict(findings=(_without_finding(telemetry, facts), *expected))
    before = findings_before(facts)
    explaining = [finding for finding in before if finding.cause not in _CONTRIBUTING]
    contributing = [finding for finding in before if finding.cause in _CONTRIBUTING]
    findings = explaining + ails
    if not findings:
        findings = [_without_finding(telemetry, facts)]
    return Verdict(findings=(*findings, *contributing, *expected))


def is_fatal(verdict: Verdict, fatal: Collection[Cause]) -> bool:
    """True when the trial should be stopped at once: one of its findings is `fatal` in its study."""
    return any(finding.cause in fatal for finding in verdict.findings)


def deciding(verdict: Verdict, fatal: Collection[Cause]) -> Finding:
    """Return the finding that ends a trial: the strongest fatal one, or else the strongest."""
    return next((finding for finding in verdict.findings if finding.cause in fatal), verdict.findings[0])


def _is_stuck(telemetry: Telemetry, facts: Facts) -> bool:
    """True when a trial has had time to learn and has not."""
    return telemetry.steps >= STUCK_STEPS and not has_learned(telemetry, facts)


def _without_finding(telemetry: Telemetry, facts: Facts) -> Finding:
    first = telemetry.samples[0].loss if telemetry.samples else math.nan
    last = telemetry.epochs[-1].training_loss if telemetry.epochs else math.nan
    learns = last < HEALTHY_SHARE * min(first, facts.chance_loss)
    return Finding(
        cause=Cause.HEALTHY if learns else Cause.INCONCLUSIVE,
        confidence=1.0 if learns else 0.0,
        first_step=0,
        evidence={k: v for k, v in (("first_loss", first), ("last_loss", last)) if math.isfinite(v)},
        remedy="Nothing to mend." if learns else "Train for more steps to tell.",
    )
