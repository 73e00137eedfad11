"""Causes in gradients that differ from layer to layer, or are too small for their precision."""

import math
from typing import Final

from hpsearch.diagnosis.dead_units import is_saturated
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import finite_evidence, has_learned, last_samples, median_of, onset_step
from hpsearch.diagnosis.remedies import initial_weights
from hpsearch.diagnosis.signal import LEAST_RANGE, MOST_SILENT_SHARE, early_samples, is_near_chance
from hpsearch.telemetry import Sample, Telemetry
from hpsearch.verdicts import Cause, Finding

SAMPLES: Final = 5
VANISHED_RATIO: Final = 1e-3
EXPLODED_RATIO: Final = 70.0
VANISHED_RANGE: Final = 1e-3
EXPLODED_LOSS: Final = 20.0
LEAST_STEPS: Final = 15
BLIND_STEPS: Final = 200
BLIND_RATIO: Final = 0.03
NOTHING_LEARNED: Final = 0.95
GONE_RATIO: Final = 1e-6
LITTLE_LEARNED: Final = 0.7
"""A signal of less than a millionth comes back by the optimizer's noise alone, and brings the loss no further."""

SMALLEST_NORMAL: Final = 1.17549435e-38
"""The smallest normal number of float32; below it numbers lose digits, and end at 1e-45."""


def vanishing_grad(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a deep network whose signal, or gradient, vanished from the first step on, and that has not learned since.

    The first layer's gradient below a thousandth of the last one's (AutoTrainer's ratio, Zhang et al. 2021), or outputs
    that differ by less than 0.001 between any two examples. Layers that are dead have gradients and differences of
    exactly 0 and another cause. Norms of gradients and not of updates: Adam moves layers even if their gradients are
    tiny, without direction, so that a signal of less than a millionth counts until the loss is below 0.7 of chance's.
    """
    samples = telemetry.samples
    if telemetry.steps < LEAST_STEPS or not samples or len(samples[0].layers) < 3:
        return None
    if is_saturated(samples[0], facts):
        return None
    ratio, spread = _ratio(samples[0]), samples[0].output_range
    if not (0 < ratio < VANISHED_RATIO or 0 < spread < VANISHED_RANGE):
        return None
    is_gone = 0 < ratio < GONE_RATIO
    if has_learned(telemetry, facts, share=LITTLE_LEARNED if is_gone else NOTHING_LEARNED):
        return None
    better = initial_weights(facts)
    return Finding(
        cause=Cause.VANISHING_GRAD,
        confidence=0.9,
        first_step=0,
        evidence=finite_evidence(gradient_ratio=ratio, output_range=spread),
        remedy=f"The signal vanishes on its way through the layers: {better.text}.",
        suggested=better.suggested,
    )


def signal_lost(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a deep blind network whose gradient was small from the first step on, although not vanished.

    Deep sigmoid networks are such: the first layer's gradient below a thirtieth of the last one's, and after 200 steps
    the outputs of any two examples still the same within 0.25, and the loss that of guessing. It follows surer causes
    that look alike: saturation, and a learning rate that is too low.
    """
    samples, run = telemetry.samples, early_samples(telemetry)
    if telemetry.steps < BLIND_STEPS or not run or len(samples[0].layers) < 3:
        return None
    ratio, spread = _ratio(samples[0]), median_of(run, lambda sample: sample.output_range)
    if not (0 < ratio < BLIND_RATIO and 0 < spread < LEAST_RANGE and is_near_chance(run, facts)):
        return None
    if samples[-1].dead_share > MOST_SILENT_SHARE or has_learned(telemetry, facts, share=NOTHING_LEARNED):
        return None
    better = initial_weights(facts)
    return Finding(
        cause=Cause.VANISHING_GRAD,
        confidence=0.7,
        first_step=0,
        evidence=finite_evidence(gradient_ratio=ratio, output_range=spread),
        remedy=f"Little of the signal comes through the layers: {better.text}.",
        suggested=better.suggested,
    )


def exploding_grad(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a deep network whose signal or gradient explodes at the very first step because of its initial weights.

    The first layer's gradient 70 times the last one's (AutoTrainer's bound), or a loss 20 times that of guessing. At
    later steps the cause may be the learning rate, and in sigmoid or tanh layers that are flat from the start it is
    saturation.
    """
    samples = telemetry.samples
    if not samples or len(samples[0].layers) < 3 or is_saturated(samples[0], facts):
        return None
    first = samples[0]
    ratio = _ratio(first)
    guessing = _guessing_loss(facts)
    if not (ratio > EXPLODED_RATIO or 0 < EXPLODED_LOSS * guessing < first.loss):
        return None
    if has_learned(telemetry, facts):
        return None
    better = initial_weights(facts)
    return Finding(
        cause=Cause.EXPLODING_GRAD,
        confidence=0.9,
        first_step=0,
        evidence=finite_evidence(gradient_ratio=ratio, loss=first.loss, chance_loss=facts.chance_loss),
        remedy=f"The signal explodes on its way through the layers: {better.text}.",
        suggested=better.suggested,
    )


def _guessing_loss(facts: TrialFacts) -> float:
    """Return the loss of answers without any knowledge of the classes' shares or the targets' range.

    No target's square exceeds that of its bounds if outputs are near 0, as initial weights should give them.
    """
    data = facts.data
    if facts.is_classification:
        return max(facts.chance_loss, math.log(max(2, len(data.class_shares))))
    return max(data.target_low**2, data.target_high**2)


def float_underflow(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a nonzero gradient of a layer below float32's normal numbers, which lose digits, in five samples.

    The engine multiplies gradients by the learning rate before their sum if the optimizer is linear in them, so that
    product is compared for rates below 1. A network that has learned all there is has such gradients too.
    """
    last = last_samples(telemetry, SAMPLES)
    training = facts.configuration.training
    if (
        not last
        or not all(sample.layers for sample in last)
        or training.precision != "float32"
        or has_learned(telemetry, facts)
    ):
        return None
    factor = min(training.learning_rate, 1.0)
    smallest = max(_smallest_gradient(sample) for sample in last) * factor
    if not 0 < smallest < SMALLEST_NORMAL:
        return None
    return Finding(
        cause=Cause.FLOAT_UNDERFLOW,
        confidence=0.9,
        first_step=onset_step(
            telemetry, lambda sample: _smallest_gradient(sample) * factor < SMALLEST_NORMAL
        ),
        evidence={"smallest_step": smallest},
        remedy='The gradients are below what float32 can hold: set training.precision = "float64".',
        suggested={"training.precision": "float64"},
    )


def _ratio(sample: Sample) -> float:
    """Return the norm of the first layer's gradient over that of the last one's; 0 if that is 0."""
    last = sample.layers[-1].gradient_norm
    return sample.layers[0].gradient_norm / last if last > 0 else 0.0


def _smallest_gradient(sample: Sample) -> float:
    return min(
        (layer.gradient_norm for layer in sample.layers if not math.isnan(layer.gradient_norm)),
        default=math.inf,
    )
