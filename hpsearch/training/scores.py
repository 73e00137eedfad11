"""Metrics of one network on validation, by the definitions of scikit-learn, from its outputs on all examples.

Tests hold them against `sklearn.metrics`. They are written in NumPy because validation computes them for every trial
and epoch: scikit-learn's functions take longer than an epoch of a small network. Numbers that are not finite give a
metric that is not finite, where scikit-learn raises.
"""

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.data.target_scaling import TargetScaling
from hpsearch.nn.arrays import Array
from hpsearch.study.metrics import METRICS, REGRESSION_SCORES

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

MEASURED_ALWAYS: Final = frozenset({"auto", "validation_loss", "validation_accuracy"})
"""Metrics that validation measures without the outputs of single examples."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scoring:
    """The metrics to measure on one part: three in regression, and that of the study in classification.

    `values` (N, O) are the targets of a regression in their unit; `labels` (N,) are classes.
    """

    metrics: tuple[str, ...]
    target_scaling: TargetScaling
    values: Floats | None
    labels: Labels | None

    @property
    def reads_outputs(self) -> bool:
        """True if the metrics depend on outputs, and not on answers alone."""
        return self.values is not None or any(METRICS[name].needs_probabilities for name in self.metrics)

    def scores(self, outputs: Array | None, answers: Labels | None) -> dict[str, float]:
        """Return the metrics of one network's outputs (N, C), after the output activation, and its answers (N,).

        Regression has no answers; outputs are None unless it `reads_outputs`.
        """
        if self.values is not None and outputs is not None:
            return regression_scores(self.values, self.target_scaling.restore(outputs))
        if self.labels is None or answers is None:
            raise ValueError("scores: need the outputs of a regression, or the answers of a classification")
        return {name: _classification_score(name, outputs, answers, self.labels) for name in self.metrics}


def scoring_of(part: DataPart, data: PreparedData, metric: str) -> Scoring | None:
    """Return the other metrics to measure on a `part` of `data` for a study that ranks by `metric`; None if none."""
    is_regression = data.task == "regression"
    if metric in MEASURED_ALWAYS and not is_regression:
        return None
    values = part.targets.astype(np.float64) if part.values is None else part.values
    return Scoring(
        metrics=REGRESSION_SCORES if is_regression else (metric,),
        target_scaling=data.target_scaling,
        values=values if is_regression else None,
        labels=None if is_regression else part.targets,
    )


def regression_scores(values: Floats, predictions: Floats) -> dict[str, float]:
    """Return RMSE, MAE and R2 of predictions (N, O) for `values` (N, O): the mean over outputs of each output's own.

    As `root_mean_squared_error`, `mean_absolute_error` and `r2_score` of scikit-learn: the R2 of a constant output is 1
    if it is predicted exactly, else 0.
    """
    with np.errstate(all="ignore"):
        errors = values - predictions
        squares = np.square(errors).sum(axis=0)
        spread = np.square(values - values.mean(axis=0)).sum(axis=0)
        constant = np.where(squares == 0, 1.0, np.where(np.isfinite(squares), 0.0, np.nan))
        r2 = np.where(spread == 0, constant, 1 - squares / np.where(spread == 0, 1.0, spread))
        return {
            "rmse": float(np.sqrt(squares / len(values)).mean()),
            "mae": float(np.abs(errors).mean(axis=0).mean()),
            "r2": float(r2.mean()),
        }


def _classification_score(metric: str, outputs: Array | None, answers: Labels, labels: Labels) -> float:
    if metric == "balanced_accuracy":
        return balanced_accuracy(answers, labels)
    if metric == "f1_macro":
        return macro_f1(answers, labels)
    if outputs is None:
        raise ValueError(f"{metric}: needs outputs (got answers alone)")
    return {"roc_auc": roc_auc, "log_loss": log_loss}[metric](probabilities(outputs), labels)


def probabilities(outputs: Array) -> Floats:
    """Return the probability (N, C) of each class for outputs (N, C), or (N, 1) for two classes, as float64.

    Independent sigmoids of more than two classes are divided by their sum.
    """
    values = outputs.astype(np.float64)
    if values.shape[1] == 1:
        return np.hstack([1 - values, values])
    total = values.sum(axis=1, keepdims=True)
    # All sigmoids of a row can underflow to 0, which is no preference.
    even = np.full_like(values, 1 / values.shape[1])
    np.divide(values, total, out=even, where=total != 0)
    return even


def balanced_accuracy(answers: Labels, labels: Labels) -> float:
    """Return the mean over the classes in `labels` of the share of their examples that are answered right."""
    counts = np.bincount(labels)
    right = np.bincount(labels[answers == labels], minlength=len(counts))
    present = counts > 0
    return float((right[present] / counts[present]).mean())


def macro_f1(answers: Labels, labels: Labels) -> float:
    """Return the mean of 2 TP / (answers + examples) over the classes with any answer or example."""
    classes = int(max(answers.max(), labels.max())) + 1
    right = np.bincount(labels[answers == labels], minlength=classes)
    size = np.bincount(answers, minlength=classes) + np.bincount(labels, minlength=classes)
    present = size > 0
    return float((2 * right[present] / size[present]).mean())


def roc_auc(shares: Floats, labels: Labels) -> float:
    """Return the area under the ROC curve: of class 1 against 0, or the mean over classes of each against the others.

    It is the probability that an example of the class has a higher share than another example, ties counted half
    (Hanley and McNeil 1982). NaN if a class, or all others, have no example, and if an output is NaN.
    """
    if np.isnan(shares).any():
        return float("nan")
    classes = (1,) if shares.shape[1] == 2 else range(shares.shape[1])
    return float(np.mean([_area(shares[:, one], labels == one) for one in classes]))


def _area(shares: Floats, is_class: NDArray[np.bool_]) -> float:
    positive = int(is_class.sum())
    negative = len(is_class) - positive
    if not positive or not negative:
        return float("nan")
    _, place, counts = np.unique(shares, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1; equal shares have their mean rank
    above: float = ranks[is_class].sum() - positive * (positive + 1) / 2
    return float(above / (positive * negative))


def log_loss(shares: Floats, labels: Labels) -> float:
    """Return the mean of -log of the share of each example's class, in nats; shares are clipped by the float64 epsilon.

    The clipping is scikit-learn's: a share of 0 costs 36 nats, and not infinitely many.
    """
    epsilon = np.finfo(np.float64).eps
    own = np.clip(shares[np.arange(len(labels)), labels], epsilon, 1 - epsilon)
    return float(-np.log(own).mean())
