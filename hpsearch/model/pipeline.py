"""A model as a `Pipeline` of scikit-learn, which needs hpsearch but neither the study nor a database.

The file is joblib's, and so a pickle: to load it executes code. Files of `archive` do not have this danger.
"""

import io
from dataclasses import replace
from typing import Any, Self

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from hpsearch.data.dataset import Array
from hpsearch.data.preprocessing import AS_PREPARED
from hpsearch.model.trained_model import TrainedModel


class _TrainedNetwork(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """An estimator that is fitted already, as `sklearn.frozen.FrozenEstimator` is: `fit` and `clone` change nothing.

    `network` is a model without preprocessing.
    """

    def __init__(self, network: TrainedModel) -> None:
        self.network = network

    def __sklearn_is_fitted__(self) -> bool:
        """Return True: the network was trained by hpsearch."""
        return True

    def __sklearn_clone__(self) -> Self:
        """Return the estimator itself, since a copy without its weights would be of no use."""
        return self

    @property
    def n_features_in_(self) -> int:
        """The number of inputs."""
        return self.network.inputs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Return the estimator unchanged."""
        return self


class NetworkClassifier(ClassifierMixin, _TrainedNetwork):  # type: ignore[misc] # scikit-learn has no types
    """A trained network that predicts classes from scaled inputs."""

    @property
    def classes_(self) -> Array:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.network.labels

    def predict(self, X: Array) -> Array:
        """Return the class (N,) of each row of scaled inputs (N, I)."""
        return self.network.predict(np.asarray(X))

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Return the probability (N, C) of each class for each row of scaled inputs (N, I)."""
        return self.network.predict_probabilities(np.asarray(X))


class NetworkRegressor(RegressorMixin, _TrainedNetwork):  # type: ignore[misc] # scikit-learn has no types
    """A trained network that predicts numbers, in the unit of the targets, from scaled inputs."""

    def predict(self, X: Array) -> NDArray[np.float64]:
        """Return the number (N,), or numbers (N, O), of each row of scaled inputs (N, I)."""
        values: NDArray[np.float64] = self.network.predict(np.asarray(X))
        return values


def pipeline_of(model: TrainedModel, *, where: str) -> Pipeline:
    """Return a fitted pipeline from raw inputs (N, R) to predictions, which are those of the model.

    Columns that are encoded are as `Encoding.transformer` takes them.

    Raises HpsearchError, about `where`, for a model with a fault of data.
    """
    model.preprocessing.check_without_fault(where)
    network = replace(model, preprocessing=AS_PREPARED)
    estimator = NetworkClassifier(network) if model.classes else NetworkRegressor(network)
    encoding, scaler = model.preprocessing.encoding, _scaler(model)
    columns = [] if encoding is None else [("columns", encoding.transformer)]
    scaling = [] if scaler is None else [("scaling", scaler)]
    return Pipeline([*columns, *scaling, ("network", estimator)])


def _scaler(model: TrainedModel) -> Any:
    """Return the scaling as a fitted transformer, or None without one. It makes 0 of an input that was constant."""
    scaling, width = model.preprocessing.scaling, model.inputs
    offset, divisor = (np.resize(numbers, width) for numbers in (scaling.offset, scaling.divisor))
    match scaling.kind:
        case "none":
            return None
        case "standard":
            scaler = StandardScaler()
            scaler.mean_, scaler.scale_, scaler.var_ = offset, divisor, np.square(divisor)
            scaler.n_samples_seen_ = model.result.training_examples
        case "unit":
            scaler = MinMaxScaler()
            scaler.scale_, scaler.min_ = 1 / divisor, -offset / divisor
            scaler.data_min_, scaler.data_max_ = offset, offset + divisor
            scaler.data_range_, scaler.n_samples_seen_ = divisor, model.result.training_examples
    scaler.n_features_in_ = width
    if model.preprocessing.features and model.preprocessing.encoding is None:
        scaler.feature_names_in_ = np.array(model.preprocessing.features, object)
    return scaler


def joblib_bytes(model: TrainedModel, *, where: str) -> bytes:
    """Return the contents of a file of joblib with the pipeline. Raises HpsearchError as `pipeline_of` does."""
    file = io.BytesIO()
    joblib.dump(pipeline_of(model, where=where), file)
    return file.getvalue()
