"""The per-epoch series of a trial, for curves and reports."""

import math
from collections.abc import Callable, Mapping, Sequence

from hpsearch.records import Sample, Series, Telemetry

_OF_A_SAMPLE: Mapping[str, Callable[[Sample], float]] = {
    "dead_share": lambda sample: sample.dead_share,
    "gradient_norm": lambda sample: sample.gradient_norm,
    "weight_norm": lambda sample: sample.weight_norm,
    "logit_max": lambda sample: sample.logit_max,
    "output_range": lambda sample: sample.output_range,
}
"""Series that show the last sample of each epoch."""


def series_of(telemetry: Telemetry, *, steps_per_epoch: int) -> Series:
    """Return the series of `records.Series` for the finished epochs of `telemetry`."""
    epochs = telemetry.epochs
    looks = [_last_sample(telemetry.samples, (epoch.epoch + 1) * steps_per_epoch) for epoch in epochs]
    series: dict[str, Sequence[float]] = {
        "training_loss": [epoch.training_loss for epoch in epochs],
        "validation_loss": [epoch.validation_loss for epoch in epochs],
    }
    for name, measure in _OF_A_SAMPLE.items():
        series[name] = [math.nan if look is None else measure(look) for look in looks]
    if any(epoch.validation_accuracy is not None for epoch in epochs):
        series["validation_accuracy"] = [
            math.nan if epoch.validation_accuracy is None else epoch.validation_accuracy for epoch in epochs
        ]
    return series


def _last_sample(samples: Sequence[Sample], before_step: int) -> Sample | None:
    """Return the newest sample taken before that step, or None."""
    return next((sample for sample in reversed(samples) if sample.step < before_step), None)
