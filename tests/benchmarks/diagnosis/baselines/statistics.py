"""Statistics that the published rules ask for, derived from what our traces hold.

Exact: shares of zero gradient elements (`zero_gradient_shares`), ratios of updates to weights. Under an assumption,
stated where it is made: mean magnitudes of gradients, and the number of inputs.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

from hpsearch.telemetry import Epoch, Sample
from tests.benchmarks.diagnosis.runs import Run

INPUTS = {
    "digits": 64,
    "mnist": 784,
    "fashion": 784,
    "fashion_mnist": 784,
    "iris": 4,
    "wine": 13,
    "breast_cancer": 30,
    "diabetes": 10,
    "moons": 2,
    "noisy_moons": 2,
    "circles": 2,
    "blobs": 2,
    "spirals": 2,
    "xor": 2,
}
"""Inputs by data set. Facts do not tell them, and only the size of the first weight matrix depends on them."""

OTHER_INPUTS = 20
"""Stands for the inputs of any other data set. Mean gradients go with its square root; thresholds lie decades apart."""

MEAN_OF_NORMAL = math.sqrt(2 / math.pi)
"""The mean magnitude of a standard normal variable."""

PLAIN_STEPS = frozenset({"sgd"})


def layer_sizes(run: Run) -> list[tuple[int, int]]:
    """Return the (inputs, outputs) of each dense layer, input side first."""
    model, data = run.facts.configuration.model, run.facts.data
    is_binary = len(data.class_shares) == 2 and model.loss == "binary_cross_entropy"
    outputs = 1 if is_binary or not data.is_classification else len(data.class_shares)
    widths = [INPUTS.get(run.family.split("/")[0], OTHER_INPUTS), *model.hidden, outputs]
    return list(itertools.pairwise(widths))


def zero_gradient_shares(run: Run, sample: Sample) -> list[float]:
    """Return per layer the share of elements of the weight gradient that are exactly 0. Exact for ReLU.

    An element is the sum over examples of (input) x (delta): it is 0 where the input is 0 for every example of the
    minibatch, or the unit is silent for every one. Other activations have no exact zeros.
    """
    is_relu = run.facts.activation == "relu"
    shares = []
    below = run.zero_column_share
    for layer in sample.layers:
        silent = layer.dead_share if is_relu else 0.0
        zero = 1.0 if layer.gradient_norm == 0.0 else 1 - (1 - below) * (1 - silent)
        shares.append(zero)
        below = silent
    return shares


def zero_gradient_share(run: Run, sample: Sample) -> float:
    """Return the share of zeros among the gradients of all weights and biases together."""
    zeros = total = 0.0
    silent_below_output = [*(layer.dead_share for layer in sample.hidden), 0.0]
    is_relu = run.facts.activation == "relu"
    for (inputs, outputs), share, silent in zip(
        layer_sizes(run), zero_gradient_shares(run, sample), silent_below_output, strict=True
    ):
        zeros += share * inputs * outputs + (silent if is_relu else 0.0) * outputs
        total += (inputs + 1) * outputs
    return zeros / total


def mean_gradients(run: Run, sample: Sample) -> list[float]:
    """Return per layer the mean magnitude of the elements of the weight gradient.

    Of n elements a share s is not 0; were those normal with mean 0, the mean over all n would be
    norm x sqrt(s / n) x sqrt(2 / pi). Heavier tails make the true mean smaller.
    """
    means = []
    for layer, (inputs, outputs), zero in zip(
        sample.layers, layer_sizes(run), zero_gradient_shares(run, sample), strict=True
    ):
        scale = math.sqrt((1 - zero) / (inputs * outputs))
        means.append(0.0 if layer.gradient_norm == 0.0 else layer.gradient_norm * scale * MEAN_OF_NORMAL)
    return means


def update_ratios(run: Run, sample: Sample) -> list[float]:
    """Return per layer |change of W| / |W|; NaN if the change was not measured.

    Plain SGD without a measured change has learning rate x |gradient| / |W|, which leaves weight decay aside.
    """
    training = run.facts.configuration.training
    ratios = []
    for layer in sample.layers:
        update = layer.update_norm
        if math.isnan(update) and training.optimizer in PLAIN_STEPS:
            update = training.learning_rate * layer.gradient_norm
        ratios.append(update / layer.weight_norm if layer.weight_norm > 0 else math.nan)
    return ratios


def every(run: Run, interval: int) -> Iterator[Sample]:
    """Yield the sample at each multiple of `interval` steps, or the first one behind it."""
    due = 0
    for sample in run.telemetry.samples:
        if sample.step >= due:
            yield sample
            due = (sample.step // interval + 1) * interval


def steps_after(run: Run, epoch: Epoch) -> int:
    """Return the number of steps made when `epoch` was over."""
    return (epoch.epoch + 1) * run.facts.steps_per_epoch


def samples_of_epoch(run: Run, epoch: Epoch) -> list[Sample]:
    """Return the samples that were taken in `epoch`."""
    stop = steps_after(run, epoch)
    start = stop - run.facts.steps_per_epoch
    return [sample for sample in run.telemetry.samples if start <= sample.step < stop]


def last_sample(run: Run, epoch: Epoch) -> Sample | None:
    """Return the newest sample when `epoch` was over."""
    stop = steps_after(run, epoch)
    return next((sample for sample in reversed(run.telemetry.samples) if sample.step < stop), None)


def training_accuracies(run: Run) -> list[float]:
    """Return per epoch the mean accuracy of the epoch's samples, or the validation accuracy if none was measured.

    Keras reports the mean over all minibatches of the epoch; ours is that over the ones that were looked at.
    """
    accuracies = []
    for epoch in run.telemetry.epochs:
        seen = [s.accuracy for s in samples_of_epoch(run, epoch) if not math.isnan(s.accuracy)]
        own = math.nan if epoch.validation_accuracy is None else epoch.validation_accuracy
        accuracies.append(sum(seen) / len(seen) if seen else own)
    return accuracies


def deviation(numbers: Sequence[float]) -> float:
    """Return the coefficient of variation of `numbers` (population deviation over mean); 0 for a mean of 0."""
    mean = sum(numbers) / len(numbers)
    spread = math.sqrt(sum((number - mean) * (number - mean) for number in numbers) / len(numbers))
    return spread / mean if mean else 0.0


def slope(numbers: Sequence[float]) -> float:
    """Return the least-squares slope of `numbers` over 0, 1, 2, ..."""
    count = len(numbers)
    middle, mean = (count - 1) / 2, sum(numbers) / count
    above = sum((i - middle) * (number - mean) for i, number in enumerate(numbers))
    below = sum((i - middle) ** 2 for i in range(count))
    return above / below if below else 0.0


def of_dead_units(share: float) -> bool:
    """Return True if so many units are silent that the layer as a whole is (0.98, as in our catalogue)."""
    return share >= 0.98
