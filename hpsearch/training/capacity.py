"""How many trials a cohort should train at once."""

from hpsearch.nn.network import Network
from hpsearch.nn.optimizers import OPTIMIZERS
from hpsearch.study.spec import TrainingSpec

MOST_ROWS = 32
LEAST_ROWS = 8
SHARE_IN_FLIGHT = 10


def row_bytes(network: Network, training: TrainingSpec) -> int:
    """Return the memory in bytes that one row's training step touches: parameters, gradients, states, buffers."""
    states = OPTIMIZERS[training.optimizer].states
    per_example = network.blocks[0].dense.inputs + sum(
        # activations, their gradients and scratch, and what normalization, dropout, gates and skips keep
        (3 + (block.norm is not None) + (block.dropout is not None) + block.has_slope + block.skip)
        * block.dense.outputs
        for block in network.blocks
    )
    numbers = (3 + states) * network.parameters + training.batch_size * per_example
    return numbers * (8 if training.precision == "float64" else 4)


def cohort_capacity(bytes_per_row: int, *, cache_bytes: int) -> int:
    """Return how many rows keep the arrays of a step inside `cache_bytes`, one core's share of the last cache: 8 to 32.

    Fewer rows would pay for the calls themselves (a step is about 30 array operations), and from 32 on they cost
    nothing any more.
    """
    return max(LEAST_ROWS, min(MOST_ROWS, cache_bytes // max(bytes_per_row, 1)))


def rows_in_flight(budget: int, *, workers: int) -> int:
    """Return how many trials each of `workers` may train at once: together a tenth of the budget, at least one.

    A sampler that learns must not be blinded by trials that were all drawn before any result was there.
    """
    return max(1, budget // SHARE_IN_FLIGHT // workers)
