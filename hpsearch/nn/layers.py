"""Layers: frozen descriptions with sizes and no arrays. They read parameters and write into given buffers.

Backward passes follow the chain rule for L = the sum over trials of their own losses, so trials never mix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array, sum_over_examples

RUNNING_MOMENTUM = 0.9


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Dense:
    """Affine map with one matrix per trial: `y[k] = x[k] @ w[k] + b[k]`.

    Parameters: w (K, I, O), b (K, O). x is (K, B, I), or (1, B, I) if all trials see the same examples, or (M, B, I)
    with `groups`: the trials that see each of the M minibatches.
    """

    inputs: int
    outputs: int

    def forward(self, w: Array, b: Array, x: Array, y: Array, *, groups: Sequence[slice] = ()) -> None:
        """Write x w + b into `y` (K, B, O), in place."""
        if groups:
            for minibatch, rows in zip(x, groups, strict=True):
                np.matmul(minibatch, w[rows], out=y[rows])
        else:
            np.matmul(x, w, out=y)
        np.add(y, b[:, None, :], out=y)

    def backward(
        self,
        gradient: tuple[Array, Array],
        x: Array,
        dy: Array,
        ones: Array,
        *,
        groups: Sequence[slice] = (),
    ) -> None:
        """Write dL/dw (K, I, O) and dL/db (K, O) into `gradient`, in place: dw = x' dy, db = sum over B of dy."""
        dw, db = gradient
        if groups:
            for minibatch, rows in zip(x, groups, strict=True):
                np.matmul(minibatch.T, dy[rows], out=dw[rows])
        else:
            np.matmul(x.transpose(0, 2, 1), dy, out=dw)
        sum_over_examples(dy, ones, db)

    def backward_input(self, w: Array, dy: Array, dx: Array) -> None:
        """Write dL/dx = dy w' into `dx` (K, B, I), in place."""
        np.matmul(dy, w.transpose(0, 2, 1), out=dx)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Normalization:
    """The values that a batch normalization keeps of one forward pass: xhat (K, B, O) and 1/std (K, O)."""

    xhat: Array
    inverse_std: Array


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BatchNorm:
    """Batch normalization over B (Ioffe and Szegedy 2015, algorithm 1), before the activation.

    `epsilon` is added to the variance. Parameters, if `affine`: gamma (K, O), beta (K, O). Running statistics: mean and
    variance, each (K, O), moved by a tenth of the difference at each step, with the biased variance, and used in
    evaluation.
    """

    units: int
    affine: bool
    epsilon: float

    def forward(
        self, y: Array, kept: Normalization, running: tuple[Array, Array], *, ones: Array, scratch: Array
    ) -> None:
        """Replace `y` (K, B, O) by its normalized value, in place; update `running` and `kept` in place too."""
        examples = y.shape[1]
        mean, variance = np.empty_like(kept.inverse_std), np.empty_like(kept.inverse_std)
        sum_over_examples(y, ones, mean)
        np.divide(mean, examples, out=mean)
        np.subtract(y, mean[:, None, :], out=y)
        np.multiply(y, y, out=scratch)
        sum_over_examples(scratch, ones, variance)
        np.divide(variance, examples, out=variance)
        for statistic, batch in zip(running, (mean, variance), strict=True):
            np.multiply(statistic, RUNNING_MOMENTUM, out=statistic)
            np.add(statistic, (1 - RUNNING_MOMENTUM) * batch, out=statistic)
        np.divide(1, np.sqrt(variance + self.epsilon), out=kept.inverse_std)
        np.multiply(y, kept.inverse_std[:, None, :], out=y)
        kept.xhat[...] = y

    def evaluate(self, y: Array, running: tuple[Array, Array]) -> None:
        """Replace `y` (K, B, O) by its value normalized with the running statistics, in place."""
        mean, variance = running
        np.subtract(y, mean[:, None, :], out=y)
        np.divide(y, np.sqrt(variance + self.epsilon)[:, None, :], out=y)

    def scale(self, gamma: Array, beta: Array, y: Array) -> None:
        """Replace `y` (K, B, O) by gamma y + beta, in place."""
        np.multiply(y, gamma[:, None, :], out=y)
        np.add(y, beta[:, None, :], out=y)

    def backward_scale(
        self, gradient: tuple[Array, Array], dy: Array, xhat: Array, *, ones: Array, scratch: Array
    ) -> None:
        """Write dL/dgamma and dL/dbeta (K, O) into `gradient`, in place."""
        dgamma, dbeta = gradient
        np.multiply(dy, xhat, out=scratch)
        sum_over_examples(scratch, ones, dgamma)
        sum_over_examples(dy, ones, dbeta)

    def backward(self, dy: Array, kept: Normalization, *, ones: Array, scratch: Array) -> None:
        """Turn `dy` = dL/dxhat (K, B, O) into dL/dz, in place.

        dz = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / std, means over B (the paper's section 3, with
        the terms through mean and variance collected).
        """
        examples = dy.shape[1]
        mean, projection = np.empty_like(kept.inverse_std), np.empty_like(kept.inverse_std)
        sum_over_examples(dy, ones, mean)
        np.multiply(dy, kept.xhat, out=scratch)
        sum_over_examples(scratch, ones, projection)
        np.multiply(kept.xhat, (projection / examples)[:, None, :], out=scratch)
        np.subtract(dy, scratch, out=dy)
        np.subtract(dy, (mean / examples)[:, None, :], out=dy)
        np.multiply(dy, kept.inverse_std[:, None, :], out=dy)


def draw_dropout(
    mask: Array, rates: Array, generators: Sequence[np.random.Generator], *, is_inverted: bool
) -> None:
    """Fill `mask` (K, B, O), in place: 0 with the trial's probability of `rates` (K,), else the factor of kept units.

    The factor is 1 / (1 - rate) in inverted dropout, whose evaluation needs none (Srivastava et al. 2014, section 10),
    and 1 if evaluation has the factor (section 4). Each trial has a generator of its own, whose draws fill whole rows
    of examples in order, so a shorter minibatch uses the first of them.
    """
    for own, generator in zip(mask, generators, strict=True):
        generator.random(dtype=mask.dtype.type, out=own)
    np.greater_equal(mask, rates.astype(mask.dtype)[:, None, None], out=mask, casting="unsafe")
    if is_inverted:
        np.divide(mask, (1 - rates).astype(mask.dtype)[:, None, None], out=mask)
