"""Tables in text, plain or gzipped: cells between delimiters, with or without a header."""

import csv
import gzip
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TextIO, TypeAlias, final

import numpy as np

from hpsearch.data.column_kinds import RARE_CELLS, Texts, is_empty_cell, rules_by_place
from hpsearch.data.dataset import Array, RawData
from hpsearch.data.dialect import SAMPLE_CHARACTERS, SAMPLE_LINES, Dialect, find_dialect
from hpsearch.data.memory import check_size
from hpsearch.data.numerals import (
    decimal_comma_number,
    has_decimal_comma,
    is_ambiguous,
    is_missing,
    is_number,
)
from hpsearch.data.table import (
    Cells,
    ColumnProblems,
    TableContents,
    TableLayout,
    TableReading,
    TableRows,
    layout_of,
    named_columns,
    table_data,
    targets_of,
)
from hpsearch.errors import DataError
from hpsearch.study.spec import HeaderUse, Task

_LONGEST_LINE = 2**24
"""Characters of a line. A longer one is no row of a table, and may be a small file that unpacks to a huge one."""

_ROWS_AT_ONCE = 2000
"""Rows that are read together: a chunk of cells that the processor's cache holds."""

_EMPTY: Final = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?"})
"""The most frequent marks of a missing value, which need no closer look."""

_SUSPICIOUS: Final = re.compile("[_nN]")
"""Characters of cells that Python reads as numbers, and that are none here: 1_000, nan, inf."""


@final
@dataclass(kw_only=True, slots=True)
class _Found:
    """What a pass over the rows has found so far."""

    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    targets: list[str] = field(default_factory=list)
    texts: dict[int, Texts] = field(default_factory=dict)
    problems: dict[int, ColumnProblems] = field(default_factory=dict)
    ragged: Cells | None = None
    missing_target: Cells | None = None
    notations: dict[int, dict[str, tuple[int, str]]] = field(default_factory=dict)


class _DecimalCommaFound(Exception):  # noqa: N818 - no error: the table is read again
    """A number with a decimal comma follows a first part of the table that has none."""


def read_csv(
    path: Path, *, target: str | None, task: Task = "auto", reading: TableReading | None = None
) -> RawData:
    """Return the table in `path`; the target is the column of that name, or the last one.

    `dialect` describes how the delimiter, the header and the decimal mark are found. Blank lines are skipped. Raises
    DataError, with every problem, its line and its column, if the file is no table of numbers.
    """
    reading = reading or TableReading()
    with open_table(path, target=target, reading=reading) as table:
        dialect, layout = table.dialect, table.layout
        notation: _Notation = "comma" if dialect.has_decimal_comma else "unknown"
        if dialect.delimiter == ",":
            notation = "point"
        columns = _Columns.of(layout, dialect, reading, notation)
        found = None
        while found is None:
            try:
                found = _read(table.rows(), layout, path, columns)
            except _DecimalCommaFound:
                columns = _Columns.of(layout, dialect, reading, "comma")
                continue
            if more := columns.more_texts(found):
                columns, found = replace(columns, texts=columns.texts | more), None
    # If the delimiter leaves both marks, a target with a decimal comma is a number in a regression.
    notation = columns.notation
    is_wanted = notation == "unknown" and task == "regression"
    is_comma = notation == "comma" or (is_wanted and any(map(has_decimal_comma, found.targets)))
    targets = targets_of(found.targets, has_decimal_comma=is_comma)
    contents = _contents(found, layout, dialect, targets, str(path))
    contents = replace(contents, has_decimal_comma=notation == "comma")
    return table_data(contents, task=task, reading=reading)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TextTable:
    """An open table in text, whose dialect and columns are known."""

    file: TextIO
    path: Path
    dialect: Dialect
    layout: TableLayout

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, cells) for every row below the header that is not blank, from the start of the file."""
        return _rows(self.file, self.dialect, self.path)


@contextmanager
def open_table(path: Path, *, target: str | None, reading: TableReading) -> Iterator[TextTable]:
    """Yield the table in `path`. Raises DataError if it, or the rest of the file within the context, cannot be read."""
    with _open_text(path, reading.header) as (file, dialect):
        layout = _layout(dialect, target, reading, where=str(path))
        yield TextTable(file=file, path=path, dialect=dialect, layout=layout)


@contextmanager
def open_csv_rows(path: Path, *, has_header: bool | None) -> Iterator[TableRows]:
    """Yield the rows of the table in `path`, which has no target, as they are read, in the dialect that is found.

    `has_header` None means what the first lines suggest. Raises DataError if the file is no table, also while its rows
    are read.
    """
    header: HeaderUse = "auto" if has_header is None else "yes" if has_header else "no"
    with _open_text(path, header) as (file, dialect):
        # Without a target, the last column counts too.
        is_last = dialect.delimiter != "," and any(has_decimal_comma(row[-1]) for row in dialect.sample)
        yield TableRows(
            names=None if dialect.names is None else tuple(named_columns(dialect.names)),
            rows=_filled_rows(file, dialect, path),
            unit="line",
            number=decimal_comma_number if dialect.has_decimal_comma or is_last else float,
        )


def _filled_rows(file: TextIO, dialect: Dialect, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that have a filled cell, without the empty cell after a delimiter at the end."""
    for line, cells in _rows(file, dialect, path):
        if len(cells) == dialect.width + 1 and not cells[-1].strip():
            cells.pop()
        if any(cell.strip() for cell in cells):
            yield line, cells


@contextmanager
def _open_text(path: Path, header: HeaderUse) -> Iterator[tuple[TextIO, Dialect]]:
    _check_bytes(path)
    with _opened(path) as file:
        try:
            yield file, find_dialect(_sample(file, path), path, header)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f'{path}: must be a whole gzip file (got "{error}"): copy or download it again'
            ) from error
        except UnicodeDecodeError as error:
            raise _not_unicode(path, error) from error


_SIGNATURES: Final = (
    (b"PK\x03\x04", "a zip file, such as a workbook of Excel", "export it as CSV"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"\x93NUMPY", "an array of NumPy", "save inputs x and targets y with numpy.savez"),
    (b"%PDF", "a PDF", "export the table as CSV"),
)


def _check_bytes(path: Path) -> None:
    """Raise DataError for a file of another kind, which its first bytes reveal."""
    with path.open("rb") as file:
        head = file.read(8)
    for signature, kind, remedy in _SIGNATURES:
        if head.startswith(signature):
            raise DataError(f"{path}: must be a table in text (got {kind}): {remedy}")


def _opened(path: Path) -> TextIO:
    """Return `path` opened for reading, unpacked if it is gzipped, whatever its name."""
    if _is_packed(path):
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _not_unicode(path: Path, error: UnicodeDecodeError) -> DataError:
    """Return the error for text in another encoding, with the first line that is not in UTF-8."""
    place, shown = "", ""
    with gzip.open(path) if _is_packed(path) else path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as found:
                around = line[max(0, found.start - 12) : found.start + 12].decode("cp1252", "replace").strip()
                place, shown, error = f" line {number}:", f', "{around}" in Latin-1', found
                break
    return DataError(
        f"{path}:{place} must be text in UTF-8 (got the byte 0x{error.object[error.start]:02x}{shown}):"
        " save it as UTF-8"
    )


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of `file`. Raises DataError for one that is longer than any row."""
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{path}: a line must be shorter than {_LONGEST_LINE:,} characters (got more): check that it is a table"
            )
        yield line


def _sample(file: TextIO, path: Path) -> list[str]:
    """Return the first lines of `file`: as many as decide about its dialect, and at least one that is not blank."""
    lines: list[str] = []
    size = filled = 0
    for line in _lines(file, path):
        lines.append(line)
        size += len(line)
        filled += bool(line.strip())
        if filled > 1 and (size > SAMPLE_CHARACTERS or len(lines) > SAMPLE_LINES):
            break
    return lines


def _rows(file: TextIO, dialect: Dialect, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) for every row below the header that is not blank, from the start of the file."""
    file.seek(0)
    lines = islice(_lines(file, path), dialect.skipped, None)
    reader = csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=True, strict=True)
    is_header = dialect.has_header
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                if not is_header:
                    yield dialect.skipped + reader.line_num, row
                is_header = False
    except csv.Error as error:
        raise DataError(
            f'{path}: line {dialect.skipped + reader.line_num}: must be CSV (got "{error}"): check its quotes'
        ) from error


def _layout(dialect: Dialect, target: str | None, reading: TableReading, *, where: str) -> TableLayout:
    if dialect.names is None:
        for key, value, remedy in (
            ("target", target, "put the target last and leave data.target out"),
            ("drop", (reading.drop or (None,))[0], "leave data.drop out"),
            ("columns", next((rule.name for rule in reading.columns), None), "leave data.columns out"),
        ):
            if value is not None:
                raise DataError(
                    f'{where}: data.{key} must name a column of the header (got "{value}", and no header):'
                    f' add a header, set data.header = "yes" if the first line is one, or {remedy}'
                )
    names = dialect.names or tuple(map(str, range(1, dialect.width + 1)))
    return layout_of(
        names,
        target=target,
        drop=reading.drop,
        names_rows=lambda i: _is_useless(i, dialect),
        is_named=dialect.names is not None,
        where=where,
    )


def _is_useless(column: int, dialect: Dialect) -> bool:
    """Return True for a column that is empty, or has a different text in every row: names of rows."""
    if not dialect.sample:
        return False
    cells = [row[column] for row in dialect.sample]
    is_text = len(cells) > 2 and not any(is_number(cell) or is_missing(cell) for cell in cells)
    return _is_empty(column, dialect) or (is_text and len(set(cells)) == len(cells))


def _is_empty(column: int, dialect: Dialect) -> bool:
    return not any(row[column].strip() for row in dialect.sample)


_Notation: TypeAlias = Literal["point", "comma", "unknown"]
"""The decimal mark of a table; unknown if the delimiter leaves both, and no comma was found yet."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Columns:
    """How the cells of each column are read: those of `texts` as text, the others as numbers.

    `fixed` are the columns that the study decides about. Without `may_miss` a number must be in every cell.
    """

    notation: _Notation
    texts: frozenset[int]
    fixed: frozenset[int]
    needed: frozenset[int]
    may_miss: bool

    @classmethod
    def of(
        cls, layout: TableLayout, dialect: Dialect, reading: TableReading, notation: _Notation
    ) -> "_Columns":
        """Return the reading of the columns by their first rows and by the rules of the study."""
        rules = rules_by_place(reading.columns, layout.names)
        needed = frozenset(i for i, rule in rules.items() if rule.kind in ("category", "date"))
        is_auto = reading.types == "auto"
        texts = {
            i
            for i in layout.inputs
            if is_auto and i not in rules and _is_text([row[i] for row in dialect.sample], notation)
        }
        return cls(
            notation=notation,
            texts=frozenset(texts) | (needed if is_auto else frozenset()),
            fixed=frozenset(rules) if is_auto else frozenset(layout.inputs),
            needed=needed,
            may_miss=is_auto,
        )

    def more_texts(self, found: _Found) -> frozenset[int]:
        """Return the columns that were read as numbers, and have more texts than mistakes."""
        most = len(found.targets) * RARE_CELLS
        return frozenset(
            i
            for i, problem in found.problems.items()
            if i not in self.fixed and problem.text is not None and problem.text.count > most
        )


def _is_text(cells: Sequence[str], notation: _Notation) -> bool:
    """Return True if more cells than mistakes are no numbers."""
    filled = [cell for cell in cells if not is_empty_cell(cell.strip())]
    others = [
        cell
        for cell in filled
        if math.isnan(_value(cell, notation)) and not (notation == "unknown" and has_decimal_comma(cell))
    ]
    return len(others) > len(filled) * RARE_CELLS


def _read(
    rows: Iterable[tuple[int, list[str]]], layout: TableLayout, path: Path, columns: _Columns
) -> _Found:
    found, width = _Found(), len(layout.names)
    found.texts = {i: Texts(is_needed=i in columns.needed) for i in layout.inputs if i in columns.texts}
    removed = sorted({layout.target, *layout.dropped}, reverse=True)
    chunk: list[list[str]] = []
    lines: list[int] = []
    for line, cells in rows:
        if len(cells) == width + 1 and not cells[-1].strip():
            cells.pop()
        if len(cells) != width:
            found.ragged = found.ragged or Cells(place=f"line {line}", text=str(len(cells)))
            found.ragged.add("")
            continue
        target = cells[layout.target].strip()
        for place in removed:
            del cells[place]
        if not target and not any(cell.strip() for cell in cells):
            continue  # spreadsheets write empty rows as delimiters
        if is_missing(target):
            place_of_it = f"line {line}, {layout.shown(layout.target)}"
            found.missing_target = found.missing_target or Cells(place=place_of_it, text=target)
            found.missing_target.add(target)
        found.targets.append(target)
        chunk.append(cells)
        lines.append(line)
        if len(chunk) == _ROWS_AT_ONCE:
            _add(found, chunk, lines, layout, columns)
            check_size(found.numbers.itemsize * len(found.numbers), str(path))
            chunk, lines = [], []
    if chunk:
        _add(found, chunk, lines, layout, columns)
    return found


def _add(
    found: _Found, chunk: Sequence[list[str]], lines: Sequence[int], layout: TableLayout, columns: _Columns
) -> None:
    """Add the cells of some rows to `found`, in place: column by column, because cells of a column are alike."""
    block = np.empty((len(chunk), len(layout.inputs)))
    for i, (place, cells) in enumerate(zip(layout.inputs, zip(*chunk, strict=True), strict=True)):
        if place in columns.texts:
            block[:, i] = found.texts[place].coded(cells, lines)
            continue
        numbers = _numbers(cells, columns)
        block[:, i] = (
            numbers if numbers is not None else _examined(found, cells, lines, place, columns.notation)
        )
    found.numbers.frombytes(block.tobytes())


def _numbers(cells: Sequence[str], columns: _Columns) -> Array | None:
    """Return the numbers of a column's cells, or None if they have to be examined one by one.

    Numbers too large for float64, such as 1e400, become infinite, and are examined.
    """
    if columns.notation == "comma":
        return None
    filled = [cell for cell in cells if cell not in _EMPTY] if columns.may_miss else cells
    if _SUSPICIOUS.search("".join(filled)):
        return None
    try:
        if len(filled) == len(cells):
            values = np.array(list(map(float, cells)))
        else:
            values = np.array([math.nan if cell in _EMPTY else float(cell) for cell in cells])
    except ValueError:
        return None
    return None if np.isinf(values).any() else values


def _examined(
    found: _Found, cells: Sequence[str], lines: Sequence[int], column: int, notation: _Notation
) -> list[float]:
    """Return the numbers of a column's cells, NaN for one without, whose problem is recorded in `found` in place."""
    values = []
    for line, cell in zip(lines, cells, strict=True):
        if notation == "unknown" and has_decimal_comma(cell):
            raise _DecimalCommaFound
        value = _value(cell, notation)
        if not math.isfinite(value):
            found.problems.setdefault(column, ColumnProblems()).add(cell, f"line {line}")
            value = math.nan
        elif notation == "comma" and ("," in cell or "." in cell):
            kind = "comma" if "," in cell else "unclear" if is_ambiguous(cell) else "point"
            found.notations.setdefault(column, {}).setdefault(kind, (line, cell.strip()))
        values.append(value)
    return values


def _value(cell: str, notation: _Notation) -> float:
    """Return the number in `cell`, or NaN if there is none."""
    try:
        return (
            decimal_comma_number(cell)
            if notation == "comma"
            else float(cell)
            if is_number(cell)
            else math.nan
        )
    except ValueError:
        return math.nan


def _contents(
    found: _Found, layout: TableLayout, dialect: Dialect, targets: Array, where: str
) -> TableContents:
    rows, unread = len(found.targets), []
    if found.ragged is not None:
        unread.append(
            f"{found.ragged.place}: every row must have {len(layout.names)} cells, as the first has"
            f" (got {found.ragged.text}{found.ragged.more('rows')}): correct the row"
        )
    elif not rows:
        raise DataError(f"{where}: a table must hold at least one row (got a header alone): give it data")
    inputs = np.frombuffer(found.numbers).reshape(rows, -1) if rows else np.zeros((0, len(layout.inputs)))
    missing = found.missing_target
    return TableContents(
        where=where,
        features=tuple(layout.names[i] for i in layout.inputs),
        target=layout.shown(layout.target),
        is_named=layout.is_named,
        inputs=inputs,
        targets=targets,
        problems={layout.inputs.index(column): problem for column, problem in found.problems.items()},
        table_problems=[*unread, *_notation_problems(found, layout)],
        target_problem=None
        if missing is None
        else f"{missing.place}: a target is missing ({missing.got}): fill it, or drop the row",
        notes=dialect.notes,
        texts={layout.inputs.index(column): texts for column, texts in found.texts.items()},
        useless=tuple(layout.names[i] for i in sorted(layout.useless) if not _is_empty(i, dialect)),
    )


def _notation_problems(found: _Found, layout: TableLayout) -> Iterator[str]:
    """Yield a sentence for each column of a table with decimal commas that may mean two numbers."""
    for column, kinds in sorted(found.notations.items()):
        if "unclear" in kinds and "point" not in kinds:
            line, cell = kinds["unclear"]
            rule = "numbers must not have thousands separators alone in a table with decimal commas"
            yield (
                f'line {line}, {layout.shown(column)}: {rule} (got "{cell}"):'
                f" write {cell.replace('.', '')}, or {cell.replace('.', ',')}"
            )
        elif "comma" in kinds and "point" in kinds:
            (line, cell), (other_line, other) = kinds["point"], kinds["comma"]
            yield (
                f"line {line}, {layout.shown(column)}: a column must have one decimal mark"
                f' (got "{cell}", and "{other}" in line {other_line}): write one of them'
            )
