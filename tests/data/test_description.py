"""What a data set is like."""

from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.description import describe
from hpsearch.data.sources import load


def test_classes_are_counted() -> None:
    """Iris is described as everybody knows it."""
    data = describe(load("iris", environment={}))
    assert data.classes == {"setosa": 50, "versicolor": 50, "virginica": 50}
    assert (data.name, data.task, data.examples, data.inputs, data.outputs) == (
        "iris",
        "classification",
        150,
        4,
        3,
    )
    assert (data.minimum, data.maximum, data.missing, data.sealed) == (0.1, 7.9, 0, 0)
    assert data.mean == pytest.approx(3.4645)
    assert data.origin == "iris, as it comes with scikit-learn"


def test_regression_has_outputs_and_no_classes() -> None:
    """Diabetes has one output."""
    data = describe(load("diabetes", environment={}))
    assert (data.task, data.outputs, data.classes) == ("regression", 1, {})


def test_missing_numbers_are_counted_and_left_out() -> None:
    """NaN counts as missing and spoils neither extremes nor mean."""
    iris = load("iris", environment={})
    inputs = np.full_like(iris.inputs, np.nan)
    inputs[0, :2] = 1, 3
    data = describe(replace(iris, inputs=inputs))
    assert (data.minimum, data.maximum, data.mean, data.missing) == (1, 3, 2, 598)
    nothing = describe(replace(iris, inputs=np.full_like(inputs, np.nan)))
    assert nothing.missing == 600
    assert np.isnan([nothing.minimum, nothing.maximum, nothing.mean]).all()
