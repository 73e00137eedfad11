"""Examples as a cohort reads them: minibatches, targets, and the order of an epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.prepare import DataPart
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import ModelSpec
from hpsearch.training.examples import EpochOrders, Examples, output_count
from tests.training.cases import classification, regression

X = np.arange(12, dtype=np.float32).reshape(6, 2)
LABELS = np.array([0, 2, 1, 1, 0, 2])


def buffers(trials: int, examples: int, outputs: int) -> tuple[Array, Array]:
    """Return x and t as a cohort passes them: parts of larger arrays, t with B last in memory."""
    x = np.full((trials, examples + 3, 2), np.nan, np.float32)[:, :examples]
    t = np.full((trials, outputs, examples + 3), np.nan, np.float32)[:, :, :examples]
    return x, t.transpose(0, 2, 1)


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.integers(1, 200))
def test_an_order_is_a_permutation_of_its_seed_and_epoch(seed: int, epoch: int, examples: int) -> None:
    """Every epoch has each example once, in an order that depends on (seed, epoch) alone."""
    order = EpochOrders(seed, examples, order="reshuffle").order(epoch)
    assert sorted(order.tolist()) == list(range(examples))
    np.testing.assert_array_equal(EpochOrders(seed, examples, order="reshuffle").order(epoch), order)


def test_orders_differ_by_seed_and_epoch() -> None:
    """Two epochs, and two seeds, have different orders."""
    orders = EpochOrders(1, 50, order="reshuffle")
    assert not np.array_equal(orders.order(0), orders.order(1))
    assert not np.array_equal(orders.order(0), EpochOrders(2, 50, order="reshuffle").order(0))


def test_one_order_for_all_epochs_is_that_of_the_first() -> None:
    """With order "once", every epoch has the order that "reshuffle" has in epoch 0."""
    first = EpochOrders(1, 50, order="reshuffle").order(0)
    for epoch in (0, 1, 99):
        np.testing.assert_array_equal(EpochOrders(1, 50, order="once").order(epoch), first)


def test_a_forgotten_order_is_drawn_again() -> None:
    """An order that is no longer cached is drawn again unchanged."""
    orders = EpochOrders(1, 5, order="reshuffle")
    first = orders.order(0).copy()
    for epoch in range(200):
        orders.order(epoch)
    np.testing.assert_array_equal(orders.order(0), first)


def test_classes_become_one_hot_targets() -> None:
    """A minibatch has the chosen inputs, and 1 at each one's class."""
    examples = Examples(DataPart(inputs=X, targets=LABELS), outputs=3)
    x, t = buffers(2, 2, 3)
    examples.gather(np.array([[5, 0], [2, 2]]), x, t)
    np.testing.assert_array_equal(x, [[X[5], X[0]], [X[2], X[2]]])
    np.testing.assert_array_equal(t, [[[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]])
    np.testing.assert_array_equal(examples.targets(1, 3), [[[0, 0, 1], [0, 1, 0]]])
    assert len(examples) == 6


def test_two_classes_of_one_output_are_their_index() -> None:
    """With one output a target is the class's index."""
    labels = np.array([0, 1, 1, 0, 0, 1])
    examples = Examples(DataPart(inputs=X, targets=labels), outputs=1)
    x, t = buffers(1, 3, 1)
    examples.gather(np.array([[1, 0, 5]]), x, t)
    np.testing.assert_array_equal(t, [[[1], [0], [1]]])
    np.testing.assert_array_equal(examples.targets(0, 2), [[[0], [1]]])
    assert examples.targets(0, 2).dtype == np.float32


@pytest.mark.parametrize("outputs", [1, 2])
def test_numbers_are_their_own_targets(outputs: int) -> None:
    """In regression a target is the example's numbers, and there are no labels."""
    numbers = np.arange(6 * outputs, dtype=np.float32).reshape(6, outputs) / 7
    examples = Examples(DataPart(inputs=X, targets=numbers), outputs=outputs)
    x, t = buffers(2, 2, outputs)
    examples.gather(np.array([[5, 0], [2, 2]]), x, t)
    np.testing.assert_array_equal(t, numbers[[[5, 0], [2, 2]]])
    np.testing.assert_array_equal(examples.targets(1, 4), numbers[None, 1:4])
    assert examples.labels is None


def test_targets_have_the_layout_of_losses() -> None:
    """Targets of an evaluation have B last in memory, like those of a minibatch."""
    t = Examples(DataPart(inputs=X, targets=LABELS), outputs=3).targets(0, 6)
    assert t.transpose(0, 2, 1).flags.c_contiguous


def test_outputs_follow_from_the_data_and_the_loss() -> None:
    """There is one output per class or number, and a single one for two classes under binary cross-entropy."""
    two, four, numbers = classification(classes=2), classification(classes=4), regression(outputs=3)
    cross_entropy, binary = ModelSpec(loss="cross_entropy"), ModelSpec(loss="binary_cross_entropy")
    assert output_count(two, cross_entropy) == 2
    assert output_count(two, binary) == 1
    assert output_count(four, binary) == 4
    assert output_count(numbers, ModelSpec(loss="mse")) == 3
