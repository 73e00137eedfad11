"""Skips and positions of dropout, compared with a textbook's network: one trial, float64, no buffers."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest

from hpsearch.nn.arrays import Array
from hpsearch.nn.layers import draw_dropout
from hpsearch.nn.network import Block, BlockBuffers, Network, build_network
from hpsearch.study.spec import DropoutLayers, DropoutPosition, DropoutScaling, ModelSpec
from hpsearch.training.workspace import Lane, Workspace, allocate_state

TRIALS, EXAMPLES, INPUTS, OUTPUTS = 3, 8, 6, 4
HIDDEN = (6, 6, 5, 5)
POSITIONS = get_args(DropoutPosition)
LAYERS = get_args(DropoutLayers)
SCALINGS = get_args(DropoutScaling)
TOLERANCE = 1e-12


def model_of(
    *,
    skips: bool,
    norm: bool,
    position: DropoutPosition,
    layers: DropoutLayers,
    scaling: DropoutScaling = "training",
    rate: float = 0.4,
) -> ModelSpec:
    """Return a network whose second and fourth layers can have a skip."""
    return ModelSpec(
        hidden=HIDDEN,
        activation="tanh",
        batch_norm=norm,
        batch_norm_epsilon=0.01,
        dropout=rate,
        dropout_position=position,
        dropout_layers=layers,
        dropout_scaling=scaling,
        skip_connections=skips,
        loss="cross_entropy",
    )


def prepared(model: ModelSpec) -> tuple[Network, Lane]:
    """Return the network and a float64 lane with all inputs of a forward pass."""
    generator = np.random.default_rng(7)
    network = build_network(model, inputs=INPUTS, outputs=OUTPUTS)
    state = allocate_state(network, rows=TRIALS, states=0, dtype=np.float64)
    lane = Workspace(network, state, examples=EXAMPLES, minibatches=len(state.parameters)).lane(
        0, TRIALS, EXAMPLES, shared_inputs=False
    )
    lane.parameters[...] = generator.standard_normal(lane.parameters.shape) / 2
    lane.running[...] = generator.uniform(0.5, 2, lane.running.shape)
    lane.batch.x[...] = generator.standard_normal(lane.batch.x.shape)
    lane.batch.t[...] = np.eye(OUTPUTS)[generator.integers(0, OUTPUTS, (TRIALS, EXAMPLES))]
    for block in lane.batch.blocks:
        if block.mask is not None:
            rates = np.full(len(block.mask), model.dropout)
            is_inverted = model.dropout_scaling == "training"
            draw_dropout(block.mask, rates, [generator] * len(rates), is_inverted=is_inverted)
    return network, lane


def in_dropout(model: ModelSpec, layer: int, position: DropoutPosition) -> bool:
    """Return True if a textbook would drop units of hidden layer `layer` (from 0) at `position`."""
    is_there = model.dropout_layers == "all" or layer == len(HIDDEN) - 1
    return model.dropout > 0 and is_there and model.dropout_position == position


def dropped(model: ModelSpec, buffers: BlockBuffers, trial: int, *, trains: bool) -> float | Array:
    """Return the textbook's factor of units: 0 or the compensation; in evaluation, the rest of it."""
    is_inverted = model.dropout_scaling == "training"
    if not trains:
        return 1.0 if is_inverted else 1 - model.dropout
    assert buffers.mask is not None
    kept: Array = buffers.mask[trial] > 0
    return kept / (1 - model.dropout) if is_inverted else kept


def textbook(model: ModelSpec, lane: Lane, trial: int, *, trains: bool) -> list[Array]:
    """Return the outputs of each layer of one trial, the logits last, by the formulas alone."""
    outputs: list[Array] = []
    a = lane.batch.x[trial]
    for layer, (view, buffers) in enumerate(zip(lane.parameter_views, lane.batch.blocks, strict=True)):
        z = a @ view.w[trial] + view.b[trial]
        if layer == len(HIDDEN):
            return [*outputs, z]
        if in_dropout(model, layer, "before_normalization"):
            z = z * dropped(model, buffers, trial, trains=trains)
        statistics = lane.batch.running[layer]
        if statistics is not None and view.gamma is not None and view.beta is not None:
            mean, variance = (
                (z.mean(axis=0), z.var(axis=0)) if trains else (statistics[0][trial], statistics[1][trial])
            )
            z = (
                view.gamma[trial] * (z - mean) / np.sqrt(variance + model.batch_norm_epsilon)
                + view.beta[trial]
            )
        h = np.tanh(z)
        if in_dropout(model, layer, "after_activation"):
            h = h * dropped(model, buffers, trial, trains=trains)
        has_skip = model.skip_connections and layer in (1, 3)
        a = a + h if has_skip else h
        outputs.append(a)
    raise AssertionError("a network ends with its output layer")


CASES = [
    pytest.param(
        model_of(skips=skips, norm=norm, position=position, layers=layers, scaling=scaling),
        id=f"{'skips' if skips else 'plain'}-{'norm' if norm else 'bare'}-{position}-{layers}-{scaling}",
    )
    for skips in (False, True)
    for norm in (False, True)
    for position in POSITIONS
    for layers in LAYERS
    for scaling in SCALINGS
]


@pytest.mark.parametrize("model", CASES)
def test_training_equals_the_formulas(model: ModelSpec) -> None:
    """Every layer's output in a training pass is the textbook's, for all positions of dropout and skips."""
    network, lane = prepared(model)
    expected = [textbook(model, lane, trial, trains=True) for trial in range(TRIALS)]
    network.forward(lane.parameter_views, lane.batch)
    for trial, layers in enumerate(expected):
        for block, output in zip(lane.batch.blocks, layers, strict=True):
            np.testing.assert_allclose(block.output[trial], output, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("model", CASES)
def test_evaluation_equals_the_formulas(model: ModelSpec) -> None:
    """Every layer's output in evaluation is the textbook's, with skips, without masks."""
    network, lane = prepared(model)
    expected = [textbook(model, lane, trial, trains=False) for trial in range(TRIALS)]
    network.evaluate(lane.parameter_views, lane.batch)
    for trial, layers in enumerate(expected):
        for block, output in zip(lane.batch.blocks, layers, strict=True):
            np.testing.assert_allclose(block.output[trial], output, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("model", CASES)
def test_gradients_are_the_slopes_of_the_formulas(model: ModelSpec) -> None:
    """Along random directions of all parameters, backpropagation has the slope of the textbook's loss."""
    network, lane = prepared(model)
    network.forward(lane.parameter_views, lane.batch)
    network.loss.evaluate(lane.batch.logits, lane.batch.t, lane.output_scratch)
    network.loss.differentiate(lane.batch.logits, lane.batch.t, lane.output_scratch)
    network.backward(lane.parameter_views, lane.gradient_views, lane.batch)
    gradient, here, step = lane.gradient.copy(), lane.parameters.copy(), 1e-5
    for seed in range(5):
        direction = np.random.default_rng(seed).standard_normal(here.shape)
        losses = []
        for offset in (step, -step):
            lane.parameters[...] = here + offset * direction
            losses.append(sum(_loss(model, lane, trial) for trial in range(TRIALS)))
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(np.vdot(gradient, direction), rel=1e-6, abs=1e-6)


def _loss(model: ModelSpec, lane: Lane, trial: int) -> float:
    """Return the summed cross-entropy of one trial's minibatch, by its definition."""
    logits = textbook(model, lane, trial, trains=True)[-1]
    return float((np.log(np.exp(logits).sum(axis=1)) - (logits * lane.batch.t[trial]).sum(axis=1)).sum())


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ((), []),
        ((6,), [False]),
        ((6, 6), [False, True]),
        ((8, 6, 6, 7, 7, 7), [False, False, True, False, True, True]),
    ],
)
def test_a_layer_as_wide_as_its_predecessor_has_a_skip(hidden: Sequence[int], expected: list[bool]) -> None:
    """Only a hidden layer that follows one of its own width has a skip, whatever the number of inputs."""
    model = ModelSpec(hidden=tuple(hidden), skip_connections=True, loss="mse")
    network = build_network(model, inputs=6, outputs=6)
    assert [block.skip for block in network.blocks] == [*expected, False]


def test_dropout_is_at_its_position() -> None:
    """Dropout in the last layer is in no other, the output layer has none, and without a rate no layer has any."""
    last = model_of(skips=False, norm=True, position="after_activation", layers="last")
    assert [block.dropout for block in build_network(last, inputs=2, outputs=2).blocks] == [
        None,
        None,
        None,
        "after_activation",
        None,
    ]
    none = model_of(skips=False, norm=True, position="before_normalization", layers="all", rate=0.0)
    assert not any(block.dropout for block in build_network(none, inputs=2, outputs=2).blocks)


@pytest.mark.parametrize(("skips", "expected"), [(True, 2.90), (False, 1.0)])
def test_the_signal_grows_with_depth_only_with_skips(
    skips: bool,  # noqa: FBT001 - a parametrized case
    expected: float,
) -> None:
    """With He's weights and ReLU mean squares grow 2.9-fold a layer with skips, and not at all without.

    For q = E[x^2] the branch z ~ N(0, 2 q) gives E[relu(z)^2] = q and E[relu(z)] = sqrt(q / pi), so q goes to 2 q + 2 m
    sqrt(q / pi), where m = E[x] goes to m + sqrt(q / pi): m / sqrt(q) settles at 0.80, and the factor at 2.9.
    """
    model = ModelSpec(hidden=(300,) * 16, skip_connections=skips, loss="cross_entropy")
    network = build_network(model, inputs=300, outputs=10)
    state = allocate_state(network, rows=1, states=0, dtype=np.float32)
    lane = Workspace(network, state, examples=20, minibatches=1).lane(0, 1, 20, shared_inputs=False)
    generator = np.random.default_rng(3)
    network.initialize(state.parameters[0], state.running[0], model.initializer, generator)
    lane.batch.x[...] = generator.standard_normal(lane.batch.x.shape)
    network.forward(lane.parameter_views, lane.batch)
    squares = [float(np.square(block.output).mean()) for block in lane.batch.blocks[:-1]]
    growth = (squares[-1] / squares[3]) ** (1 / (len(squares) - 4))
    assert growth == pytest.approx(expected, rel=0.05)


def test_only_a_skip_has_a_buffer_for_its_sum() -> None:
    """A network without skips stores no sum, and the next layer reads the activations."""
    for skips in (False, True):
        _, lane = prepared(model_of(skips=skips, norm=False, position="after_activation", layers="all"))
        sums = [block.total is not None for block in lane.batch.blocks]
        assert sums == [False, skips, False, skips, False]
        assert all(block.output is block.y for block in lane.batch.blocks if block.total is None)


def test_a_block_is_a_dense_layer_by_default() -> None:
    """Without further arguments a block is the dense layer alone, like the output block."""
    output: Block = build_network(ModelSpec(loss="mse"), inputs=2, outputs=1).blocks[-1]
    assert (output.norm, output.activation, output.dropout, output.skip) == (None, None, None, False)
