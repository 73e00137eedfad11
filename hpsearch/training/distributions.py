"""The distribution of the numbers in one array: a histogram over many magnitudes of either sign, and moments."""

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.arrays import Array

SMALLEST_EXPONENT: Final = -10
LARGEST_EXPONENT: Final = 6
BINS_PER_DECADE: Final = 2

_MAGNITUDES = 10.0 ** (
    np.arange(SMALLEST_EXPONENT * BINS_PER_DECADE, LARGEST_EXPONENT * BINS_PER_DECADE + 1) / BINS_PER_DECADE
)
BIN_EDGES: Final[Array] = np.concatenate([-_MAGNITUDES[::-1], [0.0, np.nextafter(0.0, 1.0)], _MAGNITUDES])
"""Rising edges (E,) float64: half decades from -1e6 to -1e-10 and from 1e-10 to 1e6, with exact 0 between them.

Bin i of E + 1 holds the numbers x with edge i - 1 <= x < edge i; the first and the last are open, infinity included.
"""

BINS: Final = len(BIN_EDGES) + 1
ZERO_BIN: Final = BINS // 2
"""The bin of exact zeros: a unit that does not fire, a vanished gradient."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Distribution:
    """The distribution of an array's numbers.

    `counts` (BINS,) int64 are over `BIN_EDGES`; `nans` are counted apart. `mean` and `variance` are taken in float64
    over all numbers, so NaN or infinite if one of them is. `kurtosis` is the fourth central moment over the square of
    the second: 3 for a normal distribution, larger for heavier tails; NaN if all numbers are equal.
    """

    counts: NDArray[np.int64]
    nans: int
    mean: float
    variance: float
    kurtosis: float


def distribution_of(values: Array, *, scale: float = 1.0) -> Distribution:
    """Return the distribution of `values`, of any shape and at least one number, divided by `scale`."""
    numbers = values.ravel().astype(np.float64)
    with np.errstate(all="ignore"):
        numbers /= scale
        counted = numbers[~np.isnan(numbers)]
        bins = np.searchsorted(BIN_EDGES, counted, side="right")
        mean = float(numbers.mean())
        squares = np.square(numbers - mean)
        variance = float(squares.mean())
        kurtosis = float(np.square(squares / variance).mean()) if variance > 0 else np.nan
    return Distribution(
        counts=np.bincount(bins, minlength=BINS),
        nans=len(numbers) - len(counted),
        mean=mean,
        variance=variance,
        kurtosis=kurtosis,
    )
