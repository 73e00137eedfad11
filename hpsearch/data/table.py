"""The common part of CSV and Parquet: named columns, one of which is the target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for

MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "?"})
"""Common marks for a missing value, in lower case."""


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


def targets_of(texts: Sequence[str]) -> Array:
    """Return the targets as float64 numbers if every one is a number, else as text."""
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        return np.array(texts, dtype=np.str_)


TableRow: TypeAlias = tuple[int, list[str]]
"""The number of a line or row, from 1, and its cells as text."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableRows:
    """The rows of a table as they are read: `names` of its columns, None without a header.

    `unit` is what the numbers of `rows` count: `line` or `row`.
    """

    names: tuple[str, ...] | None
    rows: Iterator[TableRow]
    unit: str
