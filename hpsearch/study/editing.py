"""Values of a study file changed in its text, so that comments and order stay."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hpsearch.study.messages import toml_text
from hpsearch.study.reader import with_settings

_HEADER: Final = re.compile(r"\s*\[")
_VALUE: Final = r"""("(?:\\.|[^"\\])*"|'[^']*'|[^#"']*?)"""
"""A value on one line: text, which may contain #, or anything else up to a comment."""


def edited_text(text: str, changes: Mapping[str, Any]) -> str | None:
    """Return the study file `text` with `changes`, key paths with raw values; comments and order are kept.

    Return None if that cannot be done line by line: the file has the key in an inline table or over several lines.
    """
    lines = text.splitlines()
    for path, value in changes.items():
        lines = _with_value(lines, path, toml_text(value))
    edited = "\n".join(lines) + "\n"
    try:
        is_right = tomllib.loads(edited) == with_settings(tomllib.loads(text), changes)
    except tomllib.TOMLDecodeError:
        return None
    return edited if is_right else None


def _with_value(lines: Sequence[str], path: str, value: str) -> list[str]:
    """Return `lines` with the value of the key `path` replaced, or added at the end of its table."""
    table, dot, key = path.partition(".")
    end_of_top = next((i for i, line in enumerate(lines) if _HEADER.match(line)), len(lines))
    if not dot:
        return _in_block(lines, range(end_of_top), path, value)
    is_header = re.compile(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?")
    start = next((i for i, line in enumerate(lines) if is_header.fullmatch(line)), None)
    if start is not None:
        end = next((i for i in range(start + 1, len(lines)) if _HEADER.match(lines[i])), len(lines))
        return _in_block(lines, range(start + 1, end), key, value)
    if any(re.match(rf"\s*{re.escape(table)}\s*\.", line) for line in lines[:end_of_top]):
        return _in_block(lines, range(end_of_top), path, value)
    return [*lines, *([""] if lines else []), f"[{table}]", f"{key} = {value}"]


def _in_block(lines: Sequence[str], block: range, key: str, value: str) -> list[str]:
    """Return `lines` with the value of `key` in the lines `block` of its table replaced, or added after their last."""
    name = r"\s*\.\s*".join(map(re.escape, key.split(".")))
    assignment = re.compile(rf"(\s*{name}\s*=\s*){_VALUE}(\s*(?:#.*)?)")
    for i in block:
        if (found := assignment.fullmatch(lines[i])) is not None:
            return [*lines[:i], f"{found[1]}{value}{found[3]}", *lines[i + 1 :]]
    used = [i for i in block if lines[i].strip() and not lines[i].lstrip().startswith("#")]
    place = used[-1] + 1 if used else block.start
    return [*lines[:place], f"{key} = {value}", *lines[place:]]
