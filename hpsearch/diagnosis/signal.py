"""Causes in which steps are of the right length and still nothing is learned: the data has no signal, or it is lost."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.progress import has_learned, last_samples, middle
from hpsearch.records import Cause, Finding, Sample, Telemetry

SAMPLES: Final = 5
CONSTANT_SHARE: Final = 0.95
DECAY_RATIO: Final = 2.0
LEAST_STEPS: Final = 200
UNRELATED_SAMPLES: Final = 8
CHANCE_DEVIATIONS: Final = 3.3
NEAR_CHANCE: Final = 0.05
MOST_COSINE: Final = 0.15
MOST_COHERENCE: Final = 3.0
MOST_SILENT_SHARE: Final = 0.5


def chance_deviation(share: float, examples: int) -> float:
    """Return 3.3 standard deviations of a binomial share: one in a thousand exceeds it."""
    return CHANCE_DEVIATIONS * math.sqrt(share * (1 - share) / examples)


def wd_dominates(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """Weight decay pulls at the weights more than twice as hard as the data, and the loss does not fall.

    The ratio is wd |W| / |g| over all layers, in five samples in a row (TheDeepChecker's 2 and 5).
    """
    decay = facts.configuration.training.weight_decay
    run = last_samples(telemetry, SAMPLES)
    if not run or decay == 0 or any(_pull(sample) * decay <= DECAY_RATIO for sample in run):
        return None
    if has_learned(telemetry, facts):
        return None
    ratio = decay * median(_pull(sample) for sample in run)
    lower = decay / (10 * ratio)
    return Finding(
        cause=Cause.WD_DOMINATES,
        confidence=0.9,
        first_step=run[0].step,
        evidence={"decay_ratio": ratio, "weight_decay": decay, "loss": run[-1].loss},
        remedy=f"Lower the weight decay from {decay:.2g} to {lower:.2g}: it outweighs the data.",
        suggested={"weight_decay": lower},
    )


def _pull(sample: Sample) -> float:
    """Return |W| / |g| over all layers; infinite where there is no gradient."""
    weights = math.hypot(*(layer.weight_norm for layer in sample.layers))
    gradient = math.hypot(*(layer.gradient_norm for layer in sample.layers))
    return weights / gradient if gradient > 0 else math.inf


def collapsed_output(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """Nearly all answers are one class, more often than that class occurs, although units fire."""
    run = last_samples(telemetry, SAMPLES)
    if not run or not facts.is_classification or run[-1].dead_share > MOST_SILENT_SHARE:
        return None
    majority = facts.data.majority_share
    if any(not sample.top_share > max(CONSTANT_SHARE, majority) for sample in run):
        return None
    accuracy = middle(run, lambda sample: sample.accuracy)
    if accuracy > majority + chance_deviation(majority, SAMPLES * _batch(facts)):
        return None
    if telemetry.steps < LEAST_STEPS or has_learned(telemetry, facts):
        return None
    return Finding(
        cause=Cause.COLLAPSED_OUTPUT,
        confidence=0.7,
        first_step=run[0].step,
        evidence={"top_share": run[-1].top_share, "majority_share": majority, "accuracy": accuracy},
        remedy="The network gives one answer: balance the classes, or change the learning rate.",
    )


def labels_unrelated(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """Steps are sound and each lowers its own minibatch, but nothing carries over to the next: no shared signal.

    Accuracy and loss stay at chance for 200 steps, gradients of the output layer turn at random from minibatch to
    minibatch (cosine near 0), and within one the examples' gradients are near orthogonal (m-coherence near 1,
    Chatterjee and Zielinski 2020), as with shuffled labels (Zhang et al. 2017).
    """
    run = last_samples(telemetry, UNRELATED_SAMPLES)
    if not run or telemetry.steps < LEAST_STEPS or run[-1].dead_share > MOST_SILENT_SHARE:
        return None
    if not (_is_at_chance(run, facts) and abs(middle(run, _cosine)) < MOST_COSINE):
        return None
    coherence = middle(run, lambda sample: sample.coherence)
    if not coherence < MOST_COHERENCE:
        return None
    return Finding(
        cause=Cause.LABELS_UNRELATED,
        confidence=0.8,
        first_step=0,
        evidence={
            "accuracy": middle(run, lambda sample: sample.accuracy),
            "loss": middle(run, lambda sample: sample.loss),
            "coherence": coherence,
            "gradient_cosine": middle(run, _cosine),
        },
        remedy="Inputs do not tell the labels: check that examples and labels belong together.",
    )


def _cosine(sample: Sample) -> float:
    return sample.gradient_cosine


def _is_at_chance(run: Sequence[Sample], facts: Facts) -> bool:
    """True where loss, and accuracy in classification, are those of a network that ignores its inputs."""
    loss = middle(run, lambda sample: sample.loss)
    if not abs(loss - facts.chance_loss) < NEAR_CHANCE * facts.chance_loss:
        return False
    if not facts.is_classification:
        return True
    majority = facts.data.majority_share
    accuracy = sum(sample.accuracy for sample in run) / len(run)
    return accuracy < majority + chance_deviation(majority, len(run) * _batch(facts))


def _batch(facts: Facts) -> int:
    return facts.configuration.training.batch_size
