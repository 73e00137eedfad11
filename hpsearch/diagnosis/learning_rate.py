"""Steps of the wrong length: too small to make progress, or so large that they overshoot."""

from itertools import pairwise
from statistics import median
from typing import Final

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import (
    HIGHEST_FACTOR,
    better_learning_rate,
    finite_evidence,
    has_learned,
    last_samples,
    lower_learning_rate,
    mean,
    median_of,
    probes,
)
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Telemetry
from hpsearch.verdicts import Cause, Finding

LEAST_STEPS: Final = 50
SAMPLES: Final = 5
PROMISED_SHARE: Final = 0.1
LEAST_GAIN: Final = 0.9
PROMISE_FACTOR: Final = 10.0
ROUNDED_GAIN: Final = 0.98
MOST_SILENT_SHARE: Final = 0.5
OVERSHOT_PROBES: Final = 3
SETTLING_PROBES: Final = 2
LEAST_OVERSHOT_STEPS: Final = 150
OVERSHOT_GAIN: Final = 0.25
OVERSHOT_SHARE: Final = 0.125
JUMPING_EPOCHS: Final = 3
JUMPING_SHARE: Final = 1 / 3
NEARLY_OVER: Final = 0.9
STRAIGHT_GAIN: Final = 0.95
STRAIGHT_COSINE: Final = 0.3
FAR_SHARE: Final = 0.3
FALLING_SHARE: Final = 0.95
MOST_GAIN: Final = 0.995
"""Nearer to 1, rho only shows that the step could be a hundred times as long."""


def lr_too_low(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find steps that promise to lower the loss by less than a tenth in the whole trial, and have not done more so far.

    A step promises -(gradient . change of the parameters) to first order, lr |g|^2 for SGD; noise in the minibatch's
    gradient only makes that larger, so the projection errs on the side of waiting. Probes, if any promised more than
    rounding, must agree that the steps are far too small: rho near 1 (Cockpit's alpha near -1). Slow and dying runs
    separate cleanly by their silent units (measured: above 0.95 against below 0.06 of a layer).
    """
    recent = last_samples(telemetry, SAMPLES)
    if not recent or telemetry.steps < min(LEAST_STEPS, facts.steps / 2):
        return None
    first = telemetry.samples[0].loss
    promised = median(sample.predicted_decrease for sample in recent) * facts.steps
    fallen = first - median(sample.loss for sample in recent)
    if not (0 <= promised < PROMISED_SHARE * first and fallen < PROMISED_SHARE * first):
        return None
    gain = median_of(probes(telemetry), lambda sample: sample.gain)
    if gain < LEAST_GAIN or telemetry.samples[-1].dead_share > MOST_SILENT_SHARE:
        return None
    higher = facts.learning_rate * _raising_factor(first, promised, gain)
    return Finding(
        cause=Cause.LR_TOO_LOW,
        confidence=0.9,
        first_step=0,
        evidence=finite_evidence(
            promised_share=promised / first,
            fallen_share=fallen / first,
            gain=gain,
            steps=facts.steps,
        ),
        remedy=f"{_higher_learning_rate(facts, higher)}.",
        suggested={"learning_rate": higher},
    )


def _raising_factor(first: float, promised: float, gain: float) -> float:
    """Return the factor for longer steps of a trial whose loss is `first` and promises to fall so little.

    Ten times the factor that would raise the promise to the loss, since gradients shrink on the way; at most the best
    step along the gradient of a quadratic, 1 / (2 (1 - rho)), if rho is far enough from 1 to differ from rounding.
    """
    factor = PROMISE_FACTOR * first / promised if promised > 0 else HIGHEST_FACTOR
    longest = 1 / (2 * (1 - gain)) if gain < ROUNDED_GAIN else HIGHEST_FACTOR
    return min(HIGHEST_FACTOR, factor, longest)


def still_converging(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find a trial that is nearly over with its loss still falling in a straight line: its learning rate is too low.

    Steps far below the best length (rho near 1), gradients that keep their direction from minibatch to minibatch, and a
    loss above three tenths of chance's. It learns, so it is no reason to stop.
    """
    samples = telemetry.samples
    if len(samples) < SAMPLES or telemetry.steps < NEARLY_OVER * facts.steps:
        return None
    gain = median_of(probes(telemetry), lambda sample: sample.gain)
    cosine = median_of(samples, lambda sample: sample.gradient_cosine)
    if not (gain > STRAIGHT_GAIN and cosine > STRAIGHT_COSINE and _still_falls(telemetry)):
        return None
    if has_learned(telemetry, facts, share=FAR_SHARE):
        return None
    higher = facts.learning_rate * max(10.0, 1 / (2 * (1 - min(gain, MOST_GAIN))))
    return Finding(
        cause=Cause.LR_TOO_LOW,
        confidence=0.6,
        first_step=0,
        evidence=finite_evidence(gain=gain, gradient_cosine=cosine, loss=samples[-1].loss),
        remedy=f"{_higher_learning_rate(facts, higher)}, or train longer.",
        suggested={"learning_rate": higher},
    )


def _higher_learning_rate(facts: TrialFacts, higher: float) -> str:
    """Return the remedy in words, without its full stop."""
    return (
        f"Raise the learning rate from {format_number(facts.learning_rate)} to about {format_number(higher)}"
    )


def _still_falls(telemetry: Telemetry) -> bool:
    """Return True if training's loss fell by a twentieth from the middle to the last third of epochs; or too few."""
    losses = [epoch.training_loss for epoch in telemetry.epochs]
    third = len(losses) // 3
    if third == 0:
        return True
    return mean(losses[-third:]) < FALLING_SHARE * mean(losses[-2 * third : -third])


def lr_too_high(telemetry: Telemetry, facts: TrialFacts) -> Finding | None:
    """Find steps that overshoot: most are longer than the best ones, and the loss stays high and jumps about.

    rho below a quarter in the middle of the probes (Cockpit's alpha above a half), a loss above an eighth of chance's,
    and a training loss that has risen from one epoch to the next in a third of them. It is no reason to stop: at the
    edge of stability networks still learn.
    """
    probed = probes(telemetry)[SETTLING_PROBES:]
    if len(probed) < OVERSHOT_PROBES or telemetry.steps < LEAST_OVERSHOT_STEPS:
        return None
    gain = median_of(probed, lambda sample: sample.gain)
    if not gain < OVERSHOT_GAIN or has_learned(telemetry, facts, share=OVERSHOT_SHARE):
        return None
    if not _is_oscillating(telemetry):
        return None
    return Finding(
        cause=Cause.LR_TOO_HIGH,
        confidence=0.7,
        first_step=probed[0].step,
        evidence=finite_evidence(
            gain=gain, loss=telemetry.samples[-1].loss, learning_rate=facts.learning_rate
        ),
        remedy=f"{lower_learning_rate(telemetry, facts)}: the steps overshoot.",
        suggested={"learning_rate": better_learning_rate(telemetry, facts)},
    )


def _is_oscillating(telemetry: Telemetry) -> bool:
    """Return True if the training loss rose in a third of the epochs or more; False if fewer than four are known."""
    losses = [epoch.training_loss for epoch in telemetry.epochs]
    rises = sum(after > before for before, after in pairwise(losses))
    return len(losses) > JUMPING_EPOCHS and rises >= JUMPING_SHARE * (len(losses) - 1)
