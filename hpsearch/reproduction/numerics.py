"""Arithmetic without training: where textbook formulas break, and the condition of matrix products."""

from typing import Final

import numpy as np

from hpsearch.nn.activations import ACTIVATIONS
from hpsearch.nn.arrays import Array
from hpsearch.nn.initializers import draw_weights
from hpsearch.nn.losses import Loss, PlainLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy
from hpsearch.study.spec import Activation, Initializer, Precision

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
