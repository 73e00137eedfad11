"""Parquet tables, which need the extra `parquet`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpsearch.data.column_kinds import rules_by_place
from hpsearch.data.dataset import Array, RawData
from hpsearch.data.memory import check_size
from hpsearch.data.table import (
    ColumnInputs,
    TableContents,
    TableLayout,
    TableReading,
    TableRow,
    TableRows,
    cell_text,
    layout_of,
    named_columns,
    table_data,
)
from hpsearch.errors import DataError
from hpsearch.installation import install_command
from hpsearch.study.spec import ColumnRule, Task

_ROWS_AT_ONCE: Final = 1000
"""Rows that are in memory as objects of Python at one time."""


def read_parquet(
    path: Path, *, target: str | None, task: Task = "auto", reading: TableReading | None = None
) -> RawData:
    """Return the table in `path`, read by the rules of `reading`; the target is the named column, or the last one.

    Raises DataError if pyarrow is missing, or, with every problem, if the table cannot be used.
    """
    reading = reading or TableReading()
    table = _read_table(path)
    layout = _layout(table, path, target=target, drop=reading.drop)
    if table.num_rows == 0:
        raise DataError(f"{path}: a table must hold at least one row (got none): give it data")
    columns = [table.column(i) for i in layout.inputs]
    rules = rules_by_place(reading.columns, [layout.names[i] for i in layout.inputs])
    inputs = ColumnInputs(rows=table.num_rows, width=len(columns), reading=reading, unit="row")
    for place, column in enumerate(columns):
        _add_column(inputs, place, column, rules.get(place))
    targets = table.column(layout.target)
    missing = _missing_target(targets, layout.names[layout.target])
    named = [i for i in sorted(layout.useless) if table.column(i).null_count < table.num_rows]
    return table_data(
        TableContents(
            where=str(path),
            features=tuple(layout.names[i] for i in layout.inputs),
            target=layout.shown(layout.target),
            is_named=True,
            inputs=inputs.values,
            targets=np.zeros(0) if missing else _targets(targets),
            problems=inputs.problems,
            target_problem=missing,
            useless=tuple(layout.names[i] for i in named),
            texts=inputs.texts,
            dates=frozenset(inputs.dates),
            unit="row",
        ),
        task=task,
        reading=reading,
    )


def read_parquet_cells(
    path: Path, *, target: str | None, drop: tuple[str, ...] | None
) -> tuple[TableLayout, list[Iterator[str]]]:
    """Return the columns that a study reads of the table in `path`, and the cells of every column as text."""
    table = _read_table(path)
    layout = _layout(table, path, target=target, drop=drop)
    columns = (table.column(i).to_pylist() for i in range(len(layout.names)))
    return layout, [("" if cell is None else str(cell) for cell in column) for column in columns]


def _layout(table: Any, path: Path, *, target: str | None, drop: tuple[str, ...] | None) -> TableLayout:
    return layout_of(
        [str(name) for name in table.column_names],
        target=target,
        drop=drop,
        names_rows=lambda i: _names_rows(table.column(i)),
        is_named=True,
        where=str(path),
    )


def _names_rows(column: Any) -> bool:
    """Return True for a column that has a different text in every row, or nothing at all."""
    if column.null_count == len(column):
        return True
    return not _is_numeric(column.type) and len(set(column.to_pylist())) == len(column) > 2


@contextmanager
def open_parquet_rows(path: Path, *, flags_are_numbers: bool = True) -> Iterator[TableRows]:
    """Yield the rows of the table in `path` as they are read; missing values are empty cells.

    Flags are `0` and `1` if `flags_are_numbers`, else `False` and `True`.

    Raises DataError if pyarrow is missing, or if the file is no table.
    """
    pa, parquet = _libraries(path)
    try:
        with parquet.ParquetFile(path) as file:
            names = tuple(named_columns([str(name) for name in file.schema_arrow.names]))
            yield TableRows(
                names=names,
                rows=_rows_of(file, _number_cell if flags_are_numbers else cell_text),
                unit="row",
                number=float,
            )
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file itself cannot be read
        raise DataError(f'{path}: must be a Parquet file (got "{error}"): write it again') from error


def _rows_of(file: Any, cell: Callable[[object], str]) -> Iterator[TableRow]:
    first = 1
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        columns = [list(map(cell, column.to_pylist())) for column in batch.columns]
        for number, cells in enumerate(zip(*columns, strict=True), start=first):
            yield number, list(cells)
        first += batch.num_rows


def _number_cell(value: object) -> str:
    """Return a value as text; flags as 0 and 1, which they are as inputs."""
    if value is None:
        return ""
    return str(int(value) if isinstance(value, bool) else value)


def _read_table(path: Path) -> Any:
    pa, parquet = _libraries(path)
    try:
        with parquet.ParquetFile(path) as file:
            check_size(8 * file.metadata.num_rows * file.metadata.num_columns, str(path))
            return file.read()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file itself cannot be read
        raise DataError(f'{path}: must be a Parquet file (got "{error}"): write it again') from error


def _libraries(path: Path) -> tuple[Any, Any]:
    """Return the modules pyarrow and pyarrow.parquet. Raises DataError if they are not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra that not everyone has
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet files need pyarrow (got none): {install_command('parquet')}"
        ) from error
    return pa, parquet


def _add_column(inputs: ColumnInputs, place: int, column: Any, rule: ColumnRule | None) -> None:
    """Add a column to `inputs`, in place: numbers and dates by their type, anything else as text."""
    from pyarrow import types  # noqa: PLC0415 - an extra that not everyone has

    kind = None if rule is None else rule.kind
    if _is_numeric(column.type) and kind not in ("category", "date"):
        inputs.add_numbers(place, _numbers(column), null="null")
    elif (types.is_timestamp(column.type) or types.is_date(column.type)) and kind in (None, "date"):
        inputs.add_dates(place, np.asarray(column.to_numpy()))
    else:
        inputs.add_objects(place, column.to_pylist(), rule)


def _numbers(column: Any) -> Array:
    """Return a numeric column as float64, with NaN for null."""
    return np.asarray(column.cast("float64", safe=False).to_numpy(), dtype=np.float64)


def _targets(column: Any) -> Array:
    """Return the targets as float64 numbers or text, as the column has them."""
    if _is_numeric(column.type):
        return _numbers(column)
    return np.array([str(value) for value in column.to_pylist()], dtype=np.str_)


def _missing_target(column: Any, name: str) -> str | None:
    """Return the sentence for targets that are null, or None if there are none."""
    if not column.null_count:
        return None
    row = int(np.asarray(column.is_null().to_numpy()).argmax())
    more = f"; {column.null_count} such in all" if column.null_count > 1 else ""
    return f'row {row + 1}, column "{name}": a target is missing (got null{more}): fill it, or drop the row'


def _is_numeric(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415 - an extra that not everyone has

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(test(kind) for test in tests)
