"""The metrics by which a study ranks its trials: which way is better, and how each is named and written.

All are measured on the validation part with the definitions of scikit-learn; `training.scores` computes them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from hpsearch.telemetry import Epoch

MetricName: TypeAlias = Literal[
    "validation_accuracy",
    "validation_loss",
    "balanced_accuracy",
    "f1_macro",
    "roc_auc",
    "log_loss",
    "rmse",
    "mae",
    "r2",
]
Metric: TypeAlias = Literal["auto", MetricName]
KeptEpoch: TypeAlias = Literal["last", "best"]
MetricKind: TypeAlias = Literal["share", "loss", "amount", "score"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class MetricInfo:
    """One metric: its names, the range of its values, and the task that it fits.

    `noun` names it in sentences ("test accuracy"), `short` in tables. `kind` is the range of its values, and so their
    format: a "share" is in 0..1 and more is better; a "loss" is above 0 and less is better; an "amount" is a loss in
    the unit of the targets; a "score" is at most 1 and has no lower bound. `task` is the only one that it is defined
    for. With `needs_probabilities` it reads outputs that are probabilities.
    """

    noun: str
    short: str
    kind: MetricKind
    task: Literal["classification", "regression"] | None = None
    needs_probabilities: bool = False

    @property
    def maximize(self) -> bool:
        """True if a higher value is better."""
        return self.kind in ("share", "score")

    @property
    def label(self) -> str:
        """The name with the part that it is measured on: `validation accuracy`."""
        return f"validation {self.noun}"

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest possible value."""
        return {
            "share": (0.0, 1.0),
            "loss": (0.0, math.inf),
            "amount": (0.0, math.inf),
            "score": (-math.inf, 1.0),
        }[self.kind]


METRICS: Final[Mapping[str, MetricInfo]] = {
    "validation_accuracy": MetricInfo(noun="accuracy", short="val acc", kind="share", task="classification"),
    "validation_loss": MetricInfo(noun="loss", short="val loss", kind="loss"),
    "balanced_accuracy": MetricInfo(
        noun="balanced accuracy", short="bal acc", kind="share", task="classification"
    ),
    "f1_macro": MetricInfo(noun="macro F1", short="macro F1", kind="share", task="classification"),
    "roc_auc": MetricInfo(
        noun="ROC AUC", short="ROC AUC", kind="share", task="classification", needs_probabilities=True
    ),
    "log_loss": MetricInfo(
        noun="log loss", short="log loss", kind="loss", task="classification", needs_probabilities=True
    ),
    "rmse": MetricInfo(noun="RMSE", short="RMSE", kind="amount", task="regression"),
    "mae": MetricInfo(noun="MAE", short="MAE", kind="amount", task="regression"),
    "r2": MetricInfo(noun="R2", short="R2", kind="score", task="regression"),
}
"""The metrics of our own studies, by their names in study files."""

AUTO_METRIC: Final[Mapping[str, MetricName]] = {"classification": "validation_accuracy", "regression": "rmse"}
"""The metric that "auto" means for each task.

In regression it is the RMSE: it orders trials as the squared error does, and is in the unit of the targets.
"""

REGRESSION_SCORES: Final = ("rmse", "mae", "r2")
"""Metrics that every epoch of a regression measures, whichever of them the study ranks by."""


def is_maximized(metric: str) -> bool:
    """Return True if a higher value of one of our metrics is better; False for any other name."""
    known = METRICS.get(metric)
    return known is not None and known.maximize


def kept_epoch(epochs: Sequence[Epoch], *, metric: str, keep: KeptEpoch) -> Epoch:
    """Return the epoch whose weights and value count: the last, or the first of those with the best finite metric.

    It is the last one too if no epoch has a finite metric. Raises ValueError without an epoch.
    """
    if not epochs:
        raise ValueError("kept_epoch: needs an epoch (got none)")
    sign = 1 if is_maximized(metric) else -1
    ranked = [(sign * value, -one.epoch) for one in epochs if (value := _finite(one, metric)) is not None]
    if keep == "last" or not ranked:
        return epochs[-1]
    return epochs[-max(ranked)[1] - epochs[0].epoch]


def has_stalled(epochs: Sequence[Epoch], *, metric: str, limit: int | None) -> bool:
    """Return True if the best epoch so far is `limit` epochs old; never if it is None."""
    if limit is None or not epochs:
        return False
    return epochs[-1].epoch - kept_epoch(epochs, metric=metric, keep="best").epoch >= limit


def until_stalled(epochs: Sequence[Epoch], *, metric: str, limit: int | None) -> Sequence[Epoch]:
    """Return the epochs until the first after which the trial has stalled."""
    ends = (end for end in range(1, len(epochs)) if has_stalled(epochs[:end], metric=metric, limit=limit))
    return epochs if limit is None else epochs[: next(ends, len(epochs))]


def _finite(epoch: Epoch, metric: str) -> float | None:
    value = epoch.value(metric)
    return value if value is not None and math.isfinite(value) else None
