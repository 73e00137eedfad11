"""Checks of the arguments that a caller passes: types and ranges, with an error that names the argument."""

import os
import reprlib
from collections.abc import Mapping
from operator import index
from pathlib import Path
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.study.messages import toml_excerpt
from hpsearch.study.schema import MOST_INTEGER


def whole_number(name: str, value: object, *, least: int = 1, most: int = MOST_INTEGER) -> int:
    """Return a whole number from `least` to `most`, Python's or NumPy's. Raises UsageError for anything else."""
    try:
        number = None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise UsageError(
            f"{name}: must be a whole number from {least} to {most} (got {excerpt(value)}): choose one of these"
        )
    return number


def optional_whole_number(
    name: str, value: object, *, least: int = 1, most: int = MOST_INTEGER
) -> int | None:
    """Return None for None, else as `whole_number`."""
    return None if value is None else whole_number(name, value, least=least, most=most)


def whole_numbers(name: str, values: object) -> tuple[int, ...]:
    """Return a list of whole numbers from 0. Raises UsageError for anything else."""
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UsageError(
            f"{name}: must be a list of whole numbers (got {excerpt(values)}): write [1, 2], for example"
        )
    return tuple(whole_number(name, value, least=0) for value in values)


def texts(name: str, values: object) -> tuple[str, ...]:
    """Return a list of texts. Raises UsageError for anything else, such as a text alone."""
    if isinstance(values, list | tuple) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise UsageError(f'{name}: must be a list of texts (got {excerpt(values)}): write ["NAME"], for example')


def text(name: str, value: object) -> str:
    """Return a text. Raises UsageError for anything else."""
    if isinstance(value, str):
        return value
    raise UsageError(f"{name}: must be text (got {excerpt(value)}): put it in quotes")


def table(name: str, value: object) -> Mapping[str, Any]:
    """Return a dictionary whose keys are texts. Raises UsageError for anything else."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    raise UsageError(
        f'{name}: must be a dictionary from keys to values (got {excerpt(value)}): write {{"KEY": VALUE}}'
    )


def file_path(name: str, value: object) -> Path:
    """Return the path of a file. Raises UsageError for anything but a text or a path, and for a NUL in it."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(path, str) or "\0" in path:
        raise UsageError(f"{name}: must be the path of a file (got {excerpt(value)}): pass a text or a Path")
    return Path(path)


def excerpt(value: object) -> str:
    """Return a value as a message shows it: as TOML writes it, or Python if TOML cannot."""
    is_text_table = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
    if value is None or (isinstance(value, Mapping) and not is_text_table):
        return reprlib.repr(value)
    return toml_excerpt(value)
