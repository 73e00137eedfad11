"""From telemetry to a verdict: the rules run in a fixed order; the first finding is the primary one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, final

from hpsearch.diagnosis.calibration import calibrated, may_stop
from hpsearch.diagnosis.curves import costs_answers, overfit, plateau, train_eval_shift, val_misaligned
from hpsearch.diagnosis.dead_units import (
    born_dead,
    dead_nearly,
    dead_partial,
    dead_total,
    negative_plateau,
    saturated,
)
from hpsearch.diagnosis.divergence import diverged, ends_above_start, exploding, log_zero
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.gradients import exploding_grad, float_underflow, signal_lost, vanishing_grad
from hpsearch.diagnosis.learning_rate import lr_too_high, lr_too_low, still_converging
from hpsearch.diagnosis.programs import adapted, mistakes, supports, untrained_layers
from hpsearch.diagnosis.progress import (
    RECENT_SAMPLES,
    answers_well,
    has_learned,
    last_samples,
    median_of,
    validates_above_chance,
)
from hpsearch.diagnosis.remedies import fitting
from hpsearch.diagnosis.signal import collapsed_output, labels_unrelated, wd_dominates
from hpsearch.diagnosis.static_checks import static_findings
from hpsearch.telemetry import Telemetry
from hpsearch.verdicts import Cause, Finding, Verdict

Rule: TypeAlias = Callable[[Telemetry, TrialFacts], Finding | None]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One rule, and the causes that it may find; if it `spares_learned`, none in a trial that has learned.

    Findings of a rule that is never `sure` stop no trial, so it is not asked while one trains.
    """

    rule: Rule
    causes: frozenset[Cause]
    spares_learned: bool = False
    sure: bool = True


def _entry(rule: Rule, *causes: Cause, spares_learned: bool = False, sure: bool = True) -> Entry:
    return Entry(rule=rule, causes=frozenset(causes), spares_learned=spares_learned, sure=sure)


CATALOGUE: Final[Sequence[Entry]] = (
    _entry(log_zero, Cause.LOG_ZERO),
    _entry(wd_dominates, Cause.WD_DOMINATES),
    _entry(exploding_grad, Cause.EXPLODING_GRAD, spares_learned=True),
    _entry(diverged, Cause.DIVERGED_LR, Cause.EXPLODING),
    _entry(exploding, Cause.EXPLODING),
    _entry(vanishing_grad, Cause.VANISHING_GRAD, spares_learned=True),
    _entry(born_dead, Cause.BORN_DEAD, spares_learned=True),
    _entry(dead_total, Cause.DEAD_RELU_TOTAL, spares_learned=True),
    _entry(ends_above_start, Cause.EXPLODING, sure=False),
    _entry(dead_nearly, Cause.DEAD_RELU_PARTIAL, spares_learned=True),
    _entry(negative_plateau, Cause.NEG_PLATEAU, spares_learned=True),
    _entry(float_underflow, Cause.FLOAT_UNDERFLOW),
    _entry(lr_too_low, Cause.LR_TOO_LOW, spares_learned=True),
    _entry(labels_unrelated, Cause.LABELS_UNRELATED, spares_learned=True, sure=False),
    _entry(plateau, Cause.PLATEAU, sure=False),
    _entry(saturated, Cause.SATURATED),
    _entry(signal_lost, Cause.VANISHING_GRAD, spares_learned=True, sure=False),
    _entry(val_misaligned, Cause.VAL_MISALIGNED),
    _entry(collapsed_output, Cause.COLLAPSED_OUTPUT, sure=False),
    _entry(still_converging, Cause.LR_TOO_LOW, sure=False),
    _entry(train_eval_shift, Cause.TRAIN_EVAL_SHIFT, sure=False),
    _entry(dead_partial, Cause.DEAD_RELU_PARTIAL, sure=False),
    _entry(overfit, Cause.OVERFIT, sure=False),
    _entry(lr_too_high, Cause.LR_TOO_HIGH, sure=False),
)
"""The rules in their order: the surest and soonest to end a trial come first."""

HEALTHY_SHARE: Final = 0.9
STUCK_STEPS: Final = 200
STUCK_SHARE: Final = 0.8
NOISY_SHARE: Final = 0.95
SURE: Final = 0.9
"""A finding whose rule is less confident stops no trial; nor does a cause that may stop good ones (`may_stop`)."""

SPARED_SHARE: Final = 0.5
SPARED_SAMPLES: Final = 20

_NO_PROBLEM: Final = frozenset({Cause.HEALTHY, Cause.INCONCLUSIVE})

_CONCLUSIVE: Final = frozenset({Cause.LOG_ZERO, Cause.WD_DOMINATES})
"""The causes that need no other explanation."""

_DEFINITE: Final = frozenset({Cause.WRONG_LOSS_PAIR, Cause.OUTPUT_RANGE, Cause.STALE_GRADIENTS})
"""Problems from before the first step that count even in a trial that does well."""

_NO_STANDSTILL: Final = frozenset({Cause.GRAD_REDUCTION_SUM})
"""Problems from before the first step that explain no trial in which nothing else is found."""

_NOTES: Final = frozenset({Cause.DEAD_INPUT_COLUMN, Cause.VALIDATION_LEAK, Cause.MISSING_CLASS})
"""Faults of the data that keep no network from learning: always next to another finding, and never the first."""

_OVERSHOT: Final = frozenset(
    {
        Cause.DIVERGED_LR,
        Cause.EXPLODING,
        Cause.DEAD_RELU_TOTAL,
        Cause.DEAD_RELU_PARTIAL,
        Cause.NEG_PLATEAU,
        Cause.SATURATED,
        Cause.LR_TOO_HIGH,
    }
)
"""The causes in trials whose steps were too long."""

_MILD: Final = frozenset(
    {
        Cause.VAL_MISALIGNED,
        Cause.TRAIN_EVAL_SHIFT,
        Cause.OVERFIT,
        Cause.DEAD_RELU_PARTIAL,
        Cause.PLATEAU,
    }
)
"""The causes in trials that learn, which no problem from before the first step explains."""


def judge(telemetry: Telemetry, facts: TrialFacts) -> Verdict:
    """Return the verdict on the telemetry of a trial so far, with the confidences that were measured.

    See `raw_judge` for the order of findings. `healthy` and `inconclusive` keep their confidence.
    """
    raw = raw_judge(telemetry, facts)
    return Verdict(
        findings=tuple(
            adapted(one if one.cause in _NO_PROBLEM else calibrated(one), facts) for one in raw.findings
        )
    )


def raw_judge(telemetry: Telemetry, facts: TrialFacts) -> Verdict:
    """Return the verdict with the rules' own confidences.

    A finding from the study file and the data explains all others, so it comes first if there are any, and last if
    there are none. Only proven findings precede it; a loss after the wrong output, or targets out of reach, always come
    first. Without a finding the trial is `healthy` once its loss is a tenth below both its first loss and that of
    chance, and `inconclusive` until then. Causes that the study expects come last and do not count as problems.
    """
    measured = (entry.rule(telemetry, facts) for entry in CATALOGUE)
    found = [finding for finding in measured if finding is not None and supports(finding, facts)]
    overshoots = any(finding.cause in _OVERSHOT for finding in found)
    before = [*_mistakes(telemetry, facts), *static_findings(facts, overshoots=overshoots)]
    expected = [finding for finding in found if finding.cause in facts.expected]
    unexpected = [finding for finding in found if finding.cause not in facts.expected]
    notes = [finding for finding in unexpected if _is_note(finding, telemetry, facts)]
    unexpected = [finding for finding in unexpected if finding not in notes]
    is_serious = any(_is_serious(finding) for finding in unexpected)
    explains = [finding for finding in before if _explains(finding, telemetry, facts, is_serious=is_serious)]
    findings = [
        *(finding for finding in unexpected if finding.cause in _CONCLUSIVE),
        *explains,
        *(finding for finding in unexpected if finding.cause not in _CONCLUSIVE),
    ] or [_default_finding(telemetry, facts)]
    rest = [finding for finding in before if finding not in explains]
    return Verdict(
        findings=tuple(fitting(one, facts) for one in _without_repeats([*findings, *notes, *rest, *expected]))
    )


def _mistakes(telemetry: Telemetry, facts: TrialFacts) -> list[Finding]:
    """Return the mistakes in a program, without those that the study expects."""
    untrained = untrained_layers(facts) if _is_stuck(telemetry, facts) else None
    found = [*mistakes(facts), *([] if untrained is None else [untrained])]
    return [finding for finding in found if finding.cause not in facts.expected]


def _without_repeats(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings without repetitions of a cause."""
    named: dict[Cause, Finding] = {}
    for finding in findings:
        named.setdefault(finding.cause, finding)
    return tuple(named.values())


def _is_serious(finding: Finding) -> bool:
    """Return True if a trial with this finding probably does not learn."""
    return finding.cause not in _MILD or (
        finding.cause is Cause.DEAD_RELU_PARTIAL and finding.confidence >= SURE
    )


def _is_note(finding: Finding, telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if a finding costs nothing by the study's own measure: it follows the trial's problem, or health."""
    return finding.cause is Cause.OVERFIT and not costs_answers(telemetry, facts)


def _explains(finding: Finding, telemetry: Telemetry, facts: TrialFacts, *, is_serious: bool) -> bool:
    """Return True if a problem from before the first step is the trial's problem.

    Summed gradients are an explicit choice of the study file: they explain a problem, and are none by themselves.
    """
    if finding.cause in _NOTES:
        return False
    if is_serious or finding.cause in _DEFINITE:
        return True
    return _is_stuck(telemetry, facts) and finding.cause not in _NO_STANDSTILL


def fatal_finding(telemetry: Telemetry, facts: TrialFacts, fatal: frozenset[Cause]) -> Finding | None:
    """Return the first sure finding of a `fatal` cause, which should stop the trial; None if it may continue.

    This runs for every sample, so it skips rules that cannot find a fatal cause, and for a trial that has learned those
    that do not apply to one.
    """
    learned = has_learned(telemetry, facts)
    for entry in _fatal_entries(fatal):
        if learned and entry.spares_learned:
            continue
        found = entry.rule(telemetry, facts)
        if found is None or found.cause not in fatal or not supports(found, facts):
            continue
        if adapted(found, facts).confidence >= SURE and may_stop(found.cause):
            is_spared = _answers_all_the_same(telemetry, facts)
            return None if is_spared else adapted(fitting(calibrated(found), facts), facts)
    return None


def _answers_all_the_same(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if answers count, and the last 20 samples close half of the gap between the majority's share and 1.

    A network whose weights explode may still divide the classes: with weights of 1e8 and a loss of 1e11, one of the
    best tenth of a search on breast_cancer ended at an accuracy of 0.98. Its answers are worse for a few steps now and
    then, so more samples count than the last five.
    """
    return (
        facts.is_scored_by_answers
        and telemetry.nonfinite is None
        and answers_well(telemetry, facts, share=SPARED_SHARE, count=SPARED_SAMPLES)
    )


@lru_cache
def _fatal_entries(fatal: frozenset[Cause]) -> Sequence[Entry]:
    return [entry for entry in CATALOGUE if entry.sure and entry.causes & fatal]


def _is_stuck(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if a trial has had time to learn and has not: on noisy data, both losses a little below chance's."""
    last = telemetry.epochs[-1] if telemetry.epochs else None
    is_ahead = (
        last is not None and max(last.training_loss, last.validation_loss) < NOISY_SHARE * facts.chance_loss
    )
    learned = (
        is_ahead
        or has_learned(telemetry, facts, share=STUCK_SHARE)
        or validates_above_chance(telemetry, facts)
    )
    return telemetry.steps >= STUCK_STEPS and not learned


def _default_finding(telemetry: Telemetry, facts: TrialFacts) -> Finding:
    first = telemetry.samples[0].loss if telemetry.samples else math.nan
    last = telemetry.epochs[-1].training_loss if telemetry.epochs else math.nan
    if facts.program is not None and not telemetry.epochs:  # a loop that reports no epochs
        last = median_of(last_samples(telemetry, RECENT_SAMPLES), lambda sample: sample.loss)
    learns = last < HEALTHY_SHARE * min(first, facts.chance_loss)
    return Finding(
        cause=Cause.HEALTHY if learns else Cause.INCONCLUSIVE,
        confidence=1.0 if learns else 0.0,
        first_step=0,
        evidence={k: v for k, v in (("first_loss", first), ("last_loss", last)) if math.isfinite(v)},
        remedy="Nothing to fix." if learns else "Train for more steps to decide.",
    )
