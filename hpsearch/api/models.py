"""Trained models as objects: predict, describe, save and load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import numpy.typing as npt

from hpsearch.analysis.formats import format_metric, format_result
from hpsearch.api.arguments import file_path
from hpsearch.api.border import public
from hpsearch.api.documents import FilePath
from hpsearch.data.arrays import ArrayValues, Rows, read_inputs
from hpsearch.model.archive import read_model
from hpsearch.model.card import model_card
from hpsearch.model.description import model_object
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.spec import KnownTask
from hpsearch.trials import ParameterValue
from hpsearch.workflows.json_objects import JsonObject
from hpsearch.workflows.model import save_model


@public
def load_model(path: FilePath) -> Model:
    """Return the model in a file of `Model.save` or `hpsearch model export`. Loading executes no code.

    >>> study.best_trial.model().save("digits.npz")
    >>> hpsearch.load_model("digits.npz")
    <Model of "lesson", trial ...: validation accuracy 0...>

    Raises HpsearchError if the file is no model, is damaged, or needs a newer hpsearch.
    """
    return Model(read_model(file_path("path", path)))


@final
class Model:
    """A trained network with its preprocessing, which predicts from raw inputs.

    It is made by `Trial.model` and `load_model`, and needs neither the study nor its data.

    >>> model = study.best_trial.model()
    >>> X, y = sklearn.datasets.load_digits(return_X_y=True)
    >>> bool((model.predict(X) == y).mean() > 0.5)
    True
    """

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained

    def __repr__(self) -> str:
        trained = self._trained
        metric = trained.spec.metric
        value = f"{format_metric(metric)} {format_result(trained.value, metric)}"
        return f'<Model of "{trained.spec.name}", trial {trained.trial}: {value}>'

    @property
    def study(self) -> str:
        """The name of the study."""
        return self._trained.spec.name

    @property
    def trial(self) -> int:
        """The number of the trial."""
        return self._trained.trial

    @property
    def params(self) -> Mapping[str, ParameterValue]:
        """The searched values of the trial.

        >>> study.best_trial.model().params == study.best_params
        True
        """
        return dict(self._trained.params)

    @property
    def task(self) -> KnownTask:
        """`classification` or `regression`."""
        return self._trained.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns of `predict_proba`; none in regression.

        >>> study.best_trial.model().classes[:3]
        ('0', '1', '2')
        """
        return self._trained.classes

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the network's inputs, such as `age` and `city=Oslo`, if the data has any."""
        return self._trained.preprocessing.features

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that `predict` reads, if the data has any."""
        return self._trained.preprocessing.raw_features

    @property
    def metric(self) -> str:
        """The name of the metric of the study, such as `validation_accuracy`."""
        return self._trained.spec.metric

    @property
    def value(self) -> float | None:
        """The metric at the end of the training, that of the trial if the model is verified.

        >>> study.best_trial.model().value == study.best_value
        True
        """
        return self._trained.value

    @property
    def verified(self) -> bool:
        """True if the training gave all stored numbers of the trial again, bit for bit."""
        return self._trained.result.is_verified

    @public
    def predict(self, X: ArrayValues | Rows) -> npt.NDArray[np.str_ | np.int64 | np.bool_ | np.float64]:
        """Return a class label for each row of `X`, or a number in the unit of the targets.

        `X` is an array or list of raw rows (N, inputs), a data frame of pandas or polars, or a list of dictionaries. If
        the inputs have names, a frame or dictionary may have other columns too, in any order. A category that the
        training part does not have counts as a rare one. Labels are whole numbers or flags if all classes are.

        >>> X, y = sklearn.datasets.load_digits(return_X_y=True)
        >>> study.best_trial.model().predict(X[:5]).shape
        (5,)

        Raises DataError, which lists every problem.
        """
        return self._trained.predict(self._inputs(X))

    @public
    def predict_proba(self, X: ArrayValues | Rows) -> npt.NDArray[np.float64]:
        """Return the probability (N, classes) of each class for each row of `X`, in the order of `classes`.

        >>> X, y = sklearn.datasets.load_digits(return_X_y=True)
        >>> study.best_trial.model().predict_proba(X[:5]).shape
        (5, 10)

        Raises HpsearchError for a regression, and for a network whose outputs are no probabilities.
        """
        self._trained.check_probabilities("predict_proba")
        return self._trained.predict_probabilities(self._inputs(X))

    def _inputs(self, x: ArrayValues | Rows) -> npt.NDArray[np.float64]:
        return read_inputs(x, preprocessing=self._trained.preprocessing, inputs=self._trained.inputs)

    @public
    def save(self, path: FilePath) -> None:
        """Write the model to a file, whole or not at all. An existing file is replaced.

        The ending is the format: `.npz`, which `load_model` reads; `.onnx`, a graph with preprocessing that onnxruntime
        was checked to predict the same with; or `.joblib`, a `Pipeline` of scikit-learn, whose loading executes code.

        >>> study.best_trial.model().save("digits.npz")

        Raises UsageError for another format, and HpsearchError if the file cannot be written, or the model cannot be
        written in that format.
        """
        save_model(self._trained, file_path("save", path), where="save")

    @public
    def card(self) -> str:
        """Return a model card in Markdown: what the model is, how good, on which data, and its limits.

        >>> print(study.best_trial.model().card())
        # Model of lesson, trial ...
        """
        return model_card(self._trained)

    @public
    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch model show --format json` prints.

        >>> study.best_trial.model().to_dict()["task"]
        'classification'
        """
        return model_object(self._trained)
