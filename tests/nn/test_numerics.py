"""Inputs at which textbook formulas break and the stable forms do not."""

import math
from typing import Any

import numpy as np
import pytest

from hpsearch.nn.activations import ACTIVATIONS
from hpsearch.nn.arrays import Array
from hpsearch.nn.losses import PlainLoss, SigmoidCrossEntropy, SoftmaxCrossEntropy

SINGLE, DOUBLE = np.float32, np.float64


def one(value: float, dtype: Any) -> Array:
    """Return one example with one output (1, 1, 1)."""
    return np.full((1, 1, 1), value, dtype)


def naive_complement(z: float, dtype: Any) -> float:
    """Return -log(1 - sigmoid(z)), the loss of a wrong and certain answer, computed as written."""
    sigmoid = dtype(1) / (dtype(1) + np.exp(-dtype(z)))
    with np.errstate(divide="ignore"):
        return float(-np.log(dtype(1) - sigmoid))


@pytest.mark.parametrize(
    ("dtype", "bits", "last", "first"), [(SINGLE, 24, 16.63, 16.64), (DOUBLE, 53, 36.73, 36.74)]
)
def test_a_certain_wrong_answer_costs_its_logit(dtype: Any, bits: int, last: float, first: float) -> None:
    """If exp(-z) is half a unit in the last place of 1, sigmoid(z) is 1: the naive loss is infinite, ours is z."""
    assert last < bits * math.log(2) < first
    assert math.isfinite(naive_complement(last, dtype))
    assert naive_complement(first, dtype) == math.inf
    for z in (last, first, 500.0, 1e30):
        loss = SigmoidCrossEntropy().evaluate(one(z, dtype), one(0.0, dtype), one(0.0, dtype))
        assert loss.dtype == dtype
        assert float(loss[0, 0]) == pytest.approx(z, rel=1e-6)


@pytest.mark.parametrize(("dtype", "last", "first"), [(SINGLE, 16.63, 16.64), (DOUBLE, 36.73, 36.74)])
def test_a_loss_after_another_output_is_the_naive_one(dtype: Any, last: float, first: float) -> None:
    """Plain losses break like their formula, so that `log_zero` can be detected; the matched ones do not."""
    plain = PlainLoss("binary_cross_entropy", ACTIVATIONS["sigmoid"])
    with np.errstate(divide="ignore"):
        losses = [
            plain.evaluate(one(z, dtype), one(0.0, dtype), one(0.0, dtype))[0, 0] for z in (last, first)
        ]
    assert math.isfinite(losses[0])
    assert losses[1] == math.inf


def test_a_naive_loss_is_off_long_before_it_breaks() -> None:
    """In float32 the naive loss at logit 16 is off by more than a tenth of a percent; ours by a rounding."""
    exact = 16 + math.log1p(math.exp(-16))
    assert abs(naive_complement(16.0, SINGLE) - exact) > 1e-3 * exact
    ours = SigmoidCrossEntropy().evaluate(one(16.0, SINGLE), one(0.0, SINGLE), one(0.0, SINGLE))
    assert abs(float(ours[0, 0]) - exact) < 1e-7 * exact


def test_sigmoid_of_minus_500() -> None:
    """sigmoid(-500) is 0 in float32, and 7.12e-218 in float64; the loss of that logit is exact in both."""
    found = {}
    for dtype in (SINGLE, DOUBLE):
        z = one(-500.0, dtype)
        with np.errstate(over="ignore"):  # exp(500) is beyond float32, whose reciprocal is 0, as it should be
            ACTIVATIONS["sigmoid"].apply(z, np.empty_like(z))
            loss = SigmoidCrossEntropy().evaluate(one(-500.0, dtype), one(1.0, dtype), one(0.0, dtype))
        found[dtype] = float(z[0, 0, 0])
        assert float(loss[0, 0]) == 500.0
    assert found[SINGLE] == 0.0
    assert found[DOUBLE] == pytest.approx(7.1245764067e-218, rel=1e-9)


def softmax(z: Array) -> Array:
    """Return the softmax of logits (C,) with the usual shift, which leaves exact zeros in small places."""
    e = np.exp(z - z.max())
    return np.asarray(e / e.sum())


@pytest.mark.parametrize(("dtype", "far"), [(SINGLE, 104.0), (DOUBLE, 746.0)])
def test_zero_times_the_logarithm_of_zero_is_no_number(dtype: Any, far: float) -> None:
    """A right answer by `far` has the loss NaN by -sum t log p, since 0 log 0 is NaN; ours has 0."""
    z, t = np.array([far, 0.0, 0.0], dtype), np.array([1.0, 0.0, 0.0], dtype)
    p = softmax(z)
    assert p.tolist() == [1.0, 0.0, 0.0]
    with np.errstate(divide="ignore", invalid="ignore"):
        assert math.isnan(-(t * np.log(p)).sum())
    assert p.argmax() == t.argmax()
    stacked = z.reshape(1, 1, 3).copy()
    losses = SoftmaxCrossEntropy().evaluate(stacked, t.reshape(1, 1, 3), np.empty_like(stacked))
    assert losses.tolist() == [[0.0]]


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_a_guard_inside_the_logarithm_caps_the_loss(dtype: Any) -> None:
    """log(p + 1e-7) gives 16.1 for any hopeless answer, so a bound of 1e3 on the loss never fires; ours gives 5000."""
    z, t = np.array([5000.0, 0.0], dtype), np.array([0.0, 1.0], dtype)
    guarded = -(t * np.log(softmax(z) + dtype(1e-7))).sum()
    assert float(guarded) == pytest.approx(16.118, abs=1e-3)
    stacked = z.reshape(1, 1, 2).copy()
    losses = SoftmaxCrossEntropy().evaluate(stacked, t.reshape(1, 1, 2), np.empty_like(stacked))
    assert losses.tolist() == [[5000.0]]


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_softmax_without_a_shift_overflows(dtype: Any) -> None:
    """Exp of a large logit is infinite, and infinity over infinity NaN; with the shift it is a share."""
    z = np.full((1, 1, 2), 1000.0, dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z)
        assert np.isnan(e / e.sum(axis=2, keepdims=True)).all()
    ACTIVATIONS["softmax"].apply(z, np.empty_like(z))
    assert z.tolist() == [[[0.5, 0.5]]]


def test_the_answer_of_a_network_of_nans_is_the_first_class() -> None:
    """Argmax of NaN is 0, so a diverged network has the first class's share of right answers."""
    z = np.full((4, 10), np.nan, SINGLE)
    assert z.argmax(axis=1).tolist() == [0, 0, 0, 0]
