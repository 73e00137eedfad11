"""TOML text into a document, with one clear problem where it is none."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import Problem, StudyFileError
from hpsearch.study.shown import shown

_PLACE: Final = re.compile(r" \(at (?P<place>line (?P<line>\d+), column \d+|end of document)\)$")
"""How tomllib ends its messages."""

_TABLE_TWICE: Final = re.compile(r"Cannot declare \((?P<keys>.+?),?\) twice")
_INLINE_TWICE: Final = re.compile(r"Duplicate inline table key (?P<key>.+)")
_TWICE: Final = ("Cannot overwrite a value", "Cannot mutate immutable namespace", "Cannot redefine namespace")
"""What tomllib says about keys that are there already."""

_KEY: Final = re.compile(r"""\s*\[*\s*(?P<key>[\w."' -]*[\w"'])\s*[]=]""")
"""The key, or the table's name, that a line begins with."""


def read_text(path: Path) -> str:
    """Return the text of the file `path`. Raises StudyFileError where it cannot be read or is not UTF-8."""
    try:
        # Some editors begin a file with a byte order mark, which is not TOML.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _unusable(path, f"must exist (got {path}): check the path") from None
    except IsADirectoryError:
        raise _unusable(path, f"must be a file (got the folder {path}): name a .toml file in it") from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise _unusable(path, f"must be UTF-8 text (got {byte}): save it as UTF-8") from None
    except OSError as error:
        raise _unusable(path, f"must be readable (got {error.strerror}): check its permissions") from None


def parse_document(text: str, *, source: str) -> dict[str, Any]:
    """Return what tomllib makes of `text`. Raises StudyFileError, in the name of `source`, for no TOML."""
    # With a last newline tomllib names the line of a fault at the end too.
    text = text if text.endswith("\n") else f"{text}\n"
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = _fault(str(error), text.split("\n"))
    except RecursionError:
        problem = Problem(where="file", message="must not nest lists or tables this deep")
    except ValueError as error:
        # Python reads no integers of thousands of digits.
        problem = Problem(where="file", message=f"must be TOML (got {error})")
    raise StudyFileError(source, [problem])


def _unusable(path: Path, message: str) -> StudyFileError:
    return StudyFileError(str(path), [Problem(where="file", message=message)])


def _fault(message: str, lines: list[str]) -> Problem:
    """Return tomllib's `message` as a problem at its line and column."""
    reason = _PLACE.sub("", message)
    place = _PLACE.search(message)
    if place is None or place["line"] is None:
        return Problem(where="end of document", message=f"must be TOML (got the end of the file): {reason}")
    line = lines[int(place["line"]) - 1]
    rule = _twice(reason, line) or f"must be TOML (got {shown(line.strip())}): {reason}"
    return Problem(where=place["place"], message=rule)


def _twice(reason: str, line: str) -> str | None:
    """Return what to say about a key or table that is there already, or None for another fault."""
    if table := _TABLE_TWICE.match(reason):
        name = ".".join(key.strip(" '\"") for key in table["keys"].split(","))
        return f"[{name}] is given twice: put its keys together"
    if key := _INLINE_TWICE.match(reason):
        return f"the key {key['key'].strip(chr(39))} is given twice: keep one"
    if not reason.startswith(_TWICE):
        return None
    name = f" {found['key']}" if (found := _KEY.match(line)) else ""
    return f"the key{name} is given twice: keep one"
