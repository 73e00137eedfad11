"""The dialect of a table in text: its first lines, its delimiter, its header and its decimal mark.

It is found from the first lines. A delimiter must cut most of them into equally many cells. Of those that do, it is the
one that makes most cells numbers.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias, final

from hpsearch.data.numerals import has_decimal_comma, is_local_number, is_missing, is_number
from hpsearch.errors import DataError
from hpsearch.study.spec import HeaderUse

SAMPLE_LINES: Final = 1000
SAMPLE_CHARACTERS: Final = 2**18
"""The head of a file that decides about its dialect: enough for 25 lines of 1000 columns."""

DELIMITERS: Final = "\t;,| "
"""In the order that decides between equally good ones: a comma inside a cell is more likely than a tab."""

_JUDGED_ROWS: Final = 100
"""Rows whose cells are examined."""

_MOST_TITLES: Final = 10
_AGREEMENT: Final = 0.8
"""Share of rows of equal width that proves that another first line is no part of the table."""

Row: TypeAlias = tuple[int, list[str]]
"""The last line of a row, counted from 1, and its cells."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How a text is cut into a table.

    `skipped` lines precede the table. `names` are those of the header, and None if there is none; `has_header` is False
    if they stand in a comment. `width` is the number of cells of every row. `notes` are sentences about decisions that
    a user should check.
    """

    delimiter: str
    skipped: int
    names: tuple[str, ...] | None
    has_header: bool
    width: int
    has_decimal_comma: bool
    sample: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def find_dialect(lines: Sequence[str], path: Path, header: HeaderUse) -> Dialect:
    """Return the dialect of a file with these first lines. Raises DataError, with the line, if it is no table."""
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: a table must hold at least one row (got an empty file): give it data")
    _check_kind(lines[first], f"{path}: line {first + 1}")
    start, named, comment = _start(lines, first)
    if start == len(lines):
        raise DataError(
            f"{path}: a table must hold at least one row (got {start} lines of comments): give it data"
        )
    delimiter = named or _delimiter(lines[start:])
    rows = [(start + line, cells) for line, cells in _rows(lines[start:], delimiter)]
    if not rows:  # only a whole file has a row without a problem of its quotes
        rows = [(start + 1, lines[start].split(delimiter))]
    titles = _title_count(rows)
    notes = [_skipped_note(delimiter.join(cells), line) for line, cells in rows[:titles] if any(cells)]
    skipped, rows = (rows[titles - 1][0] if titles else start), rows[titles:]
    width, names = _width(rows, path)
    sample = tuple(tuple(cells[:width]) for _, cells in rows[1:] if len(cells) >= width)
    commented = _comment_names(comment, delimiter, width)
    is_comma = delimiter != "," and _has_decimal_commas(sample or [tuple(rows[0][1])])
    has_header, numbered = _has_header(names, sample, header, is_comma=is_comma, is_named=bool(commented))
    if numbered:
        notes.append(
            f"data.header: line {rows[0][0]} was read as a header of numbers ({_listed(names)}):"
            ' if it is an example, set data.header = "no"'
        )
    elif not has_header and header == "auto" and _may_number(names, sample):
        notes.append(
            f"data.header: line {rows[0][0]} was read as an example ({_listed(names)}):"
            ' if it is a header, set data.header = "yes"'
        )
    return Dialect(
        delimiter=delimiter,
        skipped=skipped,
        names=tuple(name.strip() for name in names) if has_header else commented,
        has_header=has_header,
        width=width,
        has_decimal_comma=is_comma,
        sample=sample if has_header else (tuple(rows[0][1][:width]), *sample),
        notes=tuple(notes),
    )


def _listed(names: Sequence[str]) -> str:
    names = [name for name in names if name.strip()]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _skipped_note(text: str, line: int) -> str:
    shown = text.strip().strip(";,|\t ")
    return f'data: line {line} was skipped, which is no part of the table (got "{shown[:60]}")'


_OTHER_KINDS: Final = (
    (
        r"<(!doctype html|html|head|body)",
        "a web page",
        "download the file itself, not the page that leads to it",
    ),
    (r"<\?xml|<\w+[ >]", "XML or a web page", "convert it to CSV"),
    (r"version https://git-lfs", "a pointer of Git LFS", "get the file itself with git lfs pull"),
    (r"[\[{]\s*([\[{\"]|$)", "JSON", "convert it to CSV"),
    (r"@relation\b", "ARFF", "convert it to CSV"),
)


def _check_kind(line: str, where: str) -> None:
    if "\0" in line:
        raise DataError(f"{where}: must be a table in text (got bytes of 0, as in UTF-16): save it as UTF-8")
    for pattern, kind, remedy in _OTHER_KINDS:
        if re.match(pattern, line.strip(), flags=re.IGNORECASE):
            raise DataError(f'{where}: must be a table in text (got {kind}, "{line.strip()[:60]}"): {remedy}')


def _start(lines: Sequence[str], first: int) -> tuple[int, str | None, str | None]:
    """Return the place of the table's first line, the delimiter that Excel's `sep=` names, and the last comment."""
    named = re.fullmatch(r'"?sep=(\\t|.)"?', lines[first].strip("\r\n"), flags=re.IGNORECASE)
    start = first + 1 if named else first
    comment = None
    while start < len(lines) and (_is_comment(lines, start) or not lines[start].strip()):
        comment = lines[start] if lines[start].strip() else comment
        start += 1
    return start, ("\t" if named[1] == "\\t" else named[1]) if named else None, comment


def _is_comment(lines: Sequence[str], place: int) -> bool:
    """Return True for a line that begins with `# `, or with `#` or `%` unless it has as many cells as the next line."""
    line, following = lines[place].lstrip(), lines[place + 1 : place + 2]
    if not line.startswith(("#", "%", "//")):
        return False
    if line.startswith(("# ", "% ", "//")) or not following:
        return True
    counts = [(line.count(mark), following[0].count(mark)) for mark in "\t;,|"]
    return not any(here == there > 0 for here, there in counts)


def _rows(lines: Iterable[str], delimiter: str) -> list[Row]:
    """Return the rows that are not blank, up to the first that is no CSV: the sample may end inside a cell."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[Row] = []
    try:
        for cells in reader:
            is_blank = not cells or (len(cells) == 1 and not cells[0].strip())
            rows += [] if is_blank else [(reader.line_num, cells)]
    except csv.Error:
        pass
    return rows


def _delimiter(lines: Sequence[str]) -> str:
    rows = {delimiter: [cells for _, cells in _rows(lines, delimiter)] for delimiter in DELIMITERS}
    if not _are_even(rows[" "]) and any(_are_even(rows[mark]) for mark in DELIMITERS if mark != " "):
        rows[" "] = []  # the spaces are inside cells, such as `400 km`
    return max(
        DELIMITERS,
        key=lambda delimiter: (
            round(_score(rows[delimiter], is_space=delimiter == " "), 3),
            len(rows[delimiter][0]) if rows[delimiter] and delimiter != " " else 0,
        ),
    )


def _score(rows: Sequence[Sequence[str]], *, is_space: bool) -> float:
    """Return the share of rows that have the usual width, plus that of cells that are numbers; 0 for one column.

    Spaces also stand between the words of a text, so they delimit numbers only.
    """
    body = rows[1:] or rows
    if not body:
        return 0.0
    width, count = _usual_width(body)
    if width < 2:
        return 0.0
    cells = [cell for row in body[:_JUDGED_ROWS] if len(row) == width for cell in row]
    share = sum(_is_number_like(cell) for cell in cells) / max(1, len(cells))
    return 0.0 if is_space and share < 0.5 else count / len(body) + share


def _are_even(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if all rows, also the first, have the same number of cells, of which there are several."""
    return len({len(row) for row in rows}) == 1 and len(rows[0]) > 1


def _usual_width(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the most frequent number of cells, of equally frequent ones the largest, and the number of such rows."""
    counts = Counter(len(row) for row in rows)
    return max(counts.items(), key=lambda item: (item[1], item[0]))


def _is_number_like(cell: str) -> bool:
    return is_number(cell) or is_missing(cell) or is_local_number(cell)


def _title_count(rows: Sequence[Row]) -> int:
    """Return the number of rows at the start that have a text in their first cell alone, or no text at all."""
    usual, _ = _usual_width([cells for _, cells in rows[1:] or rows])
    count = 0
    while count < min(_MOST_TITLES, len(rows) - 2) and _is_title(rows[count][1], usual):
        count += 1
    return count


def _is_title(cells: Sequence[str], usual: int) -> bool:
    if usual < 2 or any(cell.strip() for cell in cells[1:]):
        return False
    is_text = not _is_number_like(cells[0]) and (len(cells) != 2 or usual > 2)  # `a,` may be a header of two
    return is_text or not cells[0].strip()


def _width(rows: Sequence[Row], path: Path) -> tuple[int, list[str]]:
    """Return the number of cells per row, and the cells of the first row, with a name for a column that lacks one.

    A delimiter at the end of the header alone, or of the rows alone, ends no cell. A header that is one cell shorter
    than the rows, which begin with different texts or numbers, is R's, which gives the names of rows no name.
    """
    (line, first), body = rows[0], [cells for _, cells in rows[1:]]
    width, count = _usual_width(body or [first])
    if len(first) == width or count < _AGREEMENT * len(body) or (count < 3 and len(first) > 1):
        return _single_width(first, body, width)
    usual = [cells for cells in body if len(cells) == width]
    if len(first) == width + 1 and not first[-1].strip():
        return width, first[:-1]
    if len(first) == width - 1 > 0:
        if not any(cells[-1].strip() for cells in usual):
            return width - 1, first
        if not any(map(_is_number_like, first)) and _are_row_names([cells[0] for cells in usual]):
            return width, ["", *first]
    if width < 2:
        return len(first), first
    raise DataError(
        f"{path}: line {line}: the first line must have as many cells as the others"
        f' (got {len(first)}, "{_start_of(first)}", and {width} in the lines after it):'
        " remove the line, or correct it; quote cells that contain the delimiter"
    )


def _are_row_names(cells: Sequence[str]) -> bool:
    """Return True for different texts, or numbers from 0 or 1 on, as R writes names of rows."""
    if any(map(_is_number_like, cells)):
        return list(cells) in ([str(i + first) for i in range(len(cells))] for first in (0, 1))
    return len(set(cells)) == len(cells)


def _single_width(first: list[str], body: Sequence[Sequence[str]], width: int) -> tuple[int, list[str]]:
    """Return the width of a table whose first row has it, or whose other rows do not agree on another one."""
    is_trailed = len(first) == width + 1 and len(body) > 0 and not first[-1].strip()
    return (width, first[:-1]) if is_trailed else (len(first), first)


def _start_of(cells: Sequence[str]) -> str:
    text = ", ".join(cells)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _comment_names(comment: str | None, delimiter: str, width: int) -> tuple[str, ...] | None:
    """Return the names in a comment line above a table without header, as numpy.savetxt writes them."""
    if comment is None:
        return None
    rows = _rows([comment.lstrip().lstrip("#%/").lstrip()], delimiter)
    names = tuple(cell.strip() for cell in rows[0][1]) if rows else ()
    is_header = len(names) == width > 1 and all(names) and not any(map(_is_number_like, names))
    return names if is_header else None


def _has_decimal_commas(rows: Iterable[Sequence[str]]) -> bool:
    """Return True if a cell that is no target, which is nearly always the last one, has a decimal comma."""
    return any(has_decimal_comma(cell) for row in rows for cell in row[:-1])


def _has_header(
    first: Sequence[str], rows: Sequence[Sequence[str]], header: HeaderUse, *, is_comma: bool, is_named: bool
) -> tuple[bool, bool]:
    """Return whether the first row is a header, and whether it is one of numbers."""
    if header in ("yes", "no"):
        is_in_comment = is_named and all(map(_is_number_like, first))
        return header == "yes" and not is_in_comment, False
    if header == "auto" and _is_numbered(first, rows):
        return True, True

    def is_name(cell: str) -> bool:
        return not is_number(cell) and not is_missing(cell) and not (is_comma and has_decimal_comma(cell))

    is_text = any(map(is_name, first[:-1])) or (
        is_name(first[-1])
        and bool(rows)
        and (is_number(rows[0][-1]) or (is_comma and has_decimal_comma(rows[0][-1])))
    )
    if header == "text" or not is_text or not rows:
        return is_text, False
    judged = rows[:_JUDGED_ROWS]
    is_above = any(
        is_name(cell) and sum(is_name(row[i]) for row in judged) * 2 < len(judged)
        for i, cell in enumerate(first)
    )
    has_numbers = any(is_number(cell) for cell in first[:-1])
    is_repeated = any(is_name(cell) and cell in {row[i] for row in judged} for i, cell in enumerate(first))
    return is_above or not (has_numbers or is_repeated or is_named), False


def _is_numbered(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row counts the columns, or names them by years or the like, and is no example.

    Whole numbers that grow in equal steps are names if a column below is of fractions, or lies far from them; those
    from 0 to the last column, as pandas writes them, also if no other row counts. Without equal steps, all columns must
    be such. An unnamed first column and a target with a name are passed over.
    """
    cells = list(enumerate(first))
    if first and not first[0].strip():
        cells = cells[1:]
    if cells and not is_number(cells[-1][1]) and cells[-1][1].strip():
        if cells[-1][1] in {row[-1] for row in rows}:
            return False
        cells = cells[:-1]
    numbers = [float(cell) for _, cell in cells if re.fullmatch(r"\s*\d{1,9}(\.\d{1,6})?\s*", cell)]
    least = 3 if len(cells) == len(first) else 2
    if len(rows) < 3 or len(numbers) < max(least, len(cells)) or len(set(numbers)) < len(numbers):
        return False
    judged = rows[:_JUDGED_ROWS]
    unlike = [
        _is_unlike(number, [row[i] for row in judged]) for number, (i, _) in zip(numbers, cells, strict=True)
    ]
    if not _grows_evenly(numbers):
        return all(unlike)
    is_count = numbers[0] in (0, 1) and numbers[1] - numbers[0] == 1 and len(numbers) >= 4 and len(rows) >= 10
    others = ([row[i] for i, _ in cells] for row in rows)
    return any(unlike) or (is_count and not any(map(_counts, others)))


def _may_number(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return True if the first row counts from 0 or 1, as no other row does, without a proof that it is a header."""
    is_count = list(first) in ([str(i + start) for i in range(len(first))] for start in (0, 1))
    return is_count and len(rows) >= 10 and not any(map(_counts, rows))


def _grows_evenly(numbers: Sequence[float]) -> bool:
    step = numbers[1] - numbers[0]
    return step > 0 and all(abs(b - a - step) < 1e-6 * step for a, b in pairwise(numbers))


def _counts(cells: Sequence[str]) -> bool:
    numbers = [float(cell) for cell in cells if cell.strip().isdecimal()]
    return len(numbers) == len(cells) > 1 and _grows_evenly(numbers)


def _is_unlike(number: float, cells: Sequence[str]) -> bool:
    """Return True if `cells` are text, nearly all fractions below a whole number, or further from it than apart."""
    numbers = [float(cell.replace(",", ".")) for cell in cells if is_number(cell.replace(",", "."))]
    numbers = [each for each in numbers if abs(each) < float("inf")]
    if not numbers:
        return not all(map(is_missing, cells))
    if number.is_integer() and sum(not each.is_integer() for each in numbers) > 0.9 * len(numbers):
        return True
    low, high = min(numbers), max(numbers)
    return not low - (high - low) <= number <= high + (high - low)
