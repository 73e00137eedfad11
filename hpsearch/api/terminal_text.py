"""Text for terminals: without control characters, and folded between words."""

import re
from typing import Final


def printable(text: str) -> str:
    """Return text without control characters: an escape character, for example, shows as its code.

    Names and values come from other people's databases and files.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def printable_cell(text: str) -> str:
    """Return the same for a table cell, without line ends: they would end its row."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


_WORDS: Final = re.compile(r"(\s*)((?:`[^`]*`|(?<=: )hpsearch .+|\S)+)")
"""Blanks and the next word. A command in backquotes, or at the end of a line, is one word, so that it can be copied."""


def folded(text: str, columns: int) -> str:
    """Return `text` with line ends instead of some blanks, so that lines fit into `columns` if their words do."""
    return "\n".join(row for line in text.split("\n") for row in _rows(line, columns))


def _rows(line: str, columns: int) -> list[str]:
    if _columns_of(line) <= columns:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    rows = [""]
    for blanks, word in _WORDS.findall(line):
        if rows[-1].strip() and _columns_of(f"{rows[-1]}{blanks}{word}") > columns:
            rows.append(f"{indent}{word}")
        else:
            rows[-1] += f"{blanks}{word}"
    return rows


def _columns_of(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def cell_len(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    from rich.cells import cell_len as columns_of

    return columns_of(text)
