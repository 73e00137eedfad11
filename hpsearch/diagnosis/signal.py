"""Causes in which steps are of the right length and still nothing is learned: the data has no signal, or it is lost."""

import math
from collections.abc import Sequence
from typing import Final

from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.progress import has_learned, known, last_samples, middle
from hpsearch.records import Cause, Finding, Sample, Telemetry

SAMPLES: Final = 5
CONSTANT_SHARE: Final = 0.95
DECAY_RATIO: Final = 2.0
SHRUNK_SHARE: Final = 1 / 3
DECAYED_LEARNED: Final = 0.1
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
    """Weight decay has shrunk the weights to a third, or throws them about, and the network does not do well.

    TheDeepChecker compares wd |W| with |g|, above 2 in 5 windows. That holds at first only: weights shrink until both
    are equal and stay there, so what is compared is the weights' norm with that of the first step. Where the ratio is
    above 2 in the first step and a step of the decay alone is longer than the weights, they do not shrink but explode.
    """
    decay = facts.configuration.training.weight_decay
    samples = telemetry.samples
    if decay == 0 or not samples or has_learned(telemetry, facts, share=DECAYED_LEARNED):
        return None
    first, last = samples[0], samples[-1]
    has_shrunk = last.weight_norm < SHRUNK_SHARE * first.weight_norm
    pull = decay * first.weight_norm / first.gradient_norm if first.gradient_norm > 0 else math.inf
    throws = pull > DECAY_RATIO and first.layers[-1].update_norm > first.layers[-1].weight_norm
    if not (has_shrunk or throws):
        return None
    lower = decay / 100
    return Finding(
        cause=Cause.WD_DOMINATES,
        confidence=0.9,
        first_step=0,
        evidence=known(
            weight_decay=decay,
            first_decay_ratio=pull,
            weight_norm_share=last.weight_norm / first.weight_norm if first.weight_norm > 0 else math.nan,
            loss=last.loss,
        ),
        remedy=f"Lower the weight decay from {decay:.2g} to {lower:.2g}: it outweighs the data.",
        suggested={"weight_decay": lower},
    )


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
