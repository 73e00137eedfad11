"""Scaling, fitted on the training part and applied to every part."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Array
from hpsearch.study.spec import Precision, Scale

_BLOCK_NUMBERS: Final = 1 << 17
"""Numbers that are in float64 at one time. The last bit of fitted sums depends on it: do not change it."""

Rows: TypeAlias = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scaling:
    """`scaled = (x - offset) / divisor`; both are (I,) or (1,) float64, the latter shared by all inputs.

    A divisor is infinite if the training part is constant, so that such an input is 0 everywhere.
    """

    kind: Scale
    offset: npt.NDArray[np.float64]
    divisor: npt.NDArray[np.float64]


def fit(inputs: Array, rows: Rows, *, kind: Scale, is_image: bool) -> Scaling:
    """Return the scaling of `kind` for the given rows of `inputs` (N, I); no other row has any influence.

    "unit" maps the rows' least number to 0 and their greatest to 1, "standard" maps them to mean 0 and standard
    deviation 1 (of the population), "none" changes nothing. Each input has its own scale; the inputs of an image share
    one. Raises FloatingPointError if float64 overflows.
    """
    if kind == "none":
        return Scaling(kind=kind, offset=np.zeros(1), divisor=np.ones(1))
    axis = None if is_image else 0
    blocks = [(b.min(axis=axis), b.max(axis=axis)) for b in _blocks(inputs, rows)]
    low = np.atleast_1d(np.min([low for low, _ in blocks], axis=0)).astype(np.float64)
    high = np.atleast_1d(np.max([high for _, high in blocks], axis=0)).astype(np.float64)
    with np.errstate(over="raise"):
        if kind == "unit":
            offset, divisor = low, high - low
        else:
            offset, divisor = _moments(inputs, rows, is_image=is_image)
    # Rounding can leave a constant column a tiny deviation; its range is exactly 0.
    return Scaling(kind=kind, offset=offset, divisor=np.where(low == high, np.inf, divisor))


def apply(scaling: Scaling, inputs: Array, rows: Rows, *, precision: Precision) -> Array:
    """Return the given rows of `inputs` scaled, C-contiguous (n, I), computed in float64 and rounded once.

    Nothing is clipped: rows that were not fitted may lie outside the training part's range. Raises FloatingPointError
    if a number does not fit `precision`.
    """
    scaled = np.empty((len(rows), inputs.shape[1]), precision)
    start = 0
    with np.errstate(over="raise"):
        for block in _blocks(inputs, rows):
            part = scaled[start : start + len(block)]
            if scaling.kind == "none":
                part[...] = block
            else:
                part[...] = (block - scaling.offset) / scaling.divisor
            start += len(block)
    return scaled


def _moments(
    inputs: Array, rows: Rows, *, is_image: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation, in two passes, the second around the mean."""
    axis = None if is_image else 0
    count = len(rows) * (inputs.shape[1] if is_image else 1)
    mean = sum(b.sum(axis=axis, dtype=np.float64) for b in _blocks(inputs, rows)) / count
    variance = sum(np.square(b - mean).sum(axis=axis) for b in _blocks(inputs, rows)) / count
    return np.atleast_1d(mean), np.atleast_1d(np.sqrt(variance))


def _blocks(inputs: Array, rows: Rows) -> Iterator[Array]:
    """Yield the given rows a few at a time, to avoid a float64 copy of the whole."""
    step = max(1, _BLOCK_NUMBERS // inputs.shape[1])
    for start in range(0, len(rows), step):
        yield inputs[rows[start : start + step]]
