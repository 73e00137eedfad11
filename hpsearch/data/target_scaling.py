"""Scaling of a regression's targets, fitted on the training part, and the way back to the user's unit."""

from dataclasses import dataclass
from typing import Final, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.scaling import Rows
from hpsearch.errors import DataError
from hpsearch.study.spec import Precision, TargetScale

Floats = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TargetScaling:
    """`scaled = (target - offset) / divisor`, with `offset` and `divisor` (O,), or (1,) for kind "none"."""

    kind: TargetScale
    offset: Floats
    divisor: Floats

    def apply(self, targets: Floats, *, precision: Precision) -> npt.NDArray[np.floating]:
        """Return the targets (N, O) of the network, computed in float64 and rounded once.

        Raises FloatingPointError if a number does not fit `precision`.
        """
        with np.errstate(over="raise"):
            scaled = targets if self.kind == "none" else (targets - self.offset) / self.divisor
            return scaled.astype(precision)

    def restore(self, outputs: npt.NDArray[np.floating]) -> Floats:
        """Return the network's outputs (..., O) in the unit of the targets, as float64."""
        values: Floats = outputs.astype(np.float64)
        return values if self.kind == "none" else values * self.divisor + self.offset


UNSCALED: Final = TargetScaling(kind="none", offset=np.zeros(1), divisor=np.ones(1))
"""The network learns the targets as they are; also that of classes."""


def fit_targets(targets: Floats, rows: Rows, *, kind: TargetScale, where: str) -> TargetScaling:
    """Return the scaling of `kind` for the given rows of `targets` (N, O); no other row has any influence.

    "standard" gives each output mean 0 and standard deviation 1 (of the population). Raises DataError, about `where`,
    for an output that is constant in these rows, or whose mean or deviation is no float64.
    """
    if kind == "none":
        return UNSCALED
    own = targets[rows]
    _check_varied(own, where)
    with np.errstate(all="ignore"):
        offset, divisor = own.mean(axis=0), own.std(axis=0)
    if not (np.isfinite(offset) & np.isfinite(divisor) & (divisor > 0)).all():
        column = int((~(np.isfinite(divisor) & (divisor > 0))).argmax())
        low, high = own[:, column].min(), own[:, column].max()
        raise DataError(
            f"{where}: targets must have a mean and a deviation that are numbers above 0"
            f" (got {low:g} to {high:g}{_output_words(column, own)}): bring them to another unit"
        )
    return TargetScaling(kind=kind, offset=offset, divisor=divisor)


def _check_varied(own: Floats, where: str) -> None:
    """Raise DataError for an output of the training part's targets (n, O) that never changes."""
    constant = (own == own[0]).all(axis=0)
    if constant.any():
        column = int(constant.argmax())
        raise DataError(
            f"{where}: targets must differ in the training part"
            f" (got {own[0, column]:g} in all {len(own)} examples{_output_words(column, own)}): bring more examples, "
            "leave that output out, or change the seed, which splits the data"
        )


def _output_words(column: int, targets: Floats) -> str:
    return "" if targets.shape[1] == 1 else f" for output {column + 1} of {targets.shape[1]}"
