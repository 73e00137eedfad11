"""Metrics of a network equal scikit-learn's."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from hpsearch.data.prepare import DataPart
from hpsearch.data.target_scaling import TargetScaling
from hpsearch.training import scores
from hpsearch.training.evaluation import Validation
from hpsearch.training.examples import class_weights
from hpsearch.training.scores import Scoring
from tests.training.cases import classification, cohort_of, configuration, regression, trained


@st.composite
def answered(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Draw labels, answers and probabilities with ties, of two to six classes; some may have no example."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes, examples = draw(st.integers(2, 6)), draw(st.integers(1, 60))
    labels = generator.integers(0, classes, examples)
    raw = generator.integers(1, draw(st.integers(2, 50)), (examples, classes)).astype(float)
    shares = raw / raw.sum(axis=1, keepdims=True)
    return labels, shares.argmax(axis=1), shares


@given(answered())
def test_metrics_of_classes_equal_those_of_scikit_learn(
    case: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
) -> None:
    """Balanced accuracy, macro F1, log loss and ROC AUC are scikit-learn's to 1e-12, NaN if that is not defined."""
    labels, answers, shares = case
    everyone = list(range(shares.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are absent
        expected = {
            "balanced_accuracy": metrics.balanced_accuracy_score(labels, answers),
            "f1_macro": metrics.f1_score(labels, answers, average="macro"),
            "log_loss": metrics.log_loss(labels, shares, labels=everyone),
        }
    assert scores.balanced_accuracy(answers, labels) == pytest.approx(
        expected["balanced_accuracy"], abs=1e-12
    )
    assert scores.macro_f1(answers, labels) == pytest.approx(expected["f1_macro"], abs=1e-12)
    assert scores.log_loss(shares, labels) == pytest.approx(expected["log_loss"], abs=1e-12)
    if len(set(labels)) < len(everyone):
        assert math.isnan(scores.roc_auc(shares, labels))
    else:
        theirs = metrics.roc_auc_score(
            labels, shares[:, 1] if len(everyone) == 2 else shares, multi_class="ovr", average="macro"
        )
        assert scores.roc_auc(shares, labels) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", [1e-6, 1.0, 3e5])
def test_metrics_of_numbers_equal_those_of_scikit_learn(outputs: int, size: float) -> None:
    """RMSE, MAE and R2 of several outputs are the means of each one's, as scikit-learn's defaults."""
    generator = np.random.default_rng(3)
    values = size * generator.standard_normal((50, outputs)) + size
    guesses = values + 0.3 * size * generator.standard_normal(values.shape)
    found = scores.regression_scores(values, guesses)
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(values, guesses), rel=1e-12)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(values, guesses), rel=1e-12)
    assert found["r2"] == pytest.approx(metrics.r2_score(values, guesses), rel=1e-12)


def test_r2_of_constant_values() -> None:
    """As scikit-learn's: 1 for an exact prediction of values that never change, else 0; NaN stays NaN."""
    values = np.full((5, 1), 7.0)
    assert scores.regression_scores(values, values)["r2"] == 1.0 == metrics.r2_score(values, values)
    assert scores.regression_scores(values, values + 1)["r2"] == 0.0 == metrics.r2_score(values, values + 1)
    assert math.isnan(scores.regression_scores(values, np.full((5, 1), np.nan))["r2"])


def test_numbers_that_are_not_finite_give_no_finite_metric() -> None:
    """A diverged network never looks good by a metric of its outputs."""
    labels = np.array([0, 1, 2])
    shares = np.full((3, 3), np.nan)
    assert math.isnan(scores.roc_auc(shares, labels))
    assert math.isnan(scores.log_loss(shares, labels))
    found = scores.regression_scores(np.zeros((2, 1)), np.array([[np.inf], [1.0]]))
    assert not any(map(math.isfinite, found.values()))


def test_one_sigmoid_is_the_probability_of_the_second_class() -> None:
    """Outputs (N, 1) are two classes; several sigmoids are divided by their sum, and equal if all are 0."""
    assert scores.probabilities(np.array([[0.25]])).tolist() == [[0.75, 0.25]]
    assert scores.probabilities(np.array([[0.2, 0.2, 0.4], [0.0, 0.0, 0.0]])).tolist() == [
        pytest.approx([0.25, 0.25, 0.5]),
        pytest.approx([1 / 3, 1 / 3, 1 / 3]),
    ]


def test_scores_are_of_all_passes_in_the_unit_of_the_targets() -> None:
    """More examples than a pass has give the metric of all, with outputs restored to the targets' unit."""
    data = regression(validation=1203, outputs=1)
    cohort = cohort_of(data, [configuration(loss="mse"), configuration(loss="mse", learning_rate=0.01)])
    scaling = TargetScaling(kind="standard", offset=np.array([1e5]), divisor=np.array([1e4]))
    scoring = Scoring(
        metrics=(),
        target_scaling=scaling,
        values=scaling.restore(data.validation.targets),
        labels=None,
    )
    validation = Validation(
        cohort.network, cohort._state, cohort._validation.examples, scoring=scoring
    ).evaluate(0, 2, is_interrupted=lambda: False)
    assert validation is not None
    expected = [1e4 * math.sqrt(loss / 1203) for loss in validation.losses]
    assert [one["rmse"] for one in validation.scores] == pytest.approx(expected, rel=1e-6)


def test_class_weights_are_scikit_learns() -> None:
    """The weights of the training part's classes, whose mean over its examples is 1; an absent class has weight 0."""
    data = classification(classes=3)
    labels = data.training.targets
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    own = class_weights(data, np.float64)
    assert own == pytest.approx(theirs, rel=1e-12)
    assert own[labels].mean() == pytest.approx(1.0)


def test_weighted_examples_train_as_repeated_ones() -> None:
    """Balanced weights give the gradient of a data set in which the rare class is repeated until it is as frequent."""
    data = classification(training=40, classes=2)
    labels = data.training.targets
    rare = np.concatenate([np.flatnonzero(labels == 0)[:5], np.flatnonzero(labels == 1)[:10]])

    def of(rows: NDArray[np.int64]) -> DataPart:
        return DataPart(inputs=data.training.inputs[rows].astype(np.float64), targets=labels[rows])

    chosen = {"batch_size": 15, "epochs": 1, "learning_rate": 0.3, "precision": "float64"}
    small = replace(data, training=of(rare), class_counts=(5, 10), validation=of(rare))
    twice = np.concatenate([rare, rare[:5]])
    even = replace(data, training=of(twice), class_counts=(10, 10), validation=of(rare))
    weighted = trained(cohort_of(small, [configuration(**chosen, class_weight="balanced")]))[0]
    repeated = trained(cohort_of(even, [configuration(**chosen | {"batch_size": 20})]))[0]
    assert weighted[1] == pytest.approx(repeated[1], rel=1e-9)
    losses = [end.telemetry.epochs[0].training_loss for end, _ in (weighted, repeated)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
