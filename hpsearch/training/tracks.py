"""Numbers of every step in bounded memory: merged points keep their lows and highs, so no spike is lost."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.arrays import Array

POINTS = 4096
"""The largest number of points of a run. Up to this many steps each has a point of its own."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Track:
    """N numbers of each step, in M points of `stride` neighbouring steps; the last point may have fewer.

    `steps` (M,) int64 are the points' first steps. `low` and `high` (M, N) float64 are the smallest and the largest
    number among a point's steps, without NaN, with infinity; they are NaN if all its numbers are. `has_nan` (M, N) is
    True if one is NaN.
    """

    steps: NDArray[np.int64]
    stride: int
    low: Array
    high: Array
    has_nan: NDArray[np.bool_]

    @property
    def is_exact(self) -> bool:
        """True if every step has a point of its own, so that `low` equals `high`."""
        return self.stride == 1

    def columns(self, start: int, stop: int | None) -> "Track":
        """Return the track of some of the numbers alone."""
        part = slice(start, stop)
        return Track(
            steps=self.steps,
            stride=self.stride,
            low=self.low[:, part],
            high=self.high[:, part],
            has_nan=self.has_nan[:, part],
        )


@final
class Tape:
    """A buffer of one row of numbers per step. If it is full, it merges neighbouring points and doubles the stride."""

    def __init__(self, *, columns: int, points: int = POINTS) -> None:
        """Raise ValueError unless `points` is even and at least 2."""
        if points < 2 or points % 2:
            raise ValueError(f"a tape must have an even number of points, at least 2 (got {points})")
        self._low = np.full((points, columns), np.nan)
        self._high = np.full((points, columns), np.nan)
        self._has_nan = np.zeros((points, columns), np.bool_)
        self._stride = 1
        self.steps = 0

    def append(self, numbers: Array) -> None:
        """Append the numbers (N,) of the next step."""
        if self.steps == len(self._low) * self._stride:
            self._halve()
        place = self.steps // self._stride
        np.fmin(self._low[place], numbers, out=self._low[place])
        np.fmax(self._high[place], numbers, out=self._high[place])
        self._has_nan[place] |= np.isnan(numbers)
        self.steps += 1

    def track(self) -> Track:
        """Return the track so far, as copies."""
        points = -(-self.steps // self._stride)
        return Track(
            steps=np.arange(points, dtype=np.int64) * self._stride,
            stride=self._stride,
            low=self._low[:points].copy(),
            high=self._high[:points].copy(),
            has_nan=self._has_nan[:points].copy(),
        )

    def _halve(self) -> None:
        """Merge neighbouring points, in place."""
        half = len(self._low) // 2
        self._low[:half] = np.fmin(self._low[0::2], self._low[1::2])
        self._high[:half] = np.fmax(self._high[0::2], self._high[1::2])
        self._has_nan[:half] = self._has_nan[0::2] | self._has_nan[1::2]
        self._low[half:] = self._high[half:] = np.nan
        self._has_nan[half:] = False
        self._stride *= 2
