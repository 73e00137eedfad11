"""The common part of CSV and Parquet: named columns, one of which is the target."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

import numpy as np

from hpsearch.data.dataset import Array, RawData
from hpsearch.data.numerals import MISSING as MISSING  # noqa: PLC0414 - part of this module too
from hpsearch.data.numerals import decimal_comma_number, is_local_number, is_missing, is_number, plain
from hpsearch.data.targets import resolve_targets
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for, toml_excerpt
from hpsearch.study.spec import ColumnRule, ColumnTypes, HeaderUse, Task

MOST_PROBLEMS: Final = 30
"""Problems that an error lists."""

_SHOWN_NAMES: Final = 5

_RARE_SHARE: Final = 0.05
"""Share of texts in a column up to which the other cells are what the column is."""

_FEWEST_IDENTIFIERS: Final = 20
"""Rows of a table in which different whole numbers are evidence of an identifier."""

_UNNAMED: Final = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""The names that pandas gives to a column without one, in CSV and in Parquet."""

_IDENTIFIER: Final = re.compile(
    r"(?:.*[\W_])?(?:id|ids|uid|uuid|guid|idx|index|row|nr|no|key|serial)|.*[a-z](?:Id|ID)", re.IGNORECASE
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableReading:
    """What a study decides about the reading of a table, as DataSpec describes it."""

    header: HeaderUse = "auto"
    drop: tuple[str, ...] | None = None
    types: ColumnTypes = "auto"
    columns: tuple[ColumnRule, ...] = ()


def named_columns(names: Sequence[str]) -> list[str]:
    """Return the names, with pandas' name for a column that has none: `Unnamed: 0` for the first."""
    return [name or f"Unnamed: {i}" for i, name in enumerate(names)]


def is_unnamed(name: str) -> bool:
    """Return True for a name that stands for none."""
    return _UNNAMED.fullmatch(name) is not None


def dropped_columns(names: Sequence[str], drop: Iterable[str], target: str | None, where: str) -> set[int]:
    """Return the places of the columns `drop`. Raises DataError for a name that no column has, and for the target's."""
    for name in drop:
        if name not in names:
            raise DataError(
                f'{where}: data.drop must name columns (got "{name}", of which there are 0):'
                f" {remedy_for(name, names)}"
            )
        if name == target:
            raise DataError(
                f'{where}: data.drop must leave the target (got "{name}", which is data.target): keep it in one of them'
            )
    return {i for i, name in enumerate(names) if name in set(drop)}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableLayout:
    """The columns of a table: their names, or numbers from 1 if there is no header.

    `target` is a place in `names`. `inputs` are the places of the columns that are read, `dropped` of those that are
    not, and `useless` of those among them that the study does not name.
    """

    names: tuple[str, ...]
    is_named: bool
    target: int
    dropped: frozenset[int]
    useless: frozenset[int]
    inputs: tuple[int, ...]

    def shown(self, column: int) -> str:
        """Return the name of a column for messages."""
        return f'column "{self.names[column]}"' if self.is_named else f"column {self.names[column]}"


def layout_of(  # noqa: PLR0913 - what a study and a reader have to say about columns
    names: Sequence[str],
    *,
    target: str | None,
    drop: tuple[str, ...] | None,
    names_rows: Callable[[int], bool],
    is_named: bool,
    where: str,
) -> TableLayout:
    """Return the columns that a study reads of a table with these names.

    Columns without a name for which `names_rows` is True are left out unless `drop` is (). Raises DataError if there is
    no input, no target, or no column of a name that the study has.
    """
    every = named_columns(names) if is_named else list(names)
    dropped = dropped_columns(every, drop or (), target, where)
    useless = {
        i
        for i, name in enumerate(every)
        if drop != () and i not in dropped and name != target and is_unnamed(name) and names_rows(i)
    }
    kept = [i for i in range(len(every)) if i not in dropped | useless]
    place = kept[target_index([every[i] for i in kept], target, where=where)]
    return TableLayout(
        names=tuple(every),
        is_named=is_named,
        target=place,
        dropped=frozenset(dropped | useless),
        useless=frozenset(useless),
        inputs=tuple(i for i in kept if i != place),
    )


def target_index(names: Sequence[str], target: str | None, *, where: str) -> int:
    """Return the place of the column `target` in `names`, the last one for None.

    Raises DataError for a name that no column has, or several have, and for fewer than two columns.
    """
    if len(names) < 2:
        raise DataError(
            f"{where}: a table must have an input and a target"
            f" (got {len(names)} column{'' if len(names) == 1 else 's'}): add columns, or check the delimiter"
        )
    if target is None:
        return len(names) - 1
    if names.count(target) != 1:
        remedy = remedy_for(target, names) if target not in names else "give each column its own name"
        raise DataError(
            f'{where}: data.target must name one column (got "{target}",'
            f" of which there are {names.count(target)}): {remedy}"
        )
    return names.index(target)


def features_of(names: Sequence[str], target: int) -> tuple[str, ...]:
    """Return the names of the inputs: all but that of the column at place `target`."""
    return (*names[:target], *names[target + 1 :])


def not_a_number(place: str, value: object) -> DataError:
    """Return the error for an input at `place` that is no number."""
    text = str(value).strip()
    if value is None or text.lower() in MISSING:
        return DataError(f'{place}: a number is missing (got "{text}"): fill it, or drop the row')
    return DataError(
        f'{place}: inputs must be numbers (got "{text}"): encode the column as numbers, or drop it'
    )


def targets_of(texts: Sequence[str], *, has_decimal_comma: bool = False) -> Array:
    """Return the targets as float64 numbers if every one is a number, else as text."""
    if any("_" in text for text in texts):
        return np.array(texts, dtype=np.str_)
    try:
        return np.array(list(map(decimal_comma_number if has_decimal_comma else float, texts)))
    except ValueError:
        return np.array(texts, dtype=np.str_)


@final
@dataclass(kw_only=True, slots=True)
class Cells:
    """Cells of one column that have the same problem: how many, and the first one with its place."""

    place: str
    text: str
    count: int = 0
    texts: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        """Count one more, in place."""
        self.count += 1
        if len(self.texts) < _SHOWN_NAMES:
            self.texts.add(text.lower())

    def more(self, noun: str = "") -> str:
        """Return the number of them, if there are several."""
        return f"; {self.count:,} such {noun + ' ' if noun else ''}in all" if self.count > 1 else ""

    @property
    def got(self) -> str:
        """The first of them, and their number."""
        return f'got "{self.text}"{self.more()}'


@final
@dataclass(kw_only=True, slots=True)
class ColumnProblems:
    """The problems of one column of inputs: missing numbers, text, and numbers in another notation."""

    missing: Cells | None = None
    text: Cells | None = None

    def add(self, cell: str, place: str) -> None:
        """Record a cell that is no number, in place."""
        text = cell.strip()
        if is_missing(text) or text.lower() == "none":
            self.missing = self.missing or Cells(place=place, text=text)
            self.missing.add(text)
        else:
            self.text = self.text or Cells(place=place, text=text)
            self.text.add(text)

    def sentences(self, name: str, rows: int, *, is_named: bool) -> Iterator[str]:
        """Yield "place, column: rule (got value): remedy" for a column of so many rows.

        Missing cells of a column of text are mentioned there. A few texts among numbers are mistakes in their rows:
        units, totals, another header.
        """
        leave = f"leave it out with data.drop = {toml_excerpt([name])}" if is_named else "drop it"
        shown = f'column "{name}"' if is_named else f"column {name}"
        if self.text is not None:
            holes = f", and {self.missing.count:,} missing" if self.missing is not None else ""
            rule = "must be numbers in digits" if is_local_number(self.text.text) else "must be numbers"
            is_rare = self.text.count <= rows * _RARE_SHARE
            remedy = _remedy(self.text, is_rare=is_rare)
            remedy += ", or drop the row" if is_rare else f", or {leave}"
            yield f"{self.text.place}, {shown}: inputs {rule} ({self.text.got}{holes}): {remedy}"
        elif self.missing is not None:
            yield (
                f"{self.missing.place}, {shown}: a number is missing ({self.missing.got}):"
                f" fill it, or drop the row{'' if self.missing.count == 1 else ', or ' + leave}"
            )


_FLAGS: Final = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"})


def _remedy(cells: Cells, *, is_rare: bool) -> str:
    if is_local_number(cells.text):
        return f"write {plain(cells.text)}"
    if is_number(cells.text):
        return "write a finite number"
    if is_rare:
        return "correct it"
    flags = next((flags for flags in _FLAGS if cells.texts <= flags), None)
    if flags is not None:
        return f"write 1 for {' and 0 for '.join(sorted(flags, reverse=True))}"
    return "encode the column as numbers"


def problems_error(where: str, problems: Sequence[str]) -> DataError:
    """Return the error that lists `problems`, each "place: rule (got value): remedy"."""
    if len(problems) == 1:
        return DataError(f"{where}: {problems[0]}")
    shown = [f"  {problem}" for problem in problems[:MOST_PROBLEMS]]
    more = len(problems) - len(shown)
    rest = [f"  and {more} more"] if more else []
    return DataError("\n".join([f"{where}: {len(problems)} problems", *shown, *rest]))


def row_numbers(inputs: Array, features: Sequence[str], drop: tuple[str, ...] | None) -> list[int]:
    """Return the places of inputs (N, I) that have no name and number the rows: to be dropped unless `drop` is ()."""
    if drop == () or len(inputs) < 3 or len(features) < 2:
        return []
    found = [i for i, name in enumerate(features) if is_unnamed(name) and _are_identifiers(inputs[:, i])]
    return found if len(found) < len(features) else []


def _are_identifiers(column: Array) -> bool:
    """Return True for whole numbers that are all different."""
    is_whole = bool(np.all(np.isfinite(column))) and bool(np.all(column == np.floor(column)))
    return is_whole and len(np.unique(column)) == len(column)


def column_notes(inputs: Array, features: Sequence[str]) -> Iterator[str]:
    """Yield sentences about inputs (N, I) that teach nothing: numbers of rows, identifiers, constants."""
    yield from _constant_notes(inputs, features)
    if len(inputs) < _FEWEST_IDENTIFIERS:
        return
    reasons = ((name, _identifier_reason(name, inputs[:, i])) for i, name in enumerate(features))
    for name, reason in [found for found in reasons if found[1]][:_SHOWN_NAMES]:
        yield (
            f'data.drop: column "{name}" {reason}: if it only names the examples, leave it out with'
            f" data.drop = {toml_excerpt([name])}"
        )


def _constant_notes(inputs: Array, features: Sequence[str]) -> Iterator[str]:
    constant = [
        name
        for i, name in enumerate(features)
        if len(inputs) > 1 and bool(np.all(inputs[:, i] == inputs[0, i]))
    ]
    got = f"(got the same number in all {len(inputs):,} rows)"
    for name in constant if len(constant) <= _SHOWN_NAMES else ():
        yield (
            f'column "{name}": an input must differ between rows to teach something {got}:'
            f" leave it out with data.drop = {toml_excerpt([name])}"
        )
    if len(constant) > _SHOWN_NAMES:
        shown = ", ".join(f'"{name}"' for name in constant[:_SHOWN_NAMES])
        yield (
            f"{len(constant):,} columns, such as {shown}: an input must differ between rows to teach something {got}:"
            " leave them out with data.drop"
        )


def _identifier_reason(name: str, column: Array) -> str | None:
    """Return why a column of inputs looks like the names of rows, or None if it does not."""
    if not bool(np.all(np.isfinite(column))) or not bool(np.all(column == np.floor(column))):
        return "has no name" if is_unnamed(name) else None
    if len(column) > 1 and bool(np.all(np.diff(column) == 1)):
        return f"counts the rows, from {column[0]:.0f} to {column[-1]:.0f}"
    if is_unnamed(name):
        return "has no name"
    distinct = len(np.unique(column))
    if _IDENTIFIER.fullmatch(name) and distinct > len(column) / 2:
        return f"looks like an identifier, with {distinct:,} different numbers in {len(column):,} rows"
    return None


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TableContents:
    """A table as its reader found it: inputs (N, I), NaN if a cell has a problem, and targets (N,).

    `target` is the target's column for messages. `problems` are by the place of the input. `table_problems` and
    `target_problem` are sentences. `useless` are the names of columns that the reader left out without being asked.
    """

    where: str
    features: tuple[str, ...]
    target: str
    is_named: bool
    inputs: Array
    targets: Array
    problems: Mapping[int, ColumnProblems]
    table_problems: Sequence[str] = ()
    target_problem: str | None = None
    notes: tuple[str, ...] = ()
    useless: tuple[str, ...] = ()


def table_data(table: TableContents, *, task: Task, drop: tuple[str, ...] | None) -> RawData:
    """Return the table without columns that have no name and number the rows, unless `drop` is ().

    Raises DataError with every problem of the table, of its inputs and of its targets under `task`.
    """
    numbered = row_numbers(table.inputs, table.features, drop) if table.is_named else []
    kept = [i for i in range(len(table.features)) if i not in numbered]
    features = tuple(table.features[i] for i in kept) if table.is_named else ()
    inputs = table.inputs[:, kept] if numbered else table.inputs
    notes = [
        *table.notes,
        *(_dropped_note(name, "names the rows") for name in table.useless),
        *(_dropped_note(table.features[i], "numbers the rows") for i in numbered),
        *(column_notes(inputs, features) if table.is_named else ()),
    ]
    if problems := list(_problems(table, task)):
        raise problems_error(table.where, [*problems, *_constant_notes(inputs, features)])
    return RawData(
        inputs=inputs,
        targets=table.targets,
        where=table.where,
        origin=table.where,
        features=features,
        notes=tuple(notes),
    )


def _dropped_note(name: str, reason: str) -> str:
    return f'data.drop: column "{name}" has no name and {reason}, so it is no input: data.drop = [] keeps it'


def _problems(table: TableContents, task: Task) -> Iterator[str]:
    """Yield every problem; that of the meaning of the targets only next to others, since dataset_from finds it too."""
    yield from table.table_problems
    names = table.features
    for i in sorted(table.problems):
        yield from table.problems[i].sentences(names[i], len(table.inputs), is_named=table.is_named)
    if table.target_problem is not None:
        yield table.target_problem
    elif table.problems and not table.table_problems and len(table.targets):
        try:
            resolve_targets(table.targets, task=task, where=table.target)
        except DataError as error:
            yield str(error)


TableRow: TypeAlias = tuple[int, list[str]]
"""The number of a line or row, from 1, and its cells as text."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableRows:
    """The rows of a table as they are read: `names` of its columns, None without a header.

    `unit` is what the numbers of `rows` count: `line` or `row`. `number` returns the number in a cell, and raises
    ValueError if there is none.
    """

    names: tuple[str, ...] | None
    rows: Iterator[TableRow]
    unit: str
    number: Callable[[str], float]
