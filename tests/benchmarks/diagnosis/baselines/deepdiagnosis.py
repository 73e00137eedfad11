"""DeepDiagnosis: eight symptoms, looked for after every epoch.

Source: Wardat et al. 2022, "DeepDiagnosis: Automatically Diagnosing Faults and Recommending Actionable Fixes in Deep
Learning Programs" (ICSE 2022), table 2 and the callback of its repository (N = 5, 20 for accuracies).

After the first epoch: an output layer without softmax whose range excludes targets, or that is linear or ReLU under
cross-entropy, or linear with outputs that span more than ten times the targets' range -> wrong_loss_pair with
classes, output_range otherwise. After each: a number that is not finite -> diverged_lr; a ReLU layer whose mean output
is 0, or a gradient whose mean is 0 -> dead_relu_total with ReLU, else vanishing_grad; a mean magnitude of a gradient
below 1e-7 -> vanishing_grad; an accuracy of 0, five equal losses or twenty equal accuracies -> lr_too_low. After each
fifth: more than half of a sigmoid layer's inputs beyond 5 -> saturated. After the last: 70 % of a ReLU layer's outputs
are 0 -> dead_relu_partial, or dead_relu_total where all are.

Not expressible: mean outputs, weights and gradients that stay equal; tanh beyond 5 (our traces count from 2.5 on).
The share of zero outputs is at least that of silent units, which stands for it. Its fixes ("normalize the data",
"learning rate") follow from the same symptoms and are left aside.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from hpsearch.telemetry import Epoch, Sample
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import (
    last_sample,
    mean_gradients,
    of_dead_units,
    steps_after,
    training_accuracies,
)
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

LOSS_BLOCK, ACCURACY_BLOCK = 5, 20
VANISHING = 1e-7
SATURATED_SHARE = 0.5
DEAD_SHARE = 0.7
OUTPUT_SPAN = 10.0

_BOUNDS = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "elu": (-1.0, math.inf),
}


def _alarms(run: Run) -> Iterator[Alarm]:
    accuracies = training_accuracies(run)
    for epoch in run.telemetry.epochs:
        step = steps_after(run, epoch)
        for cause in _after(run, epoch, accuracies[: epoch.epoch + 1]):
            yield Alarm(step=step, cause=cause)
    nonfinite, per_epoch = run.telemetry.nonfinite, run.facts.steps_per_epoch
    if nonfinite is not None:
        yield Alarm(step=(nonfinite.step // per_epoch + 1) * per_epoch, cause=Cause.DIVERGED_LR)


def _after(run: Run, epoch: Epoch, accuracies: Sequence[float]) -> Iterator[Cause]:
    sample = last_sample(run, epoch)
    if epoch.epoch == 0 and _is_out_of_range(run, sample):
        is_classes = run.facts.is_classification
        yield Cause.WRONG_LOSS_PAIR if is_classes else Cause.OUTPUT_RANGE
    if not math.isfinite(epoch.training_loss):
        yield Cause.DIVERGED_LR
    if sample is not None:
        yield from _of_tensors(run, epoch, sample)
    if run.facts.is_classification and accuracies[-1] == 0.0:
        yield Cause.LR_TOO_LOW
    losses = [e.training_loss for e in run.telemetry.epochs[: epoch.epoch + 1]]
    if _is_unchanged(losses, LOSS_BLOCK) or _is_unchanged(accuracies, ACCURACY_BLOCK):
        yield Cause.LR_TOO_LOW


def _is_out_of_range(run: Run, sample: Sample | None) -> bool:
    model, data = run.facts.configuration.model, run.facts.data
    own = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "mse": "identity"}
    output = own.get(model.loss, "softmax") if model.output == "auto" else model.output
    if model.loss == "cross_entropy" and output in ("identity", "relu"):
        return True
    if output == "identity" and sample is not None:
        return sample.output_range > OUTPUT_SPAN * (data.target_high - data.target_low)
    low, high = _BOUNDS.get(output, (-math.inf, math.inf))
    return data.target_low < low or data.target_high > high


def _of_tensors(run: Run, epoch: Epoch, sample: Sample) -> Iterator[Cause]:
    is_relu = run.facts.activation == "relu"
    is_zero = any(layer.gradient_norm == 0.0 for layer in sample.layers)
    if is_zero or (is_relu and sample.dead_share == 1.0):
        yield Cause.DEAD_RELU_TOTAL if is_relu else Cause.VANISHING_GRAD
    if any(mean < VANISHING for mean in mean_gradients(run, sample)):
        yield Cause.VANISHING_GRAD
    is_due = run.facts.activation == "sigmoid" and (epoch.epoch + 1) % LOSS_BLOCK == 0
    if is_due and any(layer.saturated_share > SATURATED_SHARE for layer in sample.hidden):
        yield Cause.SATURATED
    is_last = epoch.epoch + 1 == run.facts.configuration.training.epochs
    if is_last and is_relu and sample.dead_share >= DEAD_SHARE:
        is_total = of_dead_units(sample.dead_share)
        yield Cause.DEAD_RELU_TOTAL if is_total else Cause.DEAD_RELU_PARTIAL


def _is_unchanged(numbers: Sequence[float], block: int) -> bool:
    """Return True if a whole block of `numbers` ends here and all of it is equal."""
    last = numbers[-block:]
    return len(numbers) % block == 0 and not math.isnan(last[0]) and len(set(last)) == 1


DEEPDIAGNOSIS: Final = FirstAlarm(name="DeepDiagnosis", alarms=_alarms)
