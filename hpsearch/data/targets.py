"""The meaning of targets: text and few whole numbers are classes, anything else is regression."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from hpsearch.data.numerals import is_local_number, is_number, plain
from hpsearch.errors import DataError
from hpsearch.study.spec import KnownTask, Task

_MOST_CLASSES = 1000
_FEW_CLASSES = 20
_FEWEST_PER_CLASS = 5
_MOST_UNEVEN = 2
"""Examples of the largest class per example of the smallest one, up to which many codes are those of classes: data sets
of many classes are balanced (CIFAR-100, EMNIST Balanced, UCI's letters), and counts, ages and scores are not."""

_FEW_COUNTS = 10
_SPREAD = 100
"""More than 10 whole numbers whose range is more than 100 times their number are amounts, such as prices. Up to 10 are
classes without a word: digits have 10."""

_SHOWN = 5
"""Classes that a note names."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Targets:
    """Targets (N,) int64 that index sorted `classes`, or (N, O) float64 numbers and no classes.

    `notes` are sentences about what was decided, and about classes that look like mistakes.
    """

    values: npt.NDArray[Any]
    task: KnownTask
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def resolve_targets(raw: npt.NDArray[Any], *, task: Task, where: str) -> Targets:
    """Return the meaning of `raw` (N,) or (N, O), numbers or text.

    "auto" takes for classes: text; whole numbers of which there are at most 20 different ones, or which are about
    equally frequent codes from 0 or 1 on; and rows of one 1 among 0. Other numbers are regression. It refuses text that
    is numbers in another notation, and classes by this rule that look like a mistake: more than 1000 classes, 3 or more
    with fewer than 2 examples each on average, or more than 20 with fewer than 5. An explicit `task` is accepted.
    Classes are sorted: numbers by size, text by code point. Raises DataError for targets that are not finite, that the
    task cannot have, or that are all the same.
    """
    if raw.dtype.kind not in "buifUS" or raw.ndim > 2:
        raise DataError(
            f"{where}: targets must be one number or text per example"
            f" (got dtype {raw.dtype} and shape {raw.shape}): give one column of numbers or text"
        )
    column = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
    _check_finite(column, where)
    if task != "regression" and _is_one_hot(column):
        return _one_hot_classes(column, is_decided=task == "auto", where=where)
    if task == "regression" or (task == "auto" and not _are_classes(column)):
        return Targets(values=_numbers(column, where), task="regression", classes=())
    if task == "auto" and column.dtype.kind in "uif":
        return _whole_numbers(column, where)
    return _classes(column, believed=task == "classification", where=where)


def _is_one_hot(column: npt.NDArray[Any]) -> bool:
    """Return True for rows (N, C) of one 1 among 0, as to_categorical of Keras writes classes."""
    if column.ndim != 2 or column.shape[1] < 2 or not len(column) or column.dtype.kind not in "buif":
        return False
    return bool(((column == 0) | (column == 1)).all() and ((column == 1).sum(axis=1) == 1).all())


def _one_hot_classes(column: npt.NDArray[Any], *, is_decided: bool, where: str) -> Targets:
    """Return the place of the 1 as the class. Every column is a class, also one without an example."""
    values = column.argmax(axis=1).astype(np.int64)
    counts = np.bincount(values, minlength=column.shape[1])
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f'{where}: there must be at least two classes (got "{counts.argmax()}" alone,'
            f" in all {len(column)} examples): add examples of another class, or name another target"
        )
    note = (
        f"data.task: targets are {column.shape[1]} classes, because each row has one 1 among 0:"
        ' if they are numbers, set data.task = "regression"'
    )
    names = tuple(map(str, range(column.shape[1])))
    notes = (*((note,) if is_decided else ()), *_class_notes(names, counts))
    return Targets(values=values, task="classification", classes=names, notes=notes)


def _whole_numbers(column: npt.NDArray[Any], where: str) -> Targets:
    """Return whole numbers as classes, or as numbers if they are counts or amounts, with a note if that is not sure."""
    numbers, counts = np.unique(column, return_counts=True)
    low, high = int(numbers[0]), int(numbers[-1])
    is_spread = len(numbers) > _FEW_COUNTS and high - low > _SPREAD * len(numbers)
    is_code = low in (0, 1) and high - low == len(numbers) - 1 and counts.max() <= _MOST_UNEVEN * counts.min()
    what = f"{len(numbers):,} different whole numbers from {low:,} to {high:,}"
    if is_spread or (len(numbers) > _FEW_CLASSES and not is_code):
        note = (
            f"data.task: targets are numbers (regression), because {what} look like counts or amounts:"
            ' if they are classes, set data.task = "classification"'
        )
        return Targets(values=_numbers(column, where), task="regression", classes=(), notes=(note,))
    targets = _classes(column, believed=False, where=where)
    if len(numbers) <= _FEW_COUNTS:
        return targets
    note = (
        f"data.task: targets are classes, because there are only {what}:"
        if len(numbers) <= _FEW_CLASSES
        else f"data.task: targets are classes, because {what} are used about equally often:"
    )
    return replace(
        targets, notes=(f'{note} if they are counts or amounts, set data.task = "regression"', *targets.notes)
    )


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
        row = next(i for i, text in enumerate(column.flat) if not is_number(_name(text)))
        text = _name(column.flat[row])
        remedy = f"write {plain(text)}" if is_local_number(text) else "give numbers"
        raise DataError(
            f'{where}: targets of a regression must be numbers (got "{text}"):'
            f' {remedy}, or set data.task = "classification"'
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
    labels, indices, counts = np.unique(column, return_inverse=True, return_counts=True)
    names = tuple(_name(label) for label in labels)
    if len(names) < 2:
        raise DataError(
            f'{where}: there must be at least two classes (got "{names[0]}" alone,'
            f" in all {len(column)} examples): add examples of another class, or name another target"
        )
    if not believed:
        if column.dtype.kind in "US":
            _check_notation(names, counts, where)
        _check_plausible(column, classes=len(names), where=where)
    return Targets(
        values=indices.astype(np.int64),
        task="classification",
        classes=names,
        notes=tuple(_class_notes(names, counts)),
    )


def _check_notation(names: Sequence[str], counts: npt.NDArray[Any], where: str) -> None:
    """Refuse text that is numbers in another notation ("0,5", "$200,000", "12%"), or numbers but for a few."""
    local = [i for i, name in enumerate(names) if is_local_number(name)]
    numbers = [i for i, name in enumerate(names) if is_number(name)]
    if local and len(local) + len(numbers) > len(names) / 2:
        example = names[max(local, key=lambda i: int(counts[i]))]
        raise DataError(
            f'{where}: targets that are numbers must be written in digits with a decimal point (got "{example}";'
            f" {counts[local].sum():,} such in all): write {plain(example)},"
            ' or set data.task = "classification" if these are classes'
        )
    others = [i for i in range(len(names)) if i not in set(numbers)]
    if len(numbers) > _FEW_CLASSES and len(numbers) > 4 * len(others):
        raise DataError(
            f'{where}: targets must be all numbers or all classes (got "{names[others[0]]}" in'
            f" {counts[others].sum():,} of {counts.sum():,} rows, and numbers in the others): correct these rows,"
            ' or set data.task = "classification" if all are classes'
        )


def _class_notes(names: Sequence[str], counts: npt.NDArray[Any]) -> Iterator[str]:
    """Yield a sentence for classes whose names differ in case or spaces only, and one for those of one example."""
    alike = defaultdict(list)
    for name, count in zip(names, counts, strict=True):
        alike["".join(name.casefold().split())].append(f'"{name}" ({count:,})')
    for found in [each for each in alike.values() if len(each) > 1][:_SHOWN]:
        yield (
            f"data.target: classes differ in case or spaces only (got {', '.join(found)}):"
            " write them in one way if they are one class"
        )
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single:
        more = f", and {len(single) - _SHOWN:,} more" if len(single) > _SHOWN else ""
        shown = ", ".join(f'"{name}"' for name in single[:_SHOWN])
        yield (
            f"data.target: a class must have two examples to be learned and validated (got one of {shown}{more}):"
            " add examples, or drop these rows"
        )


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
