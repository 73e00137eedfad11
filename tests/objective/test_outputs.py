"""A loop's loss is recognized by its formula, and with it what guessing would cost."""

import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from hpsearch.objective.monitor import Monitor
from hpsearch.objective.outputs import read_outputs
from hpsearch.telemetry import Program

GENERATOR = np.random.default_rng(5)
Z = GENERATOR.standard_normal((50, 4))
LABELS = GENERATOR.integers(0, 4, 50)
ROWS = np.arange(50)
CROSS_ENTROPY = float(-log_softmax(Z, axis=1)[ROWS, LABELS].mean())
TWICE = float(-log_softmax(softmax(Z, axis=1), axis=1)[ROWS, LABELS].mean())
ACROSS = log_softmax(Z, axis=0)
SOFT = softmax(Z, axis=1)


@pytest.mark.parametrize(
    ("outputs", "targets", "loss", "name", "mistake"),
    [
        (Z, LABELS, CROSS_ENTROPY, "cross_entropy", ""),
        (log_softmax(Z, axis=1), LABELS, CROSS_ENTROPY, "cross_entropy", ""),
        (SOFT, LABELS, CROSS_ENTROPY, "cross_entropy", ""),  # by the plain logarithm of probabilities
        (SOFT, LABELS, TWICE, "cross_entropy", "twice"),
        (Z, LABELS, TWICE, "cross_entropy", "twice"),
        (Z, LABELS, float(-ACROSS[ROWS, LABELS].mean()), "cross_entropy", "over_examples"),
        (Z, LABELS, CROSS_ENTROPY * 1.1, "auto", ""),
        (Z, Z + 1, 1.0, "mse", ""),
        (Z[:, 0], Z[:, 0] + 1, 1.0, "mse", ""),
        (Z[:, 0], Z[:, :1] + 1, 1.0, "mse", ""),
        (Z, Z + 1, 0.5, "auto", ""),  # Huber's
        (Z[:, 0], np.ones(50), float(np.logaddexp(0, -Z[:, 0]).mean()), "binary_cross_entropy", ""),
        (Z, None, CROSS_ENTROPY, "auto", ""),
        (Z, LABELS + 10, 1.0, "auto", ""),
        (Z, LABELS[:7], 1.0, "auto", ""),
        (Z, LABELS, math.nan, "auto", ""),
    ],
)
def test_the_loss_is_recognized(
    outputs: np.ndarray, targets: np.ndarray | None, loss: float, name: str, mistake: str
) -> None:
    """Each loss has its name, a softmax too many or over the wrong axis too, and others have none."""
    read = read_outputs(outputs, targets, loss)
    assert (read.loss, read.softmax) == (name, mistake)
    assert read.examples == 50
    if name != "auto":
        assert read.mean_loss() == pytest.approx(loss)


def test_places_within_examples_are_counted_apart() -> None:
    """Classes at several places, in PyTorch's order (N, C, L) or the usual (N, L, C), have the same statistics."""
    z = GENERATOR.standard_normal((6, 9, 4))
    labels = GENERATOR.integers(0, 4, (6, 9))
    loss = float(-np.take_along_axis(log_softmax(z, axis=2), labels[:, :, None], axis=2).mean())
    usual, of_torch = read_outputs(z, labels, loss), read_outputs(np.moveaxis(z, 2, 1), labels, loss)
    assert usual.loss == of_torch.loss == "cross_entropy"
    assert usual.answers() == of_torch.answers()
    assert usual.examples == 6


def test_answers_of_classes() -> None:
    """The shares of right answers and of the most frequent answer."""
    z = np.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [1, 1, 0]])
    right, top = read_outputs(z, np.array([0, 1, 2, 0]), 1.0).answers()
    assert right == (1 + 0 + 1 + 0.5) / 4
    assert top == 3 / 4


def test_data_is_estimated_from_minibatches() -> None:
    """Shares of classes, and mean and variance of numbers, are those of the minibatches seen."""
    classes, numbers = Monitor(), Monitor()
    for _ in range(3):
        classes.step(CROSS_ENTROPY, outputs=Z, targets=LABELS)
        numbers.step(1.0, outputs=Z, targets=Z + 1)
    of_classes, of_numbers = classes.telemetry.program, numbers.telemetry.program
    assert isinstance(of_classes, Program)
    assert isinstance(of_numbers, Program)
    assert of_classes.data.class_shares == pytest.approx(np.bincount(LABELS) / 50)
    assert of_numbers.data.target_variance == pytest.approx((Z + 1).var())
    assert of_numbers.data.class_shares == ()
