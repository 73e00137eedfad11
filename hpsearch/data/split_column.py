"""The column that decides about a split: groups that stay together, or the times by which rows are ordered."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from hpsearch.data.csv_table import open_table
from hpsearch.data.dataset import Array
from hpsearch.data.dates import date_number, day_first_of
from hpsearch.data.numerals import is_missing, is_number
from hpsearch.data.parquet_table import read_parquet_cells
from hpsearch.data.table import TableReading
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for

_MICROSECONDS: Final = "datetime64[us]"


def read_split_column(path: Path, name: str, *, target: str | None, reading: TableReading) -> tuple[str, ...]:
    """Return the cells (N,) of the column `name` of the table in `path`, for the rows that its reader returns.

    Raises DataError if there is no such column, or a cell is missing.
    """
    if path.name.lower().endswith(".parquet"):
        layout, columns = read_parquet_cells(path, target=target, drop=reading.drop)
        place = place_of(name, layout.names, where=str(path))
        cells = list(enumerate(columns[place], start=1))
        return _filled(cells, name, where=str(path), unit="row")
    with open_table(path, target=target, reading=reading) as table:
        names = table.layout.names if table.layout.is_named else ()
        place = place_of(name, names, where=str(path))
        read = {table.layout.target, *table.layout.inputs} - {place}
        cells = [
            (line, cells[place])
            for line, cells in table.rows()
            # The reader skips rows that spreadsheets write as delimiters.
            if len(cells) >= len(names) and any(cells[i].strip() for i in read)
        ]
    return _filled(cells, name, where=str(path), unit="line")


def place_of(name: str, names: Sequence[str], *, where: str) -> int:
    """Return the place of the column `name`. Raises DataError, about `where`, unless one column has that name."""
    if names.count(name) != 1:
        remedy = remedy_for(name, names) if names else "add a header that names the columns"
        raise DataError(
            f'{where}: data.group and data.time must name one column (got "{name}", of which there are'
            f" {names.count(name)}): {remedy}"
        )
    return names.index(name)


def _filled(cells: list[tuple[int, str]], name: str, *, where: str, unit: str) -> tuple[str, ...]:
    """Return the texts of (place, cell). Raises DataError for missing ones."""
    missing = [(place, cell) for place, cell in cells if is_missing(cell.strip())]
    if missing:
        place, cell = missing[0]
        raise _missing_error(f"{where}: {unit} {place}", name, cell.strip(), len(missing))
    return tuple(cell.strip() for _, cell in cells)


def _missing_error(place: str, name: str, got: str, count: int) -> DataError:
    more = f"; {count:,} such in all" if count > 1 else ""
    return DataError(
        f'{place}, column "{name}": every row must have a value by which it is split (got "{got}"{more}):'
        " fill it, or drop the row"
    )


def checked_split_column(values: Array, name: str, *, where: str) -> Array:
    """Return an array (N,) that a program passed, as numbers or text. Raises DataError for missing values."""
    if values.ndim != 1:
        raise DataError(
            f'{where}: "{name}" must have one value per row (got shape {values.shape}): pass one column'
        )
    if values.dtype.kind == "M":
        missing = np.isnat(values)
        made: Array = values.astype(_MICROSECONDS).astype(np.int64)
    elif values.dtype.kind in "buif":
        missing, made = np.isnan(values.astype(np.float64)), values
    else:
        made = np.array([str(value) for value in values], dtype=np.str_)
        missing = np.array(
            [value is None or is_missing(str(value)) or str(value) == "NaT" for value in values]
        )
    if count := int(missing.sum()):
        row = int(missing.argmax())
        raise _missing_error(f"{where}: row {row + 1}", name, str(values[row]), count)
    return made


def groups_of(values: Array) -> Array:
    """Return the group (N,) int64 of each row, numbered in the order of their values."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64).reshape(-1)


def times_of(values: Array, name: str, *, where: str) -> Array:
    """Return the time (N,) of each row: numbers as they are, dates and times in microseconds.

    They are in ISO 8601, or in another form of `dates` that has one meaning. Times without a zone are all of one zone.
    Raises DataError for other text, and for a mixture.
    """
    if values.dtype.kind in "buif":
        return values
    texts = [str(value) for value in values]
    if all(is_number(text) for text in texts):
        return np.array(texts, dtype=np.float64)
    if (others := _other_dates(texts)) is not None:
        return others
    times = list(_moments(texts, name, where=where))
    zoned = [time.tzinfo is not None for time in times]
    if any(zoned) and not all(zoned):
        raise DataError(
            f'{where}: column "{name}": all times must have a zone, or none (got "{texts[zoned.index(True)]}"'
            f' and "{texts[zoned.index(False)]}"): write all of them alike'
        )
    return np.array([_microseconds(time) for time in times], dtype=np.int64)


def _other_dates(texts: list[str]) -> Array | None:
    """Return dates such as `31.01.2024` in microseconds; None if the first is in ISO 8601, or one is unclear."""
    if date_number(texts[0]) is None and date_number(texts[0], day_first=True) is None:
        return None
    day_first = day_first_of(texts)
    if re.match(r"\d{4}-\d{2}-\d{2}", texts[0]) or day_first is None:
        return None
    numbers = [date_number(text, day_first=day_first) for text in texts]
    seconds = [number for number in numbers if number is not None]
    return np.array(seconds) * 1_000_000 if len(seconds) == len(texts) else None


def _moments(texts: list[str], name: str, *, where: str) -> Iterator[datetime]:
    for row, text in enumerate(texts, start=1):
        try:
            yield datetime.fromisoformat(text)
        except ValueError:
            raise DataError(
                f'{where}: row {row}, column "{name}": data.time must be numbers, or dates such as 2024-03-31 or'
                f' 2024-03-31 14:05 (got "{text}"): write them so'
            ) from None


def _microseconds(time: datetime) -> int:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    return (aware - datetime(1, 1, 1, tzinfo=UTC)) // timedelta.resolution
