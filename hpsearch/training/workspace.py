"""The arrays of a cohort: one set, allocated once, of which every step uses slices along the trial axis.

`State` is a trial's data: parameters, optimizer states, running statistics. `Workspace` has the inputs and results of a
minibatch. Slices are views and are cached, because making them costs as much as a small product.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.layers import Normalization
from hpsearch.nn.network import Batch, BlockBuffers, BlockParameters, Network

REMEMBERED_SLICES = 256


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The data of a trial from step to step, K trials stacked.

    `parameters` (K, P), `optimizer` arrays (K, P) each, `running` (K, S).
    """

    parameters: Array
    optimizer: tuple[Array, ...]
    running: Array

    def move(self, source: int, target: int) -> None:
        """Copy the trial in row `source` into row `target`, in place."""
        for array in (self.parameters, self.running, *self.optimizer):
            array[target] = array[source]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NetworkSnapshot:
    """A trial's parameters (P,) and running statistics (S,) after `steps` steps, as copies."""

    steps: int
    parameters: Array
    running: Array


def allocate_state(network: Network, *, rows: int, states: int, dtype: type[np.floating]) -> State:
    """Return zeroed arrays for `rows` trials with `states` optimizer arrays each."""
    return State(
        parameters=np.zeros((rows, network.parameters), dtype),
        optimizer=tuple(np.zeros((rows, network.parameters), dtype) for _ in range(states)),
        running=np.zeros((rows, network.statistics), dtype),
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """Rows `start`..`stop` of a cohort on minibatches of one size: views of everything a step touches.

    Flat arrays are (k, P), `running` (k, S), with k = stop - start; `batch` has B = `examples`. With `shared_inputs` x
    and t are (1, B, ...).
    """

    start: int
    stop: int
    shared_inputs: bool
    parameters: Array
    gradient: Array
    scratch: Array
    optimizer: tuple[Array, ...]
    running: Array
    parameter_views: tuple[BlockParameters, ...]
    gradient_views: tuple[BlockParameters, ...]
    batch: Batch
    output_scratch: Array

    @property
    def examples(self) -> int:
        """B, the number of examples of a minibatch."""
        examples: int = self.batch.ones.shape[1]
        return examples


def snapshot_of(lane: Lane, *, steps: int) -> NetworkSnapshot:
    """Return a copy of the lane's first row of state, without the optimizer's states."""
    return NetworkSnapshot(steps=steps, parameters=lane.parameters[0].copy(), running=lane.running[0].copy())


@final
class Workspace:
    """Buffers for up to K trials and B examples, and lanes cut out of them and of a `State`.

    There are inputs and targets for `minibatches`: K, or 1 if all trials share each. A workspace without any is for
    evaluation, which reads them in place: it has no gradients.
    """

    def __init__(self, network: Network, state: State, *, examples: int, minibatches: int = 0) -> None:
        self._network = network
        self._state = state
        trains = self._trains = minibatches > 0
        rows = self.rows = len(state.parameters)
        self.outputs = network.blocks[-1].dense.outputs
        dtype = self.dtype = state.parameters.dtype
        flat = state.parameters.shape if trains else (0, network.parameters)
        self._gradient = np.zeros(flat, dtype)
        self._scratch = np.zeros(flat, dtype)
        inputs, outputs = network.blocks[0].dense.inputs, network.blocks[-1].dense.outputs
        self._x = np.zeros((minibatches, examples, inputs), dtype)
        self._t = np.zeros((minibatches, outputs, examples), dtype)
        self._ones = np.ones((1, examples), dtype)
        self._output_scratch = np.zeros((rows, outputs, examples), dtype)
        self._blocks = _allocate_blocks(network, (rows, examples), dtype, trains=trains)
        self._lanes: dict[tuple[int, int, int, bool, tuple[int, ...]], Lane] = {}

    def lane(
        self, start: int, stop: int, examples: int, *, shared_inputs: bool, sizes: tuple[int, ...] = ()
    ) -> Lane:
        """Return the lane of rows `start`..`stop` with B = `examples`; `shared_inputs` makes x and t (1, B, ...).

        With `sizes`, so many rows after each other share a minibatch each, and only x has as many.
        """
        key = (start, stop, examples, shared_inputs, sizes)
        lane = self._lanes.get(key)
        if lane is None:
            if len(self._lanes) >= REMEMBERED_SLICES:
                self._lanes.clear()
            lane = self._lanes[key] = self._cut(
                slice(start, stop), examples, shared_inputs=shared_inputs, sizes=sizes
            )
        return lane

    def part(self, lane: Lane, first: int, last: int) -> Lane:
        """Return the lane of the rows `first`..`last` of `lane`, on the same minibatches."""
        if last - first == lane.stop - lane.start:
            return lane
        start, stop = lane.start + first, lane.start + last
        part = self.lane(start, stop, lane.examples, shared_inputs=lane.shared_inputs)
        if not lane.batch.groups:
            return part
        kept = [
            (place, slice(max(rows.start, first) - first, min(rows.stop, last) - first))
            for place, rows in enumerate(lane.batch.groups)
            if rows.start < last and rows.stop > first
        ]
        x = lane.batch.x[kept[0][0] : kept[-1][0] + 1]
        return replace(part, batch=replace(part.batch, x=x, groups=tuple(rows for _, rows in kept)))

    def _cut(self, rows: slice, examples: int, *, shared_inputs: bool, sizes: tuple[int, ...]) -> Lane:
        inputs = slice(0, 1) if shared_inputs else rows
        parameters, running = self._state.parameters[rows], self._state.running[rows]
        gradient = self._gradient[rows]
        stops = list(itertools.accumulate(sizes))
        return Lane(
            start=rows.start,
            stop=rows.stop,
            shared_inputs=shared_inputs,
            parameters=parameters,
            gradient=gradient,
            scratch=self._scratch[rows],
            optimizer=tuple(array[rows] for array in self._state.optimizer),
            running=running,
            parameter_views=self._network.views(parameters),
            gradient_views=self._network.views(gradient) if self._trains else (),
            batch=Batch(
                x=self._x[: len(sizes), :examples] if sizes else self._x[inputs, :examples],
                t=_output_layout(self._t, inputs, examples),
                ones=self._ones[:, :examples],
                blocks=tuple(_cut_block(block, rows, examples) for block in self._blocks),
                running=self._network.running_views(running),
                groups=tuple(slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)),
            ),
            output_scratch=_output_layout(self._output_scratch, rows, examples),
        )


def _output_layout(array: Array, rows: slice, examples: int) -> Array:
    """Return `array` (K, C, B) as (k, B, C) with B last in memory."""
    return array[rows, :, :examples].transpose(0, 2, 1)


def _allocate_blocks(
    network: Network, sizes: tuple[int, int], dtype: np.dtype[np.floating], *, trains: bool
) -> Sequence[BlockBuffers]:
    """Return the buffers of all blocks; those of the output block are (K, C, B) views."""
    rows, examples = sizes

    def full(width: int) -> Array:
        return np.zeros((rows, examples, width), dtype)

    blocks = []
    for block in network.blocks[:-1]:
        width = block.dense.outputs
        kept = Normalization(xhat=full(width), inverse_std=np.zeros((rows, width), dtype))
        blocks.append(
            BlockBuffers(
                y=full(width),
                dy=full(width if trains else 0),
                scratch=full(width),
                mask=full(width) if trains and block.dropout else None,
                kept=kept if trains and block.norm is not None else None,
                slope=full(width) if trains and block.has_slope else None,
                total=full(width) if block.skip else None,
            )
        )
    logits = np.zeros((rows, network.blocks[-1].dense.outputs, examples), dtype).transpose(0, 2, 1)
    blocks.append(BlockBuffers(y=logits, dy=logits, scratch=logits))
    return blocks


def _cut_block(block: BlockBuffers, rows: slice, examples: int) -> BlockBuffers:
    kept = block.kept
    return BlockBuffers(
        y=block.y[rows, :examples],
        dy=block.dy[rows, :examples],
        scratch=block.scratch[rows, :examples],
        mask=None if block.mask is None else block.mask[rows, :examples],
        kept=None
        if kept is None
        else Normalization(xhat=kept.xhat[rows, :examples], inverse_std=kept.inverse_std[rows]),
        slope=None if block.slope is None else block.slope[rows, :examples],
        total=None if block.total is None else block.total[rows, :examples],
    )
