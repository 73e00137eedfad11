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
from hpsearch.diagnosis.pace import lr_too_high, lr_too_low, still_under_way
from hpsearch.diagnosis.progress import has_learned
from hpsearch.diagnosis.signal import collapsed_output, labels_unrelated, wd_dominates
from hpsearch.records import Cause, Finding, Telemetry, Verdict

Rule: TypeAlias = Callable[[Telemetry, Facts], Finding | None]

CATALOGUE: Final[Sequence[Rule]] = (
    log_zero,
    wd_dominates,
    exploding_grad,
    diverged,
    exploding,
    born_dead,
    dead_total,
    negative_plateau,
    float_underflow,
    lr_too_low,
    vanishing_grad,
    lr_too_high,
    labels_unrelated,
    saturated,
    val_misaligned,
    still_under_way,
    collapsed_output,
    train_eval_shift,
    overfit,
    dead_partial,
    plateau,
)
"""The causes in the order in which they are asked: what is surest and ends soonest comes first."""

HEALTHY_SHARE: Final = 0.9
STUCK_STEPS: Final = 200
SURE: Final = 0.9
"""A finding of less confidence stops no trial."""

_PROVED: Final = frozenset({Cause.LOG_ZERO, Cause.WD_DOMINATES})
"""What needs no other explanation."""

_DEFINITE: Final = frozenset({Cause.WRONG_LOSS_PAIR, Cause.OUTPUT_RANGE})
"""What is wrong before the first step, however well a trial does with it."""

_MILD: Final = frozenset(
    {
        Cause.VAL_MISALIGNED,
        Cause.TRAIN_EVAL_SHIFT,
        Cause.OVERFIT,
        Cause.DEAD_RELU_PARTIAL,
        Cause.PLATEAU,
    }
)
"""What happens to trials that learn, and is not explained by what was wrong before the first step."""


def judge(telemetry: Telemetry, facts: Facts) -> Verdict:
    """Say what the telemetry of a trial means so far.

    What the study file and the data show by themselves explains whatever ails a trial, so it comes first where
    something does, and last where nothing does. Without a finding the trial is `healthy` once its loss is a tenth
    below both its first loss and that of chance, and `inconclusive` before. What the study expects ails nobody.
    """
    found = [finding for rule in CATALOGUE if (finding := rule(telemetry, facts)) is not None]
    before = findings_before(facts)
    expected = [finding for finding in found if finding.cause in facts.expected]
    ails = [finding for finding in found if finding.cause not in facts.expected]
    is_ill = any(finding.cause not in _MILD for finding in ails)
    explains = [finding for finding in before if _explains(finding, telemetry, facts, is_ill=is_ill)]
    findings = [
        *(finding for finding in ails if finding.cause in _PROVED),
        *explains,
        *(finding for finding in ails if finding.cause not in _PROVED),
    ] or [_without_finding(telemetry, facts)]
    rest = [finding for finding in before if finding not in explains]
    return Verdict(findings=(*findings, *rest, *expected))


def _explains(finding: Finding, telemetry: Telemetry, facts: Facts, *, is_ill: bool) -> bool:
    """True when what was wrong before the first step is what ails the trial.

    Summed gradients are what a study file does openly: they explain an illness, and are none by themselves.
    """
    if is_ill or finding.cause in _DEFINITE:
        return True
    return _is_stuck(telemetry, facts) and finding.cause is not Cause.GRAD_REDUCTION_SUM


def is_fatal(verdict: Verdict, fatal: Collection[Cause]) -> bool:
    """True when the trial should be stopped at once: one of its findings is sure, and `fatal` in its study."""
    return any(_stops(finding, fatal) for finding in verdict.findings)


def deciding(verdict: Verdict, fatal: Collection[Cause]) -> Finding:
    """Return the finding that ends a trial: the strongest fatal one, or else the strongest."""
    return next((finding for finding in verdict.findings if _stops(finding, fatal)), verdict.findings[0])


def _stops(finding: Finding, fatal: Collection[Cause]) -> bool:
    return finding.confidence >= SURE and finding.cause in fatal


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
