"""Activations: values, derivatives, and unusual numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from hpsearch.nn.activations import ACTIVATIONS, GATES, SELU_ALPHA, SELU_SCALE, Activation, Gate
from hpsearch.nn.arrays import Array

STEP = 1e-6
NAMES = sorted(ACTIVATIONS)

FORMULAE: dict[str, Callable[[float], float]] = {
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.expm1(z),
    "selu": lambda z: SELU_SCALE * (z if z > 0 else SELU_ALPHA * math.expm1(z)),
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": math.tanh,
    "identity": lambda z: z,
}


def gelu(z: float) -> float:
    """Return the approximation by tanh of Hendrycks and Gimpel (2016)."""
    return 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def applied(activation: Activation | Gate, z: Array) -> Array:
    """Return the activation of `z`, which is unchanged."""
    a = z.copy()
    with np.errstate(all="ignore"):
        activation.apply(a, np.empty_like(a))
    return a


def differentiated(activation: Activation, a: Array, da: Array) -> Array:
    """Return dL/dz for activations `a` and dL/da; both are unchanged."""
    dz = da.copy()
    activation.differentiate(a.copy(), dz, np.empty_like(a))
    return dz


def away_from_zero(shape: tuple[int, ...], seed: int) -> Array:
    """Return normal numbers with 0.1 between them and 0, where some activations have a kink."""
    z = np.random.default_rng(seed).standard_normal(shape)
    return z + np.copysign(0.1, z)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(FORMULAE))
def test_values_are_those_of_the_formula(name: str, dtype: type[np.floating]) -> None:
    """An activation is its textbook formula, to the precision of its numbers."""
    z = np.concatenate([np.linspace(-8, 8, 65), [1e-6, -1e-6]]).astype(dtype)
    expected = [FORMULAE[name](float(number)) for number in z]
    np.testing.assert_allclose(applied(ACTIVATIONS[name], z), expected, rtol=8 * float(np.finfo(dtype).eps))


def test_every_activation_has_a_formula() -> None:
    """These tests cover every activation; softmax has its own."""
    assert set(FORMULAE) | {"softmax"} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_agree_with_finite_differences(name: str) -> None:
    """<J v, w> by central differences is <v, J' w> by the chain rule."""
    activation = ACTIVATIONS[name]
    generator = np.random.default_rng(7)
    z = away_from_zero((3, 5, 4), seed=1)
    v, w = generator.standard_normal((2, *z.shape))
    change = (applied(activation, z + STEP * v) - applied(activation, z - STEP * v)) / (2 * STEP)
    gradient = differentiated(activation, applied(activation, z), w)
    np.testing.assert_allclose(np.vdot(change, w), np.vdot(v, gradient), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name: str, dtype: type[np.floating]) -> None:
    """A NaN in the input gives NaN, and changes no other trial."""
    z = np.ones((2, 1, 3), dtype)
    z[0, 0, 1] = np.nan
    a = applied(ACTIVATIONS[name], z)
    assert np.isnan(a[0, 0, 1])
    assert np.isfinite(a[1]).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_nan_gradient_stays_nan(name: str) -> None:
    """An activation with the derivative 0 does not hide a gradient that is NaN."""
    a = applied(ACTIVATIONS[name], np.full((1, 1, 3), -2.0))
    assert np.isnan(differentiated(ACTIVATIONS[name], a, np.full((1, 1, 3), np.nan))).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_values_do_not_depend_on_strides(name: str, dtype: type[np.floating]) -> None:
    """A part of a larger minibatch has the bits of its copy, whatever the strides.

    NumPy 2.4's `negative` fails here: it reads other elements at strides of 16 and of 64 bytes.
    """
    activation = ACTIVATIONS[name]
    for most in range(1, 20):
        for examples in range(1, most + 1):
            whole = np.random.default_rng(most).standard_normal((3, 4, most)).astype(dtype)
            z = whole[:, :, :examples].transpose(0, 2, 1)
            expected = applied(activation, np.ascontiguousarray(z))
            activation.apply(z, np.empty((3, 4, most), dtype)[:, :, :examples].transpose(0, 2, 1))
            np.testing.assert_array_equal(z, expected)


def test_sigmoid_of_minus_500() -> None:
    """The sigmoid of -500 is exactly 0 in float32 and 7.12e-218 in float64, and 1 on the other side."""
    sigmoid = ACTIVATIONS["sigmoid"]
    assert applied(sigmoid, np.array([-500], np.float32))[0] == 0
    assert float(applied(sigmoid, np.array([-500.0]))[0]) == pytest.approx(7.12e-218, rel=1e-3)
    assert applied(sigmoid, np.array([500], np.float32))[0] == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("relu", 0, math.inf),
        ("leaky_relu", -math.inf, math.inf),
        ("elu", -1, math.inf),
        ("selu", -SELU_ALPHA * SELU_SCALE, math.inf),
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("identity", -math.inf, math.inf),
    ],
)
def test_infinity_leads_to_the_limit(name: str, low: float, high: float, dtype: type[np.floating]) -> None:
    """At minus and plus infinity an activation has its limit, and no NaN."""
    a = applied(ACTIVATIONS[name], np.array([-math.inf, math.inf], dtype))
    np.testing.assert_allclose(a, np.array([low, high], dtype))


def test_softmax_sums_to_one_at_huge_logits() -> None:
    """Softmax gives shares that sum to 1, and does not overflow at 1e4."""
    z = np.array([[[1e4, 1e4 - 1, 0], [0, 0, 0], [-1e4, 0, 1e4]]], np.float32)
    a = applied(ACTIVATIONS["softmax"], z)
    np.testing.assert_allclose(a.sum(axis=2), 1, rtol=1e-6)
    np.testing.assert_allclose(a[0, 1], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(a[0, 2], [0, 0, 1])
    np.testing.assert_allclose(a[0, 0, 0] / a[0, 0, 1], math.e, rtol=1e-5)


GATE_FORMULAE: dict[str, Callable[[float], float]] = {"gelu": gelu, "silu": lambda z: z / (1 + math.exp(-z))}
GATE_NAMES = sorted(GATES)


def sloped(gate: Gate, z: Array) -> tuple[Array, Array]:
    """Return the activation of `z` and its slope; `z` is unchanged."""
    a, slope = z.copy(), np.empty_like(z)
    with np.errstate(all="ignore"):
        gate.apply(a, np.empty_like(a), slope)
    return a, slope


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GATE_NAMES)
def test_gates_are_their_formula(name: str, dtype: type[np.floating]) -> None:
    """A gate equals its textbook formula with and without its slope, to the precision of its numbers."""
    z = np.concatenate([np.linspace(-8, 8, 65), [1e-6, -1e-6]]).astype(dtype)
    expected = [GATE_FORMULAE[name](float(number)) for number in z]
    a, _ = sloped(GATES[name], z)
    np.testing.assert_allclose(a, expected, rtol=1e-6, atol=16 * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(a, applied(GATES[name], z))


def test_gelu_is_near_the_normal_distribution() -> None:
    """The approximation by tanh stays within 0.0005 of z times the normal distribution function."""
    z = np.linspace(-6, 6, 241)
    exact = [0.5 * number * (1 + math.erf(number / math.sqrt(2))) for number in z]
    np.testing.assert_allclose(applied(GATES["gelu"], z), exact, atol=5e-4)


@pytest.mark.parametrize("name", GATE_NAMES)
def test_slopes_agree_with_finite_differences(name: str) -> None:
    """A gate's slope is its central difference."""
    z = np.linspace(-9, 9, 361)
    change = (applied(GATES[name], z + STEP) - applied(GATES[name], z - STEP)) / (2 * STEP)
    np.testing.assert_allclose(sloped(GATES[name], z)[1], change, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GATE_NAMES)
def test_gates_keep_nan_and_reach_their_limits(name: str, dtype: type[np.floating]) -> None:
    """NaN stays NaN; far from 0 a gate is 0 or z, and its slope 0 or 1, up to the largest number."""
    most = float(np.finfo(dtype).max)
    a, slope = sloped(GATES[name], np.array([math.nan, -math.inf, -most, -1e3, 1e3, most], dtype))
    assert np.isnan([a[0], slope[0]]).all()
    np.testing.assert_array_equal(a[1:], np.array([0, 0, 0, 1e3, most], dtype))
    np.testing.assert_array_equal(slope[1:], np.array([0, 0, 0, 1, 1], dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GATE_NAMES)
def test_gates_do_not_depend_on_strides(name: str, dtype: type[np.floating]) -> None:
    """Parts of larger buffers have the bits of their copies, whatever the strides."""
    for most in range(1, 20):
        for examples in range(1, most + 1):
            whole = np.random.default_rng(most).standard_normal((3, most, 4)).astype(dtype)
            slope = np.empty_like(whole)
            z = whole[1:, :examples]
            expected, expected_slope = sloped(GATES[name], np.ascontiguousarray(z))
            GATES[name].apply(z, np.empty_like(whole)[1:, :examples], slope[1:, :examples])
            np.testing.assert_array_equal(z, expected)
            np.testing.assert_array_equal(slope[1:, :examples], expected_slope)
