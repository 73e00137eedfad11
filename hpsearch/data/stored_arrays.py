"""The files of studies whose data are arrays.

A worker is a process of its own, on this machine or another, so the arrays of a study are written to a file once. Its
path is the study's `data.source`, and its name contains a fingerprint of its contents. The files outlive their studies:
several studies, also in other databases, may read one.
"""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np

from hpsearch.data.column_kinds import ColumnUse
from hpsearch.data.dataset import Array, RawData
from hpsearch.data.encoding import InputColumn, input_column_from_json
from hpsearch.data.npz import ARCHIVE_ERRORS, read_npz
from hpsearch.errors import DataError

FOLDER_VARIABLE: Final = "HPSEARCH_DATA"
"""The environment variable that names the folder of stored arrays, for programs and for workers."""

_NAME: Final = re.compile(r"arrays-[0-9a-f]{32}\.npz")

_ABANDONED_S: Final = 86_400
"""Seconds after which an unfinished file belongs to a process that was killed."""


def file_name(raw: RawData) -> str:
    """Return the name of the file that holds these arrays: equal for equal arrays and names of inputs."""
    digest = hashlib.sha256()
    for array in _contents(raw).values():
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return f"arrays-{digest.hexdigest()[:32]}.npz"


def data_folder(database: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the folder for the arrays of a database's studies, which need not exist yet.

    HPSEARCH_DATA names it. Without that it is `data` next to `database`, the file of an SQLite database, or
    `storage/data` below the current folder for a database on a server (None).
    """
    if named := environment.get(FOLDER_VARIABLE):
        return Path(named).absolute()
    return (Path("storage") if database is None else database.parent).absolute() / "data"


def store_arrays(raw: RawData, folder: Path) -> str:
    """Write the arrays to a file in `folder`, whole or not at all, and return its path: the study's `data.source`.

    Equal arrays share one file, so a second study with the same data writes nothing. Raises DataError if the folder
    cannot be written.
    """
    path = folder.absolute() / file_name(raw)
    try:
        if not _is_intact(path):
            folder.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            _write(path, _contents(raw))
    except OSError as error:
        raise DataError(
            "data: arrays are stored in a file that workers read, so its folder must be writable"
            f" (got {folder.absolute()}: {error.strerror or error}):"
            f" set {FOLDER_VARIABLE} to a folder with room that can be written"
        ) from error
    return str(path)


def is_stored(source: str) -> bool:
    """Return True if `source` is the path of a file that `store_arrays` wrote, whether it exists or not."""
    return _NAME.fullmatch(Path(source).name) is not None


def find_stored(source: str, environment: Mapping[str, str]) -> str:
    """Return the path of stored arrays on this machine: `source`, else the same name in the folder HPSEARCH_DATA.

    Raises DataError if there is no such file.
    """
    named = environment.get(FOLDER_VARIABLE)
    other = Path(named) / Path(source).name if named else None
    for path in (Path(source), other):
        if path is not None and path.exists():
            return str(path)
    where = source if other is None or other == Path(source) else f"{source} nor {other}"
    raise DataError(
        f"data.source: the study's arrays must be readable on this machine (got no file {where}):"
        " copy the file from the machine that created the study to the same path,"
        f" or into a folder and set {FOLDER_VARIABLE} to that folder"
    )


def read_stored(path: Path) -> RawData:
    """Return the arrays that `store_arrays` wrote. Raises DataError if the file is damaged."""
    raw = read_npz(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if "columns" not in archive.files:
                return raw
            described = json.loads(archive["columns"].tobytes())
        columns = tuple(map(input_column_from_json, described["columns"]))
        uses = tuple(ColumnUse(**use) for use in described["uses"])
        _check_codes(raw.inputs, columns)
    except (*ARCHIVE_ERRORS, TypeError) as error:
        raise DataError(f'{path}: must be whole (got "{error}"): copy the file again') from error
    return replace(raw, columns=columns, uses=uses)


def _check_codes(inputs: Array, columns: Sequence[InputColumn]) -> None:
    """Raise ValueError unless inputs (N, R) are numbers, and codes of the columns' categories."""
    if (
        inputs.dtype != np.float64
        or inputs.ndim != 2
        or inputs.shape[1] != len(columns)
        or np.isinf(inputs).any()
    ):
        raise ValueError(f"inputs of {inputs.dtype} {inputs.shape} do not fit {len(columns)} columns")
    for values, column in zip(inputs.T, columns, strict=True):
        known = values[~np.isnan(values)]
        if column.kind == "category" and not np.isin(known, np.arange(len(column.categories))).all():
            raise ValueError(f"column {column.name:.40} has codes without a category")


def _contents(raw: RawData) -> dict[str, Array]:
    """Return the arrays of the file, C-contiguous."""
    contents = {"x": np.ascontiguousarray(raw.inputs), "y": np.ascontiguousarray(raw.targets)}
    if raw.features:
        contents["features"] = np.array(raw.features, dtype=np.str_)
    if raw.columns:
        text = json.dumps({"columns": list(map(asdict, raw.columns)), "uses": list(map(asdict, raw.uses))})
        contents["columns"] = np.frombuffer(text.encode(), np.uint8)
    return contents


def _is_intact(path: Path) -> bool:
    """Return True if the file exists and its arrays have the fingerprint in its name."""
    if not path.exists():
        return False
    try:
        return file_name(read_stored(path)) == path.name
    except DataError:
        return False


def _write(path: Path, contents: Mapping[str, Array]) -> None:
    """Write the archive, so that readers see the whole file or none, even after a power failure."""
    unfinished = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            np.savez(file, **contents)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Delete unfinished files of processes that were killed."""
    for path in folder.glob(".arrays-*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()
