"""The per-epoch series of a trial."""

import math

import pytest

from hpsearch.telemetry import Epoch, LayerSample, Sample, Telemetry, series_of
from tests.training.cases import classification, cohort_of, configuration, regression, trained


def sample(step: int, dead: tuple[float, ...] = (0.25, 0.5)) -> Sample:
    """Return a sample with norms 3 and 4 times its step, a largest logit of the step and outputs half as far apart."""
    norms = [3.0 * step, 4.0 * step, *[0.0] * len(dead)]
    layers = [
        LayerSample(dead_share=share, gradient_norm=norm, weight_norm=2 * norm)
        for share, norm in zip((*dead, 0.0), norms, strict=False)
    ]
    return Sample(
        step=step,
        loss=1.0,
        logit_max=step,
        predicted_decrease=0.0,
        layers=tuple(layers),
        output_range=step / 2,
    )


def telemetry(samples: list[Sample], epochs: int, accuracy: float | None = 0.5) -> Telemetry:
    """Return the telemetry of that many epochs."""
    finished = [
        Epoch(epoch=epoch, training_loss=1 / (epoch + 1), validation_loss=2.0, validation_accuracy=accuracy)
        for epoch in range(epochs)
    ]
    return Telemetry(steps=10 * epochs, samples=samples, epochs=finished, nonfinite=None)


def test_each_epoch_shows_its_last_sample() -> None:
    """Statistics of an epoch are those of the newest sample taken before its end."""
    samples = [sample(step) for step in (0, 5, 9, 10, 25)]
    series = series_of(telemetry(samples, 3), steps_per_epoch=10)
    assert series["logit_max"] == [9, 10, 25]
    assert series["output_range"] == [4.5, 5, 12.5]
    assert series["gradient_norm"] == pytest.approx([45, 50, 125])
    assert series["weight_norm"] == pytest.approx([90, 100, 250])
    assert series["dead_share"] == [0.5, 0.5, 0.5]
    assert series["training_loss"] == pytest.approx([1, 1 / 2, 1 / 3])
    assert series["validation_loss"] == [2, 2, 2]
    assert series["validation_accuracy"] == [0.5, 0.5, 0.5]


def test_an_epoch_without_a_new_sample_shows_the_one_before() -> None:
    """If an epoch has no sample, the last one of an earlier epoch is used."""
    series = series_of(telemetry([sample(3)], 3), steps_per_epoch=10)
    assert series["logit_max"] == [3, 3, 3]


def test_without_a_sample_there_is_nan() -> None:
    """Before the first sample the statistics are NaN, and the losses are present."""
    series = series_of(telemetry([sample(12)], 2), steps_per_epoch=10)
    for name in ("dead_share", "gradient_norm", "weight_norm", "logit_max", "output_range"):
        assert math.isnan(series[name][0])
        assert math.isfinite(series[name][1])
    assert series["training_loss"] == [1, 1 / 2]


def test_a_network_without_hidden_layers_has_no_dead_units() -> None:
    """Without hidden layers the dead share is 0."""
    assert series_of(telemetry([sample(0, dead=())], 1), steps_per_epoch=10)["dead_share"] == [0]


def test_regression_has_no_accuracy() -> None:
    """The accuracy is left out if there is none."""
    assert "validation_accuracy" not in series_of(telemetry([], 2, accuracy=None), steps_per_epoch=10)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_series_of_a_trial_are_equally_long(task: str) -> None:
    """A trained trial has every series, each with one finite number per epoch."""
    data, loss = (classification(), "cross_entropy") if task == "classification" else (regression(), "mse")
    cohort = cohort_of(data, [configuration(loss=loss, epochs=4)])
    steps = cohort.steps_per_epoch
    series = series_of(trained(cohort)[0][0].telemetry, steps_per_epoch=steps)
    losses = {"training_loss", "validation_loss"}
    looks = {"dead_share", "gradient_norm", "weight_norm", "logit_max", "output_range"}
    scores = {"rmse", "mae", "r2"} if task == "regression" else set()
    assert set(series) - {"validation_accuracy"} == losses | looks | scores
    assert ("validation_accuracy" in series) == (task == "classification")
    assert {len(values) for values in series.values()} == {4}
    assert all(math.isfinite(number) for values in series.values() for number in values)
