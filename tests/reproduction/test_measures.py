"""Measures of runs and recordings on small real networks, and the arithmetic of losses and matrix products."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.prepare import prepare
from hpsearch.reproduction.experiments.book import rank_correlation
from hpsearch.reproduction.experiments.measures import (
    STABLE,
    TEXTBOOK,
    activations_by_layer,
    binary_loss,
    breaking_logit,
    flips,
    lead_steps,
    negative_share,
    product_condition,
    sigmoid_of,
    stable_cross_entropy,
    textbook_cross_entropy,
    unfrozen_share,
)
from hpsearch.reproduction.experiments.normalization import growth, same_for_all
from hpsearch.reproduction.experiments.troubles import steps_to
from hpsearch.study.spec import Configuration, DataSpec, Initializer, ModelSpec, TrainingSpec
from hpsearch.training.recording import Recording, RecordingOptions, Subject, record


@pytest.fixture(scope="module")
def dying() -> Recording:
    """Return a ReLU network whose units die of a learning rate that is far too high."""
    data = prepare(DataSpec(source="digits"), seed=3, precision="float32", environment=os.environ)
    configuration = Configuration(
        model=ModelSpec(hidden=(16,), loss="cross_entropy"),
        training=TrainingSpec(learning_rate=0.1, reduction="sum", epochs=6),
    )
    subject = Subject(configuration=configuration, data=data, seed=5, number=0)
    return record(subject, watch=RecordingOptions(snapshots=tuple(range(0, 90, 5))))


def test_dead_units_stay_as_they_are_bit_for_bit(dying: Recording) -> None:
    """No parameter into a dead unit changes after its last firing, and one that did would be seen."""
    assert unfrozen_share(dying) == 0.0
    moved = dying.final.parameters.copy()
    moved[: 64 * 16] += 1
    assert unfrozen_share(replace(dying, final=replace(dying.final, parameters=moved))) > 0.9


def test_units_die_of_a_swing_to_the_negative(dying: Recording) -> None:
    """Every unit that fired once and died has a lower bias or mean weight than it began with."""
    assert negative_share(dying) == 1.0


def test_signs_are_counted_on_growing_steps_only() -> None:
    """An alternating, growing number always flips, one that keeps its sign never; shrinking steps do not count."""
    steps = np.arange(1.0, 9.0)
    alternating = steps * (-1) ** np.arange(8)
    assert flips(alternating[:, None]) == 1.0
    assert flips(steps[:, None]) == 0.0
    assert math.isnan(flips(-steps[::-1, None]))


def test_the_first_unit_to_diverge_leads_the_median() -> None:
    """The lead is counted from the first unit beyond ten times the calm level to the median one."""
    biases = np.full((100, 3), 0.1)
    biases[50:, 0] = biases[70:, 1] = biases[80:, 2] = 5.0
    assert lead_steps(biases) == 20.0
    assert math.isnan(lead_steps(np.full((100, 3), 0.1)))


def test_growth_is_the_mean_factor_of_neighbours() -> None:
    """Numbers that double from layer to layer grow by 2; one number has no growth."""
    assert growth([1.0, 2.0, 4.0, 8.0]) == pytest.approx(2.0)
    assert math.isnan(growth([1.0]))


def test_outputs_are_the_same_for_all_inputs_or_not() -> None:
    """Equal rows of logits give 1; rows that each answer another class give nearly 0."""
    assert same_for_all(np.tile([3.0, 0.0, 0.0], (5, 1))) == pytest.approx(1.0)
    assert same_for_all(50 * np.eye(3)) == pytest.approx(0.0, abs=1e-9)


def test_steps_are_counted_until_a_share_is_reached() -> None:
    """The count is that of the step which fills the first mean of 20 minibatches in reach; never is infinite."""
    accuracy = np.concatenate([np.zeros(30), np.ones(30)])
    assert steps_to(accuracy, 0.85) == 47.0
    assert steps_to(np.zeros(60), 0.85) == math.inf


def test_rank_correlation_depends_only_on_order() -> None:
    """Any rising function has 1, any falling one -1, and equal numbers share a rank."""
    x = np.array([1.0, 2.0, 5.0, 9.0])
    assert rank_correlation(x, x**3) == pytest.approx(1.0)
    assert rank_correlation(x, -np.exp(x)) == pytest.approx(-1.0)
    assert rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(
        0.866, abs=1e-3
    )


def test_the_textbook_breaks_once_its_sigmoid_rounds_to_one() -> None:
    """-log(1 - sigmoid(z)) is infinite from 16.64 in float32 and 36.74 in float64, log-sum-exp never."""
    assert breaking_logit(TEXTBOOK, "float32") == pytest.approx(16.6355, abs=1e-3)
    assert breaking_logit(TEXTBOOK, "float64") == pytest.approx(36.7368, abs=1e-3)
    assert breaking_logit(STABLE, "float32") == breaking_logit(STABLE, "float64") == np.inf


def test_both_forms_agree_if_both_are_finite() -> None:
    """Below the breaking point the textbook's loss equals the stable one."""
    for z in (-5.0, 0.0, 3.0, 12.0):
        assert binary_loss(TEXTBOOK, z, "float64") == pytest.approx(
            binary_loss(STABLE, z, "float64"), rel=1e-9
        )


def test_sigmoid_of_minus_500() -> None:
    """It is exactly 0 in float32, and exp(-500) in float64."""
    assert sigmoid_of(-500.0, "float32") == 0.0
    assert sigmoid_of(-500.0, "float64") == pytest.approx(np.exp(-500.0), rel=1e-12)


def test_an_output_of_zero_makes_the_textbook_nan_even_if_every_answer_is_right() -> None:
    """0 log 0 is NaN although each largest logit is at its label; the stable loss is finite, and equal otherwise."""
    labels = np.array([0, 1])
    far = np.array([[200.0, 0.0], [0.0, 200.0]], np.float32)
    assert np.isnan(textbook_cross_entropy(far, labels))
    assert stable_cross_entropy(far, labels) == 0.0
    near = np.array([[2.0, 0.0], [1.0, 0.5]], np.float32)
    assert textbook_cross_entropy(near, labels) == pytest.approx(stable_cross_entropy(near, labels), rel=1e-6)


def test_the_condition_of_a_product_is_that_of_its_matrix() -> None:
    """For few small factors it equals the condition number of the product; for many it is above 1e16."""
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
