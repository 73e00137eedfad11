"""Arithmetic: where textbook formulas break, and the conditioning of products."""

import numpy as np
import pytest

from hpsearch.reproduction.numerics import (
    STABLE,
    TEXTBOOK,
    activations_by_layer,
    binary_loss,
    breaking_logit,
    product_condition,
    sigmoid_of,
    stable_cross_entropy,
    textbook_cross_entropy,
)
from hpsearch.study.spec import Initializer


def test_the_textbook_breaks_where_its_sigmoid_rounds_to_one() -> None:
    """-log(1 - sigmoid(z)) is infinite from 16.64 on in float32 and from 36.74 in float64, log-sum-exp nowhere."""
    assert breaking_logit(TEXTBOOK, "float32") == pytest.approx(16.6355, abs=1e-3)
    assert breaking_logit(TEXTBOOK, "float64") == pytest.approx(36.7368, abs=1e-3)
    assert breaking_logit(STABLE, "float32") == breaking_logit(STABLE, "float64") == np.inf


def test_both_forms_agree_where_both_are_finite() -> None:
    """Below the breaking point the textbook's loss is the stable one's."""
    for z in (-5.0, 0.0, 3.0, 12.0):
        assert binary_loss(TEXTBOOK, z, "float64") == pytest.approx(
            binary_loss(STABLE, z, "float64"), rel=1e-9
        )


def test_sigmoid_of_minus_500() -> None:
    """It is exactly 0 in float32, and exp(-500) in float64."""
    assert sigmoid_of(-500.0, "float32") == 0.0
    assert sigmoid_of(-500.0, "float64") == pytest.approx(np.exp(-500.0), rel=1e-12)


def test_an_output_of_zero_makes_the_textbook_nan_where_every_answer_is_right() -> None:
    """0 log 0 is NaN although each largest logit stands at its label; the stable loss is finite, and equal before."""
    labels = np.array([0, 1])
    far = np.array([[200.0, 0.0], [0.0, 200.0]], np.float32)
    assert np.isnan(textbook_cross_entropy(far, labels))
    assert stable_cross_entropy(far, labels) == 0.0
    near = np.array([[2.0, 0.0], [1.0, 0.5]], np.float32)
    assert textbook_cross_entropy(near, labels) == pytest.approx(stable_cross_entropy(near, labels), rel=1e-6)


def test_the_condition_of_a_product_is_that_of_its_matrix_where_float64_can_tell() -> None:
    """For few small factors it equals the condition number of the product itself; for many it is beyond 1e16."""
    made = product_condition(3, 6, np.random.default_rng(1))
    generator = np.random.default_rng(1)
    product = np.eye(6)
    for _ in range(3):
        product = product @ generator.standard_normal((6, 6))
    assert made == pytest.approx(np.linalg.cond(product), rel=1e-6)
    assert product_condition(30, 100, np.random.default_rng(1)) > 1e30


def test_he_keeps_a_relu_signal_and_small_weights_lose_it() -> None:
    """The spread of five ReLU layers stays with He's weights and is gone with a standard deviation of 0.01."""

    def kept(initializer: Initializer) -> float:
        layers = activations_by_layer("relu", initializer, generator=np.random.default_rng(2))
        return float(layers[-1].std() / layers[0].std())

    assert 0.5 < kept(Initializer(name="he")) < 2
    assert kept(Initializer(name="normal", scale=0.01)) < 1e-3
