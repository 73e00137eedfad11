"""Causes that end in non-finite numbers, or lead to them.

Thresholds and their counts come from 2,360 measured runs of small ReLU, LeakyReLU, ELU and SELU networks on MNIST.
"""

import math
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import (
    better_learning_rate,
    finite_evidence,
    last_samples,
    lower_learning_rate,
    onset_step,
)
from hpsearch.diagnosis.remedies import scaled_inputs
from hpsearch.diagnosis.static_checks import ADAPTIVE, has_paired_output, paired_output
from hpsearch.telemetry import Epoch, Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

HUGE_LOGIT: Final = 1e5
HUGE_LOSS: Final = 1e3
SAMPLES_ABOVE: Final = 2
SAMPLES_STAYING: Final = 10
BURST_LOSS: Final = 30.0
BURST_WEIGHTS: Final = 10.0
ENDS_ABOVE: Final = 2.0
ENDS_ABOVE_EPOCHS: Final = 2


def log_zero(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a loss that is the first non-finite number, after an output that is not the loss's own.

    Weights and logits were finite: the plain formula took the logarithm of exactly 0, and 0 log 0 is NaN. A float32
    sigmoid rounds to 1 from logit 16.64 on, a float64 one from 36.74 on.
    """
    nonfinite = telemetry.nonfinite
    if nonfinite is None or nonfinite.array != "loss" or not _takes_plain_logarithm(facts):
        return None
    own = paired_output(facts.configuration.model.loss)
    return Finding(
        cause=Cause.LOG_ZERO,
        confidence=1.0,
        first_step=nonfinite.step,
        evidence={"step": nonfinite.step, **_last_finite(telemetry)},
        remedy=f'Use the loss with its own output (model.output = "{own}"), which is computed without log 0.',
        suggested={"model.output": "auto"},
    )


def _takes_plain_logarithm(facts: TrialFacts) -> bool:
    return facts.configuration.model.loss != "mse" and not has_paired_output(facts)


def diverged(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find weights, activations, logits or a loss that stopped being finite, or a thousandfold rise of the loss.

    A minibatch loss above 1e3 never came back in 47 of 47 runs without normalization (Bjorck et al. 2018 use the same
    bound); measured against the first loss if that is above 1, as in regression. LeakyReLU runs touch it and still
    learn, and normalized ones and those of adaptive optimizers may: those must be above it for ten samples and at the
    end of an epoch, and no such verdict is sure enough to stop one.
    """
    nonfinite = telemetry.nonfinite
    if nonfinite is not None and not (nonfinite.array == "loss" and _takes_plain_logarithm(facts)):
        if nonfinite.step == 0:
            return _overflow_at_start(facts)
        return _divergence(telemetry, facts, nonfinite.step, {"step": nonfinite.step})
    broken = _epochs_that_end_broken(telemetry, facts)
    if broken:
        step = (broken[-1].epoch + 1) * facts.steps_per_epoch
        return _divergence(telemetry, facts, step, {"step": step})
    return _huge_loss(telemetry, facts)


def _epochs_that_end_broken(telemetry: Telemetry, facts: TrialFacts) -> Sequence[Epoch]:
    """Return the epochs since the last one whose validation loss was finite, newest first.

    A program that reports no validation has NaN there, which proves nothing.
    """

    def is_broken(epoch: Epoch) -> bool:
        is_unknown = facts.program is not None and math.isnan(epoch.validation_loss)
        return not is_unknown and not math.isfinite(epoch.validation_loss)

    return list(takewhile(is_broken, reversed(telemetry.epochs)))


def _overflow_at_start(facts: TrialFacts) -> Finding:
    return Finding(
        cause=Cause.EXPLODING,
        confidence=1.0,
        first_step=0,
        evidence={"step": 0},
        remedy=f"The very first pass overflows: {_smaller(facts)}.",
        suggested={**scaled_inputs(facts), "model.initializer": "he"},
    )


def _smaller(facts: TrialFacts) -> str:
    """Return the remedy for numbers that are too large from the start."""
    inputs = 'the inputs (data.scale = "standard") and ' if scaled_inputs(facts) else ""
    return f"scale {inputs}the initial weights down"


def _huge_at_start(logit_max: float, facts: TrialFacts) -> Finding:
    """Return the finding before any step: the learning rate is not the cause."""
    return Finding(
        cause=Cause.EXPLODING,
        confidence=0.95,
        first_step=0,
        evidence=finite_evidence(logit_max=logit_max),
        remedy=f"The very first outputs are huge: {_smaller(facts)}.",
        suggested={**scaled_inputs(facts), "model.initializer": "he"},
    )


def _huge_loss(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    may_come_back = _may_come_back(facts)
    last = last_samples(telemetry, SAMPLES_STAYING if may_come_back else SAMPLES_ABOVE)
    if not last:
        return None
    limit = HUGE_LOSS * max(1.0, telemetry.samples[0].loss)  # in this order, 1 if the first is NaN
    if any(sample.loss <= limit for sample in last):
        return None
    if may_come_back and not (telemetry.epochs and telemetry.epochs[-1].validation_loss > limit):
        return None
    step = onset_step(telemetry, lambda sample: not sample.loss <= limit)
    confidence = 0.85 if may_come_back else 0.98
    return _divergence(telemetry, facts, step, {"limit": limit}, confidence=confidence)


def exploding(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a classifier's largest logit above 1e5 in two samples in a row.

    It occurs 120 to 320 steps before NaN in 142 of 142 diverging runs; of 1,111 learning runs 28 touched it, all of
    them LeakyReLU, which is excluded. Saturated units keep logits smaller: for them the weights must have grown tenfold
    and the loss be thirty times that of chance and of the first step.
    """
    last = last_samples(telemetry, SAMPLES_ABOVE)
    if not last or _may_come_back(facts):
        return None
    has_huge_logits = facts.is_classification and all(sample.logit_max > HUGE_LOGIT for sample in last)
    has_burst = partial(_has_burst, first=telemetry.samples[0], facts=facts)
    if not has_huge_logits and not all(has_burst(sample) for sample in last):
        return None
    if has_huge_logits and telemetry.samples[0].logit_max > HUGE_LOGIT:
        return _huge_at_start(telemetry.samples[0].logit_max, facts)
    is_huge = (lambda sample: sample.logit_max > HUGE_LOGIT) if has_huge_logits else has_burst
    return Finding(
        cause=Cause.EXPLODING,
        confidence=0.95,
        first_step=onset_step(telemetry, is_huge),
        evidence=finite_evidence(
            logit_max=last[-1].logit_max, loss=last[-1].loss, learning_rate=facts.learning_rate
        ),
        remedy=_lower(telemetry, facts),
        suggested={"learning_rate": better_learning_rate(telemetry, facts)},
    )


def ends_above_start(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find both losses at twice those of chance and of the first step, for two epochs: the steps threw it there.

    LeakyReLU and normalized networks may come back, so it is no reason to stop.
    """
    last = telemetry.epochs[-ENDS_ABOVE_EPOCHS:]
    if len(last) < ENDS_ABOVE_EPOCHS or not telemetry.samples:
        return None
    level = ENDS_ABOVE * max(telemetry.samples[0].loss, facts.chance_loss)
    if any(not min(epoch.training_loss, epoch.validation_loss) > level for epoch in last):
        return None
    return Finding(
        cause=Cause.EXPLODING,
        confidence=0.85,
        first_step=last[0].epoch * facts.steps_per_epoch,
        evidence=finite_evidence(loss=last[-1].training_loss, learning_rate=facts.learning_rate),
        remedy=_lower(telemetry, facts),
        suggested={"learning_rate": better_learning_rate(telemetry, facts)},
    )


def _has_burst(sample: Sample, *, first: Sample, facts: TrialFacts) -> bool:
    """Return True if the weights have grown tenfold since the first sample and the loss with them."""
    level = BURST_LOSS * max(first.loss, facts.chance_loss)
    return sample.loss > level and sample.weight_norm > BURST_WEIGHTS * first.weight_norm


def _may_come_back(facts: TrialFacts) -> bool:
    """Return True if a huge loss proves nothing yet.

    Optimizers that divide steps by the gradient's size move each weight by about the learning rate, however large the
    loss: it is huge in the first steps of healthy trials (40 of 40 with RMSprop on the spirals of the tuning families).
    """
    model, training = facts.configuration.model, facts.configuration.training
    return facts.activation == "leaky_relu" or model.batch_norm or training.optimizer in ADAPTIVE


def _divergence(
    telemetry: Telemetry, facts: TrialFacts, step: int, evidence: dict[str, float], *, confidence: float = 1.0
) -> Finding:
    return Finding(
        cause=Cause.DIVERGED_LR,
        confidence=confidence,
        first_step=step,
        evidence=finite_evidence(**evidence, learning_rate=facts.learning_rate, **_last_finite(telemetry)),
        remedy=_lower(telemetry, facts),
        suggested={"learning_rate": better_learning_rate(telemetry, facts)},
    )


def _lower(telemetry: Telemetry, facts: TrialFacts) -> str:
    model = facts.configuration.model
    can_normalize = model.hidden and not model.batch_norm
    batch_norm = ", or normalize with model.batch_norm = true" if can_normalize else ""
    return f"{lower_learning_rate(telemetry, facts)}{batch_norm}."


def _last_finite(telemetry: Telemetry) -> dict[str, float]:
    """Return the evidence of the last sample with a finite loss."""
    for sample in reversed(telemetry.samples):
        if math.isfinite(sample.loss):
            return finite_evidence(last_loss=sample.loss, last_logit_max=sample.logit_max)
    return {}
