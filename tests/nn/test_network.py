"""Whole networks: gradients of random architectures, the layout of their arrays, and evaluation."""

import re
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from hpsearch.nn.arrays import Array
from hpsearch.nn.layers import draw_dropout
from hpsearch.nn.losses import PlainLoss
from hpsearch.nn.network import Batch, BlockParameters, Network, build_network
from hpsearch.study.spec import (
    Activation,
    DropoutLayers,
    DropoutPosition,
    DropoutScaling,
    Initializer,
    Loss,
    ModelSpec,
    Output,
)
from hpsearch.training.workspace import Lane, Workspace, allocate_state

STEP = 1e-6
TOLERANCE = 1e-6
ATTEMPTS = 20
MARGIN = 1e-3

Pair = tuple[Loss, Output]

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
PAIRS: tuple[Pair, ...] = (
    ("cross_entropy", "auto"),
    ("cross_entropy", "sigmoid"),
    ("binary_cross_entropy", "auto"),
    ("binary_cross_entropy", "softmax"),
    ("mse", "auto"),
    ("mse", "softmax"),
    ("mse", "tanh"),
    ("mse", "selu"),
)


@st.composite
def models(draw: st.DrawFn) -> ModelSpec:
    """Draw a network of up to four hidden layers, in which neighbours often have one width."""
    loss, output = draw(st.sampled_from(PAIRS))
    widths = st.sampled_from([4, 5]) if draw(st.booleans()) else st.integers(1, 9)
    return ModelSpec(
        hidden=tuple(draw(st.lists(widths, max_size=4))),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        batch_norm=draw(st.booleans()),
        batch_norm_affine=draw(st.booleans()),
        batch_norm_epsilon=draw(st.sampled_from([1e-5, 0.1])),
        dropout=draw(st.sampled_from([0.0, 0.4])),
        dropout_position=draw(st.sampled_from(get_args(DropoutPosition))),
        dropout_layers=draw(st.sampled_from(get_args(DropoutLayers))),
        dropout_scaling=draw(st.sampled_from(get_args(DropoutScaling))),
        skip_connections=draw(st.booleans()),
        loss=loss,
        output=output,
    )


def prepared(model: ModelSpec, *, trials: int, examples: int, seed: int) -> tuple[Network, Lane]:
    """Return a network with random parameters, and a lane in float64 with inputs, targets and masks."""
    generator = np.random.default_rng(seed)
    inputs, outputs = int(generator.integers(1, 6)), int(generator.integers(2, 5))
    network = build_network(model, inputs=inputs, outputs=outputs)
    state = allocate_state(network, rows=trials, states=0, dtype=np.float64)
    lane = Workspace(network, state, examples=examples, minibatches=len(state.parameters)).lane(
        0, trials, examples, shared_inputs=False
    )
    fill(lane, generator)
    lane.batch.t[...] = generator.random(lane.batch.t.shape)
    lane.batch.t[...] /= lane.batch.t.sum(axis=2, keepdims=True)
    for block in lane.batch.blocks:
        if block.mask is not None:
            rates = np.full(len(block.mask), model.dropout)
            is_inverted = model.dropout_scaling == "training"
            draw_dropout(block.mask, rates, [generator] * len(rates), is_inverted=is_inverted)
    return network, lane


def fill(lane: Lane, generator: np.random.Generator) -> None:
    """Fill parameters and inputs with normal numbers, in place; weights are scaled so that logits stay near 1."""
    lane.parameters[...] = generator.standard_normal(lane.parameters.shape)
    lane.batch.x[...] = generator.standard_normal(lane.batch.x.shape)
    for view in lane.parameter_views:
        view.w[...] /= np.sqrt(view.w.shape[1])


def mean_loss(network: Network, parameters: tuple[BlockParameters, ...], batch: Batch) -> float:
    """Return the sum over trials of their minibatch means, and replace the logits by the outputs."""
    network.forward(parameters, batch)
    losses = network.loss.evaluate(batch.logits, batch.t, np.empty_like(batch.logits))
    return float(losses.mean(axis=1).sum())


def signs(batch: Batch) -> list[Array]:
    """Return which hidden activations and outputs are positive, to tell whether a kink was crossed."""
    return [block.y > 0 for block in batch.blocks]


def slope(network: Network, lane: Lane, array: Array, direction: Array) -> float | None:
    """Return the slope of the loss along `direction` in `array`; None if a difference crosses a kink.

    Two central differences are extrapolated to fourth order: batch normalization of two examples that nearly
    agree is curved too much for one.
    """
    here = array.copy()
    losses, sides = [], []
    for step in (STEP, -STEP, 2 * STEP, -2 * STEP):
        array[...] = here + step * direction
        losses.append(mean_loss(network, lane.parameter_views, lane.batch))
        sides.append(signs(lane.batch))
    array[...] = here
    if any((layer != sides[0][i]).any() for side in sides for i, layer in enumerate(side)):
        return None
    near, far = (losses[0] - losses[1]) / (2 * STEP), (losses[2] - losses[3]) / (4 * STEP)
    return (4 * near - far) / 3


def check(network: Network, lane: Lane, array: Array, gradient: Array) -> None:
    """Assert that `gradient` agrees with the first of some random directions that crosses no kink.

    A case at a kink, such as a unit that dropout silenced for all examples, is ignored.
    """
    scale = np.linalg.norm(gradient) + 1
    for seed in range(ATTEMPTS):
        direction = np.random.default_rng(seed).standard_normal(array.shape)
        measured = slope(network, lane, array, direction)
        if measured is not None:
            assert abs(measured - np.vdot(gradient, direction)) < TOLERANCE * scale
            return
    reject()


def backpropagated(network: Network, lane: Lane) -> None:
    """Fill the lane's gradients with those of the sum over trials of their minibatch means."""
    batch = lane.batch
    mean_loss(network, lane.parameter_views, batch)
    if isinstance(network.loss, PlainLoss) and network.loss.name != "mse":
        # log(1 - o) of a float64 `o` near 1 is too coarse for finite differences
        assume(batch.logits.min() > MARGIN and batch.logits.max() < 1 - MARGIN)
    network.loss.differentiate(batch.logits, batch.t, lane.output_scratch)
    np.divide(batch.logits, batch.ones.shape[1], out=batch.logits)
    network.backward(lane.parameter_views, lane.gradient_views, batch)


@given(models(), st.integers(1, 3), st.integers(2, 6), st.integers(0, 2**20))
def test_gradients_of_all_parameters(model: ModelSpec, trials: int, examples: int, seed: int) -> None:
    """Backpropagation gives the slope of the loss along any direction of all parameters of all trials."""
    network, lane = prepared(model, trials=trials, examples=examples, seed=seed)
    backpropagated(network, lane)
    check(network, lane, lane.parameters, lane.gradient.copy())


@given(models(), st.integers(1, 3), st.integers(2, 6), st.integers(0, 2**20))
def test_gradients_of_the_inputs_of_every_layer(
    model: ModelSpec, trials: int, examples: int, seed: int
) -> None:
    """Backpropagation gives the slope of the loss along any direction of the inputs of any layer."""
    network, lane = prepared(model, trials=trials, examples=examples, seed=seed)
    for first in range(len(network.blocks)):
        rest, cut = _from_layer(network, lane, first)
        backpropagated(rest, cut)
        below = cut.batch.blocks[0]
        dz = below.y if len(rest.blocks) == 1 else below.dy
        gradient = np.empty_like(cut.batch.x)
        rest.blocks[0].dense.backward_input(cut.parameter_views[0].w, dz, gradient)
        check(rest, cut, cut.batch.x, gradient)


def _from_layer(network: Network, lane: Lane, first: int) -> tuple[Network, Lane]:
    """Return the network from layer `first` on, and a lane of its own with made-up inputs for that layer.

    The first layer of a network has no skip, so its own is removed.
    """
    own = replace(network.blocks[first], skip=False)
    rest = Network(blocks=(own, *network.blocks[first + 1 :]), loss=network.loss)
    trials, examples, _ = lane.batch.logits.shape
    state = allocate_state(rest, rows=trials, states=0, dtype=np.float64)
    cut = Workspace(rest, state, examples=examples, minibatches=len(state.parameters)).lane(
        0, trials, examples, shared_inputs=False
    )
    fill(cut, np.random.default_rng(first))
    cut.batch.t[...] = lane.batch.t
    for target, source in zip(cut.batch.blocks, lane.batch.blocks[first:], strict=True):
        if target.mask is not None and source.mask is not None:
            target.mask[...] = source.mask
    return rest, cut


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 2e-6), (np.float64, 1e-14)])
def test_a_bias_before_batch_norm_gets_no_gradient(dtype: type[np.floating], bound: float) -> None:
    """If batch normalization follows, a bias has the gradient 0 up to rounding; otherwise not."""
    model = ModelSpec(hidden=(8,), loss="cross_entropy", batch_norm=True)
    network = build_network(model, inputs=5, outputs=3)
    state = allocate_state(network, rows=2, states=0, dtype=dtype)
    lane = Workspace(network, state, examples=50, minibatches=2).lane(0, 2, 50, shared_inputs=False)
    generator = np.random.default_rng(4)
    lane.parameters[...] = generator.standard_normal(lane.parameters.shape)
    lane.batch.x[...] = generator.standard_normal(lane.batch.x.shape)
    lane.batch.t[..., 0] = 1
    backpropagated(network, lane)
    hidden, output = lane.gradient_views
    assert np.abs(hidden.b).max() < bound
    assert np.abs(hidden.w).max() > 1e-3
    assert np.abs(output.b).max() > 1e-3


def test_gradients_scale_with_the_output_delta() -> None:
    """A factor on the output block's delta is the same factor on every gradient."""
    model = ModelSpec(hidden=(6, 5), activation="tanh", loss="cross_entropy", batch_norm=True)
    network, lane = prepared(model, trials=2, examples=4, seed=1)
    found = []
    for factor in (1.0, 4.0):
        mean_loss(network, lane.parameter_views, lane.batch)
        network.loss.differentiate(lane.batch.logits, lane.batch.t, lane.output_scratch)
        np.multiply(lane.batch.logits, factor, out=lane.batch.logits)
        network.backward(lane.parameter_views, lane.gradient_views, lane.batch)
        found.append(lane.gradient.copy())
    np.testing.assert_array_equal(found[1], 4 * found[0])  # a power of two rounds nothing


@given(models(), st.integers(1, 4))
def test_views_share_out_every_parameter_once(model: ModelSpec, trials: int) -> None:
    """The views of a flat array cover each of its elements exactly once, weight matrices first."""
    network = build_network(model, inputs=3, outputs=2)
    flat = np.zeros((trials, network.parameters))
    views = network.views(flat)
    for view in views:
        for array in (view.w, view.b, view.gamma, view.beta):
            if array is not None:
                np.add(array, 1, out=array)
    assert (flat == 1).all()
    for view in views:
        view.w[...] = 2
    assert (flat[:, : network.weights] == 2).all()
    assert (flat[:, network.weights :] == 1).all()


@given(models())
def test_running_views_share_out_every_statistic_once(model: ModelSpec) -> None:
    """The views of the running statistics cover each of them exactly once, and none without batch normalization."""
    network = build_network(model, inputs=3, outputs=2)
    flat = np.zeros((2, network.statistics))
    for pair in network.running_views(flat):
        for array in pair or ():
            np.add(array, 1, out=array)
    assert (flat == 1).all()
    assert (network.statistics > 0) == (model.batch_norm and len(model.hidden) > 0)


def test_evaluation_depends_on_neither_dropout_nor_the_minibatch() -> None:
    """In evaluation an example's logits are bit-identical in any minibatch of one size, whatever the masks."""
    model = ModelSpec(hidden=(6, 5), loss="cross_entropy", batch_norm=True, dropout=0.5)
    network, lane = prepared(model, trials=2, examples=4, seed=3)
    mean_loss(network, lane.parameter_views, lane.batch)  # moves the running statistics
    network.evaluate(lane.parameter_views, lane.batch)
    before = lane.batch.logits.copy()
    lane.batch.x[:, 1:] += 1
    for block in lane.batch.blocks[:-1]:
        assert block.mask is not None
        block.mask[...] = 0
    network.evaluate(lane.parameter_views, lane.batch)
    np.testing.assert_array_equal(lane.batch.logits[:, 0], before[:, 0])
    assert (lane.batch.logits[:, 1:] != before[:, 1:]).all()


def test_evaluation_is_training_without_noise() -> None:
    """Without batch normalization and dropout, evaluation and training compute the same bits."""
    network, lane = prepared(ModelSpec(hidden=(6,), loss="mse"), trials=2, examples=4, seed=3)
    network.forward(lane.parameter_views, lane.batch)
    trained = lane.batch.logits.copy()
    network.evaluate(lane.parameter_views, lane.batch)
    np.testing.assert_array_equal(lane.batch.logits, trained)


@pytest.mark.parametrize("name", ["he", "xavier", "lecun"])
def test_initial_weights_are_a_function_of_the_seed(name: Literal["he", "xavier", "lecun"]) -> None:
    """The same generator gives the same parameters, another one others."""
    network = build_network(ModelSpec(loss="mse"), inputs=3, outputs=2)
    flats = np.zeros((3, network.parameters))
    for flat, seed in zip(flats, (1, 1, 2), strict=True):
        network.initialize(flat, np.zeros(0), Initializer(name=name), np.random.default_rng(seed))
    np.testing.assert_array_equal(flats[0], flats[1])
    assert (flats[0, : network.weights] != flats[2, : network.weights]).all()


def test_a_loss_that_is_not_resolved_is_a_bug() -> None:
    """A network needs a loss other than "auto" (ValueError)."""
    with pytest.raises(
        ValueError, match=re.escape('must be resolved before a network is built (got "auto")')
    ):
        build_network(ModelSpec(), inputs=3, outputs=2)
