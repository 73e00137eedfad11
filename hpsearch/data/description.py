"""Descriptions of a data set for users (`hpsearch data show`) and for diagnosis."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.duplicates import shared_examples
from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import KnownTask
from hpsearch.telemetry import DataFacts


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A data set in numbers, before split and scaling.

    `classes` maps names to numbers of examples, and is empty in regression, which predicts `outputs` numbers.
    `minimum`, `maximum` and `mean` are over all inputs that are numbers and not missing, and NaN if there are none.
    `sealed` is the size of the test part that the source keeps apart, and not counted elsewhere. `notes` are sentences
    about how the source was read.
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
    notes: tuple[str, ...] = ()


def describe(dataset: Dataset) -> Description:
    """Return the description of `dataset`."""
    numbers = [i for i, column in enumerate(dataset.columns) if column.kind == "number"]
    inputs = dataset.inputs[:, numbers] if dataset.columns else dataset.inputs
    present = inputs[~np.isnan(inputs)] if _missing(dataset) else inputs
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
        notes=dataset.notes,
    )


def _missing(dataset: Dataset) -> int:
    return int(np.isnan(dataset.inputs).sum()) if dataset.inputs.dtype.kind == "f" else 0


def _class_counts(dataset: Dataset) -> dict[str, int]:
    if dataset.task == "regression":
        return {}
    counts = np.bincount(dataset.targets, minlength=len(dataset.classes))
    return {name: int(count) for name, count in zip(dataset.classes, counts, strict=True)}


_BLOCK_EXAMPLES = 4096
"""Examples per pass, which avoid a copy of the whole."""


def facts_of(data: PreparedData) -> DataFacts:
    """Return the facts of the training part of `data`."""
    inputs, targets = data.training.inputs, data.training.targets
    blocks = [inputs[start : start + _BLOCK_EXAMPLES] for start in range(0, len(inputs), _BLOCK_EXAMPLES)]
    is_classes = data.task == "classification"
    total = sum(data.class_counts)
    squeezed, constant = _dead_columns(inputs)
    features = data.preprocessing.features
    shared = shared_examples((inputs, targets), (data.validation.inputs, data.validation.targets))
    return DataFacts(
        examples=len(inputs),
        validation_examples=len(data.validation.inputs),
        class_shares=tuple(count / total for count in data.class_counts),
        input_largest=float(np.max([np.abs(block).max() for block in blocks])),  # `max` would lose a NaN
        input_mean_square=sum(_sum_of_squares(block) for block in blocks) / inputs.size,
        input_nonzero_share=sum(int(np.count_nonzero(block)) for block in blocks) / inputs.size,
        input_is_binary=all(bool(((block == 0) | (block == 1)).all()) for block in blocks),
        input_is_constant=len(inputs) > 1 and all(bool((block == inputs[0]).all()) for block in blocks),
        target_low=0.0 if is_classes else float(targets.min()),
        target_high=1.0 if is_classes else float(targets.max()),
        target_variance=0.0 if is_classes else float(targets.astype(np.float64).var(axis=0).mean()),
        target_mean=0.0 if is_classes else float(np.abs(targets.mean(axis=0, dtype=np.float64)).mean()),
        validation_shares=_shares(data.validation.targets, len(data.class_counts)) if is_classes else (),
        squeezed=squeezed,
        constant=constant,
        features=features if len(features) == inputs.shape[1] else (),
        classes=data.classes,
        leaked=len(shared.same),
        contradicted=len(shared.other),
        leaked_places=_source_places(data.validation, shared.same[:_NAMED_COPIES]),
        leaked_twins=_source_places(data.training, shared.twins[:_NAMED_COPIES]),
    )


_NAMED_COPIES = 3


def _source_places(part: DataPart, places: tuple[int, ...]) -> tuple[int, ...]:
    """Return the places in the source of the examples at `places` of a part; none if they are unknown."""
    return () if part.places is None else tuple(int(part.places[place]) for place in places)


def _shares(labels: Array, classes: int) -> tuple[float, ...]:
    """Return the shares of the classes among `labels` (N,); none without labels."""
    counts = np.bincount(labels, minlength=classes)
    return tuple((counts / len(labels)).tolist()) if len(labels) else ()


_COLUMN_EXAMPLES = 2000
"""Examples by which columns are compared: their quantiles are then known to within 1 %."""

_SQUEEZED = 1e-3
_SAME_SCALE = 0.05


def _dead_columns(inputs: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the places of squeezed and of constant columns; see `DataFacts`.

    One outlier squeezes a column: the rest of it is scaled to nearly one number. Columns of an image share one scale,
    so that their deviations differ, and blank ones are normal.
    """
    part = inputs[:: -(-len(inputs) // _COLUMN_EXAMPLES)].astype(np.float64)
    low, high = np.quantile(part, [0.1, 0.9], axis=0)
    deviation, span = part.std(axis=0), np.ptp(part, axis=0)
    varied = span > 0
    if not varied.any():
        return (), ()
    usual = np.maximum(deviation, np.median(deviation[varied]))
    squeezed = (high > low) & (high - low < _SQUEEZED * usual)
    is_one_scale = any(np.ptp(size[varied]) <= _SAME_SCALE * size[varied].max() for size in (deviation, span))
    constant = np.flatnonzero(np.ptp(inputs, axis=0) == 0) if is_one_scale else ()
    return tuple(map(int, np.flatnonzero(squeezed))), tuple(map(int, constant))


def _sum_of_squares(block: Array) -> float:
    return float(np.square(block, dtype=np.float64).sum())
