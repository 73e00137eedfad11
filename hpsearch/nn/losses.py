"""Losses on the network's outputs, numerically stable if loss and output activation match.

A matched pair (softmax with cross-entropy, sigmoid with binary cross-entropy, identity with squared error) is computed
from the logits through log-sum-exp and softplus; nothing is clipped. Any other pair applies the output activation first
and takes the plain formula of its result, with its problems: log 0 is -infinity and 0 log 0 is NaN.

Outputs and targets are (K, B, C), laid out in memory with B last, so that sums over C run along whole minibatches.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np

from hpsearch.nn.activations import ACTIVATIONS, Activation
from hpsearch.nn.arrays import Array

LossName: TypeAlias = Literal["cross_entropy", "binary_cross_entropy", "mse"]


class Loss(ABC):
    """The loss of each example, and its derivative with respect to the logits."""

    @abstractmethod
    def evaluate(self, z: Array, t: Array, scratch: Array) -> Array:
        """Return the losses (K, B) of logits `z` (K, B, C) for targets `t`, and turn `z` into outputs, in place."""

    @abstractmethod
    def differentiate(self, o: Array, t: Array, scratch: Array) -> None:
        """Turn the outputs `o` of `evaluate` into dL/dz of each example's loss, in place."""


@final
@dataclass(frozen=True, slots=True)
class SoftmaxCrossEntropy(Loss):
    """L = log sum exp(z) - sum t z for targets that sum to 1; dL/dz = softmax(z) - t (Bishop 2006, 4.108)."""

    def evaluate(self, z: Array, t: Array, scratch: Array) -> Array:
        """Return the losses; `z` becomes softmax(z), in place."""
        np.subtract(z, z.max(axis=2, keepdims=True), out=z)
        np.multiply(z, t, out=scratch)
        losses: Array = scratch.sum(axis=2)
        np.exp(z, out=z)
        total = z.sum(axis=2)
        np.divide(z, total[:, :, None], out=z)
        np.subtract(np.log(total), losses, out=losses)
        return losses

    def differentiate(self, o: Array, t: Array, scratch: Array) -> None:
        """Subtract the targets, in place."""
        np.subtract(o, t, out=o)


@final
@dataclass(frozen=True, slots=True)
class SigmoidCrossEntropy(Loss):
    """L = mean over C of softplus(z) - t z; dL/dz = (sigmoid(z) - t) / C.

    softplus(z) = max(z, 0) + log1p(exp(-|z|)), exact for every finite z.
    """

    def evaluate(self, z: Array, t: Array, scratch: Array) -> Array:
        """Return the losses; `z` becomes sigmoid(z), in place."""
        np.abs(z, out=scratch)
        np.multiply(scratch, -1, out=scratch)  # not `negative`: see activations.Sigmoid
        np.exp(scratch, out=scratch)
        np.log1p(scratch, out=scratch)
        np.add(scratch, z.clip(0, np.inf), out=scratch)  # not `maximum`: see activations
        np.subtract(scratch, z * t, out=scratch)
        losses: Array = scratch.sum(axis=2)
        losses /= z.shape[2]
        ACTIVATIONS["sigmoid"].apply(z, scratch)
        return losses

    def differentiate(self, o: Array, t: Array, scratch: Array) -> None:
        """Subtract the targets and divide by C, in place."""
        np.subtract(o, t, out=o)
        np.divide(o, o.shape[2], out=o)


@final
@dataclass(frozen=True, slots=True)
class SquaredError(Loss):
    """L = mean over C of (z - t) squared; dL/dz = 2 (z - t) / C."""

    def evaluate(self, z: Array, t: Array, scratch: Array) -> Array:
        """Return the losses; `z` is unchanged."""
        return _mean_square(z, t, scratch)

    def differentiate(self, o: Array, t: Array, scratch: Array) -> None:
        """Subtract the targets and multiply by 2 / C, in place."""
        _mean_square_gradient(o, t)


@final
@dataclass(frozen=True, slots=True)
class PlainLoss(Loss):
    """The textbook formula of loss `name` on outputs `o` of any activation, by the chain rule.

    cross_entropy: -sum t log o. binary_cross_entropy: -mean of t log o + (1 - t) log(1 - o). mse: as above.
    """

    name: LossName
    output: Activation

    def evaluate(self, z: Array, t: Array, scratch: Array) -> Array:
        """Return the losses; `z` becomes the outputs, in place."""
        self.output.apply(z, scratch)
        if self.name == "mse":
            return _mean_square(z, t, scratch)
        np.multiply(t, np.log(z), out=scratch)
        if self.name == "binary_cross_entropy":
            np.add(scratch, (1 - t) * np.log(1 - z), out=scratch)
            np.divide(scratch, z.shape[2], out=scratch)
        losses: Array = scratch.sum(axis=2)
        losses *= -1
        return losses

    def differentiate(self, o: Array, t: Array, scratch: Array) -> None:
        """Replace the outputs by dL/do times the output activation's derivative, in place."""
        outputs = o.copy()
        match self.name:
            case "mse":
                _mean_square_gradient(o, t)
            case "cross_entropy":
                np.divide(-t, outputs, out=o)
            case "binary_cross_entropy":
                np.divide(outputs - t, outputs * (1 - outputs) * o.shape[2], out=o)
        self.output.differentiate(outputs, o, scratch)


def _mean_square(o: Array, t: Array, scratch: Array) -> Array:
    np.subtract(o, t, out=scratch)
    np.multiply(scratch, scratch, out=scratch)
    losses: Array = scratch.sum(axis=2)
    losses /= o.shape[2]
    return losses


def _mean_square_gradient(o: Array, t: Array) -> None:
    """Turn outputs into the gradient of their mean square, in place."""
    np.subtract(o, t, out=o)
    np.multiply(o, 2 / o.shape[2], out=o)


_MATCHED: dict[tuple[str, str], Loss] = {
    ("cross_entropy", "softmax"): SoftmaxCrossEntropy(),
    ("binary_cross_entropy", "sigmoid"): SigmoidCrossEntropy(),
    ("mse", "identity"): SquaredError(),
}


def loss_for(name: LossName, output: str) -> Loss:
    """Return the loss `name` after the output activation `output`; "auto" is the loss's own."""
    if output == "auto":
        return next(loss for (own, _), loss in _MATCHED.items() if own == name)
    return _MATCHED.get((name, output)) or PlainLoss(name, ACTIVATIONS[output])
