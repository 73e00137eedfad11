"""Evaluation: the results of networks on examples outside their training, in passes of a fixed size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import DataPart
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.training.examples import Examples
from hpsearch.training.scores import Scoring
from hpsearch.training.workspace import NetworkSnapshot, State, Workspace

EVALUATION_EXAMPLES = 500
"""Most examples of one evaluation pass. It is fixed, since sums over examples depend on the cuts between passes."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationSums:
    """The results of k rows: summed losses (k,) in float64, the number of right answers (k,), and other metrics."""

    losses: Array
    hits: Array
    scores: tuple[Mapping[str, float], ...]


@final
class Validation:
    """Evaluates the networks of a `State` on the examples of one part."""

    def __init__(
        self,
        network: Network,
        state: State,
        examples: Examples,
        *,
        room: int = 0,
        scoring: Scoring | None = None,
    ) -> None:
        """Prepare buffers for one pass, and for `room` examples at least; `scoring` is of the same examples."""
        self.examples = examples
        self._scoring = scoring
        self._network = network
        chunk = max(room, min(EVALUATION_EXAMPLES, len(examples)))
        self.workspace = Workspace(network, state, examples=chunk)

    def evaluate(self, start: int, stop: int, *, is_interrupted: Callable[[], bool]) -> ValidationSums | None:
        """Return the results of the rows `start`..`stop`; None as soon as `is_interrupted`, called once per pass."""
        losses = np.zeros(stop - start)
        hits = np.zeros(stop - start, np.int64)
        outputs: list[Array] = []
        answers: list[Array] = []
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
                answers.append(_answers(batch.logits))
                hits += (answers[-1] == self.examples.labels[first:last]).sum(axis=1)
            losses += self._network.loss.evaluate(batch.logits, batch.t, lane.output_scratch).sum(axis=1)
            if self._scoring is not None and self._scoring.reads_outputs:
                outputs.append(batch.logits.copy())
        return ValidationSums(losses=losses, hits=hits, scores=self._scores(outputs, answers, len(losses)))

    def _scores(
        self, outputs: Sequence[Array], answers: Sequence[Array], rows: int
    ) -> tuple[Mapping[str, float], ...]:
        """Return the metrics of each row, from its outputs (k, B, C) and answers (k, B) in every pass."""
        if self._scoring is None:
            return ({},) * rows
        return tuple(
            self._scoring.scores(
                np.concatenate([one[row] for one in outputs]) if outputs else None,
                np.concatenate([one[row] for one in answers]) if answers else None,
            )
            for row in range(rows)
        )


def _answers(logits: Array) -> NDArray[np.int64]:
    """Return the class of each example (k, B). NaN counts as an answer for the first class."""
    answers = logits[:, :, 0] > 0 if logits.shape[2] == 1 else logits.argmax(axis=2)
    return answers.astype(np.int64, copy=False)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkOutputs:
    """The outputs (N, C) of a network in evaluation mode, after its output activation, and the answers (N,).

    An answer is the class as validation counts it; in regression it has no meaning.
    """

    values: Array
    answers: NDArray[np.int64]


def compute_outputs(network: Network, snapshot: NetworkSnapshot, inputs: Array) -> NetworkOutputs:
    """Return the outputs for `inputs` (N, I) in the network's precision, in the passes of a validation."""
    state = State(parameters=snapshot.parameters[None], optimizer=(), running=snapshot.running[None])
    width = network.blocks[-1].dense.outputs
    values, answers = np.empty((len(inputs), width), inputs.dtype), np.empty(len(inputs), np.int64)
    workspace = Workspace(network, state, examples=max(1, min(EVALUATION_EXAMPLES, len(inputs))))
    with np.errstate(all="ignore"):
        for first in range(0, len(inputs), EVALUATION_EXAMPLES):
            x = inputs[None, first : first + EVALUATION_EXAMPLES]
            lane = workspace.lane(0, 1, x.shape[1], shared_inputs=True)
            network.evaluate(lane.parameter_views, replace(lane.batch, x=x))
            rows = slice(first, first + x.shape[1])
            answers[rows] = _answers(lane.batch.logits)[0]
            # The loss applies the output activation, in place; the targets do not matter.
            network.loss.evaluate(lane.batch.logits, np.zeros_like(lane.batch.logits), lane.output_scratch)
            values[rows] = lane.batch.logits[0]
    return NetworkOutputs(values=values, answers=answers)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkEvaluation:
    """Results on N examples in evaluation mode: the mean `loss`, and the `accuracy`, None in regression.

    `fires` has for each hidden layer whether each unit (O,) was positive for at least one example.
    """

    loss: float
    accuracy: float | None
    fires: tuple[NDArray[np.bool_], ...]

    @property
    def never_positive(self) -> tuple[float, ...]:
        """The share of each hidden layer's units that were positive for no example."""
        return tuple(float(1 - fires.mean()) for fires in self.fires)


def evaluate(network: Network, snapshot: NetworkSnapshot, part: DataPart) -> NetworkEvaluation:
    """Return the results on the examples of `part`, at least one, with the parameters of `snapshot`."""
    state = State(parameters=snapshot.parameters[None], optimizer=(), running=snapshot.running[None])
    examples = Examples(part, outputs=network.blocks[-1].dense.outputs)
    with np.errstate(all="ignore"):
        sums = Validation(network, state, examples).evaluate(0, 1, is_interrupted=lambda: False)
        fires = _fires(network, state, part.inputs)
    if sums is None:
        raise ValueError("an evaluation that nothing interrupts must end")
    return NetworkEvaluation(
        loss=float(sums.losses[0]) / len(examples),
        accuracy=None if examples.labels is None else int(sums.hits[0]) / len(examples),
        fires=fires,
    )


def _fires(network: Network, state: State, inputs: Array) -> tuple[NDArray[np.bool_], ...]:
    """Return for each hidden layer which units (O,) are positive for some example of `inputs` (N, I)."""
    workspace = Workspace(network, state, examples=min(EVALUATION_EXAMPLES, len(inputs)))
    fires = tuple(np.zeros(block.dense.outputs, np.bool_) for block in network.blocks[:-1])
    for first in range(0, len(inputs), EVALUATION_EXAMPLES):
        x = inputs[None, first : first + EVALUATION_EXAMPLES]
        lane = workspace.lane(0, 1, x.shape[1], shared_inputs=True)
        network.evaluate(lane.parameter_views, replace(lane.batch, x=x))
        # By its own activation, inside the branch of a block with a skip, and not by the sum with its inputs.
        for fired, buffers in zip(fires, lane.batch.blocks, strict=False):
            np.logical_or(fired, buffers.y[0].max(axis=0) > 0, out=fired)
    return fires
