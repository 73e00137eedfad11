"""The contract of a cohort: joining, leaving, and numbers equal to the textbook's."""

import re
from typing import Any

import numpy as np
import pytest

from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration, Initializer, Reduction
from hpsearch.telemetry import Sample
from hpsearch.training.cohort import Cohort
from hpsearch.training.examples import EpochOrders
from hpsearch.training.row import shape_of
from tests.training.cases import SEED, classification, cohort_of, configuration, regression, stepped, trained
from tests.training.textbook import Perceptron, cross_entropy, evaluated


def perceptron(cohort: Cohort, number: int, chosen: Configuration) -> Perceptron:
    """Return the textbook's copy of a trial in its present state."""
    views = cohort.network.views(cohort.parameters(number)[None])
    return Perceptron(
        weights=[view.w[0].astype(np.float64) for view in views],
        biases=[view.b[0].astype(np.float64) for view in views],
        learning_rate=chosen.training.learning_rate,
        weight_decay=chosen.training.weight_decay,
        is_summed=chosen.training.reduction == "sum",
    )


def flat(perceptron: Perceptron) -> Array:
    """Return the textbook's parameters in the network's layout."""
    return np.concatenate([array.ravel() for array in (*perceptron.weights, *perceptron.biases)])


def assert_sample_is_the_textbooks(sample: Sample, perceptron: Perceptron) -> None:
    """Assert that `sample` has the textbook's measurements of the same step."""
    expected = perceptron.measurements[sample.step]
    assert sample.minibatch_loss == pytest.approx(expected.loss, rel=1e-9)
    assert sample.predicted_decrease == pytest.approx(expected.predicted_decrease, rel=1e-9)
    if sample.examples == sample.batch_examples:
        assert sample.logit_max == pytest.approx(expected.logit_max, rel=1e-9)
        assert [layer.dead_share for layer in sample.layers] == pytest.approx(expected.dead_shares)
    assert [layer.gradient_norm for layer in sample.layers] == pytest.approx(
        expected.gradient_norms, rel=1e-9
    )
    assert [layer.weight_norm for layer in sample.layers] == pytest.approx(expected.weight_norms, rel=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("hidden", [(), (9,), (8, 6)])
@pytest.mark.parametrize("scale", [1, 10])
def test_a_trial_equals_the_textbooks(hidden: tuple[int, ...], reduction: Reduction, scale: int) -> None:
    """Weights, telemetry and epochs are those of a plain perceptron; the last minibatch is the remainder."""
    count, size = 53 * scale, 10 * scale
    data = classification(training=count, validation=31, precision="float64")
    chosen = configuration(
        hidden=hidden,
        precision="float64",
        learning_rate=0.02,
        weight_decay=0.01,
        reduction=reduction,
        batch_size=size,
    )
    cohort = cohort_of(data, [chosen])
    textbook = perceptron(cohort, 0, chosen)
    orders = EpochOrders(SEED, count, order=chosen.training.order)
    training_losses = []
    for epoch in range(3):
        total = 0.0
        for first in range(0, count, size):
            indices = orders.order(epoch)[first : first + size]
            loss = textbook.step(data.training.inputs[indices], data.training.targets[indices])
            total += loss * len(indices)
        training_losses.append(total / count)
    observation, parameters = trained(cohort)[0]
    assert len(textbook.measurements) == observation.telemetry.steps == 3 * cohort.steps_per_epoch == 18
    np.testing.assert_allclose(parameters, flat(textbook), rtol=1e-9, atol=1e-12)
    assert [sample.step for sample in observation.telemetry.samples] == [0, 5, 10, 15]
    for sample in observation.telemetry.samples:
        assert_sample_is_the_textbooks(sample, textbook)
    epochs = observation.telemetry.epochs
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    assert [epoch.training_loss for epoch in epochs] == pytest.approx(training_losses, rel=1e-9)
    logits = textbook.outputs(data.validation.inputs)[-1]
    loss = float(cross_entropy(logits, data.validation.targets).mean())
    assert epochs[-1].validation_loss == pytest.approx(loss, rel=1e-9)
    accuracy = float((logits.argmax(axis=1) == data.validation.targets).mean())
    assert epochs[-1].validation_accuracy == pytest.approx(accuracy)


@pytest.mark.parametrize(
    "model",
    [
        {"hidden": (9, 8)},
        {"hidden": (9,), "batch_norm": True, "activation": "tanh"},
        {"hidden": (9, 8), "batch_norm": True, "batch_norm_affine": False, "dropout": 0.3},
        {"hidden": (9,), "dropout": 0.5, "activation": "sigmoid"},
    ],
    ids=str,
)
def test_validation_is_a_plain_evaluation(model: dict[str, Any]) -> None:
    """Validation results are those of the trial's own parameters, over a fold of several passes."""
    data = classification(training=100, validation=1003)
    chosen = configuration(**model, learning_rate=0.3, epochs=2)
    cohort = cohort_of(data, [chosen, chosen], capacity=3)
    while cohort._rows[1].age < 2 * cohort.steps_per_epoch:
        stepped(cohort)
    state = cohort._state
    logits = evaluated(
        cohort.network.views(state.parameters[1:2]),
        cohort.network.running_views(state.running[1:2]),
        data.validation,
        chosen.model.activation,
    )
    epoch = cohort._rows[1].telemetry.epochs[-1]
    loss = float(cross_entropy(logits, data.validation.targets).mean())
    assert epoch.validation_loss == pytest.approx(loss, rel=1e-5)
    right = int((logits.argmax(axis=1) == data.validation.targets).sum())
    assert epoch.validation_accuracy == right / 1003


def test_regression_has_losses_and_no_accuracy() -> None:
    """In regression the validation loss is the mean square over examples and outputs, the accuracy None."""
    data = regression(validation=700, outputs=3)
    chosen = configuration(loss="mse", activation="tanh", learning_rate=0.1, epochs=1)
    cohort = cohort_of(data, [chosen])
    observation, parameters = trained(cohort)[0]
    outputs = evaluated(cohort.network.views(parameters[None]), [None, None], data.validation, "tanh")
    (epoch,) = observation.telemetry.epochs
    expected = float(((outputs - data.validation.targets) ** 2).mean())
    assert epoch.validation_loss == pytest.approx(expected, rel=1e-5)
    assert epoch.validation_accuracy is None


def test_two_classes_can_share_one_output() -> None:
    """Binary cross-entropy of two classes has one output; a positive one means the second class."""
    data = classification(validation=400, classes=2)
    chosen = configuration(loss="binary_cross_entropy", activation="tanh", learning_rate=0.5, epochs=2)
    cohort = cohort_of(data, [chosen])
    assert cohort.network.blocks[-1].dense.outputs == 1
    observation, parameters = trained(cohort)[0]
    z = evaluated(cohort.network.views(parameters[None]), [None, None], data.validation, "tanh")[:, 0]
    labels = data.validation.targets
    epoch = observation.telemetry.epochs[-1]
    expected = float((np.logaddexp(0, z) - labels * z).mean())
    assert epoch.validation_loss == pytest.approx(expected, rel=1e-5)
    assert epoch.validation_accuracy == int(((z > 0) == labels).sum()) / 400


def test_a_cohort_learns() -> None:
    """Plain gradient descent separates well separated classes."""
    observation, _ = trained(
        cohort_of(
            classification(training=400, validation=200, inputs=20),
            [configuration(hidden=(32,), learning_rate=0.5, epochs=20)],
        )
    )[0]
    assert observation.telemetry.epochs[-1].validation_accuracy is not None
    assert observation.telemetry.epochs[-1].validation_accuracy > 0.95


def test_a_full_cohort_takes_no_trial() -> None:
    """Joining a cohort without a free row raises ValueError; a row that leaves makes room."""
    cohort = cohort_of(classification(), [configuration()])
    assert cohort.free == 0
    with pytest.raises(ValueError, match=re.escape("trial 9: the cohort is full (got 1 rows)")):
        cohort.join(9, configuration())
    cohort.leave(0)
    assert cohort.free == 1
    cohort.join(9, configuration())
    assert cohort.numbers == (9,)


def test_a_trial_joins_once() -> None:
    """A trial in the cohort cannot join it again."""
    cohort = cohort_of(classification(), [configuration()], capacity=2)
    with pytest.raises(ValueError, match=re.escape("trial 0: it is in this cohort already (got (0,))")):
        cohort.join(0, configuration())


@pytest.mark.parametrize(
    "other",
    [
        {"hidden": (6,)},
        {"activation": "tanh"},
        {"batch_norm": True},
        {"dropout": 0.5},
        {"loss": "mse"},
        {"output": "sigmoid"},
        {"batch_size": 11},
        {"optimizer": "adam"},
        {"reduction": "sum"},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_a_trial_of_another_shape_is_refused(other: dict[str, Any]) -> None:
    """Joining with another network or another way to train raises ValueError."""
    cohort = cohort_of(classification(), [configuration()], capacity=2)
    with pytest.raises(ValueError, match="trial 9: its network or training has another shape"):
        cohort.join(9, configuration(**other))


@pytest.mark.parametrize(
    "own",
    [
        {"learning_rate": 3.0},
        {"weight_decay": 0.1},
        {"momentum": 0.1},
        {"epochs": 99},
        {"initializer": Initializer(name="normal", scale=0.01)},
    ],
    ids=str,
)
def test_rates_epochs_and_initializer_are_the_rows_own(own: dict[str, Any]) -> None:
    """Trials that differ only in these train in one cohort."""
    cohort = cohort_of(classification(), [configuration()], capacity=2)
    cohort.join(9, configuration(**own))
    assert cohort.numbers == (0, 9)


def test_the_share_of_dropped_units_is_the_rows_own() -> None:
    """Two rates of dropout train in one cohort; a rate and no dropout do not."""
    assert shape_of(configuration(dropout=0.1)) == shape_of(configuration(dropout=0.7))
    assert shape_of(configuration(dropout=0.1)) != shape_of(configuration())


def test_the_share_is_the_cohorts_if_evaluation_multiplies_by_it() -> None:
    """Two rates of dropout are two networks if evaluation has a factor for it."""
    shapes = [
        shape_of(configuration(dropout=rate, dropout_scaling="evaluation")) for rate in (0.0, 0.1, 0.1, 0.7)
    ]
    assert shapes[1] == shapes[2]
    assert len(set(shapes)) == 3


def test_finished_trials_must_leave() -> None:
    """A cohort does not train a trial past its last epoch: it raises ValueError until the trial has left."""
    cohort = cohort_of(classification(), [configuration(epochs=1), configuration(epochs=2)])
    while not any(observation.is_finished for observation in cohort.advance()):
        pass
    before = cohort.parameters(1)
    with pytest.raises(ValueError, match="trials that are finished must leave"):
        cohort.advance()
    np.testing.assert_array_equal(cohort.parameters(1), before)
    cohort.leave(0)
    assert cohort.advance()


def test_an_unknown_trial_cannot_leave() -> None:
    """An unknown trial can neither leave nor be asked for its parameters (ValueError)."""
    cohort = cohort_of(classification(), [configuration()])
    with pytest.raises(ValueError, match="not in tuple"):
        cohort.leave(7)
    with pytest.raises(ValueError, match="not in tuple"):
        cohort.parameters(7)


def test_a_trial_waits_for_the_start_of_an_epoch() -> None:
    """A trial that joins in the middle of an epoch trains from the start of the next, whatever rows leave."""
    cohort = cohort_of(classification(), [configuration()] * 3, capacity=4)
    stepped(cohort)
    cohort.join(9, configuration())
    assert not cohort.is_between_epochs
    cohort.leave(0)
    cohort.join(10, configuration())
    for _ in range(cohort.steps_per_epoch - 1):
        stepped(cohort)
    assert {number: cohort.telemetry(number).steps for number in cohort.numbers} == {1: 6, 2: 6, 9: 0, 10: 0}
    stepped(cohort)
    assert {number: cohort.telemetry(number).steps for number in cohort.numbers} == {1: 7, 2: 7, 9: 1, 10: 1}


def test_waiting_trials_begin_once_the_others_have_left() -> None:
    """If all others leave in the middle of an epoch, the waiting trials begin with the next step."""
    cohort = cohort_of(classification(), [configuration()], capacity=2)
    stepped(cohort)
    cohort.join(1, configuration())
    cohort.leave(0)
    assert cohort.is_between_epochs
    stepped(cohort)
    assert (cohort.numbers, cohort.age) == ((1,), 1)


def test_rows_of_different_ages_share_a_minibatch() -> None:
    """With one order for all epochs, a cohort has room for the inputs of one minibatch only."""
    cohort = cohort_of(classification(), [configuration(order="once")] * 2, capacity=3)
    for _ in range(cohort.steps_per_epoch):
        stepped(cohort)
    cohort.join(2, configuration(order="once"))
    stepped(cohort)
    assert cohort._workspace._x.shape == (1, 10, 7)
    assert cohort._workspace.lane(0, 3, 10, shared_inputs=True).batch.x.shape == (1, 10, 7)
    assert [row.age for row in cohort._rows] == [7, 7, 1]


def test_rows_in_the_same_epoch_share_a_minibatch() -> None:
    """With an order for each epoch, a step gathers a minibatch for each epoch, and targets for each row."""
    data = classification()
    cohort = cohort_of(data, [configuration()] * 2, capacity=5)
    for _ in range(cohort.steps_per_epoch):
        stepped(cohort)
    for number in (2, 3, 4):
        cohort.join(number, configuration())
    stepped(cohort)
    lane, _ = cohort._gather()
    assert lane.batch.groups == (slice(0, 2), slice(2, 5))
    orders = EpochOrders(SEED, 60, order="reshuffle")
    chosen = [orders.order(epoch)[10:20] for epoch in (1, 0)]
    np.testing.assert_array_equal(lane.batch.x, data.training.inputs[np.stack(chosen)])
    labels = data.training.targets[np.stack([chosen[0]] * 2 + [chosen[1]] * 3)]
    np.testing.assert_array_equal(lane.batch.t.argmax(axis=2), labels)
    part = cohort._workspace.part(lane, 1, 3)
    assert part.batch.groups == (slice(0, 1), slice(1, 2))
    np.testing.assert_array_equal(part.batch.x, lane.batch.x)


def test_a_row_in_the_middle_can_leave() -> None:
    """When a row leaves, the next ones move up, and all keep their numbers."""
    cohort = cohort_of(classification(), [configuration(learning_rate=0.1 * k) for k in (1, 2, 3, 4)])
    stepped(cohort)
    kept = {number: cohort.parameters(number) for number in (0, 2, 3)}
    cohort.leave(1)
    assert cohort.numbers == (0, 2, 3)
    for number, parameters in kept.items():
        np.testing.assert_array_equal(cohort.parameters(number), parameters)


def test_an_empty_cohort_does_not_train() -> None:
    """An empty cohort has no observations."""
    cohort = cohort_of(classification(), [configuration()])
    cohort.leave(0)
    assert cohort.advance() == []


def test_every_epoch_is_observed_once() -> None:
    """Each trial's observations end each of its epochs exactly once, the last one finishes it."""
    data = classification(training=23)
    cohort = cohort_of(data, [configuration(epochs=epochs) for epochs in (1, 4, 2)])
    ended: dict[int, list[int]] = {0: [], 1: [], 2: []}
    finished = []
    while cohort.numbers:
        for observation in cohort.advance():
            if observation.ended_epoch:
                ended[observation.number].append(len(observation.telemetry.epochs))
                assert observation.telemetry.steps == 3 * len(observation.telemetry.epochs)
            if observation.is_finished:
                finished.append(observation.number)
                cohort.leave(observation.number)
    assert ended == {0: [1], 1: [1, 2, 3, 4], 2: [1, 2]}
    assert finished == [0, 2, 1]


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"), [(60, 10, 6), (61, 10, 7), (7, 10, 1), (10, 10, 1)]
)
def test_an_epoch_is_one_pass(examples: int, batch_size: int, steps: int) -> None:
    """An epoch has one step per minibatch, the remainder included, even if the batch is larger than the data."""
    data = classification(training=examples)
    cohort = cohort_of(data, [configuration(batch_size=batch_size, epochs=1)])
    assert cohort.steps_per_epoch == steps
    assert trained(cohort)[0][0].telemetry.steps == steps


def test_weights_follow_from_seed_and_number() -> None:
    """A trial's first weights depend only on the study's seed and its own number."""

    def weights(seed: int, number: int, **values: Any) -> Array:
        cohort = Cohort(shape_of(configuration(**values)), classification(), capacity=2, seed=seed)
        cohort.join(number, configuration(**values))
        return cohort.parameters(number)

    one = weights(1, 5)
    np.testing.assert_array_equal(weights(1, 5, learning_rate=9.0, epochs=7), one)
    np.testing.assert_array_equal(weights(1, 5, optimizer="adam", batch_size=3), one)
    assert not np.array_equal(weights(1, 6), one)
    assert not np.array_equal(weights(2, 5), one)


def test_the_largest_seed_and_number_are_seeds() -> None:
    """Every valid seed gives weights and orders, whatever the trial's number."""
    cohort = Cohort(shape_of(configuration()), classification(), capacity=1, seed=2**63 - 1)
    cohort.join(2**31 - 1, configuration(epochs=1))
    assert np.isfinite(trained(cohort)[2**31 - 1][1]).all()


def test_parameters_are_a_copy() -> None:
    """The result of `parameters` does not change when training continues."""
    cohort = cohort_of(classification(), [configuration()])
    before = cohort.parameters(0)
    kept = before.copy()
    stepped(cohort)
    np.testing.assert_array_equal(before, kept)
    assert not np.array_equal(cohort.parameters(0), before)
