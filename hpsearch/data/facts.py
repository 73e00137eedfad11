"""What diagnosis should know of a study's data."""

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.data.prepare import PreparedData
from hpsearch.records import DataFacts

_BLOCK_EXAMPLES = 4096
"""Examples that are looked at at one time, so that no copy of the whole is made."""


def facts_of(data: PreparedData) -> DataFacts:
    """Return the facts of the training part of `data`."""
    inputs, targets = data.training.inputs, data.training.targets
    blocks = [inputs[start : start + _BLOCK_EXAMPLES] for start in range(0, len(inputs), _BLOCK_EXAMPLES)]
    is_classes = data.task == "classification"
    total = sum(data.class_counts)
    return DataFacts(
        examples=len(inputs),
        validation_examples=len(data.validation.inputs),
        class_shares=tuple(count / total for count in data.class_counts),
        input_largest=float(np.max([np.abs(block).max() for block in blocks])),  # `max` would lose a NaN
        input_mean_square=sum(_sum_of_squares(block) for block in blocks) / inputs.size,
        input_nonzero_share=sum(int(np.count_nonzero(block)) for block in blocks) / inputs.size,
        input_is_binary=all(bool(((block == 0) | (block == 1)).all()) for block in blocks),
        input_is_constant=len(inputs) > 1 and all(bool((block == inputs[0]).all()) for block in blocks),
        target_low=0.0 if is_classes else float(targets.min()),
        target_high=1.0 if is_classes else float(targets.max()),
        target_variance=0.0 if is_classes else float(targets.astype(np.float64).var(axis=0).mean()),
    )


def _sum_of_squares(block: Array) -> float:
    return float(np.square(block, dtype=np.float64).sum())
