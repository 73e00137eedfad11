"""Trials that train soundly and too slowly to arrive anywhere."""

from statistics import median

from hpsearch.diagnosis.facts import Facts
from hpsearch.records import Cause, Finding, Telemetry

LEAST_STEPS = 50
LEAST_SAMPLES = 5
PROMISED_SHARE = 0.1
MOST_SILENT_SHARE = 0.5
LARGEST_FACTOR = 100.0


def lr_too_low(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """The steps promise to lower the loss by less than a tenth in the whole trial, and have not done more so far.

    A step promises -(gradient . change of the parameters) to first order, lr |g|^2 for SGD; noise in the minibatch's
    gradient only makes that larger, so the projection errs towards patience. Slow and dying runs separate cleanly
    by their silent units (measured: above 0.95 against below 0.06 of a layer).
    """
    samples = telemetry.samples
    if len(samples) < LEAST_SAMPLES or telemetry.steps < min(LEAST_STEPS, facts.steps / 2):
        return None
    first, recent = samples[0].loss, samples[-LEAST_SAMPLES:]
    if samples[-1].dead_share > MOST_SILENT_SHARE:
        return None
    promised = median(sample.predicted_decrease for sample in recent) * facts.steps
    fallen = first - median(sample.loss for sample in recent)
    if not (0 <= promised < PROMISED_SHARE * first and fallen < PROMISED_SHARE * first):
        return None
    factor = min(LARGEST_FACTOR, first / promised) if promised > 0 else LARGEST_FACTOR
    higher = facts.learning_rate * factor
    return Finding(
        cause=Cause.LR_TOO_LOW,
        confidence=0.9,
        first_step=0,
        evidence={"promised_share": promised / first, "fallen_share": fallen / first, "steps": facts.steps},
        remedy=f"Raise the learning rate from {facts.learning_rate:.2g} to about {higher:.2g}.",
        suggested={"learning_rate": higher},
    )
