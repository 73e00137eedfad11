"""Data that a Python program passes: the arrays X and y, or a data frame of pandas or polars.

Neither library is imported: a data frame is read through the few methods that the protocols name. The rules are those
of data files.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from numbers import Real
from typing import Any, Final, Protocol, TypeAlias, TypeGuard, TypeVar, final, runtime_checkable

import numpy as np
import numpy.typing as npt

from hpsearch.data.dataset import Array, RawData, check_lengths, checked_inputs
from hpsearch.data.numerals import MISSING
from hpsearch.data.split_column import checked_split_column
from hpsearch.data.table import features_of, not_a_number, target_index
from hpsearch.data.targets import resolve_targets
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for
from hpsearch.study.spec import Task

_MOST_PROBLEMS: Final = 20
"""Problems that an error lists."""

_Found = TypeVar("_Found")


class Column(Protocol):
    """A column of a data frame: a Series of pandas or polars."""

    def to_numpy(self) -> npt.NDArray[Any]:
        """Return the values (N,)."""
        ...


@runtime_checkable
class PandasFrame(Protocol):
    """The part of `pandas.DataFrame` that is read."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of the columns."""
        ...

    def items(self) -> Iterable[tuple[object, Column]]:
        """Return the name and the values of each column."""
        ...


class PolarsFrame(Protocol):
    """The part of `polars.DataFrame` that is read."""

    @property
    def columns(self) -> Iterable[object]:
        """The names of the columns."""
        ...

    def iter_columns(self) -> Iterable[Column]:
        """Return the values of each column."""
        ...


DataFrame: TypeAlias = PandasFrame | PolarsFrame
ArrayValues: TypeAlias = DataFrame | Column | npt.ArrayLike
ArrayData: TypeAlias = DataFrame | tuple[ArrayValues, ArrayValues]
"""What a program may pass as data: a data frame with a target column, or the pair (X, y)."""


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SplitColumn:
    """The column that decides about the split: `values` (N,), or None for the column `name` of a data frame."""

    name: str
    values: ArrayValues | None = None


def read_arrays(
    data: ArrayData,
    *,
    target: str | None = None,
    task: Task = "auto",
    split_column: SplitColumn | None = None,
) -> RawData:
    """Return `data` as the reader of a file would, checked.

    `data` is a data frame, whose column `target` (by default the last one) holds the targets; or a pair (X, y) of
    inputs (N, ...) and targets (N,) or (N, O). X may be a data frame too, and then names the inputs. Bytes (uint8), or
    more than one axis per example, mean images. `split_column` of a data frame is no input. Raises DataError, which
    lists every problem.

        read_arrays((X, y))
        read_arrays(frame, target="species", task="classification")
    """
    problems: list[str] = []
    column = None
    if split_column is not None:
        column = _attempt(lambda: _split_values(data, split_column), problems)
        data = _without(data, split_column)
    if isinstance(data, tuple) and len(data) == 2:
        raw = _of_pair(data[0], data[1], task, problems)
        if target is not None:
            problems.append(f'target: is for data frames (got "{target}" with X and y): leave it out')
    elif _is_frame(data):
        raw = _of_frame(data, target, task, problems)
    else:
        raise DataError(
            f"data: must be a pair (X, y), or a data frame of pandas or polars (got {_kind(data)}):"
            " pass the inputs and the targets as a tuple"
        )
    if column is not None and raw is not None and len(column) != len(raw.targets):
        problems.append(
            f"data: there must be one value by which to split per example (got {len(raw.targets)} examples and"
            f" {len(column)} values): make them equally long"
        )
    if raw is None or problems:
        raise _error(problems)
    return replace(raw, split_column=column)


def _split_values(data: ArrayData, column: SplitColumn) -> Array:
    """Return the values of the column that decides about the split. Raises DataError if there is none."""
    if column.values is not None:
        return checked_split_column(_array(column.values, column.name), column.name, where="data")
    frame = data[0] if isinstance(data, tuple) else data
    if not _is_frame(frame):
        raise DataError(
            f'data: only columns of data frames have names (got "{column.name}" with arrays): pass the values'
        )
    names = _names(frame)
    if names.count(column.name) != 1:
        raise DataError(
            f'data: data.group and data.time must name one column (got "{column.name}", of which there are'
            f" {names.count(column.name)}): {remedy_for(column.name, names)}"
        )
    return checked_split_column(_columns(frame)[names.index(column.name)], column.name, where="data")


def _without(data: ArrayData, column: SplitColumn) -> ArrayData:
    """Return `data` without a column of a data frame that is no input."""
    if column.values is not None:
        return data
    if isinstance(data, tuple):
        x, y = data
        return (_FrameWithout(x, column.name) if _is_frame(x) else x), y
    return _FrameWithout(data, column.name)


@final
class _FrameWithout:
    """The other columns of a data frame."""

    def __init__(self, frame: DataFrame, name: str) -> None:
        columns = zip(_names(frame), _columns(frame), strict=True)
        self._kept = [(own, _Values(values)) for own, values in columns if own != name]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [name for name, _ in self._kept]

    def items(self) -> "list[tuple[str, _Values]]":
        """Return the name and the values of each column."""
        return self._kept


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """A column whose values (N,) are an array already."""

    values: Array

    def to_numpy(self) -> Array:
        """Return the values."""
        return self.values


def read_inputs(x: ArrayValues, *, features: Sequence[str], inputs: int) -> Array:
    """Return raw inputs (N, `inputs`) for a model, checked as `read_arrays` checks those of a study.

    A data frame has the columns `features` among others, in any order; without names all its columns are inputs.
    Raises DataError, which lists every problem.
    """
    problems: list[str] = []
    matrix = _frame_inputs(x, features, problems) if _is_frame(x) else None
    if not _is_frame(x):
        examples = _attempt(lambda: _array(x, "X"), problems)
        matrix = None if examples is None else _numeric(examples, problems)
    if matrix is None or problems:
        raise _error(problems, where="predict")
    flat = matrix.reshape(len(matrix), -1)
    if flat.shape[1] != inputs:
        one = (
            ": pass [X] for a single row" if matrix.shape == (inputs,) else ": pass the columns of the study"
        )
        raise DataError(f"predict: X: must have {inputs} inputs per row (got shape {matrix.shape}){one}")
    return flat


def _frame_inputs(frame: DataFrame, features: Sequence[str], problems: list[str]) -> Array | None:
    """Return the columns `features` of a frame, or all if there are no names, as numbers."""
    names, columns = _names(frame), _columns(frame)
    problems += [
        f'X: must have one column "{name}" (got {names.count(name)}): add or rename it'
        for name in dict.fromkeys(features)
        if names.count(name) != features.count(name)
    ]
    if problems:
        return None
    # A name that several inputs share means them in the order of the study.
    found = {name: [i for i, own in enumerate(names) if own == name] for name in features}
    places = [found[name].pop(0) for name in features] or range(len(names))
    return _matrix(
        [columns[place] for place in places], [f'X: column "{names[place]}"' for place in places], problems
    )


def _of_pair(x: ArrayValues, y: ArrayValues, task: Task, problems: list[str]) -> RawData | None:
    features = tuple(_names(x)) if _is_frame(x) else ()
    if _is_frame(x):
        columns = _columns(x)
        examples: Array | None = columns[0] if columns else np.zeros(0)
        inputs = _matrix(columns, [f'X: column "{name}"' for name in features], problems)
    else:
        examples = _attempt(lambda: _array(x, "X"), problems)
        inputs = None if examples is None else _numeric(examples, problems)
    targets = _attempt(lambda: _targets(y), problems)
    if targets is not None and len(targets):
        _attempt(lambda: resolve_targets(targets, task=task, where="y"), problems)
    if examples is not None and targets is not None:
        _attempt(lambda: check_lengths(examples, targets, "X and y"), problems)
    if inputs is None or targets is None:
        return None
    return RawData(
        inputs=inputs,
        targets=targets,
        where="data",
        origin=f"arrays X {inputs.shape} and y {targets.shape}",
        features=features,
        is_image=inputs.dtype == np.uint8 or inputs.ndim > 2,
    )


def _of_frame(frame: DataFrame, target: str | None, task: Task, problems: list[str]) -> RawData | None:
    names, columns = _names(frame), _columns(frame)
    if len(names) < 2 or not len(columns[0]):
        raise DataError(
            "data: a data frame must have a row, and a column for an input and one for the target"
            f" (got {len(columns[0]) if columns else 0} rows and {len(names)} columns): pass all the data"
        )
    place = target_index(names, target, where="data")
    features, where = features_of(names, place), f'column "{names[place]}"'
    inputs = columns[:place] + columns[place + 1 :]
    matrix = _matrix(inputs, [f'column "{name}"' for name in features], problems)
    targets = _attempt(lambda: _one_target(columns[place], where), problems)
    if targets is not None:
        _attempt(lambda: resolve_targets(targets, task=task, where=where), problems)
    if matrix is None or targets is None:
        return None
    return RawData(
        inputs=matrix,
        targets=targets,
        where="data",
        origin=f'a data frame of {len(matrix):,} rows, target "{names[place]}"',
        features=features,
    )


def _is_frame(value: object) -> TypeGuard[DataFrame]:
    return _has(value, "columns", "items") or _has(value, "columns", "iter_columns")


def _is_column(value: object) -> TypeGuard[Column]:
    return _has(value, "to_numpy")


def _has(value: object, *names: str) -> bool:
    """Return True if the class has these attributes: to read them of a LazyFrame of polars computes them."""
    return all(hasattr(type(value), name) for name in names)


def _names(frame: DataFrame) -> list[str]:
    return [str(name) for name in frame.columns]


def _columns(frame: DataFrame) -> list[Array]:
    if isinstance(frame, PandasFrame):
        return [column.to_numpy() for _, column in frame.items()]
    return [column.to_numpy() for column in frame.iter_columns()]


def _array(values: object, where: str) -> Array:
    """Return `values` as an array with one entry per example. Raises DataError if they are none."""
    if isinstance(values, np.ma.MaskedArray) and (count := int(np.ma.getmaskarray(values).sum())):
        raise DataError(f"{where}: no value may be masked (got {count}): fill them, or drop their rows")
    try:
        array: Array = values.to_numpy() if _is_column(values) else np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{where}: must be an array with one entry per example (got {_kind(values)}, of which NumPy"
            f' makes none: "{error}"): pass a NumPy array'
        ) from error
    if array.ndim == 0:
        raise DataError(
            f"{where}: must be an array with one entry per example (got {_kind(values)}): convert it to a"
            " NumPy array, a sparse matrix with its method toarray()"
        )
    return array.astype(object) if array.dtype.kind == "T" else array


def _numeric(inputs: Array, problems: list[str]) -> Array | None:
    """Return the inputs of an array as numbers: objects and text are examined column by column."""
    if inputs.dtype.kind in "buif":
        _attempt(lambda: checked_inputs(inputs, where="X"), problems)
        return inputs.astype(np.float64) if inputs.dtype.itemsize > 8 else inputs
    flat = inputs.reshape(len(inputs), -1) if inputs.size else np.zeros((0, 1))
    return _matrix(list(flat.T), [f"X: column {i + 1}" for i in range(flat.shape[1])], problems)


def _matrix(columns: Sequence[Array], places: Sequence[str], problems: list[str]) -> Array | None:
    """Return columns (N,) as (N, I) float64, or None and a problem for each column that has no numbers."""
    if not columns or not len(columns[0]):
        problems.append("X: there must be at least one example with one input (got none): give it data")
        return None
    numbers = [_attempt(partial(_numbers, *column), problems) for column in zip(columns, places, strict=True)]
    whole = [column for column in numbers if column is not None]
    return np.column_stack(whole) if len(whole) == len(columns) else None


def _numbers(column: Array, where: str) -> Array:
    """Return a column of inputs as float64. Raises DataError for text, and for missing and infinite numbers."""
    if column.dtype.kind in "buif":
        numbers = column.astype(np.float64)
    elif column.dtype.kind == "O":
        numbers = np.array([_number(value, f"{where}, row {i + 1}") for i, value in enumerate(column)])
    else:
        raise not_a_number(f"{where}, row 1", column[0])
    bad = ~np.isfinite(numbers)
    if count := int(bad.sum()):
        row = int(bad.argmax())
        got = numbers[row]
        rule = "a number is missing" if np.isnan(got) else "inputs must be finite"
        raise DataError(
            f"{where}, row {row + 1}: {rule} (got {got}; {count} such in all): fill or drop these rows"
        )
    return numbers


def _number(value: object, where: str) -> float:
    if _is_missing(value):
        return math.nan
    if isinstance(value, Real | Decimal | np.bool_):
        return float(value)
    raise not_a_number(where, value)


def _is_missing(value: object) -> bool:
    """Return True for None, NaN, and the NA and NaT of pandas."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _targets(y: ArrayValues) -> Array:
    """Return targets (N,) or (N, O) as numbers or text."""
    if _is_frame(y):
        columns = [_one_target(c, f'y: column "{n}"') for n, c in zip(_names(y), _columns(y), strict=True)]
        if not columns:
            raise DataError("y: must have a column (got a data frame with none): pass the targets")
        return columns[0] if len(columns) == 1 else np.column_stack(columns)
    return _one_target(_array(y, "y"), "y")


def _one_target(column: Array, where: str) -> Array:
    """Return targets without objects: numbers if all are numbers, else text. Raises DataError if one is missing."""
    if column.dtype.kind not in "OUS":
        return column
    flat = column.reshape(-1)
    per_row = max(1, column[:1].size)
    for i, value in enumerate(flat):
        if _is_missing(value) or str(value).strip().lower() in MISSING:
            place = f"{where}: row {i // per_row + 1}"
            raise DataError(f'{place}: a target is missing (got "{value}"): fill it, or drop the row')
    if column.dtype.kind != "O":
        return column
    if all(isinstance(value, bool | np.bool_) for value in flat):
        return column.astype(np.bool_)
    if all(isinstance(value, int | np.integer) and -(2**63) <= value < 2**63 for value in flat):
        return column.astype(np.int64)
    if all(isinstance(value, Real | Decimal | np.bool_) for value in flat):
        return column.astype(np.float64)
    return np.array([str(value) for value in flat], dtype=np.str_).reshape(column.shape)


def _attempt(action: Callable[[], _Found], problems: list[str]) -> _Found | None:
    """Return what `action` returns; append the text of a DataError to `problems` in place, and return None."""
    try:
        return action()
    except DataError as error:
        problems.append(str(error))
        return None


def _error(problems: Sequence[str], *, where: str = "data") -> DataError:
    if len(problems) == 1:
        return DataError(f"{where}: {problems[0]}")
    shown = [f"  {problem}" for problem in problems[:_MOST_PROBLEMS]]
    more = len(problems) - len(shown)
    return DataError(
        "\n".join([f"{where}: {len(problems)} problems", *shown, *[f"  and {more} more"][: more > 0]])
    )


def _kind(value: object) -> str:
    kind = type(value)
    return (
        kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]} {kind.__name__}"
    )
