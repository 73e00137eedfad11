"""TheDeepChecker: properties of data, initial weights and the dynamics of training.

Source: Ben Braiek and Khomh 2023, "Testing Feedforward Neural Networks Training Programs" (TOSEM 32:4;
arXiv:2204.00694), tables 1 to 4, with the thresholds of its repository (settings.yaml). It makes debugging runs of its
own on one small batch; here its rules read the training run, so "stagnated" and "fluctuating" losses are judged on
changing minibatches.

Before training: inputs neither within [-1, 1] nor of variance 1 -> input_unscaled; targets of a regression neither
within [-1, 1] nor of variance 1 -> output_range; a perplexity of labels below half the classes' -> collapsed_output;
an initial loss more than 100 % off log C -> exploding; a summed loss -> grad_reduction_sum; an initializer that is not
the activation's (He for ReLU, Xavier for tanh, LeCun for sigmoid) -> born_dead; weights that are all 0 ->
symmetric_init. In training: a number that is not finite -> diverged_lr; over windows of 5 looks, |W| doubling each
time -> exploding, a gradient halving -> vanishing_grad or doubling -> exploding_grad, a loss that doubles -> exploding
or falls by less than 5 % -> plateau, |decay| / |gradient| of at least 2 -> wd_dominates; a mean gradient below 1e-6 or
above 1e6; a mean update of more than 10 % of the weights -> lr_too_high, of less than 0.01 % -> lr_too_low; more than
half of 50 losses that change direction -> lr_too_high; more than half of a ReLU layer's units silent ->
dead_relu_partial or dead_relu_total; a loss that differs by half in evaluation mode -> train_eval_shift. Labels count
as corrupted where no epoch of 5 or more changed the loss -> labels_unrelated. A run that is right about everything in
five looks is over, as there.

Not expressible: saturation (a histogram of outputs), spread of activations, shares of negative or tiny weights, biases,
numerical gradients, fitting of one batch, dependence between examples, augmentation, correlation of loss and accuracy,
similarity of activations between modes.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from hpsearch.telemetry import Sample
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines.statistics import (
    mean_gradients,
    of_dead_units,
    steps_after,
    update_ratios,
)
from tests.benchmarks.diagnosis.detectors import Alarm, FirstAlarm
from tests.benchmarks.diagnosis.runs import Run

FROM_STEP = 10
WINDOW = 5
LABEL_BALANCE = 0.5
INITIAL_LOSS_SHARE = 1.0
SMALL_GRADIENT, LARGE_GRADIENT = 1e-6, 1e6
LOSS_FALL = 0.05
FASTEST, SLOWEST = 1e-1, 1e-4
SMOOTH_WINDOW, SMOOTHNESS = 50, 0.5
DEAD_SHARE = 0.5
DECAY_RATIO = 2.0
MODE_SHIFT = 0.5
LABEL_EPOCHS = 5
PATIENCE = 5

_INITIALIZERS = {"relu": "he", "tanh": "xavier", "sigmoid": "lecun"}


def _alarms(run: Run) -> Iterator[Alarm]:
    before_training = [*_of_data(run), *_of_start(run)]
    yield from (Alarm(step=0, cause=cause) for cause in before_training)
    if before_training:
        return
    if run.telemetry.nonfinite is not None:
        yield Alarm(step=run.telemetry.nonfinite.step + 1, cause=Cause.DIVERGED_LR)
    samples = _until_fitted(run.telemetry.samples)
    for count, sample in enumerate(samples, start=1):
        causes = list(_of_dynamics(run, samples[:count])) if sample.step >= FROM_STEP else []
        yield from (Alarm(step=sample.step + 1, cause=cause) for cause in causes)
        if causes:
            return
    yield from _of_labels(run)


def _until_fitted(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples up to the first five in a row without a wrong answer."""
    streak = 0
    for count, sample in enumerate(samples, start=1):
        streak = streak + 1 if sample.accuracy == 1.0 else 0
        if streak == PATIENCE:
            return samples[:count]
    return samples


def _of_data(run: Run) -> Iterator[Cause]:
    data = run.facts.data
    if data.input_largest > 1.001 and not _is_one(data.input_mean_square):
        yield Cause.INPUT_UNSCALED
    if data.class_shares:
        entropy = -sum(share * math.log(share) for share in data.class_shares if share > 0)
        if math.exp(entropy) / len(data.class_shares) < LABEL_BALANCE:
            yield Cause.COLLAPSED_OUTPUT
    elif max(-data.target_low, data.target_high) > 1.001 and not _is_one(data.target_variance):
        yield Cause.OUTPUT_RANGE


def _is_one(variance: float) -> bool:
    return math.isclose(variance, 1.0, rel_tol=0.05)


def _of_start(run: Run) -> Iterator[Cause]:
    configuration, shares = run.facts.configuration, run.facts.data.class_shares
    samples = run.telemetry.samples
    if configuration.training.reduction == "sum":
        yield Cause.GRAD_REDUCTION_SUM
    wanted = _INITIALIZERS.get(configuration.model.activation)
    if configuration.model.hidden and wanted not in (None, configuration.model.initializer.name):
        yield Cause.BORN_DEAD
    if not samples:
        return
    if any(layer.weight_norm == 0.0 for layer in samples[0].layers):
        yield Cause.SYMMETRIC_INIT
    expected = math.log(len(shares)) if shares else math.inf
    if shares and abs(samples[0].loss - expected) >= INITIAL_LOSS_SHARE * expected:
        yield Cause.EXPLODING


def _of_dynamics(run: Run, samples: Sequence[Sample]) -> Iterator[Cause]:
    """Yield what the last of `samples` shows, by itself or with those before it."""
    last, window = samples[-1], samples[-WINDOW:]
    if _all_layers_any(window, lambda s, i: s.layers[i].weight_norm, lambda ratio: ratio >= 2):
        yield Cause.EXPLODING
    yield from _of_gradients(run, window)
    yield from _of_losses(samples)
    if run.facts.activation == "relu" and last.dead_share > DEAD_SHARE:
        is_total = of_dead_units(last.dead_share)
        yield Cause.DEAD_RELU_TOTAL if is_total else Cause.DEAD_RELU_PARTIAL
    yield from _of_updates(run, last)
    if len(window) == WINDOW and _decay_dominates(run, window):
        yield Cause.WD_DOMINATES
    if abs(last.loss - last.evaluation_loss) > MODE_SHIFT * max(last.loss, last.evaluation_loss):
        yield Cause.TRAIN_EVAL_SHIFT


def _of_gradients(run: Run, window: Sequence[Sample]) -> Iterator[Cause]:
    means = mean_gradients(run, window[-1])
    shrinks = _all_layers_any(window, lambda s, i: s.layers[i].gradient_norm, lambda ratio: ratio <= 0.5)
    if shrinks or any(mean < SMALL_GRADIENT for mean in means):
        yield Cause.VANISHING_GRAD
    grows = _all_layers_any(window, lambda s, i: s.layers[i].gradient_norm, lambda ratio: ratio >= 2)
    if grows or any(mean > LARGE_GRADIENT for mean in means):
        yield Cause.EXPLODING_GRAD


def _all_layers_any(
    window: Sequence[Sample], measure: Callable[[Sample, int], float], is_bad: Callable[[float], bool]
) -> bool:
    """Return True if in some layer every ratio of a full window's neighbours is bad."""
    if len(window) < WINDOW:
        return False
    return any(
        all(map(is_bad, _ratios([measure(sample, number) for sample in window])))
        for number in range(len(window[0].layers))
    )


def _ratios(numbers: Sequence[float]) -> list[float]:
    return [after / before if before else math.nan for before, after in itertools.pairwise(numbers)]


def _of_losses(samples: Sequence[Sample]) -> Iterator[Cause]:
    losses = [sample.loss for sample in samples[-SMOOTH_WINDOW:]]
    ratios = _ratios(losses[-WINDOW:])
    if len(ratios) == WINDOW - 1:
        if all(ratio >= 2 for ratio in ratios):
            yield Cause.EXPLODING
        if all(1 - ratio < LOSS_FALL for ratio in ratios):
            yield Cause.PLATEAU
    rises = [ratio > 1 for ratio in _ratios(losses)]
    turns = sum(a != b for a, b in itertools.pairwise(rises))
    if (len(losses) - turns) / len(losses) < SMOOTHNESS:
        yield Cause.LR_TOO_HIGH


def _of_updates(run: Run, sample: Sample) -> Iterator[Cause]:
    ratios = update_ratios(run, sample)
    if any(ratio > FASTEST for ratio in ratios):
        yield Cause.LR_TOO_HIGH
    if any(ratio < SLOWEST for ratio in ratios):
        yield Cause.LR_TOO_LOW


def _decay_dominates(run: Run, window: Sequence[Sample]) -> bool:
    decay = run.facts.configuration.training.weight_decay
    return any(
        all(
            decay * sample.layers[number].weight_norm >= DECAY_RATIO * sample.layers[number].gradient_norm
            for sample in window
        )
        for number in range(len(window[0].layers))
        if decay > 0
    )


def _of_labels(run: Run) -> Iterator[Alarm]:
    epochs = run.telemetry.epochs
    losses = [epoch.training_loss for epoch in epochs[LABEL_EPOCHS:]]
    if len(losses) > 1 and math.isclose(min(losses), max(losses), rel_tol=1e-4):
        yield Alarm(step=steps_after(run, epochs[-1]), cause=Cause.LABELS_UNRELATED)


THEDEEPCHECKER: Final = FirstAlarm(name="TheDeepChecker", alarms=_alarms)
