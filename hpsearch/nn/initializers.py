"""Initial weights. All are zero-mean; biases start at 0, gamma at 1 and beta at 0."""

import math

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Initializer


def draw_weights(initializer: Initializer, out: Array, generator: np.random.Generator) -> None:
    """Fill one trial's weight matrix `out` (I, O), in place.

    The numbers are drawn in float64 and rounded once, so both precisions start from the same weights.
    """
    if initializer.name == "uniform":
        bound = _scale(initializer)
        out[...] = generator.uniform(-bound, bound, size=out.shape)
    else:
        out[...] = generator.standard_normal(out.shape) * standard_deviation(initializer, *out.shape)


def standard_deviation(initializer: Initializer, inputs: int, outputs: int) -> float:
    """Return the standard deviation of the weights of a layer with that many inputs and outputs.

    he: sqrt(2 / I) (He et al. 2015, equation 10). xavier: sqrt(2 / (I + O)) (Glorot and Bengio 2010,
    equation 12). lecun: sqrt(1 / I) (LeCun et al. 1998, "Efficient BackProp", equation 16). normal: its own
    scale. uniform on [-b, b]: b / sqrt(3).
    """
    match initializer.name:
        case "he":
            return math.sqrt(2 / inputs)
        case "xavier":
            return math.sqrt(2 / (inputs + outputs))
        case "lecun":
            return math.sqrt(1 / inputs)
        case "normal":
            return _scale(initializer)
        case "uniform":
            return _scale(initializer) / math.sqrt(3)


def _scale(initializer: Initializer) -> float:
    if initializer.scale is None:
        raise ValueError(f"initializer {initializer.name!r} needs a scale (got None)")
    return initializer.scale
