"""What a data set is like, for people: `hpsearch data show`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.data.dataset import Dataset
from hpsearch.study.spec import KnownTask


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A data set in numbers, before split and scaling.

    `classes` maps names to numbers of examples, and is empty in regression, where `outputs` numbers are to
    be predicted. `minimum`, `maximum` and `mean` are over all inputs that are not missing, and NaN where
    all are. `sealed` is the size of the test part that the source keeps apart, and not counted elsewhere.
    """

    name: str
    task: KnownTask
    examples: int
    inputs: int
    outputs: int
    classes: Mapping[str, int]
    features: tuple[str, ...]
    minimum: float
    maximum: float
    mean: float
    missing: int
    sealed: int
    origin: str


def describe(dataset: Dataset) -> Description:
    """Return what `dataset` is like."""
    present = dataset.inputs[~np.isnan(dataset.inputs)] if _missing(dataset) else dataset.inputs
    is_empty = present.size == 0
    counts = _class_counts(dataset)
    return Description(
        name=dataset.name,
        task=dataset.task,
        examples=len(dataset.targets),
        inputs=dataset.inputs.shape[1],
        outputs=len(counts) or dataset.targets.shape[1],
        classes=counts,
        features=dataset.features,
        minimum=np.nan if is_empty else float(present.min()),
        maximum=np.nan if is_empty else float(present.max()),
        mean=np.nan if is_empty else float(present.mean(dtype=np.float64)),
        missing=_missing(dataset),
        sealed=0 if dataset.sealed is None else len(dataset.sealed.targets),
        origin=dataset.origin,
    )


def _missing(dataset: Dataset) -> int:
    return int(np.isnan(dataset.inputs).sum()) if dataset.inputs.dtype.kind == "f" else 0


def _class_counts(dataset: Dataset) -> dict[str, int]:
    if dataset.task == "regression":
        return {}
    counts = np.bincount(dataset.targets, minlength=len(dataset.classes))
    return {name: int(count) for name, count in zip(dataset.classes, counts, strict=True)}
