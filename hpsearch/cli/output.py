"""Output of commands: listings on stdout as table, JSON or CSV; everything else, also questions, on stderr."""

import contextlib
import csv
import io
import itertools
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO, final

import typer

from hpsearch.api.terminal_text import cell_len, folded, printable, printable_cell
from hpsearch.cli.options import Format
from hpsearch.errors import HpsearchError, UsageError

_WIDE = 10_000
"""Columns of an output that is not a terminal: its lines are never cut or folded."""

_NARROWEST = 20
"""Columns of the narrowest supported terminal."""

_GAP = 2
"""Columns between the columns of a table."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """The same objects for people and for programs.

    `objects` are the JSON objects; CSV has a column for each of their fields, nested ones by dotted names. `heads` and
    `rows` are the table; `right` names the heads of columns of numbers. `fields` are those of any object, for the head
    of an empty CSV.
    """

    objects: Sequence[Mapping[str, Any]]
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = frozenset()
    fields: Sequence[str] = ()


def write_listing(listing: Listing, form: Format) -> None:
    """Write the listing to stdout."""
    match form:
        case Format.JSON:
            write_json(listing.objects)
        case Format.CSV:
            write_csv(listing.objects, fields=listing.fields)
        case Format.TABLE:
            write_table(listing.heads, listing.rows, right=listing.right)


def write_properties(rows: Sequence[tuple[str, str]], item: Mapping[str, Any], form: Format) -> None:
    """Write one object to stdout: as a table of its properties, or `item` as JSON or CSV."""
    match form:
        case Format.TABLE:
            write_table(("property", "value"), rows)
        case Format.JSON:
            write_json(item)
        case Format.CSV:
            write_csv([item])


def write_json(value: Any) -> None:
    """Write strict JSON to stdout: a number that is not finite raises ValueError."""
    from hpsearch.analysis.json_objects import json_text

    _write(json_text(value, indent=2))


def write_csv(objects: Sequence[Mapping[str, Any]], *, fields: Sequence[str] = ()) -> None:
    """Write the objects to stdout as CSV. Nulls and missing fields are empty; lists and tables are JSON.

    A parameter with the value None is the word None, since an empty one is a parameter that the trial lacks.
    """
    flat = [_flat(item) for item in objects]
    keys = list(dict.fromkeys(key for item in objects for key in item)) or list(fields)
    names = dict.fromkeys(name for item in flat for name in item) or keys
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        # Nested fields are adjacent, even if some objects lack some of them.
        sorted(names, key=lambda name: keys.index(name.partition(".")[0])),
        restval="",
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(flat)
    _write(text.getvalue().removesuffix("\n"))


def write_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[str] = frozenset()
) -> None:
    """Write a table to stdout, as wide as it needs to be if stdout is no terminal.

    In a terminal that is too narrow its cells are wrapped between words. If not even that fits, each row becomes a
    block of lines, a head and its cell in each.
    """
    right = frozenset(map(printable_cell, right))
    heads, rows = _printable_row(heads), [_printable_row(row) for row in rows]
    if len(rows) >= _MANY_ROWS and not sys.stdout.isatty() and _is_plain((heads, *rows)):
        for line in _plain_table(heads, rows, right):
            _write(line)
        return
    columns = terminal_width()
    widths = _widths(heads, rows, columns)
    lines = _blocks(heads, rows, columns) if widths is None else _table(heads, rows, widths, right=right)
    for line in lines:
        _write(line.rstrip())


def _printable_row(row: Sequence[str]) -> list[str]:
    return [printable_cell(cell) for cell in row]


def terminal_width(stream: TextIO | None = None) -> int:
    """Return the columns of the terminal that `stream`, or by default stdout, writes to.

    Any other output is so wide that lines are never cut or folded.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        return _WIDE
    columns = shutil.get_terminal_size().columns
    if "COLUMNS" not in os.environ:
        with contextlib.suppress(OSError, ValueError):  # stdout may be a pipe while stderr is a terminal
            columns = os.get_terminal_size(stream.fileno()).columns
    return max(columns, _NARROWEST)


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> list[int] | None:
    """Return the width of each column so that all fit and no word is split; None if that is impossible."""
    cells = [[head, *(row[place] for row in rows)] for place, head in enumerate(heads)]
    wanted = [max(map(cell_len, column)) for column in cells]
    widths = [max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in cells]
    left = columns - sum(widths) - _GAP * (len(heads) - 1)
    if left < 0:
        return None
    for place in sorted(range(len(heads)), key=lambda place: wanted[place] - widths[place]):
        more = min(wanted[place] - widths[place], left)
        widths[place], left = widths[place] + more, left - more
    return widths


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], *, right: frozenset[str]
) -> list[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(Text(head), justify="right" if head in right else "left", width=width)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    text = io.StringIO()
    console = Console(file=text, force_terminal=sys.stdout.isatty(), width=_WIDE)
    console.print(table)
    return text.getvalue().splitlines()


def _blocks(heads: Sequence[str], rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Return each row as lines of head and cell, with an empty line between rows; empty cells are left out."""
    if not rows:
        return textwrap.wrap("  ".join(heads), columns)
    room = min(max(map(cell_len, heads)), columns // 2)
    lines: list[str] = []
    for row in rows:
        lines += [""] if lines else []
        for head, cell in zip(heads, row, strict=True):
            if cell:
                names = textwrap.wrap(head, room) or [""]
                values = textwrap.wrap(cell, columns - room - _GAP)
                pairs = itertools.zip_longest(names, values, fillvalue="")
                lines += [f"{name:<{room}}{'':{_GAP}}{value}" for name, value in pairs]
    return lines


_MANY_ROWS = 200
"""Rich takes milliseconds for each row, to no effect if nothing is folded or coloured."""


def _is_plain(rows: Sequence[Sequence[str]]) -> bool:
    """Return True if every character adds to the width of its cell, and all cells fit."""
    return all(cell.isprintable() for row in rows for cell in row) and all(
        sum(map(len, row)) < _WIDE // len(row) for row in rows if row
    )


def _plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> list[str]:
    """Return the lines that Rich would write."""
    lengths = [[cell_len(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    lines = []
    for row, own in zip((heads, *rows), lengths, strict=True):
        cells = [
            " " * (width - length) + cell if head in right else cell + " " * (width - length)
            for head, cell, length, width in zip(heads, row, own, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def make_output_safe() -> None:
    """Allow any text to be written, also to a terminal or locale that lacks its characters.

    A stream that the caller has closed is discarded; otherwise the next opened file would get its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 # it stays open
    if sys.stderr is sys.__stderr__:  # which stays open, and so does their common number
        sys.stderr = _lenient(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@final
class _LenientFile(io.FileIO):
    """A file that drops text that it cannot write: a full disk, a reader that ended, a closed terminal."""

    def write(self, data: Any) -> int:
        written = None
        with contextlib.suppress(OSError):
            written = super().write(data)
        return len(memoryview(data).cast("B")) if written is None else written


def _lenient(stream: Any) -> Any:
    """Return stderr in a form that never fails, so that a message cannot end the work it reports on."""
    try:
        file = _LenientFile(stream.fileno(), "w", closefd=False)
    except (AttributeError, OSError, ValueError):
        return stream  # not a file, as in a test
    return io.TextIOWrapper(io.BufferedWriter(file), encoding=stream.encoding, line_buffering=True)


def write_line(text: str = "", *, at_once: bool = False) -> None:
    """Write a line of the result to stdout, folded between words in a terminal.

    Raises HpsearchError if stdout cannot take it. Output that is no longer read (`| head`) is dropped, and the command
    continues.
    """
    _write(_fitted(text, sys.stdout), at_once=at_once)


def write_text(text: str) -> None:
    """Write text to stdout as it is, such as a part of a file, with the errors of `answer`."""
    _write(text, end="")


def _write(text: str, *, end: str = "\n", at_once: bool = False) -> None:
    try:
        print(text, end=end, flush=at_once)  # noqa: T201 # this is what stdout is for
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        raise output_error(error) from error


def discard_stdout() -> None:
    """Discard stdout from now on; Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_error(error: OSError) -> HpsearchError:
    """Return the error for a stdout that cannot be written, for example on a full disk."""
    return HpsearchError(
        f"stdout: must accept the results (got {error.strerror}): make room, or write them elsewhere"
    )


def write_message(text: str) -> None:
    """Write a line for people to stderr, folded between words in a terminal."""
    print(_fitted(text, sys.stderr), file=sys.stderr, flush=True)  # noqa: T201 # this is what stderr is for


def _fitted(text: str, stream: TextIO) -> str:
    shown = printable(text)
    return folded(shown, terminal_width(stream)) if stream.isatty() else shown


_OF_PARAMETERS: Final = ("params.", "given.")
"""The prefixes of a trial's parameters in CSV."""


def _flat(item: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is None and prefix in _OF_PARAMETERS and f"{key}_reason" not in item:
            flat[f"{prefix}{key}"] = "None"
        else:
            flat[f"{prefix}{key}"] = _cell(value)
    return flat


def _cell(value: Any) -> Any:
    """Return a value as CSV has it: booleans and lists as in JSON."""
    return json.dumps(value, allow_nan=False) if isinstance(value, (bool, list, tuple)) else value


def ask(question: str, *, refusal: str, lines: Sequence[str] = ()) -> None:
    """Ask for confirmation on stderr below `lines`, and return after a yes.

    Raises UsageError, with `refusal`, if there is no terminal, and Abort after a no.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{refusal}: there is no terminal to confirm. Add --yes.")
    for line in lines:
        write_message(line)
    typer.confirm(question, abort=True, err=True)
