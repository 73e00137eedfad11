"""Tables in text, plain or gzipped: cells between commas, semicolons, tabs or spaces, with or without a header."""

import csv
import gzip
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TextIO, final

import numpy as np

from hpsearch.data.dataset import RawData
from hpsearch.data.memory import check_size
from hpsearch.data.table import MISSING, TableRows, features_of, not_a_number, target_index, targets_of
from hpsearch.errors import DataError

# The first wins a tie: a comma inside a cell is more likely than a tab.
_DELIMITERS = "\t;,"

_LONGEST_LINE = 2**24
"""Characters of a line. A longer one is no row of a table, and may be a small file that unpacks to a huge one."""

_ROWS_BETWEEN_CHECKS = 10_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Layout:
    """The layout of the table. Columns without a header are named by their number, from 1."""

    names: tuple[str, ...]
    has_header: bool
    target: int


def read_csv(path: Path, *, target: str | None) -> RawData:
    """Return the table in `path`; the target is the column of that name, or the last one.

    The delimiter is the one of comma, semicolon and tab that cuts the first row into most cells, or runs of spaces if
    none of these does and it begins with a number. The first row is a header if one of its inputs is text, or its
    target is and the next row's is not. Blank lines are skipped. Raises DataError, with the line, if the file is no
    table of numbers.
    """
    with _opened(path) as file:
        try:
            return _read(_rows(file, _delimiter(file, path), path), path, target)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f'{path}: must be a whole gzip file (got "{error}"): copy or download it again'
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: must be text in UTF-8 (got the byte 0x{error.object[error.start]:02x}):"
                " save it as UTF-8"
            ) from error


def _opened(path: Path) -> TextIO:
    """Return `path` opened for reading, unpacked if it is gzipped, whatever its name."""
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    if is_packed:
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of `file`. Raises DataError for one that is longer than any row."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path}: a line must be shorter than {_LONGEST_LINE:,} characters (got more): check that it is a table"
            )
        yield line


def _delimiter(file: TextIO, path: Path) -> str:
    """Return the delimiter that cuts the first row into most cells; `file` is left at its start."""
    first = next((line for line in _lines(file, path) if line.strip()), None)
    file.seek(0)
    if first is None:
        raise DataError(f"{path}: a table must hold at least one row (got an empty file): give it data")
    best = max(_DELIMITERS, key=lambda delimiter: _count_cells(first, delimiter))
    return best if _count_cells(first, best) > 1 or not _is_number(first.split()[0]) else " "


def _count_cells(line: str, delimiter: str) -> int:
    try:
        return len(next(csv.reader([line], delimiter=delimiter)))
    except csv.Error:
        return 1  # a long line that is one cell is longer than a cell may be


def _rows(file: TextIO, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) for every row that is not blank; lines count from 1."""
    reader = csv.reader(_lines(file, path), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(
            f'{path}: line {reader.line_num}: must be CSV (got "{error}"): check its quotes'
        ) from error


def _read(rows: Iterator[tuple[int, list[str]]], path: Path, target: str | None) -> RawData:
    head = list(islice(rows, 2))
    layout = _layout([cells for _, cells in head], target, where=str(path))
    numbers = array("d")
    texts: list[str] = []
    for line, cells in chain(head[1:] if layout.has_header else head, rows):
        where = f"{path}: line {line}"
        _check_width(cells, layout, where)
        texts.append(_take_target(cells, layout, where))
        _append_inputs(numbers, cells, layout, where)
        if len(texts) % _ROWS_BETWEEN_CHECKS == 0:
            check_size(numbers.itemsize * len(numbers), str(path))
    if not texts:
        raise DataError(f"{path}: a table must hold at least one row (got a header alone): give it data")
    return RawData(
        inputs=np.frombuffer(numbers).reshape(len(texts), -1),
        targets=targets_of(texts),
        where=str(path),
        origin=str(path),
        features=features_of(layout.names, layout.target) if layout.has_header else (),
    )


def _layout(head: Sequence[Sequence[str]], target: str | None, *, where: str) -> _Layout:
    first, *others = head
    has_header = any(_is_name(cell) for cell in first[:-1]) or (
        _is_name(first[-1]) and bool(others) and _is_number(others[0][-1])
    )
    if target is not None and not has_header:
        raise DataError(
            f'{where}: data.target must name a column of the header (got "{target}", and no header):'
            " add a header, or put the target last and leave data.target out"
        )
    names = tuple(cell.strip() if has_header else str(i) for i, cell in enumerate(first, start=1))
    return _Layout(names=names, has_header=has_header, target=target_index(names, target, where=where))


def _check_width(cells: Sequence[str], layout: _Layout, where: str) -> None:
    if len(cells) != len(layout.names):
        raise DataError(
            f"{where}: every row must have {len(layout.names)} cells, as the first has"
            f" (got {len(cells)}): correct the row"
        )


def _take_target(cells: list[str], layout: _Layout, where: str) -> str:
    """Remove the target from `cells` in place and return it."""
    text = cells.pop(layout.target).strip()
    if text.lower() in MISSING:
        place = f"{where}, column {_shown(layout, layout.target)}"
        raise DataError(f'{place}: a target is missing (got "{text}"): fill it, or drop the row')
    return text


def _append_inputs(numbers: "array[float]", cells: Sequence[str], layout: _Layout, where: str) -> None:
    """Append the inputs of one row to `numbers` in place."""
    try:
        numbers.extend(map(float, cells))
    except ValueError as error:
        place = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        column = place if place < layout.target else place + 1
        raise not_a_number(f"{where}, column {_shown(layout, column)}", cells[place]) from error


def _shown(layout: _Layout, column: int) -> str:
    return f'"{layout.names[column]}"' if layout.has_header else layout.names[column]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _is_name(cell: str) -> bool:
    """Return True for text that is neither a number nor a mark for a missing one."""
    return not _is_number(cell) and cell.strip().lower() not in MISSING


@contextmanager
def open_csv_rows(path: Path, *, has_header: bool | None) -> Iterator[TableRows]:
    """Yield the rows of the table in `path` as they are read, in the dialect that `read_csv` finds.

    `has_header` None means a header if a cell of the first row, other than the last, is a name. Raises DataError if the
    file is no table, also while its rows are read.
    """
    try:
        with _opened(path) as file:
            rows = _rows(file, _delimiter(file, path), path)
            first = next(rows)
            if has_header is None:
                has_header = any(map(_is_name, first[1][:-1] or first[1]))
            names = tuple(cell.strip() for cell in first[1]) if has_header else None
            yield TableRows(names=names, rows=rows if has_header else chain([first], rows), unit="line")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f'{path}: must be a whole gzip file (got "{error}"): copy or download it again'
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: must be text in UTF-8 (got the byte 0x{error.object[error.start]:02x}): save it as UTF-8"
        ) from error
