"""The data of a study from Python: a source by name or path, a table of keys, arrays or a data frame."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast, final

from hpsearch.api.options import DataOptions
from hpsearch.data.arrays import ArrayData, SplitColumn, read_arrays
from hpsearch.data.dataset import RawData
from hpsearch.data.stored_arrays import data_folder, file_name, store_arrays
from hpsearch.data.table import TableReading
from hpsearch.errors import UsageError
from hpsearch.storage.address import parse_address
from hpsearch.study.schema import SECTIONS, words
from hpsearch.study.spec import Task

Data: TypeAlias = str | os.PathLike[str] | DataOptions | ArrayData
"""A source by name or path, the keys of `[data]`, the arrays `(X, y)`, or a data frame of pandas or polars."""

_TASKS: Final = words(Task)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyData:
    """The table `[data]` of a study, and the arrays in place of its source, which are stored in `folder`.

    Without arrays the source is a name or a path. The folder is None for a diagnosis, which stores nothing.
    """

    table: Mapping[str, Any]
    arrays: RawData | None = None
    folder: Path | None = None

    def store(self) -> None:
        """Write the arrays, if there are any, to the file that the table names, so that workers can read them."""
        if self.arrays is not None and self.folder is not None:
            store_arrays(self.arrays, self.folder)


def study_data(data: Data | None, *, target: str | None, storage: str | None) -> StudyData:
    """Return the data of a study in the database `storage`, or of a diagnosis (None).

    `data` may also be a table of keys whose `source` is arrays or a data frame. Arrays are read and checked here, but
    not stored. Raises DataError with every problem of the arrays.
    """
    table: dict[str, Any] = {}
    if data is not None:
        table |= data if isinstance(data, Mapping) else {"source": data}
    if target is not None:
        table["target"] = target
    source = table.get("source")
    if source is None or isinstance(source, str | os.PathLike):
        return StudyData(table=table if source is None else {**table, "source": os.fspath(source)})
    task = table.get("task") if table.get("task") in _TASKS else "auto"
    column = _split_column(table)
    arrays = read_arrays(
        cast("ArrayData", source),
        target=_text(table.get("target")),
        task=cast("Task", task),
        reading=_reading(table),
        split_column=column,
    )
    return array_data(arrays, table, storage=storage)


def array_data(arrays: RawData, table: Mapping[str, Any], *, storage: str | None) -> StudyData:
    """Return the data of a study in the database `storage`, or of a diagnosis (None), with the other keys of `table`.

    The arrays are read and checked already, and are not stored here.
    """
    folder = None if storage is None else data_folder(parse_address(storage).path, os.environ)
    name = file_name(arrays)
    # The target is a column of the data frame, and so of no file; and the columns are stored as they are used.
    source = {"source": name if folder is None else str(folder / name), "target": None, "columns": None}
    return StudyData(table={**table, **source}, arrays=arrays, folder=folder)


def _split_column(table: dict[str, Any]) -> SplitColumn | None:
    """Return the column that decides about the split; values in its place become its name in `table`, in place."""
    found = None
    for key in ("group", "time"):
        if (given := table.get(key)) is not None:
            found = SplitColumn(name=given) if isinstance(given, str) else SplitColumn(name=key, values=given)
            table[key] = found.name
    return found


def _reading(table: Mapping[str, Any]) -> TableReading:
    """Return how the columns of a data frame are read. Raises UsageError with the problems of these keys."""
    rules = SECTIONS["data"].rules
    given = {key: table[key] for key in ("types", "columns") if table.get(key) is not None}
    problems = [problem for key, raw in given.items() for problem in rules[key].problems(f"data.{key}", raw)]
    if problems:
        raise UsageError("; ".join(f"{problem.where}: {problem.message}" for problem in problems))
    values = {key: rules[key].value(raw) for key, raw in given.items()}
    return TableReading(types=values.get("types", "auto"), columns=values.get("columns") or ())


def _text(target: object) -> str | None:
    if target is None or isinstance(target, str):
        return target
    raise UsageError(f"target: must be the name of a column (got {target!r}): give it as text")
