"""Statistics of a network's outputs, and the loss that they imply: by NumPy, for any framework."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, logsumexp, softmax

Numbers: TypeAlias = NDArray[np.float64]

AGREEMENT: Final = 1e-4
"""The largest relative distance of a float32 loss from its formula in float64; other losses are far from it."""

COARSE_AGREEMENT: Final = 1e-2
"""The same with float16 and bfloat16, which have 3 and 2 digits."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """The outputs of a minibatch: `z` (N, C) float64 before the output activation, and its targets `t`.

    N are the examples, times the positions in each; `examples` are the first alone. `t` is (N,) classes, (N, C)
    numbers, or None. `loss` is the loss that gives the loop's number, in the words of study files, or "auto".
    `softmax` is "twice" or "over_examples" if the number proves such a mistake, else "". `formula` is the
    mistake inside the loss itself. `were_probabilities` is True if `z` was computed from probabilities.
    """

    z: Numbers
    t: NDArray[Any] | None
    examples: int
    loss: str = "auto"
    softmax: str = ""
    formula: str = ""
    were_probabilities: bool = False

    @property
    def is_classes(self) -> bool:
        """True if targets are classes, one for each row of outputs, or one output for two classes."""
        return self.t is not None and (self.t.ndim == 1 or self.loss == "binary_cross_entropy")

    @property
    def logit_max(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.z).max(initial=0.0))

    @property
    def range(self) -> float:
        """The largest distance, over outputs, between two rows."""
        return float((self.z.max(axis=0) - self.z.min(axis=0)).max()) if self.z.size else math.nan

    def answers(self) -> tuple[float, float]:
        """Return the shares of right answers and of the most frequent answer, NaN in regression.

        Outputs that tie for the largest share the credit, and each counts as an answer.
        """
        if self.t is None or not self.is_classes or not self.z.size:
            return math.nan, math.nan
        if self.t.ndim == 2:  # an output for each class, or one for two
            if self.z.shape[1] > 1:
                return math.nan, math.nan
            positive = self.z[:, 0] > 0
            share = float(positive.mean())
            return float((positive == (self.t[:, 0] > 0.5)).mean()), max(share, 1 - share)
        is_top = self.z == self.z.max(axis=1, keepdims=True)
        hits = np.take_along_axis(is_top, self.t[:, None], axis=1)[:, 0] / is_top.sum(axis=1)
        return float(hits.mean()), float(is_top.mean(axis=0).max())

    def class_counts(self) -> NDArray[np.int64]:
        """Return the number of examples of each class; (0,) if targets are no classes of one kind."""
        if self.t is None or not self.is_classes or (self.t.ndim == 2 and self.z.shape[1] > 1):
            return np.zeros(0, np.int64)
        if self.t.ndim == 2:
            return np.bincount((self.t[:, 0] > 0.5).astype(np.int64), minlength=2)
        return np.bincount(self.t, minlength=self.z.shape[1])

    def mean_loss(self) -> float:
        """Return the mean loss by its formula; NaN if that is unknown."""
        return dict(_formulas(self.z, self.t)).get((self.loss, self.formula), math.nan)

    def with_outputs(self, outputs: ArrayLike, targets: ArrayLike | None) -> "Outputs":
        """Return other outputs of the same network, with the same loss."""
        z, t, _ = _rows(np.asarray(outputs), None if targets is None else np.asarray(targets))
        logits = _logits_of_probabilities(z) if self.were_probabilities else z
        return replace(self, z=z if logits is None else logits, t=t)


def read_outputs(
    outputs: ArrayLike, targets: ArrayLike | None, loss: float, *, coarse: bool = False
) -> Outputs:
    """Return the outputs of a minibatch, of any shape with examples first, with the loss that explains `loss`.

    `coarse` numbers have the precision of float16. Probabilities are turned into the logits that they come from.
    """
    z, t, examples = _rows(np.asarray(outputs), None if targets is None else np.asarray(targets))
    if t is None or not np.isfinite(z).all() or not math.isfinite(loss):
        return Outputs(z=z, t=t, examples=examples)
    if t.ndim == 1 and not _are_classes(t, z.shape[1]):
        return Outputs(z=z, t=None, examples=examples)
    within = COARSE_AGREEMENT if coarse else AGREEMENT
    for (name, mistake), number in _formulas(z, t):
        if math.isclose(number, loss, rel_tol=within, abs_tol=within * 1e-3):
            softmax_mistake = mistake or (_softmax_mistake(z) if name == "cross_entropy" else "")
            return Outputs(z=z, t=t, examples=examples, loss=name, softmax=softmax_mistake, formula=mistake)
    logits = _logits_of_probabilities(z)
    if logits is not None:
        for (name, mistake), number in _formulas(logits, t):
            if not mistake and math.isclose(number, loss, rel_tol=within, abs_tol=within * 1e-3):
                return Outputs(z=logits, t=t, examples=examples, loss=name, were_probabilities=True)
    return Outputs(z=z, t=t, examples=examples)


def _rows(z: NDArray[Any], t: NDArray[Any] | None) -> tuple[Numbers, NDArray[Any] | None, int]:
    """Return outputs (N, C), targets (N,) of classes or (N, C) of numbers, and the number of examples."""
    examples = len(z) if z.ndim else 1
    z = z.reshape(1, 1) if z.ndim == 0 else z
    has_places = t is not None and t.ndim >= 2 and z.ndim == t.ndim + 1 and z.shape[2:] == t.shape[1:]
    if t is not None and has_places and z.shape[:-1] != t.shape:
        z = np.moveaxis(z, 1, -1)  # PyTorch's order for classes at several places
    flat = np.asarray(z.reshape(-1, z.shape[-1]) if z.ndim > 1 else z[:, None], np.float64)
    if t is None:
        return flat, None, examples
    if np.issubdtype(t.dtype, np.integer) and z.ndim > 1 and t.shape == z.shape[:-1] and z.shape[-1] > 1:
        return flat, t.reshape(-1).astype(np.int64), examples
    if t.size != flat.size:
        return flat, None, examples
    return flat, np.asarray(t, np.float64).reshape(flat.shape), examples


def _are_classes(t: NDArray[Any], classes: int) -> bool:
    return bool(t.size and t.min() >= 0 and t.max() < classes)


def _formulas(z: Numbers, t: NDArray[Any] | None) -> Iterator[tuple[tuple[str, str], float]]:
    """Yield (loss, mistake) and the number that it gives, the usual ones first."""
    if t is None or not z.size:
        return
    if t.ndim == 1:
        own = t[:, None]
        yield ("cross_entropy", ""), float(-np.take_along_axis(log_softmax(z, axis=1), own, axis=1).mean())
        twice = log_softmax(softmax(z, axis=1), axis=1)
        yield ("cross_entropy", "twice"), float(-np.take_along_axis(twice, own, axis=1).mean())
        if len(z) > 1:
            across = log_softmax(z, axis=0)
            yield ("cross_entropy", "over_examples"), float(-np.take_along_axis(across, own, axis=1).mean())
        return
    yield ("mse", ""), float(((z - t) ** 2).mean())
    if t.min() >= 0 and t.max() <= 1:
        yield ("binary_cross_entropy", ""), float((np.logaddexp(0, z) - t * z).mean())


def _softmax_mistake(z: Numbers) -> str:
    """Return the mistake of outputs that were given to cross-entropy: probabilities, or a softmax over examples.

    Logarithms of probabilities are no mistake over classes: a second softmax leaves them as they are.
    """
    if z.shape[1] < 2 or len(z) < 2:
        return ""
    low, high = float(z.min()), float(z.max())
    if low >= 0 and high <= 1:
        of_rows = np.allclose(z.sum(axis=1), 1, atol=1e-3)
        of_columns = np.allclose(z.sum(axis=0), 1, atol=1e-3)
        if of_rows != of_columns:
            return "twice" if of_rows else "over_examples"
    are_logarithms = high <= _ROUNDING and np.allclose(logsumexp(z, axis=0), 0, atol=_ROUNDING)
    if are_logarithms and not np.allclose(logsumexp(z, axis=1), 0, atol=1e-2):
        return "over_examples"
    return ""


_ROUNDING: Final = 1e-3
"""The largest logarithm of a probability with rounding errors."""


def _logits_of_probabilities(z: Numbers) -> Numbers | None:
    """Return logits of outputs that are probabilities; None if they are none."""
    if not (z.min() >= 0 and z.max() <= 1):
        return None
    inside = np.clip(z, 1e-12, 1 - 1e-12)
    if z.shape[1] > 1 and np.allclose(z.sum(axis=1), 1, atol=1e-3):
        return np.asarray(np.log(inside))
    return np.asarray(np.log(inside) - np.log1p(-inside))
