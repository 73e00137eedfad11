"""The examples as a cohort reads them: minibatches in one order for all trials, targets in the form of the loss."""

from functools import lru_cache
from typing import final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import ModelSpec, Order

ORDER_STREAM = 1
"""Second word of the seed of every epoch's order; the first is the study's seed, the third the epoch."""

REMEMBERED_ORDERS = 64


@final
class EpochOrders:
    """The order in which every trial of a study sees the examples: one permutation per (study seed, epoch).

    All trials share it, so configurations are compared on common random numbers (law 1). With `order` "once" the
    permutation of epoch 0 serves every epoch, so trials of different ages see the same minibatch at the same step of
    an epoch. In theory it converges at the same rate (Mishchenko et al. 2020, "Random Reshuffling: Simple Analysis with
    Vast Improvements", theorem 1), but after few epochs it costs accuracy (`tests.benchmarks.orders`).
    """

    def __init__(self, seed: int, examples: int, *, order: Order) -> None:
        self.is_shared = order == "once"
        self._seed = seed
        self._examples = examples
        self._remembered = lru_cache(REMEMBERED_ORDERS)(self._permutation)

    def order(self, epoch: int) -> NDArray[np.intp]:
        """Return the permutation (N,) of that epoch, counted from 0."""
        return self._remembered(0 if self.is_shared else epoch)

    def _permutation(self, epoch: int) -> NDArray[np.intp]:
        generator = np.random.Generator(np.random.PCG64([self._seed, ORDER_STREAM, epoch]))
        return generator.permutation(self._examples).astype(np.intp, copy=False)


@final
class Examples:
    """One part of the data with its targets for one kind of network.

    Classes become one-hot rows over C outputs, or the class's index itself if two classes share one output.
    """

    def __init__(self, part: DataPart, *, outputs: int) -> None:
        self.inputs: Array = part.inputs
        is_classes = part.targets.ndim == 1
        self.labels: NDArray[np.int64] | None = part.targets if is_classes else None
        self._outputs = outputs
        self._classes = np.arange(outputs).reshape(1, -1, 1)
        dense = part.targets[:, None] if outputs == 1 else part.targets
        self._dense = None if is_classes and outputs > 1 else dense.astype(part.inputs.dtype, copy=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def gather(self, chosen: NDArray[np.intp], x: Array, t: Array, *, sizes: tuple[int, ...] = ()) -> None:
        """Write inputs into `x` (k, B, I) and targets into `t` (k, B, C), in place, of the examples `chosen` (k, B).

        With `sizes` (k numbers), `t` has each minibatch's targets as often.
        """
        np.take(self.inputs, chosen, axis=0, out=x, mode="clip")
        if sizes:
            chosen = chosen.repeat(sizes, axis=0)
        if self._dense is not None:
            t[...] = self._dense[chosen].reshape(t.shape)
        else:
            self._one_hot(self.labels[chosen], t)  # type: ignore[index] # classes have labels

    def targets(self, start: int, stop: int) -> Array:
        """Return the targets (1, B, C) of the examples `start`..`stop`, with B last in memory."""
        t = np.empty((1, self._outputs, stop - start), self.inputs.dtype).transpose(0, 2, 1)
        if self._dense is not None:
            t[0] = self._dense[start:stop].reshape(t.shape[1:])
        else:
            self._one_hot(self.labels[None, start:stop], t)  # type: ignore[index] # classes have labels
        return t

    def _one_hot(self, labels: NDArray[np.int64], t: Array) -> None:
        """Write 1 at each example's class and 0 elsewhere into `t` (k, B, C), in place."""
        np.equal(labels[:, None, :], self._classes, out=t.transpose(0, 2, 1), casting="unsafe")


def class_weights(data: PreparedData, dtype: DTypeLike) -> Array:
    """Return the weight (C,) of an example of each class: n / (C n_c), and 0 for a class without a training example.

    As `class_weight="balanced"` of scikit-learn (King and Zeng 2001), with C the classes that the training part has.
    The mean weight of its n examples is 1.
    """
    counts = np.array(data.class_counts)
    weights = np.zeros(len(counts), dtype)
    present = counts > 0
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def output_count(data: PreparedData, model: ModelSpec) -> int:
    """Return C: one output per class or number, and a single one for two classes under binary cross-entropy."""
    if data.task == "classification" and data.outputs == 2 and model.loss == "binary_cross_entropy":
        return 1
    return data.outputs
