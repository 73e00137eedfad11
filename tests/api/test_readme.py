"""The Python code of the READMEs: it runs as it is printed."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

import hpsearch


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


def test_the_objective_with_partial_fit_is_trained(repository: Path) -> None:
    """The page's objective with `partial_fit` reports each epoch, and can be confirmed with other seeds."""
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(blocks(repository / "studies/README.md", "Your own training function")[0], namespace)
    study = hpsearch.create_study(
        "linear",
        objective=namespace["objective"],
        direction="maximize",
        metric="accuracy",
        search={
            "alpha": hpsearch.Range(1e-6, 1e-3, log=True, when={"penalty": "l2"}),
            "penalty": hpsearch.Choices(["l1", "l2"]),
        },
        trials=2,
        storage="sqlite:///linear.db",
    ).run(workers=1, progress=False)
    assert [trial.epochs for trial in study.trials] == [20, 20]
    assert all(("alpha" in trial.params) == (trial.params["penalty"] == "l2") for trial in study.trials)
    (confirmed,) = study.confirm(best=1, seeds=2, progress=False)
    assert confirmed.mean is not None
    assert 0.7 < confirmed.mean < 1


def test_the_lesson_is_short(repository: Path) -> None:
    """Diverging, dying and healing fit in twenty lines of code; the healed networks are healthy."""
    lesson = blocks(repository / "studies/README.md", "From Python")[-1]
    assert len(ast.unparse(ast.parse(lesson)).splitlines()) <= 20
    namespace: dict[str, object] = {}
    exec(lesson, namespace)
    ill = [str(getattr(namespace[name], "cause", "")) for name in ("diverged", "died", "healed")]
    assert ill == ["diverged_lr", "dead_relu_partial", "healthy"]
