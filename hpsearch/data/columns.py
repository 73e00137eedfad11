"""The columns of a table, described one by one, also if the table cannot be used as it is."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, final

from hpsearch.data.column_kinds import FLAGS, ColumnKind, ColumnUse
from hpsearch.data.csv_table import open_table
from hpsearch.data.numerals import decimal_comma_number, is_local_number, is_missing, is_number
from hpsearch.data.parquet_table import read_parquet_cells
from hpsearch.data.table import TableLayout, TableReading

MOST_ROWS: Final = 200_000
"""Rows of a table that are counted, in about 10 seconds if there are 50 columns."""

_MOST_VALUES: Final = 1000
"""Different values of a column that are counted."""

_MOST_CATEGORIES: Final = 50
_TOP: Final = 3

_DATE: Final = re.compile(
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T]\d{1,2}:\d{2}.*)?"
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnSummary:
    """One column of a table: `rows` cells were counted, the first 200,000 at most, of which some are missing.

    `distinct` is the number of different values, and None above 1000. `minimum` and `maximum` are None unless all are
    numbers. `top` are the most frequent values of a column of text. `use` is what a study does with the column.
    """

    name: str
    kind: ColumnKind
    rows: int
    missing: int
    distinct: int | None
    minimum: float | None
    maximum: float | None
    top: tuple[str, ...]
    use: str


@final
@dataclass(kw_only=True, slots=True)
class _Tally:
    """What the cells of a column have in common so far."""

    has_decimal_comma: bool = False
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    whole: bool = True
    low: float = float("inf")
    high: float = float("-inf")
    local: int = 0
    dates: int = 0
    values: Counter[str] = field(default_factory=Counter)
    is_full: bool = False

    def add(self, cell: str) -> None:
        """Count one cell, in place."""
        text = cell.strip()
        self.rows += 1
        if is_missing(text) or text.lower() == "none":
            self.missing += 1
            return
        if len(self.values) < _MOST_VALUES or text in self.values:
            self.values[text] += 1
        else:
            self.is_full = True
        number = self._number(text)
        if number is not None:
            self.numbers += 1
            self.whole = self.whole and number.is_integer()
            self.low, self.high = min(self.low, number), max(self.high, number)
        else:
            self.local += is_local_number(text)
            self.dates += _DATE.fullmatch(text) is not None

    def add_all(self, cells: Iterable[str]) -> None:
        """Count every cell, in place."""
        for cell in cells:
            self.add(cell)

    def _number(self, text: str) -> float | None:
        try:
            return (
                decimal_comma_number(text)
                if self.has_decimal_comma
                else float(text)
                if is_number(text)
                else None
            )
        except ValueError:
            return None

    @property
    def kind(self) -> ColumnKind:
        """The kind of the values."""
        present, distinct = self.rows - self.missing, len(self.values)
        texts = {value.lower() for value in self.values}
        is_category = not self.is_full and distinct <= min(_MOST_CATEGORIES, max(2, present // 2))
        rules: tuple[tuple[ColumnKind, bool], ...] = (
            ("empty", not present),
            ("constant", distinct == 1),
            ("yes/no", any(texts <= flags for flags in FLAGS)),
            ("whole number", self.is_numeric and self.whole),
            ("number", self.is_numeric),
            ("date", self.dates == present),
            ("other notation", self.local + self.numbers == present),
            ("category", is_category),
        )
        return next((kind for kind, holds in rules if holds), "text")

    @property
    def is_numeric(self) -> bool:
        """Whether every value is a number."""
        return self.numbers == self.rows - self.missing > 0


def columns_of(
    source: str, *, target: str | None, reading: TableReading, uses: Sequence[ColumnUse] = ()
) -> list[ColumnSummary]:
    """Return the columns of the table in a file, in their order; none if `source` is no table in a file.

    `uses` are those of the inputs, if the table could be read. Raises DataError if the file cannot be cut into rows and
    columns.
    """
    path = Path(source).expanduser()
    if not path.is_file() or path.name.lower().endswith(".npz"):
        return []
    if path.name.lower().endswith(".parquet"):
        layout, columns = read_parquet_cells(path, target=target, drop=reading.drop)
        tallies = [_Tally() for _ in layout.names]
        for tally, column in zip(tallies, columns, strict=True):
            tally.add_all(islice(column, MOST_ROWS))
    else:
        with open_table(path, target=target, reading=reading) as table:
            layout = table.layout
            tallies = [_Tally(has_decimal_comma=table.dialect.has_decimal_comma) for _ in layout.names]
            for _, cells in islice(table.rows(), MOST_ROWS):
                for tally, cell in zip(tallies, cells, strict=False):
                    tally.add(cell)
    by_place = dict(zip(layout.inputs, uses, strict=True)) if uses else {}
    return [_summary(i, tally, layout, by_place.get(i)) for i, tally in enumerate(tallies)]


def _summary(place: int, tally: _Tally, layout: TableLayout, found: ColumnUse | None) -> ColumnSummary:
    name, is_text, kind, use = layout.names[place], not tally.is_numeric, tally.kind, ""
    if place == layout.target:
        use = "target" if not tally.missing else "target; problem: fill the missing ones, or drop these rows"
    elif place in layout.useless:
        use = "left out: no name"
    elif place in layout.dropped:
        use = "left out: data.drop"
    elif found is not None:
        kind, use = found.kind, found.use
    most = tally.values.most_common(_TOP)
    return ColumnSummary(
        name=name,
        kind=kind,
        rows=tally.rows,
        missing=tally.missing,
        distinct=None if tally.is_full else len(tally.values),
        minimum=None if is_text else tally.low,
        maximum=None if is_text else tally.high,
        top=tuple(f"{value} ({count:,})" for value, count in most) if is_text else (),
        use=use,
    )
