"""The table of metrics, and the epoch that counts."""

import math

import pytest

from hpsearch.study.metrics import (
    AUTO_METRIC,
    METRICS,
    REGRESSION_SCORES,
    KeptEpoch,
    Metric,
    is_maximized,
    kept_epoch,
)
from hpsearch.study.schema import words
from hpsearch.telemetry import Epoch


def _epochs(*values: float, name: str = "rmse") -> list[Epoch]:
    return [
        Epoch(epoch=e, training_loss=1.0, validation_loss=1.0, validation_accuracy=None, scores={name: value})
        for e, value in enumerate(values)
    ]


def test_every_metric_of_a_study_file_is_in_the_table() -> None:
    """The words of a study file are the keys of the table, and "auto"."""
    assert words(Metric) == ("auto", *METRICS)
    assert set(REGRESSION_SCORES) == {name for name, one in METRICS.items() if one.task == "regression"}
    assert set(AUTO_METRIC.values()) <= set(METRICS)


def test_directions() -> None:
    """Losses and amounts are minimized, shares and R2 maximized; a foreign name is taken for a loss."""
    least = {"validation_loss", "log_loss", "rmse", "mae"}
    assert {name for name in METRICS if not is_maximized(name)} == least
    assert not is_maximized("another_metric")


@pytest.mark.parametrize(
    ("name", "values", "keep", "epoch"),
    [
        ("rmse", (3.0, 1.0, 1.0, 2.0), "best", 1),
        ("rmse", (3.0, 1.0, 1.0, 2.0), "last", 3),
        ("r2", (0.1, 0.4, math.inf, 0.4), "best", 1),
        ("rmse", (math.nan, 2.0, math.nan), "best", 1),
        ("rmse", (math.nan, math.inf), "best", 1),
    ],
)
def test_the_epoch_that_counts(name: str, values: tuple[float, ...], keep: KeptEpoch, epoch: int) -> None:
    """The best finite one, the first of equal ones; the last one if it is asked for, or none is finite."""
    assert kept_epoch(_epochs(*values, name=name), metric=name, keep=keep).epoch == epoch
