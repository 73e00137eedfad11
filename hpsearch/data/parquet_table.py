"""Parquet tables, which need the extra `parquet`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from hpsearch.data.dataset import Array, RawData
from hpsearch.data.memory import check_size
from hpsearch.data.table import TableRow, TableRows, features_of, not_a_number, target_index
from hpsearch.errors import DataError
from hpsearch.installation import install_command

_ROWS_AT_ONCE: Final = 1000
"""Rows that are in memory as objects of Python at one time."""


def read_parquet(path: Path, *, target: str | None) -> RawData:
    """Return the table in `path`; the target is the column of that name, or the last one.

    Raises DataError if pyarrow is missing, or if the file is no table of numbers.
    """
    table = _read_table(path)
    names = [str(name) for name in table.column_names]
    place = target_index(names, target, where=str(path))
    if table.num_rows == 0:
        raise DataError(f"{path}: a table must hold at least one row (got none): give it data")
    features = features_of(names, place)
    columns = [table.column(i) for i in range(len(names)) if i != place]
    return RawData(
        inputs=_inputs(columns, features, path),
        targets=_targets(table.column(place), f'{path}: column "{names[place]}"'),
        where=str(path),
        origin=str(path),
        features=features,
    )


@contextmanager
def open_parquet_rows(path: Path) -> Iterator[TableRows]:
    """Yield the rows of the table in `path` as they are read; missing values are empty cells.

    Raises DataError if pyarrow is missing, or if the file is no table.
    """
    pa, parquet = _libraries(path)
    try:
        with parquet.ParquetFile(path) as file:
            names = tuple(str(name) for name in file.schema_arrow.names)
            yield TableRows(names=names, rows=_rows_of(file), unit="row")
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the file itself cannot be read
        raise DataError(f'{path}: must be a Parquet file (got "{error}"): write it again') from error


def _rows_of(file: Any) -> Iterator[TableRow]:
    first = 1
    for batch in file.iter_batches(_ROWS_AT_ONCE):
        columns = [list(map(_cell, column.to_pylist())) for column in batch.columns]
        for number, cells in enumerate(zip(*columns, strict=True), start=first):
            yield number, list(cells)
        first += batch.num_rows


def _cell(value: object) -> str:
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


def _inputs(columns: Sequence[Any], features: Sequence[str], path: Path) -> Array:
    """Return the columns as (N, I) float64."""
    inputs = np.empty((len(columns[0]), len(columns)))
    for i, (column, name) in enumerate(zip(columns, features, strict=True)):
        inputs[:, i] = _numbers(column, f'{path}: column "{name}"')
    return inputs


def _numbers(column: Any, where: str) -> Array:
    _check_complete(column, where, what="number")
    if not _is_numeric(column.type):
        raise not_a_number(f"{where}, row 1", column[0].as_py())
    return np.asarray(column.cast("float64", safe=False).to_numpy())


def _targets(column: Any, where: str) -> Array:
    """Return the targets as whole numbers, float64 numbers or text, as the column has them."""
    _check_complete(column, where, what="target")
    if _is_numeric(column.type):
        return _numbers(column, where)
    return np.array([str(value) for value in column.to_pylist()], dtype=np.str_)


def _is_numeric(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415 - an extra that not everyone has

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(test(kind) for test in tests)


def _check_complete(column: Any, where: str, *, what: str) -> None:
    if column.null_count:
        row = int(np.asarray(column.is_null().to_numpy()).argmax())
        raise DataError(
            f"{where}, row {row + 1}: a {what} is missing (got null; {column.null_count} such in all):"
            " fill it, or drop the row"
        )
