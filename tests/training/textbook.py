"""A multilayer perceptron as a textbook writes it: one trial, float64, allocation and all.

It is slow and simple on purpose, and shares no code with the package.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from hpsearch.data.prepare import DataPart
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import BlockParameters
from hpsearch.study.spec import Activation

ACTIVATIONS: dict[Activation, Any] = {
    "relu": lambda z: np.where(z > 0, z, 0),
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}


@final
@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The textbook's measurements of one step, with the names of `telemetry.Sample`."""

    loss: float
    logit_max: float
    dead_shares: list[float]
    gradient_norms: list[float]
    weight_norms: list[float]
    predicted_decrease: float


@final
@dataclass(kw_only=True)
class Perceptron:
    """ReLU layers and a softmax, trained by gradient descent with an L2 penalty on the weights."""

    weights: list[Array]
    biases: list[Array]
    learning_rate: float
    weight_decay: float
    is_summed: bool = False
    measurements: list[Measurement] = field(default_factory=list)

    def outputs(self, x: Array) -> list[Array]:
        """Return the activations of every layer, the logits last."""
        layers = [x]
        for w, b in zip(self.weights, self.biases, strict=True):
            z = layers[-1] @ w + b
            layers.append(z if w is self.weights[-1] else np.maximum(z, 0))
        return layers

    def step(self, x: Array, labels: Array) -> float:
        """Take one step, record its measurements, and return the mean loss before it."""
        layers = self.outputs(x)
        logits = layers[-1]
        losses = cross_entropy(logits, labels)
        delta = softmax(logits)
        delta[np.arange(len(labels)), labels] -= 1
        delta /= len(labels)
        dws: list[Array] = []
        dbs: list[Array] = []
        for i in reversed(range(len(self.weights))):
            dws.insert(0, layers[i].T @ delta)
            dbs.insert(0, delta.sum(axis=0))
            delta = (delta @ self.weights[i].T) * (layers[i] > 0)
        weight_norms = [float(np.linalg.norm(w)) for w in self.weights]
        factor = self.learning_rate * (len(labels) if self.is_summed else 1)
        promised = 0.0
        for w, b, dw, db in zip(self.weights, self.biases, dws, dbs, strict=True):
            change = factor * dw + self.learning_rate * self.weight_decay * w
            promised += float((dw * change).sum() + (db * factor * db).sum())
            np.subtract(w, change, out=w)
            np.subtract(b, factor * db, out=b)
        self.measurements.append(
            Measurement(
                loss=float(losses.mean()),
                logit_max=float(np.abs(logits).max()),
                dead_shares=[float((~(a > 0).any(axis=0)).mean()) for a in layers[1:-1]] + [0.0],
                gradient_norms=[float(np.linalg.norm(dw)) for dw in dws],
                weight_norms=weight_norms,
                predicted_decrease=promised,
            )
        )
        return float(losses.mean())


def softmax(z: Array) -> Array:
    """Return the softmax of `z` (B, C)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def cross_entropy(z: Array, labels: Array) -> Array:
    """Return the losses (B,) of logits `z` for classes."""
    return np.asarray(-np.log(softmax(z)[np.arange(len(labels)), labels]))


def evaluated(
    views: Sequence[BlockParameters],
    running: Sequence[tuple[Array, Array] | None],
    part: DataPart,
    activation: Activation,
) -> Array:
    """Return the logits (N, C) of one trial (views with K = 1) in evaluation, computed in float64."""
    a = part.inputs.astype(np.float64)
    for view, statistics in zip(views, running, strict=True):
        a = a @ view.w[0].astype(np.float64) + view.b[0]
        if statistics is not None:
            mean, variance = (array[0].astype(np.float64) for array in statistics)
            a = (a - mean) / np.sqrt(variance + 1e-5)
            if view.gamma is not None and view.beta is not None:
                a = a * view.gamma[0] + view.beta[0]
        if view is not views[-1]:
            a = ACTIVATIONS[activation](a)
    return a
