"""Validation: the loss and the right answers of rows on the validation part, in passes of a fixed size."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.training.examples import Examples
from hpsearch.training.workspace import State, Workspace

EVALUATION_EXAMPLES = 500
"""Most examples of one evaluation pass. It is fixed, since sums over examples depend on the cuts between passes."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationSums:
    """The results of k rows: summed losses (k,) in float64, and the number of right answers (k,)."""

    losses: Array
    hits: Array


@final
class Validation:
    """Evaluates the networks of a `State` on the examples of one fold."""

    def __init__(self, network: Network, state: State, examples: Examples, *, room: int = 0) -> None:
        """Prepare buffers for one pass, and for `room` examples at least."""
        self.examples = examples
        self._network = network
        chunk = max(room, min(EVALUATION_EXAMPLES, len(examples)))
        self.workspace = Workspace(network, state, examples=chunk, trains=False)

    def evaluate(self, start: int, stop: int, *, is_interrupted: Callable[[], bool]) -> ValidationSums | None:
        """Return the results of the rows `start`..`stop`; None as soon as `is_interrupted`, called once per pass."""
        losses = np.zeros(stop - start)
        hits = np.zeros(stop - start, np.int64)
        for first in range(0, len(self.examples), EVALUATION_EXAMPLES):
            if is_interrupted():
                return None
            last = min(first + EVALUATION_EXAMPLES, len(self.examples))
            lane = self.workspace.lane(start, stop, last - first, shared_inputs=True)
            batch = replace(
                lane.batch,
                x=self.examples.inputs[None, first:last],
                t=self.examples.targets(first, last),
            )
            self._network.evaluate(lane.parameter_views, batch)
            if self.examples.labels is not None:
                hits += _right_answers(batch.logits, self.examples.labels[first:last])
            losses += self._network.loss.evaluate(batch.logits, batch.t, lane.output_scratch).sum(axis=1)
        return ValidationSums(losses=losses, hits=hits)


def _right_answers(logits: Array, labels: Array) -> Array:
    """Return the number of examples (k,) whose largest logit is at their label. NaN counts as the first class."""
    answers = logits[:, :, 0] > 0 if logits.shape[2] == 1 else logits.argmax(axis=2)
    right: Array = (answers == labels).sum(axis=1)
    return right
