"""Each statistic of a sample against its formula, written out for one network."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Sample
from hpsearch.training.cohort import Cohort
from tests.training.cases import classification, cohort_of, configuration, regression, stepped


def sampled(cohort: Cohort, steps: int = 1) -> list[Sample]:
    """Take steps with a sample in each, and return the first row's samples."""
    for _ in range(steps):
        for row in cohort._rows:
            row.next_sample_at = row.age
        stepped(cohort)
    return cohort._rows[0].samples


def minibatch(cohort: Cohort, data: PreparedData, step: int) -> tuple[Array, Array]:
    """Return the inputs and targets of every row at `step` of the first epoch."""
    size = cohort.shape.training.batch_size
    chosen = cohort._orders.order(0)[step * size :][:size]
    return data.training.inputs[chosen], data.training.targets[chosen]


def wide(**values: Any) -> Configuration:
    """Return a configuration in float64."""
    return configuration(precision="float64", **values)


def output_gradients(parameters: Array, cohort: Cohort, x: Array, labels: Array) -> Array:
    """Return each example's gradient (B, H, C) of the cross-entropy with respect to the output layer's weights."""
    below, above = cohort.network.views(parameters[None])
    h = np.tanh(x @ below.w[0] + below.b[0])
    z = h @ above.w[0] + above.b[0]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    gradients: Array = h[:, :, None] * (p - np.eye(z.shape[1])[labels])[:, None, :]
    return gradients


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_coherence_and_cosine_are_those_of_the_examples_gradients(optimizer: str, reduction: str) -> None:
    """m-coherence and the cosine between two minibatches, from one gradient per example."""
    data = classification(precision="float64")
    chosen = wide(activation="tanh", optimizer=optimizer, reduction=reduction, learning_rate=0.01)
    cohort = cohort_of(data, [chosen])
    before = [cohort.parameters(0)]
    sampled(cohort)
    before.append(cohort.parameters(0))
    first, second = sampled(cohort)
    gradients = [
        output_gradients(parameters, cohort, *minibatch(cohort, data, step))
        for step, parameters in enumerate(before)
    ]
    for sample, own in zip((first, second), gradients, strict=True):
        assert sample.coherence == pytest.approx((own.sum(axis=0) ** 2).sum() / (own**2).sum(), rel=1e-9)
    one, two = (own.sum(axis=0).ravel() for own in gradients)
    assert math.isnan(first.gradient_cosine)
    assert second.gradient_cosine == pytest.approx(
        one @ two / np.linalg.norm(one) / np.linalg.norm(two), rel=1e-9
    )


def test_equal_examples_cohere_fully() -> None:
    """A minibatch of one example B times has the coherence B, and its gradient keeps its direction."""
    data = classification(training=40)
    same = DataPart(
        inputs=data.training.inputs[:1].repeat(40, axis=0), targets=data.training.targets[:1].repeat(40)
    )
    cohort = cohort_of(replace(data, training=same), [configuration(batch_size=10, learning_rate=1e-6)])
    first, second = sampled(cohort, 2)
    assert first.coherence == pytest.approx(10, rel=1e-4)
    assert second.gradient_cosine == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("factor", [0.01, 1.0, 1.9, 3.0])
def test_the_gain_of_a_step_on_a_quadratic(factor: float) -> None:
    """On a quadratic rho is 1 - lr kappa / 2, with the curvature kappa along the gradient."""
    data = regression(precision="float64", outputs=1)
    cohort = cohort_of(data, [wide(hidden=(), loss="mse", learning_rate=1.0)])
    x, t = minibatch(cohort, data, 0)
    inputs = np.hstack([x, np.ones((len(x), 1))])
    views = cohort.network.views(cohort.parameters(0)[None])[0]
    theta = np.append(views.w[0, :, 0], views.b[0])
    gradient = 2 * inputs.T @ (inputs @ theta - t[:, 0]) / len(x)
    curvature = 2 * (inputs @ gradient) @ (inputs @ gradient) / len(x) / (gradient @ gradient)
    rate = factor / curvature
    cohort = cohort_of(data, [wide(hidden=(), loss="mse", learning_rate=rate)])
    (sample,) = sampled(cohort)
    assert sample.gain == pytest.approx(1 - rate * curvature / 2, rel=1e-9)


def test_a_sample_that_is_no_probe_has_no_gain() -> None:
    """Most samples take no further forward pass, and have NaN."""
    samples = sampled(cohort_of(classification(), [configuration()]), 6)
    assert [math.isnan(sample.actual_decrease) for sample in samples] == [False] + [True] * 5
    assert [math.isnan(sample.gain) for sample in samples] == [False] + [True] * 5
    assert all(math.isnan(sample.evaluation_loss) for sample in samples)


def test_a_probe_keeps_the_dropout_of_its_step() -> None:
    """The loss after a step is measured with the same dropped units, so a tiny step has its predicted effect."""
    cohort = cohort_of(
        classification(precision="float64"), [wide(dropout=0.5, learning_rate=1e-7, activation="tanh")]
    )
    (sample,) = sampled(cohort)
    assert sample.gain == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("values", [{"batch_norm": True}, {"dropout": 0.5}])
def test_the_evaluation_loss_is_that_of_validation(values: dict[str, Any]) -> None:
    """A probe's loss in evaluation mode equals validation's on the same examples."""
    data = classification(training=20, validation=20)
    data = replace(data, validation=data.training)
    cohort = cohort_of(data, [configuration(batch_size=20, epochs=1, **values)])
    (sample,) = sampled(cohort)
    assert sample.evaluation_loss == pytest.approx(cohort._rows[0].epochs[0].validation_loss, rel=1e-5)
    assert sample.evaluation_loss != pytest.approx(sample.loss - sample.actual_decrease, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_update_norms_are_those_of_the_change(optimizer: str) -> None:
    """The norm of a layer's update is that of the change of its weights, decay included."""
    cohort = cohort_of(
        classification(precision="float64"),
        [wide(optimizer=optimizer, learning_rate=0.01, weight_decay=0.5, hidden=(5, 6))],
    )
    before = cohort.parameters(0)
    (sample,) = sampled(cohort)
    change = cohort.network.views((cohort.parameters(0) - before)[None])
    expected = [float(np.linalg.norm(block.w)) for block in change]
    assert [layer.update_norm for layer in sample.layers] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [
        ("sigmoid", -5.0, 5.0),
        ("tanh", -2.5, 2.5),
        ("elu", -5.0, math.inf),
        ("selu", -5.0, math.inf),
        ("relu", -math.inf, math.inf),
    ],
)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_the_saturated_share_counts_flat_parts(
    activation: str, low: float, high: float, dropout: float
) -> None:
    """Pairs of unit and example are saturated if the activation's input lies beyond its bounds."""
    data = classification(training=400, precision="float64")
    big = replace(data, training=replace(data.training, inputs=data.training.inputs * 3))
    cohort = cohort_of(big, [wide(activation=activation, dropout=dropout, hidden=(40,), batch_size=400)])
    views = cohort.network.views(cohort.parameters(0)[None])[0]
    z = minibatch(cohort, big, 0)[0] @ views.w[0] + views.b[0]
    expected = float(((z < low) | (z > high)).mean())
    (sample,) = sampled(cohort)
    if dropout:  # a random part of the pairs is seen
        assert sample.layers[0].saturated_share == pytest.approx(expected, abs=0.02)
    else:
        assert sample.layers[0].saturated_share == pytest.approx(expected, abs=1e-12)
    assert sample.layers[1].saturated_share == 0
    assert (expected > 0.05) == (activation != "relu")


@pytest.mark.parametrize(("activation", "low"), [("gelu", -3.188), ("silu", -6.746)])
def test_the_saturated_share_of_a_gate_counts_flat_slopes(activation: str, low: float) -> None:
    """Pairs are saturated if a gate's slope is below exp(-5) in size: far below 0, or at the gate's minimum."""
    data = classification(training=400, precision="float64")
    big = replace(data, training=replace(data.training, inputs=data.training.inputs * 6))
    cohort = cohort_of(big, [wide(activation=activation, hidden=(40,), batch_size=400)])
    views = cohort.network.views(cohort.parameters(0)[None])[0]
    z = minibatch(cohort, big, 0)[0] @ views.w[0] + views.b[0]
    (sample,) = sampled(cohort)
    assert sample.layers[0].saturated_share == pytest.approx(float((z < low).mean()), abs=0.005)
    assert sample.layers[0].saturated_share > 0.1


@pytest.mark.parametrize(
    "place",
    [{"dropout_layers": "last"}, {"dropout_position": "before_normalization", "batch_norm": True}],
    ids=["last", "before"],
)
def test_the_saturated_share_depends_on_the_position_of_dropout(place: dict[str, Any]) -> None:
    """Activations that dropout did not scale are compared with the activation's own bounds."""
    data = classification(training=400, precision="float64")
    chosen = wide(activation="tanh", dropout=0.9, hidden=(40, 40), batch_size=400, **place)
    cohort = cohort_of(data, [chosen])
    (views, *_) = cohort.network.views(cohort._state.parameters[:1])
    views.w[...] *= 20
    (sample,) = sampled(cohort)
    y = cohort._workspace.lane(0, 1, 400, shared_inputs=True).batch.blocks[0]
    assert y.mask is None or place.get("batch_norm")
    z = minibatch(cohort, data, 0)[0] @ views.w[0] + views.b[0]
    if y.mask is None:
        # the step has moved the weights a little
        assert sample.layers[0].saturated_share == pytest.approx(float((abs(z) > 2.5).mean()), abs=0.02)
        assert sample.layers[0].saturated_share > 0.5
    else:
        # a tenth of the units carries all of the variance: xhat of these is near 3, that of the others near 0
        assert 0.02 < sample.layers[0].saturated_share < 0.1


def test_a_silent_branch_is_dead_despite_its_skip() -> None:
    """Shares of dead units are of the branch; coherence is of the gradient from the sum."""
    data = classification(training=400, precision="float64")
    chosen = wide(hidden=(40, 40), batch_size=400, skip_connections=True, activation="relu")
    cohort = cohort_of(data, [chosen])
    (stem, branch, output) = cohort.network.views(cohort._state.parameters[:1])
    branch.w[...], branch.b[...] = 0, -1
    x, labels = minibatch(cohort, data, 0)
    h = np.maximum(x @ stem.w[0] + stem.b[0], 0)
    z = h @ output.w[0] + output.b[0]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    each = h[:, :, None] * (p - np.eye(z.shape[1])[labels])[:, None, :]
    coherence = np.square(each.sum(axis=0)).sum() / np.square(each).sum()
    (sample,) = sampled(cohort)
    assert [layer.dead_share for layer in sample.layers] == [
        pytest.approx(float((h <= 0).all(axis=0).mean())),
        1.0,
        0.0,
    ]
    assert sample.layers[1].gradient_norm == 0
    assert sample.layers[0].gradient_norm > 0
    assert sample.coherence == pytest.approx(coherence, rel=1e-9)


def test_infinities_after_a_skip_are_named() -> None:
    """If a loss is not finite, the logits are computed from the skip's sum."""
    chosen = wide(hidden=(5, 5), skip_connections=True, activation="identity")
    cohort = cohort_of(classification(precision="float64"), [chosen])
    (stem, branch, output) = cohort.network.views(cohort._state.parameters[:1])
    stem.w[...], branch.w[...], output.w[...] = 1e200, 0, 1e200
    sampled(cohort)
    nonfinite = cohort._rows[0].telemetry.nonfinite
    assert nonfinite is not None
    assert nonfinite.array == "logits"


def test_a_unit_is_silent_after_a_thousand_examples() -> None:
    """Units that never fire count from the 1,000th sampled example on; one that fires starts again."""
    data = classification(training=2000)
    positive = replace(data, training=replace(data.training, inputs=np.abs(data.training.inputs)))
    cohort = cohort_of(positive, [configuration(batch_size=100, hidden=(4, 3), learning_rate=1e-9)])
    cohort.network.views(cohort._state.parameters)[0].w[0, :, 1] = -1
    shares = [sample.layers[0].silent_share for sample in sampled(cohort, 12)]
    assert shares == [0.0] * 9 + [0.25] * 3
    cohort.network.views(cohort._state.parameters)[0].w[0, :, 1] = 1
    assert sampled(cohort)[-1].layers[0].silent_share == 0
    assert cohort._rows[0].samples[-1].layers[2].silent_share == 0


def test_silence_moves_with_its_row_and_ends_with_it() -> None:
    """A row that moves keeps its silence and its gradient; a new one has neither."""
    data = classification(training=2000)
    positive = replace(data, training=replace(data.training, inputs=np.abs(data.training.inputs)))
    chosen = [configuration(batch_size=100, hidden=(4,), learning_rate=1e-9)] * 2
    cohort = cohort_of(positive, chosen)
    cohort.network.views(cohort._state.parameters)[0].w[1, :, :2] = -1
    sampled(cohort, 12)
    cohort.leave(0)
    cohort.join(2, chosen[0])
    sampled(cohort, 8)
    sampled(cohort)
    moved, new = (row.samples[-1] for row in cohort._rows)
    assert moved.layers[0].silent_share == 0.5
    assert not math.isnan(moved.gradient_cosine)
    assert new.layers[0].silent_share == 0
    assert math.isnan(new.gradient_cosine)


def answers(sample: Sample) -> tuple[float, float]:
    """Return the measurements of a minibatch's answers."""
    return sample.accuracy, sample.top_share


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "mse"])
@pytest.mark.parametrize("classes", [2, 4])
def test_answers_are_counted(loss: str, classes: int) -> None:
    """Accuracy and the share of the most frequent answer are those of the outputs before the step."""
    data = classification(classes=classes, training=200)
    cohort = cohort_of(data, [configuration(loss=loss, batch_size=100, activation="tanh")])
    below, above = cohort.network.views(cohort.parameters(0)[None])
    x, labels = minibatch(cohort, data, 0)
    z = np.tanh(x @ below.w[0] + below.b[0]) @ above.w[0] + above.b[0]
    said = (z[:, 0] > 0).astype(int) if z.shape[1] == 1 else z.argmax(axis=1)
    (sample,) = sampled(cohort)
    top = np.bincount(said, minlength=classes).max() / len(said)
    assert answers(sample) == pytest.approx(((said == labels).mean(), top))
    assert sample.output_range == pytest.approx(np.ptp(z, axis=0).max(), rel=1e-5)


def test_a_constant_network_has_no_range() -> None:
    """Outputs that are equal for all examples have the range exactly 0, and one answer."""
    data = classification()
    cohort = cohort_of(data, [configuration()])
    cohort._state.parameters[...] = 0
    cohort.network.views(cohort._state.parameters)[-1].b[0, 2] = 0.3
    (sample,) = sampled(cohort)
    assert sample.output_range == 0
    assert sample.top_share == 1
    assert sample.accuracy == pytest.approx((data.training.targets == 2).mean())
    assert math.isnan(sample.coherence)


def test_regression_has_no_accuracy() -> None:
    """A regression has neither right answers nor a most frequent one."""
    (sample,) = sampled(cohort_of(regression(), [configuration(loss="mse")]))
    assert np.isnan(answers(sample)).all()
    assert sample.output_range > 0


def test_probes_of_a_cohort_are_each_rows_own() -> None:
    """Rows on one shared minibatch are probed with their own parameters, some of them or all."""
    chosen = [configuration(learning_rate=rate) for rate in (0.01, 0.1, 1.0)]
    cohort = cohort_of(classification(), chosen)
    stepped(cohort)
    for row in cohort._rows:
        row.next_sample_at = 1 if row.number == 1 else 10
    for _ in range(10):
        stepped(cohort)
    for number in range(3):
        alone = cohort_of(classification(), chosen[:1])
        alone.leave(0)
        alone.join(number, chosen[number])
        stepped(alone)
        alone._rows[0].next_sample_at = 1 if number == 1 else 10
        for _ in range(10):
            stepped(alone)
        assert repr(alone._rows[0].samples) == repr(cohort._rows[number].samples)
        assert cohort._rows[number].samples[-1].gain < 1


@pytest.mark.parametrize("batch_size", [1, 7, 63])
def test_a_small_minibatch_is_replaced(batch_size: int) -> None:
    """Shares, answers and the loss are of 256 training examples in evaluation mode; gradients of the minibatch."""
    data = classification(training=400)
    cohort = cohort_of(data, [configuration(batch_size=batch_size, activation="relu", hidden=(8,))])
    below, above = cohort.network.views(cohort.parameters(0)[None])
    chosen = cohort._orders.order(0)[:256]
    x, labels = data.training.inputs[chosen].astype(np.float64), data.training.targets[chosen]
    h = np.maximum(x @ below.w[0] + below.b[0], 0)
    z = h @ above.w[0] + above.b[0]
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]
    own = minibatch(cohort, data, 0)
    (sample,) = sampled(cohort)
    assert (sample.examples, sample.batch_examples) == (256, batch_size)
    assert sample.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert sample.minibatch_loss != sample.loss
    assert sample.accuracy == pytest.approx((z.argmax(axis=1) == labels).mean())
    assert sample.layers[0].dead_share == pytest.approx((h.max(axis=0) <= 0).mean())
    assert len(own[1]) == batch_size


def test_a_large_minibatch_is_its_own_sample() -> None:
    """From 64 examples on the minibatch is the sample, and with batch normalization always."""
    data = classification(training=400)
    (sample,) = sampled(cohort_of(data, [configuration(batch_size=64)]))
    assert (sample.examples, sample.batch_examples) == (64, 64)
    assert math.isnan(sample.batch_loss)
    (sample,) = sampled(cohort_of(data, [configuration(batch_size=8, batch_norm=True)]))
    assert (sample.examples, sample.batch_examples) == (8, 8)
