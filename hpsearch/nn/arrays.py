"""Arrays and the letters of their axes.

K trials (always first), B examples of a minibatch, I inputs and O outputs of a layer, C outputs of the network, P
parameters of one trial. All floating-point arrays of one network have one precision, float32 or float64.

Law: no number of one trial may depend on the number of other trials in the stack. So products are stacks of one GEMM
per trial (`np.matmul`), sums over examples are products with a vector of ones, and reductions run inside a trial only.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""A floating-point array in the network's precision."""


def sum_over_examples(values: Array, ones: Array, out: Array) -> None:
    """Write the sum over B of `values` (K, B, O) into `out` (K, O), in place, as a product with `ones` (1, B)."""
    np.matmul(ones, values, out=out[:, None, :])
