"""The common part of CSV and Parquet: named columns, one of which is the target."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Final, TypeAlias, final

import numpy as np

from hpsearch.data.column_kinds import (
    FEWEST_IDENTIFIERS,
    FLAGS,
    RARE_CELLS,
    ColumnPlace,
    ColumnUse,
    Decision,
    Texts,
    decide_date,
    decide_number,
    decide_texts,
    is_empty_cell,
    is_identifier_name,
    rule_problems,
    rules_by_place,
)
from hpsearch.data.dataset import Array, RawData
from hpsearch.data.encoding import InputColumn
from hpsearch.data.numerals import MISSING as MISSING  # noqa: PLC0414 - part of this module too
from hpsearch.data.numerals import decimal_comma_number, is_local_number, is_number, plain
from hpsearch.data.targets import resolve_targets
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for, toml_excerpt
from hpsearch.study.spec import ColumnRule, ColumnTypes, HeaderUse, Task

MOST_PROBLEMS: Final = 30
"""Problems that an error lists."""

_SHOWN_NAMES: Final = 5

_UNNAMED: Final = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""The names that pandas gives to a column without one, in CSV and in Parquet."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableReading:
    """What a study decides about the reading of a table, as DataSpec describes it."""

    header: HeaderUse = "auto"
    drop: tuple[str, ...] | None = None
    types: ColumnTypes = "auto"
    columns: tuple[ColumnRule, ...] = ()
    split_column: str | None = None


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
        if is_empty_cell(text):
            self.missing = self.missing or Cells(place=place, text=text)
            self.missing.add(text)
        else:
            self.text = self.text or Cells(place=place, text=text)
            self.text.add(text)

    def sentences(self, name: str, rows: int, *, is_named: bool, may_miss: bool) -> Iterator[str]:
        """Yield "place, column: rule (got value): remedy" for a column of so many rows, which `may_miss` cells.

        Missing cells of a column of text are mentioned there. A few texts among numbers are mistakes in their rows:
        units, totals, another header.
        """
        leave = f"leave it out with data.drop = {toml_excerpt([name])}" if is_named else "drop it"
        shown = f'column "{name}"' if is_named else f"column {name}"
        if self.text is not None:
            holes = f", and {self.missing.count:,} missing" if self.missing is not None else ""
            rule = "must be numbers in digits" if is_local_number(self.text.text) else "must be numbers"
            is_rare = self.text.count <= rows * RARE_CELLS
            remedy = _remedy(self.text, is_rare=is_rare)
            if is_rare and may_miss:
                remedy += ", leave the cell empty if it is missing"
            remedy += ", or drop the row" if is_rare else f", or {leave}"
            yield f"{self.text.place}, {shown}: inputs {rule} ({self.text.got}{holes}): {remedy}"
        elif self.missing is not None:
            yield (
                f"{self.missing.place}, {shown}: a number is missing ({self.missing.got}):"
                f" fill it, or drop the row{'' if self.missing.count == 1 else ', or ' + leave}"
            )


def _remedy(cells: Cells, *, is_rare: bool) -> str:
    if is_local_number(cells.text):
        return f"write {plain(cells.text)}"
    if is_number(cells.text):
        return "write a finite number"
    if is_rare:
        return "correct it"
    flags = next((flags for flags in FLAGS[:-1] if cells.texts <= flags), None)
    if flags is not None:
        return f"write 1 for {' and 0 for '.join(sorted(flags, reverse=True))}"
    return "encode the column as numbers"


@final
class TableError(DataError):
    """A table that cannot be used; `uses` are its columns nevertheless."""

    def __init__(self, text: str, uses: Sequence[ColumnUse]) -> None:
        super().__init__(text)
        self.uses = tuple(uses)


def problems_error(where: str, problems: Sequence[str], uses: Sequence[ColumnUse]) -> TableError:
    """Return the error that lists `problems`, each "place: rule (got value): remedy"."""
    if len(problems) == 1:
        return TableError(f"{where}: {problems[0]}", uses)
    shown = [f"  {problem}" for problem in problems[:MOST_PROBLEMS]]
    more = len(problems) - len(shown)
    rest = [f"  and {more} more"] if more else []
    return TableError("\n".join([f"{where}: {len(problems)} problems", *shown, *rest]), uses)


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


def column_notes(inputs: Array, features: Sequence[str], numbers: Iterable[int]) -> Iterator[str]:
    """Yield sentences about the inputs (N, I) at the places `numbers` that teach nothing: identifiers, constants."""
    yield from _constant_notes(inputs, features, numbers)
    if len(inputs) < FEWEST_IDENTIFIERS:
        return
    reasons = ((features[i], _identifier_reason(features[i], inputs[:, i])) for i in numbers)
    for name, reason in [found for found in reasons if found[1]][:_SHOWN_NAMES]:
        yield (
            f'data.drop: column "{name}" {reason}: if it only names the examples, leave it out with'
            f" data.drop = {toml_excerpt([name])}"
        )


def _constant_notes(inputs: Array, features: Sequence[str], numbers: Iterable[int]) -> Iterator[str]:
    constant = [
        features[i] for i in numbers if len(inputs) > 1 and bool(np.all(inputs[:, i] == inputs[0, i]))
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
    if is_identifier_name(name) and distinct > len(column) / 2:
        return f"looks like an identifier, with {distinct:,} different numbers in {len(column):,} rows"
    return None


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TableContents:
    """A table as its reader found it: inputs (N, I), NaN if a cell has a problem, and targets (N,).

    `target` is the target's column for messages. `problems` are by the place of the input. `table_problems` and
    `target_problem` are sentences. `useless` are the names of columns that the reader left out without being asked.
    `texts` are the texts of the columns whose inputs are codes, and `dates` the places of those in seconds since the
    start of 1970. `unit` is what the cells' places count: `line` or `row`. `has_decimal_comma` is whether its numbers
    may have one.
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
    texts: Mapping[int, Texts] = field(default_factory=dict)
    dates: frozenset[int] = frozenset()
    unit: str = "line"
    has_decimal_comma: bool = False

    def decisions(
        self, places: Iterable[int], reading: TableReading, *, keeps_identifiers: bool = False
    ) -> dict[int, Decision]:
        """Return the use of the columns at some places. A table of complete numbers keeps constants."""
        rules = rules_by_place(reading.columns, self.features)
        chosen = [place for place in places if not (place in rules and rules[place].kind == "drop")]
        is_plain = not self.texts and not self.dates and not bool(np.isnan(self.inputs).any())
        if keeps_identifiers:
            rules = {i: ColumnRule(name=self.features[i], kind="number") for i in chosen} | dict(rules)
        return {
            place: self._decision(place, reading, rules.get(place), is_plain=is_plain) for place in chosen
        }

    def _decision(
        self, place: int, reading: TableReading, rule: ColumnRule | None, *, is_plain: bool
    ) -> Decision:
        column = ColumnPlace(
            name=self.features[place],
            is_named=self.is_named,
            unit=self.unit,
            has_decimal_comma=self.has_decimal_comma,
        )
        found = self.problems.get(place)
        if place in self.texts:
            return decide_texts(column, self.inputs[:, place], self.texts[place], rule)
        if place in self.dates:
            return decide_date(column, self.inputs[:, place])
        is_problem = found is not None and (found.text is not None or reading.types == "numbers")
        if found is not None and is_problem:
            may_miss = reading.types == "auto"
            sentence = next(
                found.sentences(column.name, len(self.inputs), is_named=self.is_named, may_miss=may_miss)
            )
            return Decision(kind="number", use=f"problem: {sentence.rpartition(': ')[2]}", problem=sentence)
        if reading.types == "numbers":
            return Decision(kind="number", use="input", column=InputColumn(name=column.name))
        return decide_number(column, self.inputs[:, place].copy(), rule, keeps_constants=is_plain)


def table_data(table: TableContents, *, task: Task, reading: TableReading) -> RawData:
    """Return the inputs and targets of a table, and a description of each input unless all are complete numbers.

    Columns without a name that number the rows are left out unless `reading.drop` is (). Raises DataError with every
    problem of the table, of its inputs and of its targets under `task`.
    """
    every = range(len(table.features))
    numbered = row_numbers(table.inputs, table.features, reading.drop) if table.is_named else []
    others = [i for i in every if i not in numbered]
    decisions = table.decisions(others, reading)
    if all(decision.column is None and decision.problem is None for decision in decisions.values()):
        # An identifier is better than no input, as in a table with the number of a day.
        decisions = table.decisions(others, reading, keeps_identifiers=True)
    kept = [i for i, decision in decisions.items() if decision.column is not None]
    inputs, columns = _inputs_of(table, kept, decisions)
    numbers = [i for i, column in enumerate(columns) if column.kind == "number"]
    names = [column.name for column in columns]
    notes = [
        *table.notes,
        *(_dropped_note(name, "names the rows") for name in table.useless),
        *(_dropped_note(table.features[i], "numbers the rows") for i in numbered),
        *(decision.note for decision in decisions.values() if decision.note is not None),
        *(column_notes(inputs, names, numbers) if table.is_named else ()),
        *(_one_hot_notes(table) if table.is_named else ()),
    ]
    if problems := list(_problems(table, decisions, task, reading)):
        listed = [*problems, *_constant_notes(inputs, names, numbers)]
        raise problems_error(table.where, listed, _uses(table, decisions))
    is_plain = (
        all(column == InputColumn(name=column.name) for column in columns) and not np.isnan(inputs).any()
    )
    return RawData(
        inputs=inputs,
        targets=table.targets,
        where=table.where,
        origin=table.where,
        features=tuple(column.name for column in columns) if table.is_named else (),
        notes=tuple(notes),
        columns=() if is_plain else columns,
        uses=_uses(table, decisions),
    )


def _one_hot_notes(table: TableContents) -> Iterator[str]:
    """Yield a sentence if the last inputs and the target are the columns of one class, with one 1 in each row."""
    total = table.targets
    if total.dtype.kind != "f" or not len(total) or not bool(((total == 0) | (total == 1)).all()):
        return
    for place in reversed(range(len(table.features))):
        column = table.inputs[:, place]
        if place in table.texts or not bool(((column == 0) | (column == 1)).all()):
            return
        total = total + column
        if bool((total == 1).all()):
            names = toml_excerpt(list(table.features[place:]))
            yield (
                f"data.drop: each row has one 1 among {table.target} and {names}, which reveal the target:"
                f" write them as one column of classes, or leave them out with data.drop = {names}"
            )
            return


def _inputs_of(
    table: TableContents, kept: Sequence[int], decisions: Mapping[int, Decision]
) -> tuple[Array, tuple[InputColumn, ...]]:
    """Return the inputs (N, R) of the kept columns, and their descriptions."""
    inputs = table.inputs if len(kept) == len(table.features) else table.inputs[:, kept]
    columns = []
    for i, place in enumerate(kept):
        decision = decisions[place]
        if decision.values is not None:
            inputs[:, i] = decision.values
        if decision.column is not None:
            columns.append(decision.column)
    return inputs, tuple(columns)


def _uses(table: TableContents, decisions: Mapping[int, Decision]) -> tuple[ColumnUse, ...]:
    """Return the use of every column that was read."""
    return tuple(
        ColumnUse(name=name, kind=decisions[i].kind, use=decisions[i].use)
        if i in decisions
        else ColumnUse(name=name, kind="identifier", use="left out: numbers the rows")
        for i, name in enumerate(table.features)
    )


_NO_CELLS: Final = (list, tuple, dict, set, bytes, complex, np.ndarray)
"""Types of values that are neither numbers, nor text, nor dates."""


@final
class ColumnInputs:
    """The inputs of a table that is read column by column: its cells are objects of Python, not text.

    `values` (N, R) are numbers, codes of `texts`, or seconds for the places in `dates`.
    """

    def __init__(self, *, rows: int, width: int, reading: TableReading, unit: str) -> None:
        self.values: Array = np.empty((rows, width))
        self.problems: dict[int, ColumnProblems] = {}
        self.texts: dict[int, Texts] = {}
        self.dates: set[int] = set()
        self._is_auto = reading.types == "auto"
        self._unit = unit

    def add_numbers(self, place: int, numbers: Array, *, null: str = "nan") -> None:
        """Set a column (N,) of numbers. Infinite ones are problems; so is NaN in a table of complete numbers."""
        self.values[:, place] = numbers
        bad = np.isinf(numbers) if self._is_auto else ~np.isfinite(numbers)
        for row in np.flatnonzero(bad).tolist():
            text = null if np.isnan(numbers[row]) else str(numbers[row])
            self.problems.setdefault(place, ColumnProblems()).add(text, f"{self._unit} {row + 1}")

    def add_dates(self, place: int, moments: Array) -> None:
        """Set a column (N,) of datetime64. In a table of numbers they are problems."""
        if not self._is_auto:
            self.add_objects(place, moments.astype(str).tolist(), None)
            return
        seconds = moments.astype("datetime64[s]")
        missing = np.isnat(seconds)
        self.values[:, place] = np.where(missing, np.nan, np.where(missing, 0, seconds.astype(np.int64)))
        self.dates.add(place)

    def add_objects(self, place: int, cells: Sequence[Any], rule: ColumnRule | None) -> None:
        """Set a column of objects: numbers or dates if all are, else text."""
        kind = None if rule is None else rule.kind
        filled = [cell for cell in cells if not is_missing_object(cell)]
        are_numbers = all(isinstance(cell, Real | Decimal | np.bool_) for cell in filled)
        are_dates = all(isinstance(cell, date) for cell in filled)
        if filled and are_numbers and kind not in ("category", "date"):
            numbers = [math.nan if is_missing_object(cell) else float(cell) for cell in cells]
            self.add_numbers(place, np.array(numbers), null="null")
        elif filled and are_dates and self._is_auto and kind in (None, "date"):
            self.values[:, place] = [
                math.nan if is_missing_object(cell) else moment_seconds(cell) for cell in cells
            ]
            self.dates.add(place)
        elif any(isinstance(cell, _NO_CELLS) for cell in filled):
            self._add_problems(place, [cell_text(cell) for cell in cells])
        else:
            self._add_texts(place, [cell_text(cell) for cell in cells], kind)

    def _add_texts(self, place: int, cells: Sequence[str], kind: str | None) -> None:
        places = range(1, len(cells) + 1)
        texts = Texts(is_needed=kind in ("category", "date"))
        codes = np.array(texts.coded(cells, places))
        is_number_column = kind not in ("category", "date") and all(map(is_number, texts.values))
        if self._is_auto and texts.values and is_number_column:
            numbers = np.array([*map(float, texts.values), np.nan])
            self.add_numbers(place, numbers[np.where(np.isnan(codes), -1, codes).astype(np.intp)])
        elif self._is_auto and kind != "number":
            self.values[:, place], self.texts[place] = codes, texts
        else:
            self._add_problems(place, cells)

    def _add_problems(self, place: int, cells: Sequence[str]) -> None:
        self.values[:, place] = np.nan
        found = self.problems.setdefault(place, ColumnProblems())
        for row, cell in enumerate(cells, start=1):
            found.add(cell, f"{self._unit} {row}")


def is_missing_object(value: object) -> bool:
    """Return True for None, NaN, the NA and NaT of pandas, and the text of an empty cell."""
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def cell_text(value: object) -> str:
    """Return a value as the cell of a table has it; whole numbers without a point, nothing for a missing one."""
    if is_missing_object(value):
        return ""
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == math.floor(value):
        return str(int(value))
    return str(value)


def moment_seconds(value: date | np.datetime64) -> float:
    """Return the seconds of a date since the start of 1970, in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    moment: Any = np.array(value, "datetime64[s]")
    return float(moment.astype(np.int64))


def _dropped_note(name: str, reason: str) -> str:
    return f'data.drop: column "{name}" has no name and {reason}, so it is no input: data.drop = [] keeps it'


def _problems(
    table: TableContents, decisions: Mapping[int, Decision], task: Task, reading: TableReading
) -> Iterator[str]:
    """Yield every problem; that of the meaning of the targets only next to others, since dataset_from finds it too."""
    yield from table.table_problems
    yield from rule_problems(reading.columns, [*table.features, *table.useless])
    found = [decision.problem for decision in decisions.values() if decision.problem is not None]
    yield from found
    yield from _duplicate_problems([d.column for d in decisions.values() if d.column is not None])
    if table.features and not found and all(decision.column is None for decision in decisions.values()):
        yield "there must be a column that is an input (got none that is of use): name one under [data.columns]"
    if table.target_problem is not None:
        yield table.target_problem
    elif found and not table.table_problems and len(table.targets):
        try:
            resolve_targets(table.targets, task=task, where=table.target)
        except DataError as error:
            yield str(error)


def _duplicate_problems(columns: Sequence[InputColumn]) -> Iterator[str]:
    """Yield a sentence for each name of several inputs, unless all are numbers, which keep their order."""
    if all(column.kind == "number" for column in columns):
        return
    names = [column.name for column in columns]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f'every column must have its own name (got {names.count(name)} called "{name}"): rename them'


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
