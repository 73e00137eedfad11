"""Searches as estimators of scikit-learn: `fit` runs a study, and `predict` uses its best model.

    from hpsearch.sklearn import HpsearchClassifier

    classifier = HpsearchClassifier(n_trials=20, random_state=0).fit(X, y)
    classifier.predict(X_new)
    classifier.best_params_, classifier.study_.report("report.html")

Both estimators pass scikit-learn's `check_estimator`: they work in pipelines, in `cross_val_score` and in
`GridSearchCV`, and they can be cloned and pickled.
"""

from __future__ import annotations

import secrets
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hpsearch.api.access import url_of
from hpsearch.api.arguments import table, whole_number
from hpsearch.api.border import drained_on_interrupt, public
from hpsearch.api.data import StudyData, array_data
from hpsearch.api.documents import Draft
from hpsearch.api.models import Model
from hpsearch.api.options import ModelOptions, SearchSpace, TrainingOptions
from hpsearch.api.progress import listener_of
from hpsearch.api.search_result import SearchResult
from hpsearch.data.arrays import read_arrays
from hpsearch.errors import DataError
from hpsearch.study.metrics import Metric
from hpsearch.study.schema import MOST_INTEGER, MOST_WORKERS, SECTIONS
from hpsearch.study.spec import KnownTask, Range
from hpsearch.trials import ParameterValue
from hpsearch.workflows.estimator import best_model, private_database, run_prepared

Values: TypeAlias = npt.NDArray[Any]

DEFAULT_SEARCH: Final[SearchSpace] = {
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "weight_decay": Range(1e-6, 1e-1, log=True),
}
"""The search of an estimator without `search`, around the rate 0.001 of Adam's authors (Kingma and Ba 2015)."""

BATCH_EXAMPLES: Final = 32
"""Examples of a minibatch, unless `training` sets it or there are fewer (Masters and Luschi 2018: 2 to 32 are best)."""


class _SearchEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """The parts that both estimators share. scikit-learn's interface is one of base classes and mixins."""

    def __init__(
        self,
        *,
        n_trials: int = 20,
        hidden: tuple[int, ...] = (64,),
        epochs: int = 50,
        search: SearchSpace | None = None,
        metric: Metric | None = None,
        model: ModelOptions | None = None,
        training: TrainingOptions | None = None,
        validation_fraction: float = 0.2,
        refit: bool = True,
        storage: str | None = None,
        workers: int = 1,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.n_trials = n_trials
        self.hidden = hidden
        self.epochs = epochs
        self.search = search
        self.metric = metric
        self.model = model
        self.training = training
        self.validation_fraction = validation_fraction
        self.refit = refit
        self.storage = storage
        self.workers = workers
        self.random_state = random_state
        self.verbose = verbose

    @property
    def model_(self) -> Model:
        """The trained network with its preprocessing, which can be saved and described without the estimator."""
        check_is_fitted(self)
        return Model(self._trained)

    @property
    def best_params_(self) -> dict[str, ParameterValue]:
        """The searched values of the best trial."""
        check_is_fitted(self)
        return dict(self._trained.params)

    def _fit(self, X: Values, y: Values, task: KnownTask, *, stratify: bool) -> None:
        """Run the study of checked data, and keep its record and its best model."""
        try:
            raw = read_arrays((X, y), task=task)
        except DataError as error:
            raise ValueError(str(error)) from error  # which scikit-learn's tools expect
        raw = replace(raw, features=tuple(getattr(self, "feature_names_in_", ())))
        workers = whole_number("workers", self.workers, most=MOST_WORKERS)
        keys: dict[str, Any] = {"task": task, "scale": "standard", "stratify": stratify}
        keys["validation_fraction"] = self.validation_fraction
        private = private_database() if self.storage is None else nullcontext(url_of(self.storage))
        with private as url:
            data = array_data(raw, keys, storage=url)
            if self.storage is not None or workers > 1:
                data.store()
            study = self._draft(data, precision=str(X.dtype)).prepared()
            with drained_on_interrupt("fit") as stop:
                snapshot = run_prepared(
                    url, study, workers=workers, stop=stop, listener=listener_of(self.verbose)
                )
            self._trained = best_model(snapshot, study, on="all" if self.refit else "training")
        self.study_ = SearchResult(snapshot=snapshot)

    def _validation_examples(self, examples: int) -> int:
        """Return about how many of the examples only measure; 1 for a wrong fraction, which the study refuses."""
        is_wrong = SECTIONS["data"].rules["validation_fraction"].problems("", self.validation_fraction)
        return 1 if is_wrong else max(1, round(examples * self.validation_fraction))

    def _draft(self, data: StudyData, *, precision: str) -> Draft:
        """Return the study of the data, which is in memory."""
        assert data.arrays is not None
        examples = len(data.arrays.targets)
        batch = max(1, min(BATCH_EXAMPLES, examples - self._validation_examples(examples)))
        training: dict[str, Any] = {
            "epochs": self.epochs,
            "optimizer": "adam",
            "batch_size": batch,
            "precision": precision,
        }
        name = type(self).__name__
        return Draft(
            where=name,
            values={
                "name": name if self.storage is None else f"{name}-{secrets.token_hex(4)}",
                "trials": self.n_trials,
                "seed": int(check_random_state(self.random_state).randint(MOST_INTEGER)),
                "metric": self.metric,
            },
            tables={
                "data": data.table,
                "model": {"hidden": self.hidden, **table("model", self.model or {})},
                "training": {**training, **table("training", self.training or {})},
            },
            search=DEFAULT_SEARCH if self.search is None else self.search,
            arrays=data.arrays,
        )

    def _inputs(self, X: npt.ArrayLike) -> Values:
        check_is_fitted(self)
        inputs: Values = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return inputs


class HpsearchClassifier(ClassifierMixin, _SearchEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A multilayer perceptron whose hyperparameters are searched in `fit`.

    >>> X, y = sklearn.datasets.load_iris(return_X_y=True)
    >>> classifier = hpsearch.sklearn.HpsearchClassifier(n_trials=4, epochs=10, random_state=0).fit(X, y)
    >>> classifier.score(X, y) > 0.8
    True
    """

    @public
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Search the hyperparameters on a part of the rows, validated on the others, and train the best network.

        `X` (N, I) are finite numbers, `y` (N,) the classes. With `refit` the best configuration is trained again on all
        rows. Raises ValueError for data that cannot be learned, and HpsearchError if no trial is complete.
        """
        inputs, labels = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_min_samples=3)
        check_classification_targets(labels)
        self.classes_, counts = np.unique(labels, return_counts=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: must have at least two classes (got one class, {self.classes_[0]!r})")
        most = len(labels) - len(counts)
        stratify = bool(counts.min() > 1 and self._validation_examples(len(labels)) <= most)
        self._fit(inputs, labels, "classification", stratify=stratify)
        return self

    @public
    def predict(self, X: npt.ArrayLike) -> Values:
        """Return the class (N,) of each row of `X` (N, I)."""
        inputs = self._inputs(X)
        classes: Values = self.classes_[self._trained.predict_indices(inputs)]
        return classes

    @public
    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the probability (N, C) of each class, in the order of `classes_`, for each row of `X` (N, I)."""
        inputs = self._inputs(X)
        return self._trained.predict_probabilities(inputs)


class HpsearchRegressor(RegressorMixin, _SearchEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A multilayer perceptron for numbers, whose hyperparameters are searched in `fit`.

    >>> X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    >>> regressor = hpsearch.sklearn.HpsearchRegressor(n_trials=4, epochs=10, random_state=0).fit(X, y)
    >>> regressor.predict(X[:2]).shape
    (2,)
    """

    def __sklearn_tags__(self) -> Any:
        """Return the tags of scikit-learn: targets may have several columns."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @public
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Search the hyperparameters on a part of the rows, validated on the others, and train the best network.

        `X` (N, I) and `y` (N,) or (N, O) are finite numbers. With `refit` the best configuration is trained again on
        all rows. Raises ValueError for data that cannot be learned, and HpsearchError if no trial is complete.
        """
        inputs, targets = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            ensure_min_samples=3,
            multi_output=True,
            y_numeric=True,
        )
        self._fit(inputs, targets.astype(np.float64), "regression", stratify=False)
        return self

    @public
    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the number (N,), or numbers (N, O), of each row of `X` (N, I), in the unit of the targets."""
        inputs = self._inputs(X)
        values: npt.NDArray[np.float64] = self._trained.predict(inputs)
        return values
