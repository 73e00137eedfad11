"""Study files: the installed examples, and the TOML document in a file, or one clear problem with it."""

import re
import stat
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import Problem, StudyFileError
from hpsearch.study.messages import toml_excerpt
from hpsearch.study.schema import BUILTIN_SOURCES


def example_files() -> dict[str, Path]:
    """Return the example study files by name, sorted; empty if they are not installed.

    They are part of the installed package. In a source checkout they are in the folder next to the package.
    """
    package = Path(str(resources.files("hpsearch")))
    for folder in (package / "studies", package.parent / "studies"):
        if files := sorted(folder.glob("*.toml")):
            return {path.stem: path for path in files}
    return {}


def with_examples(path: Path) -> Path:
    """Return `path`, or the example of that name if `path` is a bare name and no such file exists."""
    if path.exists() or path.name != str(path):
        return path
    return example_files().get(str(path), path)


MOST_BYTES: Final = 16 * 2**20
"""The largest study file in bytes, thousands of times the usual size."""

_PLACE: Final = re.compile(r" \(at (?P<place>line (?P<line>\d+), column \d+|end of document)\)$")
"""The end of tomllib's messages."""

_TABLE_TWICE: Final = re.compile(r"Cannot declare \((?P<keys>.+?),?\) twice")
_INLINE_TWICE: Final = re.compile(r"Duplicate inline table key (?P<key>.+)")
_TWICE: Final = ("Cannot overwrite a value", "Cannot mutate immutable namespace", "Cannot redefine namespace")
"""tomllib's messages about keys that exist already."""

_KEY: Final = re.compile(r"""\s*\[*\s*(?P<key>[\w."' -]*[\w"'])\s*[]=]""")
"""The key, or the table's name, at the start of a line."""


_TEXT_OR_COMMENT: Final = re.compile(r""""(?:\\.|[^"\\\n])*"|'[^'\n]*'|#[^\n]*""")
"""Text and comments on one line; brackets and digits inside them are not TOML syntax."""

_DIGITS: Final = re.compile(r"[0-9][0-9_]*")


def read_text(path: Path) -> str:
    """Return the text of the file `path`.

    Raises StudyFileError if it is no regular file, larger than `MOST_BYTES`, cannot be read, or is not UTF-8.
    """
    try:
        _check_size(path)
        # Some editors begin a file with a byte order mark, which is not TOML.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        if str(path) in BUILTIN_SOURCES:
            remedy = f'this is a data source, not a study: write data.source = "{path}" in a study file'
        else:
            remedy = "hpsearch init writes it" if path.stem in example_files() else "check the path"
        raise _unusable(path, f"must exist (got {path}): {remedy}") from None
    except IsADirectoryError:
        raise _unusable(path, f"must be a file (got the folder {path}): name a .toml file in it") from None
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x} at offset {error.start}"
        raise _unusable(path, f"must be UTF-8 text (got {byte}): save it as UTF-8") from None
    except OSError as error:
        raise _unusable(path, f"must be readable (got {error.strerror}): check its permissions") from None


def _check_size(path: Path) -> None:
    """Raise StudyFileError for a pipe or a device, which may never end, and for a file that is too large."""
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise _unusable(
            path, f"must be a regular file (got the pipe or device {path}): write the study to a file"
        )
    if status.st_size > MOST_BYTES:
        rule = f"must not be larger than {MOST_BYTES:,} bytes (got {status.st_size:,})"
        raise _unusable(path, f"{rule}: name the study file, not its data")


def parse_document(text: str, *, source: str) -> dict[str, Any]:
    """Return the document that tomllib reads from `text`. Raises StudyFileError about `source` if it is not TOML."""
    # With a last newline tomllib names the line of a fault at the end too.
    text = text if text.endswith("\n") else f"{text}\n"
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = _fault(str(error), text.split("\n"))
    except RecursionError:
        problem = _too_deep(text)
    except ValueError:  # Python refuses no other valid TOML
        problem = _too_long(text)
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
    rule = _twice(reason, line) or f"must be TOML (got {toml_excerpt(line.strip())}): {reason}"
    return Problem(where=place["place"], message=rule)


def _too_deep(text: str) -> Problem:
    """Return the problem of brackets nested too deep, at the line of the innermost one."""
    depth, deepest, line = 0, 0, 1
    for number, content in enumerate(_TEXT_OR_COMMENT.sub("", text).split("\n"), start=1):
        for character in content:
            depth += (character in "[{") - (character in "]}")
            if depth > deepest:
                deepest, line = depth, number
    rule = f"lists and tables must not nest hundreds of levels deep (got {deepest} levels)"
    return Problem(where=f"line {line}", message=f"{rule}: no key needs more than three")


def _too_long(text: str) -> Problem:
    """Return the problem of the longest whole number, which has more digits than Python reads, at its line."""
    lines = enumerate(_TEXT_OR_COMMENT.sub("", text).split("\n"), start=1)
    digits = [(number, found) for number, line in lines for found in _DIGITS.findall(line)]
    number, longest = max(digits, key=lambda found: len(found[1]))
    rule = f"a whole number must not have thousands of digits (got {longest[:20]}..., {len(longest)} long)"
    return Problem(where=f"line {number}", message=f"{rule}: write a smaller one")


def _twice(reason: str, line: str) -> str | None:
    """Return the message for a key or table that exists already, or None for another fault."""
    if table := _TABLE_TWICE.match(reason):
        name = ".".join(key.strip(" '\"") for key in table["keys"].split(","))
        return f"[{name}] is given twice: put its keys together"
    if key := _INLINE_TWICE.match(reason):
        return f"the key {key['key'].strip(chr(39))} is given twice: keep one"
    if not reason.startswith(_TWICE):
        return None
    name = f" {found['key']}" if (found := _KEY.match(line)) else ""
    return f"the key{name} is given twice: keep one"
