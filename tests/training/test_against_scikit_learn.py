"""Training compared with scikit-learn's multilayer perceptron, from the same start."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor

from hpsearch.data.prepare import PreparedData
from hpsearch.nn.arrays import Array
from hpsearch.study.spec import Configuration
from hpsearch.training.examples import EpochOrders
from tests.training.cases import SEED, classification, cohort_of, configuration, regression, trained

EXAMPLES, BATCH, EPOCHS = 200, 20, 5
ALIKE = {
    "precision": "float64",
    "batch_size": BATCH,
    "epochs": EPOCHS,
    "hidden": (30, 20),
    "weight_decay": 0.01,
}

# scikit-learn divides its L2 penalty by the size of the minibatch.
ALPHA = 0.01 * BATCH


def their_parameters(
    theirs: Any, data: PreparedData, starts: tuple[list[Array], list[Array]], **classes: Any
) -> Array:
    """Return the parameters of scikit-learn's network after the epochs, trained from `starts` in our order.

    The first call makes its arrays, which are then overwritten; its optimizer is made anew. scikit-learn adds Adam's
    epsilon before the paper's second correction, so it gets an epsilon that is corrected already.
    """
    x, y = data.training.inputs, data.training.targets
    y = y[:, 0] if y.ndim == 2 else y
    theirs.partial_fit(x[:BATCH], y[:BATCH], **classes)
    for target, source in zip(theirs.coefs_ + theirs.intercepts_, starts[0] + starts[1], strict=True):
        target[...] = source
    del theirs._optimizer
    orders = EpochOrders(SEED, EXAMPLES, order="reshuffle")
    order = np.concatenate([orders.order(epoch) for epoch in range(EPOCHS)])
    for t, first in enumerate(range(0, len(order), BATCH), start=1):
        theirs.epsilon = 1e-8 * math.sqrt(1 - 0.999**t)
        if hasattr(theirs, "_optimizer"):
            theirs._optimizer.epsilon = theirs.epsilon
        chosen = order[first : first + BATCH]
        theirs.partial_fit(x[chosen], y[chosen])
    return np.concatenate([array.ravel() for array in theirs.coefs_ + theirs.intercepts_])


def ours_and_theirs(
    chosen: Configuration, data: PreparedData, theirs: Any, **classes: Any
) -> tuple[Array, Array, Array]:
    """Return the initial parameters, our parameters after training, and theirs."""
    cohort = cohort_of(data, [chosen])
    start = cohort.parameters(0)
    views = cohort.network.views(start[None])
    starts = [view.w[0] for view in views], [view.b[0] for view in views]
    expected = their_parameters(theirs, data, starts, **classes)
    return start, trained(cohort)[0][1], expected


def settings(**values: Any) -> dict[str, Any]:
    """Return scikit-learn's settings for the same training."""
    alike = {"hidden_layer_sizes": (30, 20), "alpha": ALPHA, "batch_size": BATCH, "shuffle": False}
    return {**alike, "random_state": 0, **values}


SOLVERS = [
    pytest.param({"optimizer": "sgd"}, {"solver": "sgd", "momentum": 0.0}, id="sgd"),
    pytest.param(
        {"optimizer": "momentum", "momentum": 0.9},
        {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False},
        id="momentum",
    ),
    pytest.param(
        {"optimizer": "nesterov", "momentum": 0.9},
        {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True},
        id="nesterov",
    ),
    pytest.param({"optimizer": "adam"}, {"solver": "adam"}, id="adam"),
]


@pytest.mark.parametrize(("optimizer", "solver"), SOLVERS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_classification(activation: str, optimizer: dict[str, Any], solver: dict[str, Any]) -> None:
    """A classifier of several classes has scikit-learn's weights after five epochs, to 1e-5."""
    data = classification(training=EXAMPLES, inputs=16, classes=5, precision="float64")
    rate = 0.002 if optimizer["optimizer"] == "adam" else 0.05
    theirs = MLPClassifier(
        **settings(
            activation={"sigmoid": "logistic"}.get(activation, activation), learning_rate_init=rate, **solver
        )
    )
    chosen = configuration(**ALIKE, **optimizer, activation=activation, learning_rate=rate)
    start, ours, expected = ours_and_theirs(chosen, data, theirs, classes=np.arange(5))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert np.abs(ours - start).max() > 0.01


def test_two_classes() -> None:
    """A classifier of two classes with one output has scikit-learn's weights, to 1e-5."""
    data = classification(training=EXAMPLES, inputs=16, classes=2, precision="float64")
    theirs = MLPClassifier(**settings(solver="sgd", momentum=0.0, learning_rate_init=0.1))
    chosen = configuration(**ALIKE, loss="binary_cross_entropy", learning_rate=0.1)
    start, ours, expected = ours_and_theirs(chosen, data, theirs, classes=np.arange(2))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert np.abs(ours - start).max() > 0.01


def test_regression() -> None:
    """A regression has scikit-learn's weights at half the learning rate: its loss is half the mean square."""
    data = regression(training=EXAMPLES, inputs=16, outputs=1, precision="float64")
    theirs = MLPRegressor(**settings(solver="sgd", momentum=0.0, learning_rate_init=0.1, alpha=2 * ALPHA))
    chosen = configuration(**{**ALIKE, "weight_decay": 0.04}, loss="mse", learning_rate=0.05)
    start, ours, expected = ours_and_theirs(chosen, data, theirs)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    assert np.abs(ours - start).max() > 0.01
