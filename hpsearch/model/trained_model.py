"""A trained model: its weights, preprocessing and classes, and predictions for raw inputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.dataset import Array
from hpsearch.data.preprocessing import Preprocessing
from hpsearch.data.target_scaling import UNSCALED, TargetScaling
from hpsearch.errors import HpsearchError
from hpsearch.nn.network import Network, build_network
from hpsearch.study.spec import KnownTask, StudySpec
from hpsearch.training.evaluation import NetworkOutputs, compute_outputs
from hpsearch.training.scores import probabilities
from hpsearch.training.workspace import NetworkSnapshot
from hpsearch.trials import ParameterValue

TrainedOn: TypeAlias = Literal["training", "all"]
"""The examples that weights come from: the training part, or training and validation part together."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """The results of a configuration trained on the training part, and the stored value of its trial.

    `is_verified` is True if all stored numbers of the trial came out again, bit for bit. `validation_accuracy` is None
    in regression. `scores` are the other metrics by name. With `trained_on` "all" the model's weights come from a
    second training, on the validation part too, for as many epochs; `steps` are those of that training, and nothing is
    left to measure it on.
    """

    epochs: int
    steps: int
    training_examples: int
    validation_examples: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float | None
    stored_value: float | None
    is_verified: bool
    trained_on: TrainedOn = "training"
    scores: Mapping[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """Return the metric of the study."""
        measured = {
            "validation_loss": self.validation_loss,
            "validation_accuracy": self.validation_accuracy,
            **self.scores,
        }
        return measured.get(metric)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedModel:
    """The network of one trial with its preprocessing.

    `spec` is the study with the configuration of the trial: it searches nothing. `params` are the searched values.
    `inputs` and `outputs` are the widths of the network; `classes` is empty in regression. `target_scaling` leads from
    its outputs to the unit of the targets. `parameters` (P,) and `running` (S,) are in the network's layout. `origin`
    describes the data, `fingerprint` names it. `versions` are those of the libraries that trained the model.
    """

    spec: StudySpec
    trial: int
    params: Mapping[str, ParameterValue]
    inputs: int
    outputs: int
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    parameters: Array
    running: Array
    result: TrainingResult
    origin: str
    fingerprint: str
    versions: Mapping[str, str]
    created: datetime
    target_scaling: TargetScaling = UNSCALED

    @property
    def task(self) -> KnownTask:
        """`classification` or `regression`."""
        return "classification" if self.classes else "regression"

    @property
    def labels(self) -> Array:
        """The classes (C,) as whole numbers or flags if all their names are, else as text."""
        return _labels(self.classes)

    @property
    def network(self) -> Network:
        """The description of the network."""
        return build_network(self.spec.model, inputs=self.inputs, outputs=self.outputs)

    @property
    def output(self) -> str:
        """The output activation, such as `softmax`."""
        if self.spec.model.output != "auto":
            return self.spec.model.output
        return {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}.get(
            self.spec.model.loss, "identity"
        )

    @property
    def value(self) -> float | None:
        """The study's metric with these weights."""
        return self.result.value(self.spec.metric)

    def predict(self, inputs: Array, *, where: str = "predict") -> Array:
        """Return a class label (N,), or numbers (N,) or (N, O) in the unit of the targets, for raw inputs (N, I).

        Labels are whole numbers or flags if all names of classes are. Raises DataError, about `where`, for numbers that
        are too large.
        """
        if self.classes:
            labels: Array = self.labels[self.predict_indices(inputs, where=where)]
            return labels
        values = self.target_scaling.restore(self._outputs(inputs, where).values)
        return values[:, 0] if values.shape[1] == 1 else values

    def predict_indices(self, inputs: Array, *, where: str = "predict") -> NDArray[np.int64]:
        """Return the place in `classes` of the class (N,) of each of the raw inputs (N, I)."""
        return self._outputs(inputs, where).answers

    def predict_probabilities(self, inputs: Array, *, where: str = "predict_proba") -> NDArray[np.float64]:
        """Return the probability (N, C) of each class, in the order of `classes`, for raw inputs (N, I).

        Independent sigmoids of more than two classes are divided by their sum. Raises HpsearchError for a network whose
        outputs are no probabilities.
        """
        self.check_probabilities(where)
        return probabilities(self._outputs(inputs, where).values)

    @property
    def has_probabilities(self) -> bool:
        """True if the outputs of the network are probabilities of classes."""
        return bool(self.classes) and self.output in ("softmax", "sigmoid")

    def check_probabilities(self, where: str) -> None:
        """Raise HpsearchError, about `where`, if the outputs of the network are no probabilities."""
        if not self.classes:
            raise HpsearchError(f"{where}: needs a classification (got a regression): predict the numbers")
        if not self.has_probabilities:
            raise HpsearchError(
                f'{where}: needs outputs that are probabilities (got model.output = "{self.output}"): '
                'predict the classes, or train with model.loss = "cross_entropy"'
            )

    def _outputs(self, inputs: Array, where: str) -> NetworkOutputs:
        ready = self.preprocessing.apply(inputs, precision=self.spec.training.precision, where=where)
        snapshot = NetworkSnapshot(steps=self.result.steps, parameters=self.parameters, running=self.running)
        return compute_outputs(self.network, snapshot, ready)


def _labels(classes: tuple[str, ...]) -> Array:
    """Return the classes as whole numbers or flags if all their names are, else as text."""
    if classes == ("False", "True"):
        return np.array([False, True])
    if all(_is_integer(name) for name in classes):
        return np.array([int(name) for name in classes], np.int64)
    return np.array(classes, np.str_)


_LONGEST_INTEGER = 18
"""Digits that every whole number of 64 bits can have."""


def _is_integer(name: str) -> bool:
    digits = name.removeprefix("-")
    return (
        digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST_INTEGER and str(int(name)) == name
    )
