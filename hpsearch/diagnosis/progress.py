"""The course of a trial for the rules: whether it has learned, its last samples, and a better step."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Sample, Telemetry

LEARNED_SHARE: Final = 0.5
FALLEN_BACK: Final = 3.0
ANSWERED_SHARE: Final = 0.8
AHEAD_SHARE: Final = 0.8
RECENT_SAMPLES: Final = 5
LUCKY_ERRORS: Final = 2.0
HIGHEST_FACTOR: Final = 1e4
LOWEST_FACTOR: Final = 0.1
ROUNDING: Final = 1e-5
"""Falls of the loss below this share of it are lost in float32's sums."""


def has_learned(telemetry: Telemetry, facts: TrialFacts, *, share: float = LEARNED_SHARE) -> bool:
    """Return True if the loss is at most that `share` of the first step's and of chance's, or was never seen."""
    if not telemetry.samples:
        return True
    return current_loss(telemetry) <= share * min(telemetry.samples[0].loss, facts.chance_loss)


def is_ahead_of_chance(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if the loss is below four fifths of chance's, or a classifier answers well, even by luck."""
    return current_loss(telemetry) < AHEAD_SHARE * facts.chance_loss < math.inf or answers_well(
        telemetry, facts
    )


def answers_well(
    telemetry: Telemetry, facts: TrialFacts, *, share: float = ANSWERED_SHARE, count: int = RECENT_SAMPLES
) -> bool:
    """Return True if the last `count` samples close that `share` of the gap between the majority's share and 1."""
    recent = telemetry.samples[-count:]
    if not facts.is_classification or not recent:
        return False
    majority = facts.data.majority_share
    return median_of(recent, lambda sample: sample.accuracy) > majority + share * (1 - majority)


def validates_above_chance(telemetry: Telemetry, facts: TrialFacts) -> bool:
    """Return True if the last validation was two standard errors better than its most frequent class."""
    accuracy = telemetry.epochs[-1].validation_accuracy if telemetry.epochs else None
    share = max(facts.data.validation_shares, default=facts.data.majority_share)
    error = math.sqrt(share * (1 - share) / max(1, facts.data.validation_examples))
    return accuracy is not None and accuracy > share + LUCKY_ERRORS * error


def current_loss(telemetry: Telemetry) -> float:
    """Return the current loss: that of the last epoch, since one minibatch is noisy, or of the last samples.

    The median of the last three samples counts if there is no epoch, or if all three are at least three times the last
    epoch's or not a number. Of an epoch the lower loss counts, training's or validation's, since training's is a mean
    over the way down.
    """
    recent = sorted(sample.loss for sample in telemetry.samples[-3:])
    now = recent[len(recent) // 2]
    if not telemetry.epochs:
        return now
    last = telemetry.epochs[-1]
    if not any(loss <= FALLEN_BACK * last.training_loss for loss in recent):
        return now
    return min(last.training_loss, last.validation_loss)  # in this order, training's if validation's is NaN


def samples_needed(sample: Sample, facts: TrialFacts, *, examples: int) -> int:
    """Return the number of samples like this one that show `examples` examples, or all training examples.

    A sample on a fixed part of the training examples shows no others later: it counts as enough.
    """
    if sample.examples > sample.batch_examples or sample.examples >= facts.data.examples:
        return 1
    return -(-examples // max(1, sample.examples))


def last_samples(telemetry: Telemetry, count: int) -> Sequence[Sample]:
    """Return the last `count` samples; none if there are fewer."""
    last = telemetry.samples[-count:]
    return last if len(last) == count else ()


def onset_step(telemetry: Telemetry, holds: Callable[[Sample], bool]) -> int:
    """Return the step since which `holds` is true of every sample; that of the last sample if it is false for it."""
    step = telemetry.samples[-1].step
    for sample in reversed(telemetry.samples):
        if not holds(sample):
            break
        step = sample.step
    return step


def probes(telemetry: Telemetry) -> list[Sample]:
    """Return the samples that are probes, oldest first, with a promised fall above rounding."""
    return [
        sample
        for sample in telemetry.samples
        if sample.predicted_decrease > ROUNDING * sample.minibatch_loss and not math.isnan(sample.gain)
    ]


def median_of(samples: Sequence[Sample], statistic: Callable[[Sample], float]) -> float:
    """Return the median of a statistic over the samples that have it; NaN if none has."""
    values = [value for sample in samples if not math.isnan(value := statistic(sample))]
    return median(values) if values else math.nan


def better_learning_rate(telemetry: Telemetry, facts: TrialFacts) -> float:
    """Return a learning rate for a trial whose own was too high: at most a tenth of it.

    A probe's lr / (2 (1 - rho)) is the best step along the gradient of a quadratic. The first probe that overshot
    counts: later ones measure the displaced weights, and not the network that will train again.
    """
    gains = (sample.gain for sample in probes(telemetry))
    overshot = next((gain for gain in gains if gain < 0 and math.isfinite(gain)), None)
    factor = LOWEST_FACTOR if overshot is None else 1 / (2 * (1 - overshot))
    return facts.learning_rate * min(factor, LOWEST_FACTOR)


def lower_learning_rate(telemetry: Telemetry, facts: TrialFacts) -> str:
    """Return the remedy for a learning rate that was too high, without its full stop."""
    lower = better_learning_rate(telemetry, facts)
    return f"Lower the learning rate from {format_number(facts.learning_rate)} to {format_number(lower)}"


def finite_evidence(**evidence: float) -> dict[str, float]:
    """Return evidence without unknown values."""
    return {name: value for name, value in evidence.items() if math.isfinite(value)}


def mean(numbers: Sequence[float]) -> float:
    """Return the mean, infinite if the sum is: `statistics.fmean` raises OverflowError for losses near 1e308."""
    return sum(numbers) / len(numbers)
