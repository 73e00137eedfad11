"""A learning-rate range test: one network trained for a few steps with many rates at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from threadpoolctl import threadpool_limits

from hpsearch.study.spec import Configuration, configure
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_step
from hpsearch.training.row import shape_of
from hpsearch.worker.capacity import largest_row_bytes, rows_per_worker
from hpsearch.worker.preparation import PreparedStudy

RATES: Final = tuple(float(f"{digit}e{power}") for power in range(-7, 3) for digit in (1, 2, 5))
"""The rates of the test: three in a decade, from 1e-7 to 500, as many as fit into one cohort."""

STEPS: Final = 101
"""The steps of the test, as far as the trial has as many; samples are taken at the steps 50, 75 and 100.

All 43 bases of `tests/benchmarks/diagnosis` reach nine tenths of their best gain with the rate that
such a test suggests, on a grid of four rates in a decade.
"""

BEST_SHARE: Final = 0.8
"""Rates next to the best one are as good if they lower the loss by this share of its fall."""

SUITABLE_SHARE: Final = 0.5
"""A rate suits if it lowers the loss by this share of the largest fall."""

LEAST_FALL: Final = 0.02
"""If no rate lowers the loss by this share of it, the test shows nothing."""

UNLIMITED: Final = 10**6
"""A budget that does not limit the number of rows."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RangeTest:
    """By how much each of RATES lowered the loss, as a share of the first loss.

    Negative if it rose, and -infinity if it was not finite.
    """

    falls: tuple[float, ...]

    @property
    def largest_fall(self) -> float:
        """The fall of the best rate, at most 1."""
        return max(self.falls)

    @property
    def best(self) -> float:
        """The rate in the middle of those that are about as good as the best one."""
        first = last = self.falls.index(self.largest_fall)
        good = [fall >= BEST_SHARE * self.largest_fall for fall in self.falls]
        while first > 0 and good[first - 1]:
            first -= 1
        while last + 1 < len(good) and good[last + 1]:
            last += 1
        return RATES[(first + last) // 2]

    def suits(self, rate: float) -> bool:
        """Return True if the rate of the test next to `rate` lowers the loss by half as much as the best one."""
        distances = [abs(math.log(other / rate)) for other in RATES]
        return self.falls[distances.index(min(distances))] >= SUITABLE_SHARE * self.largest_fall


def range_test(study: PreparedStudy) -> RangeTest | None:
    """Train the configuration of `study` with each of RATES for a few steps; None if no rate lowers the loss.

    Smith (2017, section 3.3) raises the rate during one run; here each rate has a row of a cohort, with weights of its
    own, so that no rate starts from the weights that another one left. The trial's data and minibatches are the same.
    """
    configuration = configure(study.spec, {})
    per_epoch = -(-len(study.data.training.inputs) // configuration.training.batch_size)
    steps = min(STEPS, configuration.training.epochs * per_epoch)
    rows = min(len(RATES), rows_per_worker(largest_row_bytes(study), budget=UNLIMITED, workers=1))
    trained: list[Telemetry] = []
    for first in range(0, len(RATES), rows):
        trained += _trained(
            study, configuration, range(first, min(first + rows, len(RATES))), steps, per_epoch
        )
    test = RangeTest(falls=tuple(_fall(telemetry, steps) for telemetry in trained))
    return test if test.largest_fall >= LEAST_FALL else None


def _trained(
    study: PreparedStudy, configuration: Configuration, places: range, steps: int, per_epoch: int
) -> Sequence[Telemetry]:
    """Return the telemetry of the rates at `places`, trained side by side."""
    with threadpool_limits(limits=1):
        cohort = Cohort(shape_of(configuration), study.data, capacity=len(places), seed=study.spec.seed)
        for place in places:
            training = replace(
                configuration.training, learning_rate=RATES[place], epochs=steps // per_epoch + 1
            )
            cohort.join(place, replace(configuration, training=training))
        train_to_step(cohort, steps)
        return [cohort.telemetry(place) for place in places]


def _fall(telemetry: Telemetry, steps: int) -> float:
    """Return by which share of its first loss the mean loss of the second half's samples is lower."""
    losses = [sample.loss for sample in telemetry.samples if sample.step >= (steps - 1) / 2]
    first, mean = telemetry.samples[0].loss, sum(losses) / len(losses) if losses else math.inf
    is_known = telemetry.nonfinite is None and math.isfinite(mean) and 0 < first < math.inf
    return 1 - mean / first if is_known else -math.inf
