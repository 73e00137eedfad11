"""What telemetry remembers of each row from one look to the next."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network


@final
class Memory:
    """Of K rows: how long each hidden unit has been silent, and the last gradient seen of the output's weights.

    `silence` (K, U) counts the examples looked at since a unit last fired, for all U hidden units, input side first.
    `gradient` (K, H C) is in whatever scale the look had, and `gradient_norm` (K,) its norm, float64; all are 0 before
    a row's first look.
    """

    def __init__(self, network: Network, *, rows: int, dtype: np.dtype[np.floating]) -> None:
        hidden, output = network.blocks[:-1], network.blocks[-1].dense
        self.silence: NDArray[np.int32] = np.zeros(
            (rows, sum(block.dense.outputs for block in hidden)), np.int32
        )
        self.gradient: Array = np.zeros((rows, output.inputs * output.outputs), dtype)
        self.gradient_norm: Array = np.zeros(rows)

    def forget(self, row: int) -> None:
        """Start afresh in `row`, in place."""
        self.silence[row] = 0
        self.gradient[row] = 0
        self.gradient_norm[row] = 0

    def move(self, source: int, target: int) -> None:
        """Copy what is known of row `source` to row `target`, in place."""
        self.silence[target] = self.silence[source]
        self.gradient[target] = self.gradient[source]
        self.gradient_norm[target] = self.gradient_norm[source]
