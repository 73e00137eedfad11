"""Measures of single runs and recordings, and arithmetic without training: where textbook formulas break."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hpsearch.analysis.replay import deaths
from hpsearch.nn.activations import ACTIVATIONS
from hpsearch.nn.arrays import Array
from hpsearch.nn.initializers import draw_weights
from hpsearch.nn.losses import Loss, PlainLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from hpsearch.reproduction.laboratory import Run, Trained, biases_of, held_back
from hpsearch.study.spec import Activation, Initializer, Precision
from hpsearch.training.recording import Recording

MEASURES: Final[Mapping[str, Callable[[Run], float]]] = {
    "accuracy": lambda run: run.last_accuracy,
    "loss": lambda run: run.last_loss,
    "silent": lambda run: run.last_silent,
    "NaN": lambda run: float(run.nan_step is not None),
    "NaN step": lambda run: float("nan") if run.nan_step is None else float(run.nan_step),
    "bias": lambda run: float(np.abs(biases_of(run)[0]).max()),
}
"""Measures of every run, by name: of its last minibatches, its losses, and its first layer's largest bias."""


def values_of(trained: Trained, *, sees_held_back: bool = True) -> dict[str, list[float]]:
    """Return every measure of every configuration, as `NAME: MEASURE`, one number per seed.

    On the held-back examples: the share of units of the first layer that are positive for none of them, `dead`, and the
    `held-back accuracy`.
    """
    found: dict[str, list[float]] = {}
    for name, runs in trained.runs.items():
        for measure, function in MEASURES.items():
            found[f"{name}: {measure}"] = [function(run) for run in runs]
        if sees_held_back:
            evaluations = [held_back(run, trained.data) for run in runs]
            found[f"{name}: dead"] = [one.never_positive[0] for one in evaluations]
            found[f"{name}: held-back accuracy"] = [one.accuracy or 0.0 for one in evaluations]
    return found


def unfrozen_share(recording: Recording) -> float:
    """Return the share of parameters into the dead units of layer 1 that changed after a unit's last firing.

    Compared bit for bit, from the next snapshot to the end; NaN if no unit died before a snapshot.
    """
    changed, counted = 0, 0
    columns, bias = _first_layer(recording, recording.final.parameters)
    for unit, step in deaths(recording, 0).items():
        later = next((one for one in recording.snapshots if one.steps > step), None)
        if later is None:
            continue
        weights_then, bias_then = _first_layer(recording, later.parameters)
        changed += int((weights_then[:, unit] != columns[:, unit]).sum()) + int(bias_then[unit] != bias[unit])
        counted += len(columns) + 1
    return changed / counted if counted else float("nan")


def negative_share(recording: Recording) -> float:
    """Return the share, among layer 1's units that fired and then died, whose bias or mean weight decreased.

    Return NaN if no unit died.
    """
    dead = [unit for unit, step in deaths(recording, 0).items() if step >= 0]
    if not dead:
        return float("nan")
    weights, bias = _first_layer(recording, recording.final.parameters)
    begun, _ = _first_layer(recording, recording.snapshots[0].parameters)
    fell = (bias < 0) | (weights.mean(axis=0) < begun.mean(axis=0))
    return float(fell[dead].mean())


def _first_layer(recording: Recording, parameters: Array) -> tuple[Array, Array]:
    view = recording.network.views(parameters[None])[0]
    return view.w[0], view.b[0]


def flip_share(recording: Recording) -> float:
    """Return how often the mean weights of layer 2 change their sign on steps on which they grow.

    A step grows a number if it increases its magnitude; steps are counted until numbers are not finite.
    """
    tracks = recording.output.weights.low
    end = len(tracks) if recording.nonfinite is None else recording.nonfinite.step
    return flips(tracks[:end])


def flips(tracks: Array) -> float:
    """Return the share of the growing steps of `tracks` (S, N) on which the sign changes; NaN without such steps."""
    before, after = tracks[:-1], tracks[1:]
    grows = np.abs(after) > np.abs(before)
    flips = np.sign(after) * np.sign(before) < 0
    return float(flips[grows].mean()) if grows.any() else float("nan")


def lead_steps(biases: Array, *, times: float = 10.0) -> float:
    """Return by how many steps the first of several biases (S, N) leads their median into divergence.

    A unit diverges if its bias is larger than `times` the largest bias of the first tenth of the steps. Return NaN if
    fewer than half of the units do.
    """
    calm = np.nanmax(np.abs(biases[: max(1, len(biases) // 10)]))
    reached = np.abs(biases) > times * calm
    firsts: NDArray[np.float64] = np.where(reached.any(axis=0), reached.argmax(axis=0), np.inf)
    middle = float(np.median(firsts))
    return middle - float(firsts.min()) if np.isfinite(middle) else float("nan")


def smallest(values: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[float]:
    """Return for each seed the smallest of the measures `names`."""
    return [float(np.min(of_seed)) for of_seed in zip(*(values[name] for name in names), strict=True)]


def largest(values: Mapping[str, Sequence[float]], names: Sequence[str]) -> list[float]:
    """Return for each seed the largest of the measures `names`."""
    return [float(np.max(of_seed)) for of_seed in zip(*(values[name] for name in names), strict=True)]


TEXTBOOK: Final[Loss] = PlainLoss("binary_cross_entropy", ACTIVATIONS["sigmoid"])
STABLE: Final[Loss] = SigmoidCrossEntropy()

LARGEST_LOGIT: Final = 1e4
"""Largest logit in the search for one that breaks a loss."""

_BISECTIONS: Final = 60


def sigmoid_of(z: float, precision: Precision) -> float:
    """Return sigmoid(z) as the network computes it in that precision."""
    values = np.array([[[z]]], precision)
    with np.errstate(all="ignore"):
        ACTIVATIONS["sigmoid"].apply(values, np.empty_like(values))
    return float(values[0, 0, 0])


def binary_loss(loss: Loss, z: float, precision: Precision) -> float:
    """Return the loss of one logit `z` whose target is 0: softplus(z), if it is computed well."""
    logits, targets = np.array([[[z]]], precision), np.zeros((1, 1, 1), precision)
    with np.errstate(all="ignore"):
        return float(loss.evaluate(logits, targets, np.empty_like(logits))[0, 0])


def breaking_logit(loss: Loss, precision: Precision, *, most: float = LARGEST_LOGIT) -> float:
    """Return the smallest logit up to `most` whose loss for target 0 is not finite; infinity if there is none.

    It is found by bisection, to the last digit of the precision.
    """
    low, high = 0.0, most
    if np.isfinite(binary_loss(loss, high, precision)):
        return np.inf
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if np.isfinite(binary_loss(loss, middle, precision)):
            low = middle
        else:
            high = middle
    return high


def textbook_cross_entropy(logits: Array, labels: Array) -> float:
    """Return the mean of -sum t log softmax(z), as written in textbooks, of logits (N, C) and labels (N,).

    Only its exponents are stable: an output of 0 makes its logarithm -infinity, and 0 times that is NaN.
    """
    with np.errstate(all="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        outputs = powers / powers.sum(axis=1, keepdims=True)
        targets = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
        return float(-(targets * np.log(outputs)).sum(axis=1).mean())


def stable_cross_entropy(logits: Array, labels: Array) -> float:
    """Return the same by log-sum-exp, as the network computes it."""
    targets = np.eye(logits.shape[1], dtype=logits.dtype)[labels]
    z = logits[None].copy()
    return float(SoftmaxCrossEntropy().evaluate(z, targets[None], np.empty_like(z)).mean())


def product_condition(factors: int, size: int, generator: np.random.Generator) -> float:
    """Return the condition number of a product of `factors` square matrices of standard normal numbers.

    It is norm(A1 ... An) norm(An^-1 ... A1^-1). The inverse is the product of the factors' inverses, since a product
    whose condition is above 1e16 has lost its smallest singular values in float64.
    """
    product, inverse = np.eye(size), np.eye(size)
    for _ in range(factors):
        factor = generator.standard_normal((size, size))
        product, inverse = product @ factor, np.linalg.inv(factor) @ inverse
    return float(np.linalg.norm(product, 2) * np.linalg.norm(inverse, 2))


def activations_by_layer(
    activation: Activation, initializer: Initializer, *, generator: np.random.Generator, layers: int = 5
) -> list[Array]:
    """Return the outputs (1000, 100) of each of `layers` layers of 100 units for 1,000 standard normal inputs."""
    x = generator.standard_normal((1000, 100))
    found = []
    for _ in range(layers):
        weights = np.empty((100, 100))
        draw_weights(initializer, weights, generator)
        x = x @ weights
        ACTIVATIONS[activation].apply(x[None], np.empty_like(x)[None])
        found.append(x)
    return found
