"""UMLAUT: heuristics over the model before training, and over data and curves after every epoch.

Source: Schoop et al. 2021, "UMLAUT: Debugging Deep Learning Programs using Program Structure and Model Behavior" (CHI
2021), table 1, with the bounds of its repository.

Before training: a classifier whose output is not softmax -> wrong_loss_pair. After each epoch: inputs beyond [-1, 1] ->
input_unscaled; a loss that is NaN -> diverged_lr; a learning rate above 0.01 -> lr_too_high, below 1e-7 ->
lr_too_low; a validation loss that rose while the training loss did not -> overfit; from epoch 3 on a validation
accuracy above 0.95, or above the training accuracy -> val_misaligned (it asks whether the two overlap).

Not expressible: shapes and types of inputs and NaN in them (the product refuses such data), missing activations
(the catalogue has no such cause), dropout rates, several activations at the output. Regression is left aside where
the rule is about classes.
"""

import math
from collections.abc import Iterator
from typing import Final

from hpsearch.telemetry import Epoch
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import steps_after, training_accuracies
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

LARGEST_INPUT = 1.0
HIGH_RATE, LOW_RATE = 0.01, 1e-7
HIGH_ACCURACY, ACCURACY_FROM_EPOCH = 0.95, 3


def _alarms(run: Run) -> Iterator[Alarm]:
    if run.facts.is_classification and run.facts.configuration.model.output not in ("auto", "softmax"):
        yield Alarm(step=0, cause=Cause.WRONG_LOSS_PAIR)
    accuracies = training_accuracies(run)
    before: Epoch | None = None
    for epoch, accuracy in zip(run.telemetry.epochs, accuracies, strict=True):
        for cause in (*_of_setup(run), *_of_curves(before, epoch, accuracy)):
            yield Alarm(step=steps_after(run, epoch), cause=cause)
        before = epoch
    yield from _of_first_epoch(run)


def _of_first_epoch(run: Run) -> Iterator[Alarm]:
    """Yield what is said after the epoch in which a trace that ends with its first NaN has stopped."""
    nonfinite, per_epoch = run.telemetry.nonfinite, run.facts.steps_per_epoch
    if nonfinite is not None:
        for cause in _of_setup(run):
            yield Alarm(step=per_epoch, cause=cause)
        yield Alarm(step=(nonfinite.step // per_epoch + 1) * per_epoch, cause=Cause.DIVERGED_LR)


def _of_setup(run: Run) -> Iterator[Cause]:
    rate = run.facts.learning_rate
    if run.facts.data.input_largest > LARGEST_INPUT:
        yield Cause.INPUT_UNSCALED
    if rate > HIGH_RATE:
        yield Cause.LR_TOO_HIGH
    if rate < LOW_RATE:
        yield Cause.LR_TOO_LOW


def _of_curves(before: Epoch | None, epoch: Epoch, accuracy: float) -> Iterator[Cause]:
    if math.isnan(epoch.training_loss):
        yield Cause.DIVERGED_LR
    if before is not None:
        rose = epoch.validation_loss > before.validation_loss
        if rose and epoch.training_loss <= before.training_loss:
            yield Cause.OVERFIT
    own = epoch.validation_accuracy
    if own is not None and epoch.epoch >= ACCURACY_FROM_EPOCH and (own > HIGH_ACCURACY or own > accuracy):
        yield Cause.VAL_MISALIGNED


UMLAUT: Final = FirstAlarm(name="UMLAUT", alarms=_alarms)
