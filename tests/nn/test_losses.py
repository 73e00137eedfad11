"""Losses: values, derivatives, and inputs at which the textbook's formulae break."""

import math

import numpy as np
import pytest

from hpsearch.nn.activations import ACTIVATIONS
from hpsearch.nn.arrays import Array
from hpsearch.nn.losses import (
    Loss,
    LossName,
    PlainLoss,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
    loss_for,
)

K, B, C = 3, 6, 4
STEP = 1e-6

MATCHED: list[tuple[LossName, str]] = [
    ("cross_entropy", "softmax"),
    ("binary_cross_entropy", "sigmoid"),
    ("mse", "identity"),
]
UNMATCHED: list[tuple[LossName, str]] = [
    ("cross_entropy", "sigmoid"),
    ("binary_cross_entropy", "softmax"),
    *(("mse", name) for name in sorted(ACTIVATIONS) if name != "identity"),
]


def outputs_last(array: Array) -> Array:
    """Return `array` (K, B, C) laid out with B last in memory, as losses take it."""
    copy = np.empty(array.transpose(0, 2, 1).shape, array.dtype)
    copy[...] = array.transpose(0, 2, 1)
    return copy.transpose(0, 2, 1)


def logits(seed: int = 0, scale: float = 1.0) -> Array:
    """Return normal logits with 0.1 between them and 0, where some output activations have a kink."""
    z = np.random.default_rng(seed).standard_normal((K, B, C))
    return outputs_last(scale * (z + np.copysign(0.1, z)))


def targets(seed: int = 5) -> Array:
    """Return targets that sum to 1 over C, as classes and shares do."""
    t = np.random.default_rng(seed).random((K, B, C))
    return outputs_last(t / t.sum(axis=2, keepdims=True))


def one_hot(labels: list[int], classes: int = C) -> Array:
    """Return one-hot targets (1, B, classes)."""
    return outputs_last(np.eye(classes)[labels][None])


def evaluated(loss: Loss, z: Array, t: Array) -> Array:
    """Return the losses (K, B) of `z`, which is unchanged."""
    z = outputs_last(z)
    with np.errstate(all="ignore"):
        return loss.evaluate(z, t.astype(z.dtype), np.empty_like(z))


def differentiated(loss: Loss, z: Array, t: Array) -> Array:
    """Return dL/dz of `z`, which is unchanged."""
    z = outputs_last(z)
    scratch = np.empty_like(z)
    with np.errstate(all="ignore"):
        loss.evaluate(z, t.astype(z.dtype), scratch)
        loss.differentiate(z, t.astype(z.dtype), scratch)
    return z


def textbook(name: str, o: Array, t: Array) -> Array:
    """Return the textbook's loss (K, B) of outputs `o`."""
    match name:
        case "cross_entropy":
            return np.asarray(-(t * np.log(o)).sum(axis=2))
        case "binary_cross_entropy":
            return np.asarray(-(t * np.log(o) + (1 - t) * np.log(1 - o)).mean(axis=2))
        case _:
            return np.asarray(((o - t) ** 2).mean(axis=2))


@pytest.mark.parametrize(("name", "output"), MATCHED + UNMATCHED)
def test_values_are_those_of_the_textbook(name: LossName, output: str) -> None:
    """A loss is its textbook formula of the output activation, and replaces the logits by the outputs."""
    z, t, scratch = logits(), targets(), logits()
    o = z.copy()
    ACTIVATIONS[output].apply(o, np.empty_like(o))
    losses = loss_for(name, output).evaluate(z, t, scratch)
    np.testing.assert_allclose(losses, textbook(name, o, t), rtol=1e-12)
    np.testing.assert_allclose(z, o, rtol=1e-12)


@pytest.mark.parametrize(("name", "output"), MATCHED + UNMATCHED)
def test_derivatives_agree_with_finite_differences(name: LossName, output: str) -> None:
    """<J v, w> by central differences is <v, J' w> by the chain rule, for matched and unmatched outputs."""
    loss, z, t = loss_for(name, output), logits(), targets()
    generator = np.random.default_rng(9)
    v, w = generator.standard_normal(z.shape), generator.standard_normal((K, B))
    change = (evaluated(loss, z + STEP * v, t) - evaluated(loss, z - STEP * v, t)) / (2 * STEP)
    gradient = differentiated(loss, z, t) * w[:, :, None]
    np.testing.assert_allclose(np.vdot(change, w), np.vdot(v, gradient), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "own", "kind"),
    [
        ("cross_entropy", "softmax", SoftmaxCrossEntropy),
        ("binary_cross_entropy", "sigmoid", SigmoidCrossEntropy),
        ("mse", "identity", SquaredError),
    ],
)
def test_a_loss_with_its_own_output_is_the_stable_form(name: LossName, own: str, kind: type[Loss]) -> None:
    """`auto` and the loss's own output mean the stable form; any other output means the plain formula."""
    assert isinstance(loss_for(name, "auto"), kind)
    assert isinstance(loss_for(name, own), kind)
    assert isinstance(loss_for(name, "tanh"), PlainLoss)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_cross_entropy_is_stable_at_huge_logits(dtype: type[np.floating]) -> None:
    """At logits of 1e4 the loss of a wrong answer is the distance of the logits, of a right one 0."""
    z = np.array([[[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]]], dtype)
    np.testing.assert_array_equal(evaluated(SoftmaxCrossEntropy(), z, one_hot([0, 2], 3)), [[0, 2e4]])
    gradient = differentiated(SoftmaxCrossEntropy(), z, one_hot([0, 2], 3))
    np.testing.assert_array_equal(gradient, [[[0, 0, 0], [1, 0, -1]]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_cross_entropy_is_stable_at_huge_logits(dtype: type[np.floating]) -> None:
    """At logits of 1e4 the loss of a wrong answer is the logit's size, of a right one 0."""
    z = np.array([[[1e4], [-1e4], [1e4], [-1e4]]], dtype)
    t = np.array([[[1.0], [0.0], [0.0], [1.0]]])
    np.testing.assert_array_equal(evaluated(SigmoidCrossEntropy(), z, t), [[0, 0, 1e4, 1e4]])
    gradient = differentiated(SigmoidCrossEntropy(), z, t)
    np.testing.assert_array_equal(gradient[0, :, 0], [0, 0, 1, -1])


def test_small_differences_of_the_softmax_are_not_lost() -> None:
    """A probability too small for float32 still has its loss: nothing is clipped."""
    z = np.array([[[0.0, 200.0]]], np.float32)
    assert evaluated(SoftmaxCrossEntropy(), z, one_hot([0], 2))[0, 0] == 200


@pytest.mark.parametrize(("dtype", "breaks_at"), [(np.float32, 16.64), (np.float64, 36.74)])
def test_the_plain_formula_breaks_where_the_sigmoid_rounds_to_1(
    dtype: type[np.floating], breaks_at: float
) -> None:
    """After a sigmoid the plain formula has log 0 at logit 16.64 in float32 and 36.74 in float64, the stable none."""
    plain = PlainLoss("binary_cross_entropy", ACTIVATIONS["sigmoid"])
    below, above = (np.full((1, 1, 1), breaks_at + shift, dtype) for shift in (-0.01, 0.01))
    wrong, right = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    assert np.isfinite(evaluated(plain, below, wrong)).all()
    assert evaluated(plain, above, wrong)[0, 0] == math.inf
    # where the answer is right the infinity is multiplied by 0
    assert np.isnan(evaluated(plain, above, right)).all()
    assert evaluated(SigmoidCrossEntropy(), above, wrong)[0, 0] == pytest.approx(breaks_at + 0.01, rel=1e-5)


def test_the_plain_cross_entropy_breaks_at_zero_times_log_zero() -> None:
    """Cross-entropy after a sigmoid is NaN if an output is 0, even of a class that is not the target."""
    plain = PlainLoss("cross_entropy", ACTIVATIONS["sigmoid"])
    z = np.array([[[5.0, -200.0]]], np.float32)
    assert np.isnan(evaluated(plain, z, one_hot([0], 2))).all()
    assert np.isnan(differentiated(plain, z, one_hot([0], 2))[0, 0, 1])


@pytest.mark.parametrize(("name", "output"), MATCHED + UNMATCHED)
def test_a_nan_logit_gives_a_nan_loss_of_its_example_alone(name: LossName, output: str) -> None:
    """A NaN among the logits makes only its own example's loss NaN."""
    z = logits()
    z[1, 2, 3] = np.nan
    expected = np.zeros((K, B), bool)
    expected[1, 2] = True
    np.testing.assert_array_equal(np.isnan(evaluated(loss_for(name, output), z, targets())), expected)


@pytest.mark.parametrize(("name", "output"), MATCHED + UNMATCHED)
def test_shared_targets_are_those_of_every_trial(name: LossName, output: str) -> None:
    """Targets (1, B, C) give each trial the result of its own copy of them."""
    loss, z, t = loss_for(name, output), logits(), targets()[:1]
    everybodys = outputs_last(np.repeat(t, K, axis=0))
    np.testing.assert_array_equal(evaluated(loss, z, t), evaluated(loss, z, everybodys))
    np.testing.assert_array_equal(differentiated(loss, z, t), differentiated(loss, z, everybodys))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "output"), MATCHED + UNMATCHED)
def test_losses_do_not_depend_on_strides(name: LossName, output: str, dtype: type[np.floating]) -> None:
    """A part of a larger minibatch has the losses and gradients of its copy, to the last bit."""
    loss = loss_for(name, output)
    for most in range(1, 18):
        for examples in range(1, most):
            whole, scratch = np.random.default_rng(most).random((2, K, C, most)).astype(dtype)
            z, cut = (array[:, :, :examples].transpose(0, 2, 1) for array in (whole, scratch))
            t = outputs_last(targets()[:, :1] * np.ones((1, examples, 1))).astype(dtype)
            copy = outputs_last(z)
            expected = loss.evaluate(copy, t, np.empty_like(copy))
            np.testing.assert_array_equal(loss.evaluate(z, t, cut), expected)
            loss.differentiate(copy, t, np.empty_like(copy))
            loss.differentiate(z, t, cut)
            np.testing.assert_array_equal(z, copy)
