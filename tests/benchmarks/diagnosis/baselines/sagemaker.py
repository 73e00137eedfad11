"""Amazon SageMaker Debugger: its built-in rules with their default parameters.

Source: Amazon SageMaker Developer Guide, "List of Debugger Built-in Rules". Rules look at tensors that are saved every
500 steps by default (`save_interval` of the rule configurations); `sagemaker` takes any interval.

ExplodingTensor: a number is not finite -> diverged_lr. VanishingGradient: mean magnitude of a layer's gradient below
1e-7 -> vanishing_grad. DeadRelu: more than 50 % of a layer's units fire for less than 1 % of the examples ->
dead_relu_partial or, if all are silent, dead_relu_total. WeightUpdateRatio: above 10 -> lr_too_high, below 1e-8 ->
lr_too_low. ClassImbalance: the largest class has more than 10 times the examples of the smallest ->
collapsed_output. LossNotDecreasing: the loss is not 0.1 % below the one saved at least 10 steps before -> plateau.
Overfit: (validation loss - training loss) / training loss above 0.1 for one check -> overfit. Overtraining: the
training loss has no new optimum (by 0.1) for 5 checks and the validation loss none for 10 -> overfit.

Not expressible: SaturatedActivation (tanh beyond 9.5, sigmoid beyond -23 and 17: our traces count from 2.5 and 5 on),
PoorWeightInitialization (variances of layer inputs, percentiles of gradients), Confusion, CheckInputImages,
UnchangedTensor, TensorVariance and AllZero (no tensors or no limits by default), SimilarAcrossRuns, StalledTraining.
In DeadRelu a unit that fires once in more than 100 examples counts as living.
"""

from collections.abc import Iterator

from hpsearch.telemetry import Sample
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import (
    every,
    mean_gradients,
    of_dead_units,
    steps_after,
    update_ratios,
)
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

VANISHING = 1e-7
INACTIVE_SHARE = 0.5
LARGE_RATIO, SMALL_RATIO = 10.0, 1e-8
IMBALANCE = 10.0
LOSS_STEPS, LOSS_FALL = 10, 1e-3
OVERFIT_RATIO = 0.1
TRAINING_PATIENCE, VALIDATION_PATIENCE, OPTIMUM_DELTA = 5, 10, 0.1


def sagemaker(interval: int) -> FirstAlarm:
    """Return the rules on tensors saved every `interval` steps; 1 means whenever our telemetry looked."""
    when = "at our interval" if interval == 1 else f"every {interval} steps"
    return FirstAlarm(name=f"SageMaker Debugger, {when}", alarms=lambda run: _alarms(run, interval))


def _alarms(run: Run, interval: int) -> Iterator[Alarm]:
    nonfinite = run.telemetry.nonfinite
    if nonfinite is not None:
        seen = -(-nonfinite.step // interval) * interval
        yield Alarm(step=seen + 1, cause=Cause.DIVERGED_LR)
    saved = list(every(run, interval))
    for sample in saved:
        for cause in _of_tensors(run, sample):
            yield Alarm(step=sample.step + 1, cause=cause)
    yield from _loss_not_decreasing(saved)
    yield from _class_imbalance(run)
    yield from _overfit(run)
    yield from _overtraining(run)


def _of_tensors(run: Run, sample: Sample) -> Iterator[Cause]:
    if any(mean < VANISHING for mean in mean_gradients(run, sample)):
        yield Cause.VANISHING_GRAD
    if run.facts.activation == "relu" and sample.dead_share > INACTIVE_SHARE:
        is_total = of_dead_units(sample.dead_share)
        yield Cause.DEAD_RELU_TOTAL if is_total else Cause.DEAD_RELU_PARTIAL
    ratios = update_ratios(run, sample)
    if any(ratio > LARGE_RATIO for ratio in ratios):
        yield Cause.LR_TOO_HIGH
    if any(ratio < SMALL_RATIO for ratio in ratios):
        yield Cause.LR_TOO_LOW


def _loss_not_decreasing(saved: list[Sample]) -> Iterator[Alarm]:
    """Compare each saved loss with the last one that is old enough, as the guide's example does."""
    reference = saved[0] if saved else None
    for sample in saved[1:]:
        if reference is None or sample.step - reference.step < LOSS_STEPS:
            continue
        if sample.loss >= reference.loss * (1 - LOSS_FALL):
            yield Alarm(step=sample.step + 1, cause=Cause.PLATEAU)
        reference = sample


def _class_imbalance(run: Run) -> Iterator[Alarm]:
    shares = run.facts.data.class_shares
    if shares and max(shares) > IMBALANCE * min(shares):
        yield Alarm(step=1, cause=Cause.COLLAPSED_OUTPUT)


def _overfit(run: Run) -> Iterator[Alarm]:
    for epoch in run.telemetry.epochs:
        if epoch.validation_loss - epoch.training_loss > OVERFIT_RATIO * epoch.training_loss:
            yield Alarm(step=steps_after(run, epoch), cause=Cause.OVERFIT)


def _overtraining(run: Run) -> Iterator[Alarm]:
    epochs = run.telemetry.epochs
    training = _ages_of_optimum([epoch.training_loss for epoch in epochs])
    validation = _ages_of_optimum([epoch.validation_loss for epoch in epochs])
    for epoch, old, older in zip(epochs, training, validation, strict=True):
        if old >= TRAINING_PATIENCE and older >= VALIDATION_PATIENCE:
            yield Alarm(step=steps_after(run, epoch), cause=Cause.OVERFIT)


def _ages_of_optimum(losses: list[float]) -> list[int]:
    """Return after each loss how many losses ago the optimum last fell by `OPTIMUM_DELTA`."""
    best, age, ages = float("inf"), 0, []
    for loss in losses:
        is_new = loss < best - OPTIMUM_DELTA
        best, age = (loss, 0) if is_new else (best, age + 1)
        ages.append(age)
    return ages
