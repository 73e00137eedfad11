"""Measures of runs and recordings, on made-up numbers and small real networks."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.prepare import prepare
from hpsearch.reproduction.experiments.depth import growth, same_for_all
from hpsearch.reproduction.experiments.inside import flips, lead_steps, negative_share, unfrozen_share
from hpsearch.reproduction.experiments.random_search import rank_correlation
from hpsearch.reproduction.experiments.troubles import steps_to
from hpsearch.study.spec import Configuration, DataSpec, ModelSpec, TrainingSpec
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


def test_signs_are_counted_on_growing_steps_alone() -> None:
    """A number that alternates and grows flips always, one that keeps its side never; one that shrinks is left out."""
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


def test_rank_correlation_knows_order_alone() -> None:
    """Any rising function has 1, any falling one -1, and equal numbers share a rank."""
    x = np.array([1.0, 2.0, 5.0, 9.0])
    assert rank_correlation(x, x**3) == pytest.approx(1.0)
    assert rank_correlation(x, -np.exp(x)) == pytest.approx(-1.0)
    assert rank_correlation(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == pytest.approx(
        0.866, abs=1e-3
    )
