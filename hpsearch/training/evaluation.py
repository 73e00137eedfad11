"""The results of a trained network on examples outside its training."""

from dataclasses import dataclass, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import Fold
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.training.examples import Examples
from hpsearch.training.recorder import NetworkSnapshot
from hpsearch.training.validation import EVALUATION_EXAMPLES, Validation
from hpsearch.training.workspace import State, Workspace


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


def evaluate(network: Network, snapshot: NetworkSnapshot, fold: Fold) -> NetworkEvaluation:
    """Return the results on the examples of `fold`, at least one, with the parameters of `snapshot`."""
    state = State(parameters=snapshot.parameters[None], optimizer=(), running=snapshot.running[None])
    examples = Examples(fold, outputs=network.blocks[-1].dense.outputs)
    with np.errstate(all="ignore"):
        reached = Validation(network, state, examples).evaluate(0, 1, is_interrupted=lambda: False)
        fires = _fires(network, state, fold.inputs)
    if reached is None:
        raise ValueError("an evaluation that nothing interrupts must end")
    return NetworkEvaluation(
        loss=float(reached.losses[0]) / len(examples),
        accuracy=None if examples.labels is None else int(reached.hits[0]) / len(examples),
        fires=fires,
    )


def _fires(network: Network, state: State, inputs: Array) -> tuple[NDArray[np.bool_], ...]:
    """Return for each hidden layer which units (O,) are positive for some example of `inputs` (N, I)."""
    workspace = Workspace(network, state, examples=min(EVALUATION_EXAMPLES, len(inputs)), trains=False)
    fires = tuple(np.zeros(block.dense.outputs, np.bool_) for block in network.blocks[:-1])
    for first in range(0, len(inputs), EVALUATION_EXAMPLES):
        x = inputs[None, first : first + EVALUATION_EXAMPLES]
        lane = workspace.lane(0, 1, x.shape[1], shared_inputs=True)
        network.evaluate(lane.parameter_views, replace(lane.batch, x=x))
        # By its own activation, inside the branch of a block with a skip, and not by the sum with its inputs.
        for ever, buffers in zip(fires, lane.batch.blocks, strict=False):
            np.logical_or(ever, buffers.y[0].max(axis=0) > 0, out=ever)
    return fires
