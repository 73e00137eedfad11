"""The meaning of targets: whole numbers and text are classes, anything else is regression."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from hpsearch.errors import DataError
from hpsearch.study.spec import KnownTask, Task

_MOST_CLASSES = 1000
_FEW_CLASSES = 20
_FEWEST_PER_CLASS = 5


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Targets:
    """Targets (N,) int64 that index sorted `classes`, or (N, O) float64 numbers and no classes."""

    values: npt.NDArray[Any]
    task: KnownTask
    classes: tuple[str, ...]


def resolve_targets(raw: npt.NDArray[Any], *, task: Task, where: str) -> Targets:
    """Return the meaning of `raw` (N,) or (N, O), numbers or text.

    "auto" takes text and whole numbers for classes, other numbers and several columns for regression. It refuses
    classes that follow the rule but look like a mistake: more than 1000 classes, 3 or more with fewer than 2 examples
    each on average, or more than 20 with fewer than 5. An explicit `task` is accepted. Classes are sorted: numbers by
    size, text by code point. Raises DataError for targets that are not finite, that the task cannot have, or that are
    all the same.
    """
    if raw.dtype.kind not in "buifUS" or raw.ndim > 2:
        raise DataError(
            f"{where}: targets must be one number or text per example"
            f" (got dtype {raw.dtype} and shape {raw.shape}): give one column of numbers or text"
        )
    column = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
    _check_finite(column, where)
    if task == "regression" or (task == "auto" and not _are_classes(column)):
        return Targets(values=_numbers(column, where), task="regression", classes=())
    return _classes(column, believed=task == "classification", where=where)


def _check_finite(column: npt.NDArray[Any], where: str) -> None:
    bad = np.zeros(0, bool) if column.dtype.kind != "f" else ~np.isfinite(column)
    count = int(bad.sum())
    if count:
        row = int(bad.reshape(len(bad), -1).any(axis=1).argmax())
        raise DataError(
            f"{where}: row {row + 1}: targets must be finite"
            f" (got {column[bad][0]}; {count} such in all): fill or drop these rows"
        )


def _are_classes(column: npt.NDArray[Any]) -> bool:
    if column.ndim == 2:
        return False
    # Beyond 2**53 every float64 is whole, so this proves nothing.
    is_whole = column.dtype.kind != "f" or (column == np.floor(column)) & (np.abs(column) < 2.0**53)
    return bool(np.all(is_whole))


def _numbers(column: npt.NDArray[Any], where: str) -> npt.NDArray[np.float64]:
    if column.dtype.kind in "US":
        raise DataError(
            f'{where}: targets of a regression must be numbers (got "{column.flat[0]}"):'
            ' give numbers, or set data.task = "classification"'
        )
    numbers = column.reshape(len(column), -1).astype(np.float64)
    if len(numbers) > 1 and (numbers == numbers[0]).all():
        raise DataError(
            f"{where}: targets of a regression must differ (got {column.flat[0]} for all {len(numbers)} examples):"
            " name another column as data.target"
        )
    return numbers


def _classes(column: npt.NDArray[Any], *, believed: bool, where: str) -> Targets:
    if column.ndim == 2:
        raise DataError(
            f"{where}: classes must be in one column (got {column.shape[1]} columns):"
            ' give one class per example, or set data.task = "regression"'
        )
    labels, indices = np.unique(column, return_inverse=True)
    names = tuple(_name(label) for label in labels)
    if len(names) < 2:
        raise DataError(
            f'{where}: there must be at least two classes (got "{names[0]}" alone,'
            f" in all {len(column)} examples): add examples of another class, or name another target"
        )
    if not believed:
        _check_plausible(column, classes=len(names), where=where)
    return Targets(values=indices.astype(np.int64), task="classification", classes=names)


def _check_plausible(column: npt.NDArray[Any], *, classes: int, where: str) -> None:
    """Refuse classes by the rule that look like measured numbers, or names of single rows."""
    examples = len(column)
    crowded = classes > _FEW_CLASSES and examples < _FEWEST_PER_CLASS * classes
    sparse = classes > 2 and examples < 2 * classes
    if not (classes > _MOST_CLASSES or sparse or crowded):
        return
    if column.dtype.kind in "US":
        kind, remedy = "text", "name another column as data.target"
    else:
        kind, remedy = "whole numbers", 'set data.task = "regression"'
    raise DataError(
        f"{where}: targets that are {kind} are classes, and a class must have several examples"
        f" (got {classes} different values in {examples} examples): {remedy},"
        ' or data.task = "classification" if these are classes'
    )


def _name(label: Any) -> str:
    """Return the label as text; whole numbers without a decimal point."""
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    if isinstance(label, np.floating) and label == np.floor(label):
        return str(int(label))
    return str(label)
