"""What rules ask of a trial's course: has it learned, what did its last samples show, what would a better step be."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from hpsearch.diagnosis.facts import Facts
from hpsearch.records import Sample, Telemetry

LEARNED_SHARE: Final = 0.5
HIGHEST_FACTOR: Final = 100.0
LOWEST_FACTOR: Final = 0.1


def has_learned(telemetry: Telemetry, facts: Facts) -> bool:
    """True when the loss has halved, from that of the first step and from that of chance, or was never seen."""
    samples = telemetry.samples
    if not samples:
        return True
    return samples[-1].loss <= LEARNED_SHARE * min(samples[0].loss, facts.chance_loss)


def last_samples(telemetry: Telemetry, count: int) -> Sequence[Sample]:
    """Return the last `count` samples; none where there are fewer."""
    last = telemetry.samples[-count:]
    return last if len(last) == count else ()


def probes(telemetry: Telemetry) -> list[Sample]:
    """Return the samples that are probes and promised something, oldest first."""
    return [sample for sample in telemetry.samples if not math.isnan(sample.gain)]


def middle(samples: Sequence[Sample], statistic: Callable[[Sample], float]) -> float:
    """Return the median of a statistic over the samples that have it; NaN where none has."""
    values = [value for sample in samples if not math.isnan(value := statistic(sample))]
    return median(values) if values else math.nan


def better_learning_rate(telemetry: Telemetry, facts: Facts) -> float:
    """Return a learning rate for a trial whose own was too high: at most a tenth of it.

    The probes' lr / (2 (1 - rho)) is the best step along the gradient of a quadratic; the median over the probes
    that overshot, since noise makes single ones useless.
    """
    overshot = [sample.gain for sample in probes(telemetry) if sample.gain < 0 and math.isfinite(sample.gain)]
    factor = 1 / (2 * (1 - median(overshot))) if overshot else LOWEST_FACTOR
    return facts.learning_rate * min(factor, LOWEST_FACTOR)


def lower_learning_rate(telemetry: Telemetry, facts: Facts) -> str:
    """Return the remedy for a learning rate that was too high, without its full stop."""
    return f"Lower the learning rate from {facts.learning_rate:.2g} to {better_learning_rate(telemetry, facts):.2g}"
