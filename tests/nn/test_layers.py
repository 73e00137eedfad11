"""Single layers: derivatives by random projection, and the statistics of batch normalization and dropout."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.nn.arrays import Array
from hpsearch.nn.layers import BatchNorm, Dense, Normalization, draw_dropout

K, B, I, O = 3, 7, 5, 4  # noqa: E741 - the letters of the axes
STEP = 1e-6
EPSILON = 1e-5
ONES = np.ones((1, B))


def close(left: Any, right: Any) -> None:
    """Assert that two projections agree within the error of finite differences."""
    np.testing.assert_allclose(left, right, rtol=1e-7, atol=1e-7)


def normal(*shape: int, seed: int = 0) -> Array:
    """Return standard normal numbers of that shape."""
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shared", [False, True])
def test_dense_is_differentiated_by_the_chain_rule(shared: bool) -> None:  # noqa: FBT001 - a parametrized case
    """<J v, u> is <v, J' u> for inputs, weights and biases of a dense layer, even if all trials share inputs."""
    dense = Dense(inputs=I, outputs=O)
    x, w, b = normal(1 if shared else K, B, I, seed=1), normal(K, I, O, seed=2), normal(K, O, seed=3)
    vx, vw, vb = normal(*x.shape, seed=4), normal(K, I, O, seed=5), normal(K, O, seed=6)
    u = normal(K, B, O, seed=7)

    def output(step: float) -> Array:
        y = np.empty((K, B, O))
        dense.forward(w + step * vw, b + step * vb, x + step * vx, y)
        return y

    dw, db, dx = np.empty_like(w), np.empty_like(b), np.empty((K, B, I))
    dense.backward((dw, db), x, u, ONES)
    dense.backward_input(w, u, dx)
    change = (output(STEP) - output(-STEP)) / (2 * STEP)
    close(np.vdot(change, u), np.vdot(vw, dw) + np.vdot(vb, db) + (vx * dx).sum())


def normalized(y: Array, *, running: tuple[Array, Array] | None = None) -> tuple[Array, Normalization]:
    """Return batch-normalized `y`, which is unchanged, and the values kept of it."""
    layer = BatchNorm(units=O, affine=False, epsilon=EPSILON)
    kept = Normalization(xhat=np.empty_like(y), inverse_std=np.empty((len(y), O), y.dtype))
    statistics = running or (np.zeros((len(y), O), y.dtype), np.ones((len(y), O), y.dtype))
    out = y.copy()
    layer.forward(out, kept, statistics, ones=np.ones((1, y.shape[1]), y.dtype), scratch=np.empty_like(y))
    return out, kept


def test_batch_norm_is_differentiated_by_the_chain_rule() -> None:
    """<J v, u> is <v, J' u> for batch normalization, with the terms through mean and variance."""
    y, v, u = 3 * normal(K, B, O, seed=1) + 2, normal(K, B, O, seed=2), normal(K, B, O, seed=3)
    change = (normalized(y + STEP * v)[0] - normalized(y - STEP * v)[0]) / (2 * STEP)
    _, kept = normalized(y)
    dy = u.copy()
    BatchNorm(units=O, affine=False, epsilon=EPSILON).backward(dy, kept, ones=ONES, scratch=np.empty_like(dy))
    close(np.vdot(change, u), np.vdot(v, dy))


def test_gamma_and_beta_are_differentiated_by_the_chain_rule() -> None:
    """<J v, u> is <v, J' u> for gamma and beta."""
    layer = BatchNorm(units=O, affine=True, epsilon=EPSILON)
    xhat, u = normal(K, B, O, seed=1), normal(K, B, O, seed=2)
    gamma, beta, vgamma, vbeta = normal(4, K, O, seed=3)

    def output(step: float) -> Array:
        y = xhat.copy()
        layer.scale(gamma + step * vgamma, beta + step * vbeta, y)
        return y

    dgamma, dbeta = np.empty((K, O)), np.empty((K, O))
    layer.backward_scale((dgamma, dbeta), u, xhat, ones=ONES, scratch=np.empty_like(u))
    change = (output(STEP) - output(-STEP)) / (2 * STEP)
    close(np.vdot(change, u), np.vdot(vgamma, dgamma) + np.vdot(vbeta, dbeta))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_batch_norm_gives_mean_0_and_variance_1(dtype: type[np.floating]) -> None:
    """In training every unit has mean 0 and variance 1 over the minibatch."""
    y = (50 * normal(K, 200, O) + 300).astype(dtype)
    out, kept = normalized(y)
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=100 * float(np.finfo(dtype).eps))
    np.testing.assert_allclose(out.var(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(out, kept.xhat)


def test_running_statistics_move_by_a_tenth() -> None:
    """Running mean and biased variance move a tenth of the way to the minibatch's at each step."""
    running = np.zeros((K, O)), np.ones((K, O))
    mean, variance = np.zeros((K, O)), np.ones((K, O))
    for seed in range(3):
        y = 2 * normal(K, B, O, seed=seed) + 5
        normalized(y, running=running)
        mean += 0.1 * (y.mean(axis=1) - mean)
        variance += 0.1 * (y.var(axis=1) - variance)
    np.testing.assert_allclose(running[0], mean, rtol=1e-12)
    np.testing.assert_allclose(running[1], variance, rtol=1e-12)


def test_evaluation_uses_the_running_statistics() -> None:
    """In evaluation an example's output depends on the running statistics and not on its minibatch."""
    layer = BatchNorm(units=O, affine=False, epsilon=EPSILON)
    running = normal(K, O, seed=1), 1 + normal(K, O, seed=2) ** 2
    y = normal(K, B, O, seed=3)
    out, first = y.copy(), y[:, :1].copy()
    layer.evaluate(out, running)
    layer.evaluate(first, running)
    expected = (y - running[0][:, None]) / np.sqrt(running[1][:, None] + EPSILON)
    np.testing.assert_allclose(out, expected, rtol=1e-12)
    np.testing.assert_array_equal(out[:, :1], first)


def test_a_minibatch_of_one_is_normalized_to_zero() -> None:
    """One example alone has no variance: its output is 0 and its gradient finite."""
    out, kept = normalized(normal(K, 1, O))
    assert not out.any()
    dy = normal(K, 1, O, seed=1)
    BatchNorm(units=O, affine=False, epsilon=EPSILON).backward(
        dy, kept, ones=np.ones((1, 1)), scratch=np.empty_like(dy)
    )
    assert not dy.any()


def dropped(
    examples: int, rate: float, *, dtype: type[np.floating] = np.float32, is_inverted: bool = True
) -> Array:
    """Return the mask (B, 300) of the second of two trials, whose rates differ."""
    masks: Array = np.empty((2, examples, 300), dtype)
    generators = [np.random.default_rng(seed) for seed in (0, 1)]
    draw_dropout(masks, np.array([0.7, rate]), generators, is_inverted=is_inverted)
    own: Array = masks[1]
    return own


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.tuples(st.integers(1, 40), st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from([np.float32, np.float64]),
)
def test_trials_with_one_minibatch_have_the_bits_of_their_own(
    sizes: list[int], shape: tuple[int, int, int], dtype: type[np.floating]
) -> None:
    """Products with minibatches that groups of trials share are, to the last bit, those of each trial alone."""
    examples, inputs, outputs = shape
    generator = np.random.default_rng(1)
    x, dy, w, b = (
        generator.standard_normal(size).astype(dtype)
        for size in (
            (len(sizes), examples, inputs),
            (sum(sizes), examples, outputs),
            (sum(sizes), inputs, outputs),
            (sum(sizes), outputs),
        )
    )
    stops = np.cumsum(sizes).tolist()
    groups = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
    dense, ones = Dense(inputs=inputs, outputs=outputs), np.ones((1, examples), dtype)
    y, dw, db = np.empty_like(dy), np.empty_like(w), np.empty_like(b)
    dense.forward(w, b, x, y, groups=groups)
    dense.backward((dw, db), x, dy, ones, groups=groups)
    for trial, minibatch in enumerate(np.repeat(x, sizes, axis=0)):
        row = slice(trial, trial + 1)
        own_y, own_dw, own_db = np.empty_like(y[row]), np.empty_like(dw[row]), np.empty_like(db[row])
        dense.forward(w[row], b[row], minibatch[None], own_y)
        dense.backward((own_dw, own_db), minibatch[None], dy[row], ones)
        np.testing.assert_array_equal(y[row], own_y)
        np.testing.assert_array_equal(dw[row], own_dw)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(rate: float, dtype: type[np.floating]) -> None:
    """A mask is 0 with the probability `rate` and 1 / (1 - rate) elsewhere, so its mean is 1."""
    mask = dropped(200, rate, dtype=dtype)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - rate)], rtol=1e-6)
    error = 4 * np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) < error


def test_dropout_scaled_in_evaluation_has_the_same_masks() -> None:
    """Without its factor a mask is 0 and 1, in the same places."""
    inverted, plain = dropped(50, 0.3), dropped(50, 0.3, is_inverted=False)
    np.testing.assert_array_equal(np.unique(plain), [0, 1])
    np.testing.assert_array_equal(plain == 0, inverted == 0)


def test_a_shorter_minibatch_uses_the_first_draws() -> None:
    """The mask of a shorter minibatch is the beginning of a longer one's."""
    long, short = dropped(9, 0.5), dropped(4, 0.5)
    np.testing.assert_array_equal(short, long[:4])
