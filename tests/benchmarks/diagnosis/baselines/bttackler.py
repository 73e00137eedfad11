"""BTTackler: quality indicators of every epoch, the direct peer of our diagnosis in a search.

Source: Pei et al. 2024, "BTTackler: A Diagnosis-based Framework for Efficient Deep Learning Hyperparameter
Optimization" (KDD 2024), section 4.2, with the rules and parameters of its repository (default_config.yaml).

Gradients are mean magnitudes per layer, averaged over the epoch, G the median over layers, Q the median of the ratios
of neighbouring layers, Z the median share of zero elements. A number that is not finite -> diverged_lr; G above 1e4 or
Q above 1000 -> exploding_grad. Unless the training loss is among the best tenth of at least ten others after the same
epoch: in the first half, G below 1e-5, Q below 1e-4 or a layer of zeros -> vanishing_grad; from the fifth epoch on, Z
above 0.5 -> dead_relu_partial; in the first half, training losses that vary by less than 0.01 % -> lr_too_low; in the
second half, training or validation losses that vary more in their newer half than in their older -> lr_too_high; a
mean loss of the last three epochs above that of the three before -> plateau for training, overfit for validation.
Whoever else: in the second half, losses of six epochs that rise by 0.01 per epoch and vary by 20 % -> lr_too_high.

Not expressible: nothing is left out; means over an epoch are over the minibatches that our telemetry looked at, or
the one before them where an epoch has none, and mean magnitudes are those of `statistics.mean_gradients`.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypeAlias, final

from hpsearch.telemetry import Epoch
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import (
    deviation,
    last_sample,
    mean_gradients,
    samples_of_epoch,
    slope,
    steps_after,
    zero_gradient_shares,
)
from tests.benchmarks.diagnosis.detectors import Alarm, Call, first_of
from tests.benchmarks.diagnosis.runs import Run

LARGE_GRADIENT, LARGE_QUOTIENT = 1e4, 1e3
SMALL_GRADIENT, SMALL_QUOTIENT = 1e-5, 1e-4
ZERO_SHARE, ZERO_FROM_EPOCHS = 0.5, 5
FLAT, FLAT_FROM_EPOCHS = 1e-4, 3
WINDOW = 6
OSCILLATION_SLOPE, OSCILLATION = 0.01, 0.2
BEST_SHARE, LEAST_OTHERS = 0.1, 10

Losses: TypeAlias = Mapping[str, Sequence[Sequence[float]]]
"""Base -> the training losses, epoch by epoch, of all runs that stem from it."""


def losses_of(runs: Sequence[Run]) -> dict[str, list[list[float]]]:
    """Return what a search over the runs of each base would know of training losses."""
    losses: dict[str, list[list[float]]] = {}
    for run in runs:
        losses.setdefault(run.base, []).append([epoch.training_loss for epoch in run.telemetry.epochs])
    return losses


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BTTackler:
    """BTTackler in a search over the runs of one base; `losses` are theirs, the run's own included."""

    losses: Losses = field(default_factory=dict)
    name: str = "BTTackler"
    names_causes: bool = True

    def call(self, run: Run) -> Call:
        """Return the symptoms of the first epoch that has any."""
        return first_of(list(self._alarms(run)))

    def _alarms(self, run: Run) -> Iterator[Alarm]:
        is_protected = False
        for epoch in run.telemetry.epochs:
            step = steps_after(run, epoch)
            if _is_broken(run, epoch):
                yield Alarm(step=step, cause=Cause.DIVERGED_LR)
                return
            is_protected = is_protected or self._is_among_the_best(run, epoch)
            symptoms = list(_symptoms(run, epoch, is_protected=is_protected))
            yield from (Alarm(step=step, cause=cause) for cause in symptoms)
            if symptoms:
                return
        nonfinite, per_epoch = run.telemetry.nonfinite, run.facts.steps_per_epoch
        if nonfinite is not None:
            yield Alarm(step=(nonfinite.step // per_epoch + 1) * per_epoch, cause=Cause.DIVERGED_LR)

    def _is_among_the_best(self, run: Run, epoch: Epoch) -> bool:
        others = [
            curve[epoch.epoch]
            for curve in self.losses.get(run.base, ())
            if len(curve) > epoch.epoch and math.isfinite(curve[epoch.epoch])
        ]
        if len(others) <= LEAST_OTHERS:
            return False
        return epoch.training_loss <= sorted(others)[int(BEST_SHARE * len(others))]


def _is_broken(run: Run, epoch: Epoch) -> bool:
    nonfinite = run.telemetry.nonfinite
    has_nan = nonfinite is not None and nonfinite.step < steps_after(run, epoch)
    return has_nan or not math.isfinite(epoch.training_loss)


def _symptoms(run: Run, epoch: Epoch, *, is_protected: bool) -> Iterator[Cause]:
    half = run.facts.configuration.training.epochs // 2
    epochs = run.telemetry.epochs[: epoch.epoch + 1]
    training = [e.training_loss for e in epochs]
    validation = [e.validation_loss for e in epochs]
    yield from _of_gradients(run, epoch, is_protected=is_protected, is_early=epoch.epoch < half)
    if not is_protected:
        yield from _of_convergence(training, validation, is_early=epoch.epoch < half)
    if epoch.epoch >= half:
        yield from (Cause.LR_TOO_HIGH for losses in (training, validation) if _oscillates(losses))
    if not is_protected and len(training) >= WINDOW:
        yield from (Cause.PLATEAU for _ in range(_rises(training)))
        yield from (Cause.OVERFIT for _ in range(_rises(validation)))


def _of_gradients(run: Run, epoch: Epoch, *, is_protected: bool, is_early: bool) -> Iterator[Cause]:
    newest = last_sample(run, epoch)
    samples = samples_of_epoch(run, epoch) or ([newest] if newest is not None else [])
    if not samples:
        return
    means = [fmean(layer) for layer in zip(*(mean_gradients(run, s) for s in samples), strict=True)]
    zeros = [fmean(layer) for layer in zip(*(zero_gradient_shares(run, s) for s in samples), strict=True)]
    has_zero = 0.0 in means
    quotients = [] if has_zero else [a / b for a, b in itertools.pairwise(means)]
    quotient = median(quotients) if quotients else math.nan
    if median(means) > LARGE_GRADIENT or quotient > LARGE_QUOTIENT:
        yield Cause.EXPLODING_GRAD
    if is_protected:
        return
    if is_early and (median(means) < SMALL_GRADIENT or has_zero or quotient < SMALL_QUOTIENT):
        yield Cause.VANISHING_GRAD
    if epoch.epoch + 1 >= ZERO_FROM_EPOCHS and median(zeros) > ZERO_SHARE:
        yield Cause.DEAD_RELU_PARTIAL


def _of_convergence(
    training: Sequence[float], validation: Sequence[float], *, is_early: bool
) -> Iterator[Cause]:
    if is_early:
        if len(training) >= FLAT_FROM_EPOCHS and deviation(training) < FLAT:
            yield Cause.LR_TOO_LOW
        return
    for losses in (training, validation):
        middle = len(losses) // 2
        if len(losses) >= WINDOW and deviation(losses[:middle]) < deviation(losses[middle:]):
            yield Cause.LR_TOO_HIGH


def _oscillates(losses: Sequence[float]) -> bool:
    last = losses[-WINDOW:]
    return slope(last) >= OSCILLATION_SLOPE and deviation(last) > OSCILLATION


def _rises(losses: Sequence[float]) -> bool:
    middle = WINDOW // 2
    return fmean(losses[-WINDOW:-middle]) < fmean(losses[-middle:])
