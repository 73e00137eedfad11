"""Predictions for the rows of a table: columns by name, a few thousand rows at a time, all problems at once."""

import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import numpy as np

from hpsearch.data.csv_table import open_csv_rows
from hpsearch.data.dataset import Array
from hpsearch.data.numerals import is_local_number, is_missing, plain
from hpsearch.data.parquet_table import open_parquet_rows
from hpsearch.data.raw_cells import ColumnReader
from hpsearch.data.table import TableRow, TableRows
from hpsearch.errors import DataError
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.messages import nearest
from hpsearch.training.evaluation import EVALUATION_EXAMPLES

_CELLS_AT_ONCE: Final = 250_000
"""Cells that are in memory at one time: about 25 MB as text."""

_MOST_PROBLEMS: Final = 20
"""Problems that an error lists."""

_LONGEST_EXCERPT: Final = 40
"""Characters of a cell that a message shows."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TablePredictions:
    """Predictions for the rows of a table, as they are read.

    `names` are the columns of the result: those of the table, and those of the predictions. `rows` yields their cells,
    and ends with DataError, which lists every problem, if the table has any; after the first problem it yields nothing
    more. `ignored` are columns of the table that are no inputs. `unknown` counts, as rows are read, the cells of each
    column whose category the training part does not have.
    """

    names: tuple[str, ...]
    rows: Iterator[list[str]]
    ignored: tuple[str, ...]
    unknown: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def open_predictions(
    model: TrainedModel, path: Path, *, probabilities: bool = False
) -> Iterator[TablePredictions]:
    """Yield the predictions of `model` for the table in `path`.

    A model whose inputs have names finds its columns by them, in any order and among others; the others need the same
    columns as the study, in the same order. Raises DataError for columns that are missing, and HpsearchError for
    `probabilities` of a model that has none.
    """
    if probabilities:
        model.check_probabilities("--probabilities")
    _check_file(path)
    encoding = model.preprocessing.encoding
    with _open_rows(path, model) as table:
        first = next(table.rows, None)
        if first is None:
            raise DataError(f"{path}: a table must hold at least one row (got a header alone): give it data")
        names = table.names or tuple(map(str, range(1, len(first[1]) + 1)))
        places = _places(names, model, path)
        added = _prediction_names(model, probabilities=probabilities)
        if taken := [name for name in added if name in names]:
            raise DataError(
                f"{path}: must leave the names of predictions free (got the columns {_listed(taken)}): rename them"
            )
        columns = () if encoding is None else encoding.columns
        reader = _Reader(
            model=model,
            path=path,
            names=names,
            places=places,
            is_named=table.names is not None,
            unit=table.unit,
            number=table.number,
            columns=[ColumnReader(fitted=fitted, number=table.number) for fitted in columns],
        )
        yield TablePredictions(
            names=(*names, *added),
            rows=reader.predicted(itertools.chain([first], table.rows), probabilities=probabilities),
            ignored=tuple(name for place, name in enumerate(names) if place not in set(places)),
            unknown=reader.unknown,
        )


def _open_rows(path: Path, model: TrainedModel) -> AbstractContextManager[TableRows]:
    if path.name.lower().endswith(".parquet"):
        return open_parquet_rows(path, flags_are_numbers=model.preprocessing.encoding is None)
    return open_csv_rows(path, has_header=True if model.preprocessing.raw_features else None)


def _check_file(path: Path) -> None:
    try:
        if not path.is_file():
            raise DataError(f"{path}: the table must exist (got no file): correct the path")
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise DataError(
            f'{path}: the table must be readable (got "{error.strerror or error}"): check its permissions'
        ) from error
    if is_empty:
        raise DataError(f"{path}: a table must hold at least one row (got 0 bytes): give it data")


def _places(names: Sequence[str], model: TrainedModel, path: Path) -> list[int]:
    """Return the place of each input among the columns. Raises DataError with every column that is missing."""
    features, encoding = model.preprocessing.raw_features, model.preprocessing.encoding
    if not features:
        inputs = model.inputs if encoding is None else len(encoding.columns)
        if len(names) != inputs:
            raise DataError(
                f"{path}: must have the {inputs} inputs of the study as its columns, without names "
                f"(got {len(names)} columns): leave out all others, the target too"
            )
        return list(range(inputs))
    problems = [
        _column_problem(name, names, count=features.count(name))
        for name in dict.fromkeys(features)
        if names.count(name) != features.count(name)
    ]
    if problems:
        raise _error(path, problems)
    # A name that several inputs share means them in the order of the study.
    places = {name: [i for i, own in enumerate(names) if own == name] for name in features}
    return [places[name].pop(0) for name in features]


def _column_problem(name: str, names: Sequence[str], *, count: int) -> str:
    if name in names:
        times = "once" if count == 1 else f"{count} times"
        return f'column "{name}": must be there {times} (got {names.count(name)} of that name): rename the others'
    near = nearest(name, names)
    remedy = f'did you mean "{near}"?' if near is not None else "add it"
    return f'column "{name}": must be there, an input of the model (got none of that name): {remedy}'


def _prediction_names(model: TrainedModel, *, probabilities: bool) -> tuple[str, ...]:
    if not model.classes and model.outputs > 1:
        return tuple(f"prediction_{place}" for place in range(1, model.outputs + 1))
    shares = tuple(f"probability_{name}" for name in model.classes) if probabilities else ()
    return ("prediction", *shares)


@final
@dataclass(kw_only=True, slots=True)
class _Fault:
    """A problem of one column: the rule, the first line and cell, and the number of such cells."""

    rule: str
    remedy: str
    line: int
    got: str
    count: int = 0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Reader:
    """Reads the inputs of a model from rows, and collects problems by column (-1 for the row itself) and rule."""

    model: TrainedModel
    path: Path
    names: Sequence[str]
    places: Sequence[int]
    is_named: bool
    unit: str
    number: Callable[[str], float]
    columns: Sequence[ColumnReader] = ()
    unknown: dict[str, int] = field(default_factory=dict)
    faults: dict[tuple[int, str], _Fault] = field(default_factory=dict)

    def predicted(self, rows: Iterator[TableRow], *, probabilities: bool) -> Iterator[list[str]]:
        """Yield each row's cells with those of its prediction. Raises DataError with every problem at the end."""
        # Whole passes of an evaluation: the last bits of a row's outputs depend on its place in a pass.
        passes = max(1, _CELLS_AT_ONCE // len(self.names) // EVALUATION_EXAMPLES)
        while chunk := list(itertools.islice(rows, passes * EVALUATION_EXAMPLES)):
            inputs = self._inputs(chunk)
            if inputs is None or self.faults:
                continue
            columns = self._prediction_cells(
                inputs, where=f"{self.path}: {self.unit}s {chunk[0][0]} to {chunk[-1][0]}"
            )
            if probabilities:
                shares = self.model.predict_probabilities(inputs)
                columns = np.column_stack(
                    [columns, shares.astype(self.model.parameters.dtype).astype(np.str_)]
                )
            for (_, cells), predicted in zip(chunk, columns.tolist(), strict=True):
                yield [*cells, *predicted]
        if self.faults:
            raise _error(self.path, [self._words(*item) for item in self.faults.items()])

    def _prediction_cells(self, inputs: Array, *, where: str) -> Array:
        """Return the predictions (N, O) as text: numbers in the shortest form in the network's precision."""
        predicted = self.model.predict(inputs, where=where)
        if not self.model.classes:
            predicted = predicted.astype(self.model.parameters.dtype)
        cells: Array = predicted.reshape(len(inputs), -1).astype(np.str_)
        return cells

    def _inputs(self, chunk: Sequence[TableRow]) -> Array | None:
        """Return the inputs (N, I) of some rows, or None if one has a problem, which is noted."""
        width = len(self.names)
        if self.columns:
            return self._encoded_inputs(chunk)
        if all(len(cells) == width for _, cells in chunk):
            picked = [[cells[place] for place in self.places] for _, cells in chunk]
            numbers = array("d")
            with suppress(ValueError):
                for row in picked:
                    numbers.extend(map(self.number, row))
                inputs = np.frombuffer(numbers).reshape(len(chunk), -1)
                if np.isfinite(inputs).all() and not any("_" in "".join(row) for row in picked):
                    return inputs
        for line, cells in chunk:
            self._examine(line, cells)
        return None

    def _encoded_inputs(self, chunk: Sequence[TableRow]) -> Array | None:
        """Return the raw inputs (N, R) of some rows for the encoding, or None if one has a problem, which is noted."""
        whole = [row for row in chunk if len(row[1]) == len(self.names)]
        for line, cells in chunk:
            if len(cells) != len(self.names):
                self._examine(line, cells)
        inputs = np.empty((len(whole), len(self.columns)))
        for i, (place, column) in enumerate(zip(self.places, self.columns, strict=True)):
            inputs[:, i], problems = column.read([cells[place] for _, cells in whole])
            if column.unknown:
                self.unknown[self.names[place]] = column.unknown
            for problem in problems:
                line, cells = whole[problem.place]
                self._note(place, problem.rule, problem.remedy, line, f'"{_excerpt(cells[place])}"')
        return inputs if whole and not self.faults else None

    def _examine(self, line: int, cells: Sequence[str]) -> None:
        """Note the problems of one row."""
        if len(cells) != len(self.names):
            rule = f"every row must have {len(self.names)} cells, as the first has"
            self._note(-1, rule, "correct the row", line, str(len(cells)))
            return
        for place in self.places:
            if (found := self._cell_problem(cells[place])) is not None:
                self._note(place, *found, line, f'"{_excerpt(cells[place])}"')

    def _cell_problem(self, cell: str) -> tuple[str, str] | None:
        """Return the rule that a cell breaks, and a remedy; None for a number."""
        text = cell.strip()
        if is_missing(text):
            return "a number is missing", "fill it, or drop the row"
        try:
            number = math.nan if "_" in text else self.number(text)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            remedy = f"write {plain(text)}" if is_local_number(text) else "write a number"
            return "inputs must be numbers, as in the study", remedy
        return None if math.isfinite(number) else ("inputs must be finite", "fill it, or drop the row")

    def _note(self, place: int, rule: str, remedy: str, line: int, got: str) -> None:
        fault = self.faults.setdefault((place, rule), _Fault(rule=rule, remedy=remedy, line=line, got=got))
        fault.count += 1

    def _words(self, key: tuple[int, str], fault: _Fault) -> str:
        place = key[0]
        name = f'"{self.names[place]}"' if self.is_named else str(place + 1)
        column = "" if place < 0 else f", column {name}"
        more = f"; {fault.count:,} such in all" if fault.count > 1 else ""
        return f"{self.unit} {fault.line}{column}: {fault.rule} (got {fault.got}{more}): {fault.remedy}"


def _excerpt(cell: str) -> str:
    return cell if len(cell) <= _LONGEST_EXCERPT else f"{cell[: _LONGEST_EXCERPT - 3]}..."


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _error(path: Path, problems: Sequence[str]) -> DataError:
    if len(problems) == 1:
        return DataError(f"{path}: {problems[0]}")
    more = len(problems) - _MOST_PROBLEMS
    lines = [f"{path}: {len(problems)} problems", *(f"  {problem}" for problem in problems[:_MOST_PROBLEMS])]
    return DataError("\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])]))
