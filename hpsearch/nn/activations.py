"""Activation functions, in place: the overwritten values are not needed again.

The derivative of an `Activation` is written in terms of its value `a`, so the value before it need not be kept. That of
a `Gate` cannot be: two arguments have the same value. A gate writes its slope in the forward pass instead.

Bounds use `clip` with both limits, which NumPy 2.4 vectorizes. `np.maximum` with a number, and `clip` with one limit,
take four times as long. All keep NaN.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


class Activation(ABC):
    """An elementwise function of arrays of any shape. `scratch` has the shape of the first argument."""

    @abstractmethod
    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by the activation, in place."""

    @abstractmethod
    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Turn `da` = dL/da into dL/dz, in place. The contents of `a` may change."""


@final
@dataclass(frozen=True, slots=True)
class Identity(Activation):
    """a = z."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Leave `z` unchanged."""

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Leave `da` unchanged."""


@final
@dataclass(frozen=True, slots=True)
class ReLU(Activation):
    """a = max(z, 0) (Nair and Hinton 2010). NaN stays NaN."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by max(z, 0), in place."""
        z.clip(0, np.inf, out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by 1 where a > 0 and by 0 elsewhere, in place."""
        np.greater(a, 0, out=scratch, casting="unsafe")
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """a = max(z, slope z) for a slope in (0, 1) (Maas et al. 2013)."""

    slope: float = 0.01

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by max(z, slope z), in place."""
        np.multiply(z, self.slope, out=scratch)
        np.maximum(z, scratch, out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by 1 where a > 0 and by the slope elsewhere, in place."""
        np.greater(a, 0, out=scratch, casting="unsafe")
        scratch.clip(self.slope, np.inf, out=scratch)
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class ELU(Activation):
    """a = z for z > 0, exp(z) - 1 elsewhere (Clevert et al. 2016, with alpha = 1)."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by max(z, 0) + expm1(min(z, 0)), in place."""
        _exponential_linear(z, scratch)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by 1 + min(a, 0), in place."""
        a.clip(-np.inf, 0, out=scratch)
        np.add(scratch, 1, out=scratch)
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class SELU(Activation):
    """a = scale * (z for z > 0, alpha (exp(z) - 1) elsewhere) (Klambauer et al. 2017, section 2)."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by its scaled exponential linear unit, in place."""
        _exponential_linear(z, scratch, alpha=SELU_ALPHA)
        np.multiply(z, SELU_SCALE, out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by scale where a > 0 and by a + scale alpha elsewhere, in place."""
        np.greater(a, 0, out=scratch, casting="unsafe")
        np.multiply(scratch, SELU_SCALE * (1 - SELU_ALPHA), out=scratch)
        np.add(scratch, SELU_SCALE * SELU_ALPHA, out=scratch)
        a.clip(-np.inf, 0, out=a)
        np.add(scratch, a, out=scratch)
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class Sigmoid(Activation):
    """a = 1 / (1 + exp(-z)). If exp overflows the quotient is correctly 0."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by its logistic sigmoid, in place."""
        np.multiply(z, -1, out=z)  # NumPy 2.4's `negative` reads the wrong elements at some strides
        np.exp(z, out=z)
        np.add(z, 1, out=z)
        np.reciprocal(z, out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by a (1 - a), in place."""
        np.subtract(1, a, out=scratch)
        np.multiply(scratch, a, out=scratch)
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class Tanh(Activation):
    """a = tanh(z)."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` by its hyperbolic tangent, in place."""
        np.tanh(z, out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Multiply `da` by 1 - a squared, in place."""
        np.multiply(a, a, out=scratch)
        np.subtract(1, scratch, out=scratch)
        np.multiply(da, scratch, out=da)


@final
@dataclass(frozen=True, slots=True)
class Softmax(Activation):
    """a = exp(z) / sum of exp(z) over the last axis, shifted by its maximum so that exp cannot overflow."""

    def apply(self, z: Array, scratch: Array) -> None:
        """Replace `z` (K, B, C) by its softmax over C, in place."""
        np.subtract(z, z.max(axis=-1, keepdims=True), out=z)
        np.exp(z, out=z)
        np.divide(z, z.sum(axis=-1, keepdims=True), out=z)

    def differentiate(self, a: Array, da: Array, scratch: Array) -> None:
        """Turn `da` into a (da - sum over C of a da), in place."""
        np.multiply(a, da, out=scratch)
        np.subtract(da, scratch.sum(axis=-1, keepdims=True), out=da)
        np.multiply(da, a, out=da)


class Gate(ABC):
    """An elementwise function z g(z) that falls, has a minimum below 0 and then rises. For hidden layers only."""

    @abstractmethod
    def apply(self, z: Array, scratch: Array, slope: Array | None = None) -> None:
        """Replace `z` by the activation, in place; write da/dz into `slope`, in place, if it is given.

        All three have the same shape.
        """


_NEGLIGIBLE = -10.0
"""GELU is exactly 0 below it, in float32 and float64: 1 + tanh(...) is. So -inf need not be multiplied by 0."""

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBE = 0.044715


@final
@dataclass(frozen=True, slots=True)
class GELU(Gate):
    """a = z (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (z + 0.044715 z^3) (Hendrycks and Gimpel 2016, section 2).

    The paper's approximation by tanh, which needs no error function; PyTorch calls it `approximate="tanh"`. It differs
    from z times the normal distribution function by less than 0.0005.
    """

    def apply(self, z: Array, scratch: Array, slope: Array | None = None) -> None:
        """Replace `z` by its Gaussian error linear unit, in place, and write `slope`.

        With p = (1 + tanh(u)) / 2 and a = z p: da/dz = p + 2 a (1 - p) u', as tanh' = 1 - tanh^2 = 4 p (1 - p), and
        u' = sqrt(2 / pi) (1 + 3 * 0.044715 z^2).
        """
        square = np.empty_like(z) if slope is None else slope
        z.clip(_NEGLIGIBLE, np.inf, out=z)
        np.multiply(z, z, out=square)
        square.clip(-np.inf, _NEGLIGIBLE**2, out=square)  # p is 1 from there on, and this remains finite
        _gelu_share(z, square, scratch)
        np.multiply(z, scratch, out=z)
        if slope is not None:
            np.multiply(slope, 6 * GELU_SCALE * GELU_CUBE, out=slope)
            np.add(slope, 2 * GELU_SCALE, out=slope)
            np.subtract(1, scratch, out=scratch)
            np.multiply(slope, scratch, out=slope)  # 0 for large z, to keep the product finite
            np.multiply(slope, z, out=slope)
            np.subtract(1, scratch, out=scratch)
            np.add(slope, scratch, out=slope)


def _gelu_share(z: Array, square: Array, share: Array) -> None:
    """Write (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3))) / 2 into `share`, in place, from `z` and its `square`."""
    np.multiply(square, GELU_CUBE, out=share)
    np.add(share, 1, out=share)
    np.multiply(share, z, out=share)
    np.multiply(share, GELU_SCALE, out=share)
    np.tanh(share, out=share)
    np.add(share, 1, out=share)
    np.multiply(share, 0.5, out=share)


@final
@dataclass(frozen=True, slots=True)
class SiLU(Gate):
    """a = z s with s = 1 / (1 + exp(-z)) (Elfwing et al. 2018, equation 8; Ramachandran et al. 2017, swish)."""

    def apply(self, z: Array, scratch: Array, slope: Array | None = None) -> None:
        """Replace `z` by its sigmoid linear unit, in place, and write `slope`: da/dz = s + a (1 - s)."""
        z.clip(-1000, np.inf, out=z)  # s is exactly 0 there, so -inf need not be multiplied by 0
        np.multiply(z, -1, out=scratch)
        np.exp(scratch, out=scratch)
        np.add(scratch, 1, out=scratch)
        np.reciprocal(scratch, out=scratch)
        np.multiply(z, scratch, out=z)
        if slope is not None:
            np.subtract(1, scratch, out=slope)
            np.multiply(slope, z, out=slope)
            np.add(slope, scratch, out=slope)


def _exponential_linear(z: Array, scratch: Array, *, alpha: float = 1.0) -> None:
    """Replace `z` by z where it is positive and alpha (exp(z) - 1) elsewhere, in place. NaN stays NaN."""
    z.clip(-np.inf, 0, out=scratch)
    np.expm1(scratch, out=scratch)
    if alpha != 1.0:
        np.multiply(scratch, alpha, out=scratch)
    z.clip(0, np.inf, out=z)
    np.add(z, scratch, out=z)


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "elu": ELU(),
    "selu": SELU(),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "identity": Identity(),
    "softmax": Softmax(),
}
"""Every activation with a derivative in its value, by its name in a study file. `softmax` is for outputs only."""

GATES: Mapping[str, Gate] = {"gelu": GELU(), "silu": SiLU()}
"""Every gate by its name in a study file."""
