"""The per-epoch series of a trial, for curves and reports."""

import math
from collections.abc import Sequence

from hpsearch.records import Sample, Series, Telemetry


def series_of(telemetry: Telemetry, *, steps_per_epoch: int) -> Series:
    """Return the series of `records.Series` for the finished epochs of `telemetry`."""
    epochs = telemetry.epochs
    looks = [_last_sample(telemetry.samples, (epoch.epoch + 1) * steps_per_epoch) for epoch in epochs]
    series: dict[str, Sequence[float]] = {
        "training_loss": [epoch.training_loss for epoch in epochs],
        "validation_loss": [epoch.validation_loss for epoch in epochs],
        "dead_share": [_dead_share(look) for look in looks],
        "gradient_norm": [
            math.hypot(*(layer.gradient_norm for layer in look.layers)) if look else math.nan
            for look in looks
        ],
        "weight_norm": [
            math.hypot(*(layer.weight_norm for layer in look.layers)) if look else math.nan for look in looks
        ],
        "logit_max": [look.logit_max if look else math.nan for look in looks],
    }
    if any(epoch.validation_accuracy is not None for epoch in epochs):
        series["validation_accuracy"] = [
            math.nan if epoch.validation_accuracy is None else epoch.validation_accuracy for epoch in epochs
        ]
    return series


def _last_sample(samples: Sequence[Sample], before_step: int) -> Sample | None:
    """Return the newest sample taken before that step, or None."""
    return next((sample for sample in reversed(samples) if sample.step < before_step), None)


def _dead_share(sample: Sample | None) -> float:
    """Return the largest share of silent units among the hidden layers; NaN without a sample, 0 without layers."""
    if sample is None:
        return math.nan
    return max((layer.dead_share for layer in sample.layers[:-1]), default=0.0)
