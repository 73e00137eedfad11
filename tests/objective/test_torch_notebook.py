"""The example of the README in a notebook: the verdict is shown while the loop runs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.objective.torch_programs import require_torch

require_torch()

DEADLINE_S = 300.0


def test_the_watched_loop_of_the_readme_runs_in_a_notebook(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It warns once, with the text below it, prints nothing, and shows the monitor as a card."""
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    page = (repository / "README.md").read_text(encoding="utf-8")
    section = page.partition("## Your own training loop\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (warning,) = re.findall(r"```text\n(.*?)\n```", section, re.DOTALL)
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("monitor")]  # type: ignore[no-untyped-call]
    )
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=DEADLINE_S, kernel_name="python3", resources=resources).execute()
    texts = {output.name: output.text for output in notebook.cells[0].outputs if "text" in output}
    assert texts.keys() == {"stderr"}
    assert re.findall(r"TrainingWarning: .*", texts["stderr"]) == [warning]
    (card,) = notebook.cells[1].outputs
    assert "dead_relu_total" in card.data["text/html"]
