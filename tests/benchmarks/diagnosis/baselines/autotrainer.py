"""AutoTrainer: five training problems, judged every three epochs.

Source: Zhang et al. 2021, "AutoTrainer: An Automatic DNN Training Problem Detection and Repair System" (ICSE 2021),
table II with the default parameters of its repository: beta 1e-3, 1e-4 and 70, gamma 0.7, zeta 0.03, eta 0.2,
delta 0.01, Theta 0.7; the first look after epoch 0, and what needs a history after 30 % of the epochs. Signs of a
gradient add up over the looks.

A loss, gradient or weight that is not finite, or a validation loss of 1e5 -> diverged_lr. If the accuracy is below
0.7 or never rose by 0.01: 70 % of all gradient elements zero -> dead_relu_total (dead_relu_partial while a unit
lives); |g_1| / |g_L| above 70 -> exploding_grad; below 1e-3 with |g_1| below 1e-4 -> vanishing_grad; else, where it
never rose, slow convergence -> lr_too_low. Otherwise accuracies that swing by 0.03 in a fifth of the epochs ->
lr_too_high.

Not expressible: gradients of one fixed minibatch (ours are of the minibatch looked at last), training accuracies over
whole epochs (ours are of the minibatches looked at). Regression has no accuracy, so only the first rule applies.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

from hpsearch.telemetry import Epoch, Sample
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import (
    last_sample,
    of_dead_units,
    steps_after,
    training_accuracies,
    zero_gradient_share,
)
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

EPOCHS_BETWEEN_LOOKS = 3
JUDGED_FROM = 0.3
HUGE_LOSS = 1e5
VANISHING_RATIO, VANISHING_NORM, EXPLODING_RATIO = 1e-3, 1e-4, 70.0
ZERO_SHARE = 0.7
SWING, SWING_SHARE = 0.03, 0.2
LEAST_RISE = 0.01
SATISFYING_ACCURACY = 0.7


def _alarms(run: Run) -> Iterator[Alarm]:
    training = training_accuracies(run)
    seen: set[Cause] = set()
    for epoch in run.telemetry.epochs[::EPOCHS_BETWEEN_LOOKS]:
        sample = last_sample(run, epoch)
        if sample is not None:
            seen |= set(_signs(run, sample))
        cause = _judge(run, epoch, training[: epoch.epoch + 1], seen)
        if cause is not None:
            yield Alarm(step=steps_after(run, epoch), cause=cause)
    yield from _unfinished_epoch(run)


def _unfinished_epoch(run: Run) -> Iterator[Alarm]:
    """Yield the alarm of a run whose trace ends with its first NaN, at the look that would have come next."""
    nonfinite, per_look = run.telemetry.nonfinite, EPOCHS_BETWEEN_LOOKS * run.facts.steps_per_epoch
    if nonfinite is not None:
        looks = -(-max(0, nonfinite.step + 1 - run.facts.steps_per_epoch) // per_look)
        step = run.facts.steps_per_epoch + looks * per_look
        yield Alarm(step=min(step, run.facts.steps), cause=Cause.DIVERGED_LR)


def _signs(run: Run, sample: Sample) -> Iterator[Cause]:
    """Yield what the gradients of one look are a sign of."""
    first, last = sample.layers[0].gradient_norm, sample.layers[-1].gradient_norm
    ratio = first / last if last > 0 else math.nan
    if ratio < VANISHING_RATIO and first < VANISHING_NORM:
        yield Cause.VANISHING_GRAD
    if ratio > EXPLODING_RATIO:
        yield Cause.EXPLODING_GRAD
    if zero_gradient_share(run, sample) >= ZERO_SHARE:
        is_total = of_dead_units(sample.dead_share)
        yield Cause.DEAD_RELU_TOTAL if is_total else Cause.DEAD_RELU_PARTIAL


def _judge(run: Run, epoch: Epoch, training: Sequence[float], seen: set[Cause]) -> Cause | None:
    losses = (epoch.training_loss, epoch.validation_loss)
    if not all(map(math.isfinite, losses)) or epoch.validation_loss >= HUGE_LOSS:
        return Cause.DIVERGED_LR
    is_early = epoch.epoch + 1 < JUDGED_FROM * run.facts.configuration.training.epochs
    if is_early or not run.facts.is_classification:
        return None
    validation = [e.validation_accuracy or 0.0 for e in run.telemetry.epochs[: epoch.epoch + 1]]
    is_slow = _largest_rise(validation) < LEAST_RISE and _largest_rise(training) < LEAST_RISE
    if is_slow or min(max(validation), max(training)) < SATISFYING_ACCURACY:
        order = (
            Cause.DEAD_RELU_TOTAL,
            Cause.DEAD_RELU_PARTIAL,
            Cause.EXPLODING_GRAD,
            Cause.VANISHING_GRAD,
        )
        return next((cause for cause in order if cause in seen), Cause.LR_TOO_LOW if is_slow else None)
    return Cause.LR_TOO_HIGH if _swings(training) else None


def _largest_rise(accuracies: Sequence[float]) -> float:
    return max((after - before for before, after in itertools.pairwise(accuracies)), default=0.0)


def _swings(accuracies: Sequence[float]) -> bool:
    """Return True if enough local maxima stand far above the local minima of the same rank."""
    inner = list(zip(accuracies, accuracies[1:], accuracies[2:], strict=False))
    tops = [b for a, b, c in inner if b >= a and b >= c]
    bottoms = [b for a, b, c in inner if b <= a and b <= c]
    wide = sum(top - bottom >= SWING for top, bottom in zip(tops, bottoms, strict=False))
    return wide >= SWING_SHARE * len(accuracies)


AUTOTRAINER: Final = FirstAlarm(name="AutoTrainer", alarms=_alarms)
