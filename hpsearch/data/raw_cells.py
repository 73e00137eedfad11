"""The cells that a table or a program passes to a model, as raw inputs for its fitted encoding."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Final, final

import numpy as np

from hpsearch.data.column_kinds import is_empty_cell
from hpsearch.data.dates import date_number
from hpsearch.data.encoding import UNKNOWN, Array, FittedColumn
from hpsearch.data.numerals import is_local_number, plain
from hpsearch.data.table import cell_text, is_missing_object, moment_seconds

_FLAGS: Final = {"true": 1.0, "false": 0.0}
"""Flags, which are numbers in Parquet files and data frames, as text."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CellProblem:
    """A cell that a column cannot take: its place among the cells, the rule that it breaks, and a remedy."""

    place: int
    rule: str
    remedy: str


@final
@dataclass(kw_only=True)
class ColumnReader:
    """Reads the cells of one column of an encoding. `number` returns the number in a text, or raises ValueError.

    `unknown` counts the cells with a category that the training part does not have.
    """

    fitted: FittedColumn
    number: Callable[[str], float] = float
    unknown: int = 0

    @cached_property
    def _codes(self) -> dict[str, float]:
        return {text: float(code) for code, text in enumerate(self.fitted.column.categories)}

    def read(self, cells: Sequence[object]) -> tuple[Array, list[CellProblem]]:
        """Return the raw inputs (N,) of the cells, NaN for a missing one, and the problems."""
        kind = self.fitted.column.kind
        if kind == "category":
            values = [self._category(cell) for cell in cells]
            self.unknown += values.count(UNKNOWN)
            return np.array(values, np.float64), []
        convert = self._number if kind == "number" else self._date
        numbers, problems = np.empty(len(cells)), []
        for place, cell in enumerate(cells):
            found = convert(cell)
            if isinstance(found, float):
                numbers[place] = found
            else:
                rule, remedy = found
                numbers[place] = math.nan
                problems.append(CellProblem(place=place, rule=rule, remedy=remedy))
        return numbers, problems

    def _category(self, cell: object) -> float:
        if isinstance(cell, str) and (code := self._codes.get(cell)) is not None:
            return code
        text = cell_text(cell).strip()
        return math.nan if is_empty_cell(text) else self._codes.get(text, UNKNOWN)

    def _number(self, cell: object) -> float | tuple[str, str]:
        if isinstance(cell, Real | Decimal | np.bool_):
            number = float(cell)
            return ("inputs must be finite", "fill it, or drop the row") if math.isinf(number) else number
        text = cell_text(cell).strip()
        if is_empty_cell(text):
            return math.nan
        try:
            number = math.nan if "_" in text else self.number(text)
        except ValueError:
            number = _FLAGS.get(text.lower(), math.nan)
        if math.isinf(number):
            return "inputs must be finite", "fill it, or drop the row"
        if not math.isnan(number):
            return number
        remedy = f"write {plain(text)}" if is_local_number(text) else "write a number"
        return "inputs must be numbers, as in the study", remedy

    def _date(self, cell: object) -> float | tuple[str, str]:
        if isinstance(cell, date | np.datetime64) and not is_missing_object(cell):
            return moment_seconds(cell)
        text = cell_text(cell).strip()
        if is_empty_cell(text):
            return math.nan
        seconds = date_number(text, day_first=self.fitted.column.day_first)
        return seconds if seconds is not None else ("must be a date, as in the study", "write 2024-01-31")
