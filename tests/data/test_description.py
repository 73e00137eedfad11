"""The description of a data set, and the facts that diagnosis gets."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.description import _BLOCK_EXAMPLES, describe, facts_of
from hpsearch.data.prepare import DataPart, PreparedData, prepare
from hpsearch.data.sources import load
from hpsearch.study.spec import DataSpec
from tests.training.cases import classification, regression


def test_classes_are_counted() -> None:
    """Iris has its well-known description."""
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


def test_facts_are_those_of_the_training_part() -> None:
    """Examples and numbers of the training part count, across blocks, and nothing of the validation part."""
    data = classification(training=_BLOCK_EXAMPLES + 50, validation=30, classes=4)
    x = data.training.inputs.copy()
    x[-1, 0], x[0] = -77.0, 0.0
    validation = DataPart(inputs=np.full_like(data.validation.inputs, 1e6), targets=data.validation.targets)
    facts = facts_of(replace(data, training=replace(data.training, inputs=x), validation=validation))
    assert (facts.examples, facts.validation_examples) == (_BLOCK_EXAMPLES + 50, 30)
    assert facts.input_largest == 77.0
    assert facts.input_mean_square == pytest.approx(float(np.mean(x.astype(np.float64) ** 2)), rel=1e-12)
    assert facts.input_nonzero_share == pytest.approx(1 - x.shape[1] / x.size)
    assert not facts.input_is_binary
    assert math.fsum(facts.class_shares) == pytest.approx(1.0)
    assert facts.majority_share == max(facts.class_shares) == max(data.class_counts) / len(x)


def test_inputs_are_constant_where_no_example_differs() -> None:
    """One number that differs, in the last block, is enough; and a single example is not constant."""
    data = classification(training=_BLOCK_EXAMPLES + 50)
    x = np.full_like(data.training.inputs, 0.5)
    same = replace(data, training=replace(data.training, inputs=x))
    assert facts_of(same).input_is_constant
    x[-1, -1] = 0.25
    assert not facts_of(same).input_is_constant
    single = DataPart(inputs=x[:1], targets=data.training.targets[:1])
    assert not facts_of(replace(data, training=single)).input_is_constant


def test_numbers_have_bounds_and_a_variance() -> None:
    """Targets of a regression are bounded, and vary; it has no classes."""
    data = regression(outputs=2)
    facts = facts_of(data)
    targets = data.training.targets
    assert not facts.is_classification
    assert facts.majority_share == 0.0
    assert (facts.target_low, facts.target_high) == (targets.min(), targets.max())
    assert facts.target_variance == pytest.approx(float(targets.var(axis=0).mean()), rel=1e-5)


@pytest.mark.parametrize(("value", "expected"), [(1.0, True), (0.5, False), (-1.0, False)])
def test_binary_inputs_are_known(value: float, *, expected: bool) -> None:
    """Inputs are binary if each is 0 or 1."""
    data = classification()
    x = np.zeros_like(data.training.inputs)
    x[3, 2] = value
    assert facts_of(replace(data, training=replace(data.training, inputs=x))).input_is_binary is expected


def test_shares_of_validation_are_known() -> None:
    """Validation has its own shares of the classes; a regression has none."""
    data = classification(training=40, validation=10)
    targets = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
    changed = replace(data, validation=DataPart(inputs=data.validation.inputs[:10], targets=targets))
    shares = facts_of(changed).validation_shares
    assert shares[:3] == (0.5, 0.3, 0.2)
    assert facts_of(regression()).validation_shares == ()


def test_squeezed_and_constant_columns_are_found() -> None:
    """One outlier leaves the rest of a column nearly one number; a rare one, as in one-hot columns, does not."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((500, 4)).astype(np.float32)
    inputs[:, 1] *= 1e-6
    inputs[0, 1] = 22.0
    inputs[:, 2] = 0
    inputs[:, 3] = generator.random(500) < 0.01
    inputs = np.where(inputs.std(axis=0) > 0, inputs / np.maximum(inputs.std(axis=0), 1e-9), inputs)
    data = classification(training=500)
    changed = replace(data, training=DataPart(inputs=inputs, targets=data.training.targets[:500]))
    facts = facts_of(changed)
    assert (facts.squeezed, facts.constant) == ((1,), (2,))
    image = inputs * np.array([1, 1, 1, 7], np.float32)
    changed = replace(data, training=DataPart(inputs=image, targets=data.training.targets[:500]))
    assert facts_of(changed).constant == (), "columns of one scale have blank ones"


def test_copies_classes_and_names_reach_the_facts() -> None:
    """Copies are counted and named by their places in the source; names of columns come if each column has one."""
    data = prepare(DataSpec(source="wine"), seed=1, precision="float32", environment={})
    facts = facts_of(data)
    assert (facts.leaked, facts.contradicted, facts.leaked_places) == (0, 0, ())
    assert facts.classes == data.classes
    inputs, targets = data.validation.inputs.copy(), data.validation.targets.copy()
    inputs[:10], targets[:10] = data.training.inputs[5:15], data.training.targets[5:15]
    targets[:2] = (targets[:2] + 1) % 3
    assert data.training.places is not None
    assert data.validation.places is not None
    copied = facts_of(replace(data, validation=replace(data.validation, inputs=inputs, targets=targets)))
    assert (copied.leaked, copied.contradicted) == (8, 2)
    assert copied.leaked_places == tuple(data.validation.places[2:5])
    assert copied.leaked_twins == tuple(data.training.places[7:10])
    letters = tuple("abcdefghijklm")
    assert facts_of(_named(data, letters)).features == letters
    assert facts_of(_named(data, ("one",))).features == ()


def _named(data: PreparedData, features: tuple[str, ...]) -> PreparedData:
    return replace(data, preprocessing=replace(data.preprocessing, features=features))


@pytest.mark.parametrize("source", ["digits", "iris", "wine", "breast_cancer", "diabetes"])
def test_built_in_data_have_no_copies(source: str) -> None:
    """The few equal flowers of iris are natural."""
    for seed in range(5):
        data = prepare(DataSpec(source=source), seed=seed, precision="float32", environment={})
        assert facts_of(data).leaked + facts_of(data).contradicted == 0
