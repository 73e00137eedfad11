"""Examples as a source stores them: whole, unsplit and unscaled, but checked."""

from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.column_kinds import ColumnUse
from hpsearch.data.encoding import InputColumn
from hpsearch.data.targets import resolve_targets
from hpsearch.errors import DataError
from hpsearch.study.spec import KnownTask, Task

Array: TypeAlias = npt.NDArray[Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SourceExamples:
    """Inputs (N, I) and targets (N,) or (N, O), in the order of their source."""

    inputs: Array
    targets: Array


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RawData:
    """The unchecked result of one reader.

    `inputs` has N examples along its first axis. `targets` (N,) or (N, O) are numbers or text. `where` names the source
    in messages. `labels` are the names of the classes 0, 1, ... if the source has names. `task` is the source's own.
    `sealed` is a test part that the source keeps apart. `notes` are sentences about decisions that a user should check.
    `columns` describe inputs (N, R) that must be encoded, in which NaN is a missing cell; they are empty for those that
    are complete numbers. `uses` are the columns of a table, with those that are no inputs.
    """

    inputs: Array
    targets: Array
    where: str
    origin: str
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    task: Task = "auto"
    is_image: bool = False
    sealed: SourceExamples | None = None
    notes: tuple[str, ...] = ()
    columns: tuple[InputColumn, ...] = ()
    uses: tuple[ColumnUse, ...] = ()


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """One data set: finite numbers, at least one example, and at least two classes in classification.

    `inputs` (N, I) are uint8 if the source has bytes, else float64. `targets` are (N,) int64 indices into `classes`, or
    (N, O) float64 numbers. `classes` are sorted and empty in regression; `features` are the names of the inputs, or
    empty. Features of an image share one scale. `origin` describes the data's source. `sealed` is the test part that
    the source itself keeps apart, or None. `notes` are sentences about decisions that a user should check. `columns`
    describe inputs that are not finite numbers yet and must be encoded; NaN is then a missing cell. `uses` are the
    columns of a table, with those that are no inputs.
    """

    name: str
    inputs: Array
    targets: Array
    task: KnownTask
    classes: tuple[str, ...]
    features: tuple[str, ...]
    is_image: bool
    origin: str
    sealed: SourceExamples | None = None
    notes: tuple[str, ...] = ()
    columns: tuple[InputColumn, ...] = ()
    uses: tuple[ColumnUse, ...] = ()


def dataset_from(raw: RawData, *, name: str, task: Task) -> Dataset:
    """Return the data set in `raw`; `task` "auto" leaves the choice to the source and its targets.

    Classes of a sealed part count as classes even if the other part has none of them. Raises DataError for data that
    breaks a rule of Dataset.
    """
    inputs = raw.inputs if raw.columns else checked_inputs(raw.inputs, where=raw.where, features=raw.features)
    check_lengths(inputs, raw.targets, raw.where)
    sealed_inputs = _sealed_inputs(raw, width=inputs.shape[1])
    all_targets = raw.targets if raw.sealed is None else np.concatenate([raw.targets, raw.sealed.targets])
    targets = resolve_targets(all_targets, task=raw.task if task == "auto" else task, where=raw.where)
    count = len(inputs)
    return Dataset(
        name=name,
        inputs=inputs,
        targets=targets.values[:count],
        task=targets.task,
        classes=_named(targets.classes, raw.labels),
        features=raw.features,
        is_image=raw.is_image,
        origin=raw.origin,
        sealed=None
        if sealed_inputs is None
        else SourceExamples(inputs=sealed_inputs, targets=targets.values[count:]),
        notes=(*raw.notes, *targets.notes),
        columns=raw.columns,
        uses=raw.uses,
    )


def _sealed_inputs(raw: RawData, *, width: int) -> Array | None:
    if raw.sealed is None:
        return None
    inputs = checked_inputs(raw.sealed.inputs, where=raw.where, features=raw.features)
    check_lengths(inputs, raw.sealed.targets, raw.where)
    if inputs.shape[1] != width:
        raise DataError(
            f"{raw.where}: the test part must have as many inputs as the training part"
            f" (got {inputs.shape[1]} and {width}): take both from the same data set"
        )
    return inputs


def checked_inputs(inputs: Array, *, where: str, features: tuple[str, ...] = ()) -> Array:
    """Return `inputs` (N, ...) as (N, I), bytes as they are and any other type as float64.

    Raises DataError unless there is an example and all inputs are finite numbers. `features` names them in messages.
    """
    if inputs.dtype.kind not in "buif":
        raise DataError(f"{where}: inputs must be numbers (got dtype {inputs.dtype}): encode them as numbers")
    if inputs.ndim == 0 or inputs.size == 0:
        raise DataError(
            f"{where}: there must be at least one example with one input"
            f" (got shape {inputs.shape}): give it data"
        )
    flat = inputs.reshape(len(inputs), -1)
    if flat.dtype == np.uint8:
        return flat
    numbers = flat.astype(np.float64, copy=False)
    _check_finite(numbers, where, features)
    return numbers


def _check_finite(numbers: Array, where: str, features: tuple[str, ...]) -> None:
    bad = ~np.isfinite(numbers)
    count = int(bad.sum())
    if not count:
        return
    row, column = (int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))
    name = f'"{features[column]}"' if features else str(column + 1)
    raise DataError(
        f"{where}: row {row + 1}, column {name}: inputs must be finite"
        f" (got {numbers[row, column]}; {count} such in all): fill or drop these rows"
    )


def check_lengths(inputs: Array, targets: Array, where: str) -> None:
    """Raise DataError unless there is one target per example."""
    length = len(targets) if targets.ndim else 0
    if length != len(inputs):
        raise DataError(
            f"{where}: there must be one target per example"
            f" (got {len(inputs)} examples and {length} targets): make them equally long"
        )


def _named(classes: tuple[str, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the source's own names for the classes 0, 1, ..., or the labels unchanged."""
    return tuple(labels[int(label)] for label in classes) if labels else classes
