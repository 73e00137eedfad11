"""Count the words of the dialect that the prose is to lose: `python -m tests.benchmarks.language [FOLDER]`.

Prose is docstrings, comments and Markdown. Counts are per 10,000 words; "where" also has good uses, so its count does
not fall to zero.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

GROUPS: Final[Mapping[str, str]] = {
    "where": r"where",
    "if": r"if",
    "says, tells, hears, knows": r"says?|tells?|told|hears?|heard|knows?",
    "nobody, whoever, somebody, anybody": r"nobody|whoever|somebody|anybody|whatever",
    "behind, beside": r"behind|beside",
    "for ever, comes on top, bears, mend, wants": r"for ever|on top|bears?|mend(?:ed|s)?|wants?",
}
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z'-]*")


def python_prose(path: Path) -> Iterator[str]:
    """Yield the docstrings and comments of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                yield token.string


def prose(folder: Path) -> str:
    """Return the prose of the package and of the Markdown files in `folder`, code in backquotes left out."""
    texts = [text for path in sorted((folder / "hpsearch").rglob("*.py")) for text in python_prose(path)]
    pages = (path for path in sorted(folder.glob("**/*.md")) if ".venv" not in path.as_posix())
    texts += [re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL) for page in pages]
    return re.sub(r"`[^`]*`", "", "\n".join(texts))


def main() -> None:
    """Print how often each group of words occurs."""
    text = prose(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2])
    words = len(_WORD.findall(text))
    sys.stdout.write(f"{words:,} words; per 10,000:\n")
    for name, pattern in GROUPS.items():
        count = len(re.findall(rf"\b(?:{pattern})\b", text, flags=re.IGNORECASE))
        sys.stdout.write(f"  {name}: {10_000 * count / words:.0f}\n")


if __name__ == "__main__":
    main()
