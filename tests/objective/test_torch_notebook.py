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
    """It prints the verdict that its comment names, warns once, and shows the monitor as a card."""
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    _, _, section = (
        (repository / "README.md").read_text(encoding="utf-8").partition("## Your own training loop\n")
    )
    (code,) = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("monitor")]  # type: ignore[no-untyped-call]
    )
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=DEADLINE_S, kernel_name="python3", resources=resources).execute()
    texts = {output.name: output.text for output in notebook.cells[0].outputs if "text" in output}
    assert texts["stdout"].startswith("dead_relu_total Lower the learning rate from 30 to ")
    assert texts["stderr"].count("TrainingWarning") == 1
    step = re.search(
        r"TrainingWarning: (step \d+: dead_relu_total: Lower the learning rate)", texts["stderr"]
    )
    assert step is not None
    assert step[1] in code
    (card,) = notebook.cells[1].outputs
    assert "dead_relu_total" in card.data["text/html"]
