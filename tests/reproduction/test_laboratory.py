"""Trainings in cohorts, with measurements of every minibatch."""

import os
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.reproduction.laboratory import Run, train
from hpsearch.study.spec import Configuration, DataSpec, ModelSpec, TrainingSpec
from hpsearch.training.recording import Subject, record

MODEL = ModelSpec(hidden=(16,), loss="cross_entropy")


@pytest.fixture(scope="module")
def data() -> PreparedData:
    """Return the digits."""
    return prepare(DataSpec(source="digits"), seed=3, precision="float32", environment=os.environ)


def rates(*values: float, activation: str = "relu") -> dict[int, Configuration]:
    """Return configurations with these learning rates, numbered from 0."""
    model = replace(MODEL, activation=activation)  # type: ignore[arg-type] # words of the tests
    return {
        number: Configuration(model=model, training=TrainingSpec(learning_rate=rate, epochs=2))
        for number, rate in enumerate(values)
    }


def test_a_run_does_not_depend_on_its_cohort(data: PreparedData) -> None:
    """A trial in a cohort has the losses and weights that it has on its own, to the last bit."""
    together = train(rates(0.1, 0.3, 1.0), data, seed=5, steps=12)
    alone = train({1: rates(0.1, 0.3)[1]}, data, seed=5, steps=12)[1]
    np.testing.assert_array_equal(together[1].loss, alone.loss)
    np.testing.assert_array_equal(together[1].final.parameters, alone.final.parameters)


def test_a_run_is_what_its_replay_shows(data: PreparedData) -> None:
    """Losses, accuracies and silent units of a run are those that a recording of the same trial has."""
    trials = rates(0.5)
    run = train(trials, data, seed=5, steps=20)[0]
    recording = record(Subject(configuration=trials[0], data=data, seed=5, number=0), until_step=20)
    np.testing.assert_array_equal(run.loss, recording.loss.low[:, 0])
    np.testing.assert_allclose(run.accuracy, recording.accuracy.low[:, 0])
    np.testing.assert_allclose(run.silent[:, 0], 1 - recording.firing.low[:, 0])
    np.testing.assert_array_equal(run.final.parameters, recording.final.parameters)


def test_shapes_are_trained_separately(data: PreparedData) -> None:
    """Configurations of two shapes are returned under their own numbers, each with its own network."""
    mixed = {7: rates(0.1)[0], 4: rates(0.1, activation="tanh")[0]}
    runs = train(mixed, data, seed=5, steps=3)
    assert {number: run.configuration.model.activation for number, run in runs.items()} == {
        7: "relu",
        4: "tanh",
    }


def test_whole_epochs_end_with_their_validation(data: PreparedData) -> None:
    """Without a number of steps all epochs are trained, the last one validated too."""
    run = train(rates(0.1), data, seed=5)[0]
    assert [epoch.epoch for epoch in run.epochs] == [0, 1]
    assert len(run.loss) == 2 * 15


def test_nan_is_distinguished_from_infinity(data: PreparedData) -> None:
    """The first step with a NaN loss is returned; an infinite loss does not count as NaN."""
    diverged = train(rates(1e30, activation="identity"), data, seed=5, steps=10)[0]
    assert diverged.nan_step is not None
    assert np.isnan(diverged.loss[diverged.nan_step])
    healthy: Run = train(rates(0.1), data, seed=5, steps=3)[0]
    assert replace(healthy, loss=np.array([1.0, np.inf, 2.0])).nan_step is None
