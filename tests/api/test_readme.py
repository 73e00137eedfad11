"""The Python code of the READMEs: it runs as it is printed."""

import ast
import re
from pathlib import Path

import pytest


def blocks(page: Path, heading: str) -> list[str]:
    """Return the blocks of Python below a heading of the second level."""
    section = page.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "heading", "count"),
    [
        ("README.md", "Python", 1),
        ("studies/README.md", "Your own training function", 4),
        ("studies/README.md", "Models", 3),
        ("studies/README.md", "From Python", 3),
    ],
)
def test_the_python_of_the_readmes_runs(page: str, heading: str, count: int, repository: Path) -> None:
    """Every block runs in an empty folder, and writes the figures that it names."""
    found = blocks(repository / page, heading)
    assert len(found) == count
    for block in found:
        exec(compile(block, page, "exec"), {"__name__": page})
        for name in re.findall(r'write_html\("(.*?)"\)', block):
            assert Path(name).stat().st_size > 0


def test_the_lesson_is_short(repository: Path) -> None:
    """Diverging, dying and healing fit in twenty lines of code; the healed networks are healthy."""
    lesson = blocks(repository / "studies/README.md", "From Python")[-1]
    assert len(ast.unparse(ast.parse(lesson)).splitlines()) <= 20
    namespace: dict[str, object] = {}
    exec(lesson, namespace)
    ill = [str(getattr(namespace[name], "cause", "")) for name in ("diverged", "died", "healed")]
    assert ill == ["diverged_lr", "dead_relu_partial", "healthy"]
