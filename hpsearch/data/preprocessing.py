"""Preprocessing: the steps from the raw inputs of a source to those of a network, as fitted on the training part."""

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from hpsearch.data import scaling as scale
from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.encoding import Encoding
from hpsearch.data.faults import INPUT_FAULTS, apply_fault
from hpsearch.errors import DataError, HpsearchError
from hpsearch.study.spec import Fault, Precision


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Preprocessing:
    """The steps from raw inputs (N, R) to those of a network (N, I): encoding, the study's fault of inputs, scaling.

    Inputs that are numbers have no encoding, and R is I. `features` are the names of the network's inputs, or empty.
    `first` (1, I) are the encoded inputs of the source's first example, which the fault `constant_inputs` repeats.
    """

    features: tuple[str, ...]
    scaling: scale.Scaling
    fault: Fault | None = None
    first: Array | None = None
    encoding: Encoding | None = None

    @property
    def raw_features(self) -> tuple[str, ...]:
        """The names of the raw inputs, or empty."""
        if self.encoding is None:
            return self.features
        return tuple(fitted.column.name for fitted in self.encoding.columns if self.encoding.is_named)

    def check_without_fault(self, where: str) -> None:
        """Raise HpsearchError, about `where`, for a deliberate fault of inputs, which only our own format has."""
        if self.fault is not None:
            raise HpsearchError(
                f'{where}: must be .npz for a study with a fault of inputs (got data.fault = "{self.fault.name}"): '
                "name such a file"
            )

    def apply(self, inputs: Array, *, precision: Precision, where: str) -> Array:
        """Return the inputs (N, I) of a network for raw `inputs` (N, R), the same as in training.

        Raw inputs are finite; those of an encoding are as `Encoding.apply` takes them.

        Raises DataError, about `where`, for numbers that are too large after scaling, or that the fault cannot take.
        """
        if self.encoding is not None:
            inputs = self.encoding.apply(inputs)
        if self.fault is not None and self.first is not None:
            inputs = apply_fault(inputs, self.fault, first=self.first, where=where)
        try:
            return scale.apply(self.scaling, inputs, np.arange(len(inputs)), precision=precision)
        except FloatingPointError as error:
            raise DataError(
                f'{where}: numbers must fit {precision} after scaling (got "{error}"): correct the largest ones'
            ) from error


AS_PREPARED: Final = Preprocessing(
    features=(), scaling=scale.Scaling(kind="none", offset=np.zeros(1), divisor=np.ones(1))
)
"""No steps: the raw inputs are those of the network."""


def preprocessing_of(
    source: Dataset, scaling: scale.Scaling, *, fault: Fault | None, encoding: Encoding | None = None
) -> Preprocessing:
    """Return the preprocessing of a study of `source`, which is encoded, with these fitted steps."""
    own = fault if fault is not None and fault.name in INPUT_FAULTS else None
    return Preprocessing(
        features=source.features,
        scaling=scaling,
        fault=own,
        first=None if own is None else source.inputs[:1].astype(np.float64),
        encoding=encoding,
    )
