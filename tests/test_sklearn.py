"""The estimators for scikit-learn: its own checks, its tools, and what stays after `fit`."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hpsearch
from hpsearch.sklearn import HpsearchClassifier, HpsearchRegressor
from hpsearch.storage.records import Progress
from hpsearch.workflows.listener import Listener

RATES: Final = {"learning_rate": hpsearch.Range(0.01, 0.03, log=True)}
SMALL: Final[dict[str, Any]] = {
    "n_trials": 2,
    "epochs": 10,
    "hidden": (8,),
    "search": RATES,
    "random_state": 0,
}


@parametrize_with_checks([HpsearchClassifier(**SMALL), HpsearchRegressor(**SMALL)])  # type: ignore[untyped-decorator]
def test_scikit_learns_checks_pass(estimator: Any, check: Callable[[Any], None]) -> None:
    """Each check of `check_estimator` passes, and none is expected to fail."""
    check(estimator)


@pytest.fixture(scope="module")
def flowers() -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Return the irises as a data frame, and the names of their species."""
    bunch = load_iris()
    return pd.DataFrame(bunch.data, columns=["a", "b", "c", "d"]), bunch.target_names[bunch.target]


@pytest.fixture(scope="module")
def fitted(flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]) -> HpsearchClassifier:
    """Return a classifier of the irises."""
    return HpsearchClassifier(**SMALL).fit(*flowers)


def test_the_best_model_has_the_names_of_the_data(
    fitted: HpsearchClassifier, flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]
) -> None:
    """Labels are those of `y`, and the model without the estimator has the names of columns and classes."""
    X, y = flowers
    assert (fitted.predict(X) == y).mean() > 0.9
    assert list(fitted.classes_) == list(fitted.model_.classes) == ["setosa", "versicolor", "virginica"]
    assert fitted.model_.features == ("a", "b", "c", "d")
    assert list(fitted.model_.predict(X)) == list(fitted.predict(X))
    assert fitted.best_params_ == fitted.study_.best_trial.params
    assert fitted.model_.value == fitted.study_.best_value


def test_the_study_needs_no_database(fitted: HpsearchClassifier) -> None:
    """Trials, verdicts, figures and the report are there after the private database is gone, in a copy too."""
    study = pickle.loads(pickle.dumps(fitted)).study_
    assert [trial.number for trial in study.trials] == [0, 1]
    assert {trial.verdict for trial in study.trials} == {trial.verdict for trial in fitted.study_.trials}
    assert study.report("report.html").stat().st_size > 10_000
    assert study.figure("learning-curves-training").layout.height > 0
    assert list(Path().iterdir()) == [Path("report.html")]


def test_a_seed_gives_the_same_model_again(flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]) -> None:
    """Equal integers give equal bits, and another one another search."""
    X, y = flowers
    one, same, other = (HpsearchClassifier(**SMALL | {"random_state": seed}).fit(X, y) for seed in (1, 1, 2))
    assert np.array_equal(one.predict_proba(X), same.predict_proba(X))
    assert one.best_params_ == same.best_params_ != other.best_params_


def test_refit_decides_which_rows_train_the_model(
    fitted: HpsearchClassifier, flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]
) -> None:
    """By default all rows train it; without `refit` only those of the search."""
    assert fitted.model_.to_dict()["trained_on"] == "all"
    apart = HpsearchClassifier(**SMALL | {"refit": False}).fit(*flowers)
    assert apart.model_.to_dict()["trained_on"] == "training"
    assert apart.model_.verified


@pytest.mark.parametrize("workers", [1, 2])
def test_a_named_database_has_the_study(
    workers: int, flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]
) -> None:
    """This process and worker processes store what another process can train again, bit for bit."""
    estimator = HpsearchClassifier(**SMALL, storage="sqlite:///lab.db", workers=workers).fit(*flowers)
    assert hpsearch.get_all_study_names("sqlite:///lab.db") == [estimator.study_.name]
    study = hpsearch.load_study(estimator.study_.name, storage="sqlite:///lab.db")
    assert study.best_params == estimator.best_params_
    assert study.best_trial.model().verified


def test_progress_is_reported_to_the_end(
    flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A display gets the progress of a search in this process; the last one is that of its end."""
    seen: list[Progress] = []

    @contextmanager
    def watch(*_: object) -> Iterator[Callable[[Progress], None]]:
        yield seen.append

    monkeypatch.setattr("hpsearch.sklearn.listener_of", lambda _progress: Listener(watch=watch))
    HpsearchClassifier(**SMALL, verbose=True).fit(*flowers)
    assert (seen[-1].finished, seen[-1].budget) == (2, 2)


def test_scikit_learns_tools_take_the_estimators(flowers: tuple[pd.DataFrame, np.ndarray[Any, Any]]) -> None:
    """They are steps of pipelines, are scored over folds, and their parameters are searched."""
    X, y = flowers
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(2), HpsearchClassifier(**SMALL))
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.8
    grid = GridSearchCV(clone(HpsearchClassifier(**SMALL)), {"hidden": [(4,), (8, 8)]}, cv=2).fit(X, y)
    assert grid.best_estimator_.model_.to_dict()["hidden"] == list(grid.best_params_["hidden"])


def test_regressors_predict_in_the_unit_of_the_targets() -> None:
    """Predictions of one and of several targets have their shapes and units."""
    X, y = load_diabetes(return_X_y=True)
    one = HpsearchRegressor(**SMALL | {"epochs": 60}).fit(X, y)
    assert one.score(X, y) > 0.4
    both = HpsearchRegressor(**SMALL).fit(X, np.column_stack([y, 2 * y]))
    assert both.predict(X[:5]).shape == (5, 2)


def test_a_search_without_a_complete_trial_names_fates_and_remedy() -> None:
    """The error counts the fates, and has the remedy of the verdicts."""
    X, y = load_iris(return_X_y=True)
    rates = {"learning_rate": hpsearch.Range(1e4, 1e5, log=True)}
    estimator = HpsearchClassifier(**SMALL | {"search": rates}, training={"optimizer": "sgd"})
    with pytest.raises(
        hpsearch.HpsearchError, match=r"must be complete .*\(got 2 diverged\): Lower the learning"
    ):
        estimator.fit(X, y)
    with pytest.raises(hpsearch.StudyFileError, match=r"training.epochs: must be"):
        HpsearchClassifier(**SMALL | {"epochs": 0}).fit(X, y)


@pytest.mark.parametrize("fraction", ["x", float("nan"), float("inf"), 0])
def test_a_wrong_fraction_is_a_problem_of_the_study(fraction: Any) -> None:
    """It is refused by its rule, before a number is made of it."""
    inputs, labels = load_iris(return_X_y=True)
    classifier = HpsearchClassifier(**SMALL, validation_fraction=fraction)
    with pytest.raises(hpsearch.StudyFileError, match=r"data.validation_fraction: must be a number above 0"):
        classifier.fit(inputs, labels)
