"""The arrays of a cohort: slices of one set, allocated once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import build_network
from hpsearch.study.spec import ModelSpec
from hpsearch.training.workspace import Lane, State, Workspace, allocate_state

ROWS, EXAMPLES = 5, 7
MODEL = ModelSpec(hidden=(4, 3, 3), batch_norm=True, dropout=0.5, skip_connections=True, loss="cross_entropy")


def made(*, states: int = 2) -> tuple[State, Workspace]:
    """Return state and workspace of a network with every kind of buffer."""
    network = build_network(MODEL, inputs=6, outputs=2)
    state = allocate_state(network, rows=ROWS, states=states, dtype=np.float32)
    return state, Workspace(network, state, examples=EXAMPLES, minibatches=len(state.parameters))


def written(lane: Lane) -> Iterator[Array]:
    """Yield every array that a step writes."""
    yield from (lane.parameters, lane.gradient, lane.scratch, *lane.optimizer, lane.output_scratch)
    yield from (lane.batch.x, lane.batch.t)
    for block in lane.batch.blocks:
        yield from (block.y, block.dy, block.scratch)
        if block.mask is not None:
            yield block.mask
        if block.kept is not None:
            yield from (block.kept.xhat, block.kept.inverse_std)
        if block.total is not None:
            yield block.total
    for statistics in lane.batch.running:
        yield from statistics or ()


@given(st.data(), st.integers(1, EXAMPLES))
def test_lanes_of_different_rows_share_nothing(data: st.DataObject, examples: int) -> None:
    """Arrays that one lane writes are in no lane of other rows."""
    cut = data.draw(st.integers(1, ROWS - 1))
    _, workspace = made()
    one = workspace.lane(0, cut, examples, shared_inputs=False)
    other = workspace.lane(cut, ROWS, EXAMPLES, shared_inputs=False)
    for array in written(one):
        array[...] = 1
    assert not any(array.any() for array in written(other))


def test_a_lane_is_a_view_of_the_state() -> None:
    """A lane's parameters, in both layouts, are the state's own memory."""
    state, workspace = made()
    lane = workspace.lane(1, 3, EXAMPLES, shared_inputs=False)
    lane.parameters[0, 0] = 5
    lane.parameter_views[0].w[1, 0, 0] = 6
    assert state.parameters[1:3, 0].tolist() == [5, 6]


def test_shared_inputs_are_stored_once() -> None:
    """If all rows see the same examples, inputs and targets have one trial."""
    lane = made()[1].lane(1, 4, 3, shared_inputs=True)
    assert lane.batch.x.shape == (1, 3, 6)
    assert lane.batch.t.shape == (1, 3, 2)
    assert lane.batch.logits.shape == (3, 3, 2)


def test_a_remembered_lane_is_the_same_lane() -> None:
    """A second request returns the same lane; after many others it is cut again, of the same memory."""
    _, workspace = made()
    first = workspace.lane(0, 1, 1, shared_inputs=True)
    assert workspace.lane(0, 1, 1, shared_inputs=True) is first
    for _ in range(3):
        for start in range(ROWS):
            for stop in range(start + 1, ROWS + 1):
                for examples in range(1, EXAMPLES + 1):
                    for shared in (False, True):
                        workspace.lane(start, stop, examples, shared_inputs=shared)
    again = workspace.lane(0, 1, 1, shared_inputs=True)
    assert np.shares_memory(again.gradient, first.gradient)
    assert np.shares_memory(again.batch.x, first.batch.x)


def test_a_trial_moves_completely() -> None:
    """Moving a trial copies its parameters, running statistics and optimizer states to the other row."""
    state, _ = made()
    for number, array in enumerate((state.parameters, state.running, *state.optimizer)):
        array[...] = 10 * number + np.arange(ROWS, dtype=np.float32)[:, None]
    state.move(4, 1)
    for number, array in enumerate((state.parameters, state.running, *state.optimizer)):
        np.testing.assert_array_equal(array[:, 0], 10 * number + np.array([0, 4, 2, 3, 4]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_all_arrays_have_the_networks_precision(dtype: Any) -> None:
    """Every array of a step has the precision of the state, neither less nor more."""
    network = build_network(MODEL, inputs=6, outputs=2)
    state = allocate_state(network, rows=ROWS, states=1, dtype=dtype)
    lane = Workspace(network, state, examples=EXAMPLES, minibatches=len(state.parameters)).lane(
        0, 2, 3, shared_inputs=False
    )
    assert {array.dtype for array in (*written(lane), lane.batch.ones)} == {np.dtype(dtype)}


def test_evaluation_has_no_gradients() -> None:
    """A workspace that does not train has memory for activations only."""
    network = build_network(MODEL, inputs=6, outputs=2)
    state = allocate_state(network, rows=ROWS, states=0, dtype=np.float32)
    lane = Workspace(network, state, examples=EXAMPLES).lane(0, 2, 3, shared_inputs=True)
    assert lane.gradient_views == ()
    assert lane.batch.x.size == lane.gradient.size == 0
    assert all(block.mask is None and block.kept is None for block in lane.batch.blocks)
