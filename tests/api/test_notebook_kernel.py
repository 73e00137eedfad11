"""Notebooks in a real kernel: the quickstart, and the interruption of a run."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any, Final

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

import hpsearch

DEADLINE_S: Final = 300.0
PLOTLY: Final = "application/vnd.plotly.v1+json"

SMALLER: Final = {
    "trials=24": "trials=6",
    "trials=16": "trials=4",
    "best=3, seeds=3": "best=1, seeds=2",
}
"""Budgets of the quickstart, and those of its test."""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the debugger of the kernel from printing a warning about Python's frozen modules."""
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.fixture(scope="module")
def quickstart(repository: Path) -> str:
    """Return the text of the quickstart as it is in the repository."""
    return (repository / "studies/quickstart.ipynb").read_text(encoding="utf-8")


def _parsed(text: str) -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def test_the_quickstart_is_kept_without_outputs(quickstart: str) -> None:
    """Outputs of another run would change in every commit, so the file has none; and it is a valid notebook."""
    notebook = _parsed(quickstart)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 8 <= len(code) <= 14
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_the_quickstart_runs(quickstart: str, tmp_path: Path) -> None:
    """Every cell runs, bars and figures are in the outputs of their cells, and nothing is printed."""
    for before, after in SMALLER.items():
        assert before in quickstart
        quickstart = quickstart.replace(before, after)
    notebook = _parsed(quickstart)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=DEADLINE_S, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} == {"display_data", "execute_result"}
    bars = [
        output.data
        for output in outputs
        if output.output_type == "display_data" and PLOTLY not in output.data
    ]
    # A bar is one output, which was updated: it began with "starting workers".
    assert [
        re.sub(r"after [\d.]+ s", "after a while", bar["text/plain"]).split("; ")[:2] for bar in bars
    ] == [
        ["quickstart: 6 of 6 trials", "after a while"],
        ["wine: 4 of 4 trials", "after a while"],
        ["quickstart: 1 configuration, 2 fresh seeds: 2 trainings", "2 of 2"],
    ]
    assert ['class="bar"' in bar["text/html"] for bar in bars] == [True, True, False]
    assert sum(PLOTLY in output.data for output in outputs) == 3
    cards = [
        o.data["text/html"] for o in outputs if o.output_type == "execute_result" and "text/html" in o.data
    ]
    for words in ("Trial 4 of quickstart", "dead_relu_total", "healthy", "fresh seeds", "model.activation"):
        assert any(words in card for card in cards), words


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Yield a kernel in the test's folder, and a client of it."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=DEADLINE_S)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _outputs(client: BlockingKernelClient, request: str) -> list[dict[str, Any]]:
    """Return the messages of the request's outputs until the kernel is idle again."""
    found = []
    while True:
        try:
            message = client.get_iopub_msg(timeout=DEADLINE_S)
        except Empty:
            pytest.fail("the kernel did not become idle")
        if message["parent_header"].get("msg_id") == request:
            found.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found


def _texts(messages: list[dict[str, Any]]) -> list[str]:
    """Return the texts of what was displayed, and updated."""
    return [
        message["content"]["data"]["text/plain"]
        for message in messages
        if message["msg_type"] in ("display_data", "update_display_data", "execute_result")
    ]


LONG_STUDY: Final = """
import hpsearch

study = hpsearch.create_study(
    "long",
    data="digits",
    model={"hidden": [64]},
    training={"epochs": 40},
    pruning={"diagnosis": False, "rank": "none"},
    search={"learning_rate": hpsearch.Range(0.01, 0.1, log=True)},
    trials=8,
    storage="sqlite:///long.db",
)
study.run(workers=1, cohort=1)
"""


def test_an_interrupted_run_keeps_its_trials(kernel: tuple[KernelManager, BlockingKernelClient]) -> None:
    """The interruption of a kernel stores finished trials, and the same cell continues."""
    manager, client = kernel
    request = client.execute(LONG_STUDY)
    finished = _wait_for_a_trial()
    manager.interrupt_kernel()
    messages = _outputs(client, request)
    error = next(message["content"] for message in messages if message["msg_type"] == "error")
    assert error["ename"] == "KeyboardInterrupt"
    texts = _texts(messages)
    assert texts[-1].endswith("; stopped; the same call continues from here")
    assert not any(message["msg_type"] == "stream" for message in messages)
    study = hpsearch.load_study("long", storage="sqlite:///long.db")
    kept = {trial.number: trial.value for trial in study.trials if trial.state.is_final}
    assert len(kept) >= finished
    assert len(kept) < 8
    assert study.progress.running == 0

    texts = _texts(_outputs(client, client.execute(LONG_STUDY.replace("cohort=1", "cohort=8"))))
    assert texts[-1].startswith('<Study "long": finished, 8 of 8 trials')
    after = {trial.number: trial.value for trial in study.trials}
    assert len(after) == 8
    assert {number: after[number] for number in kept} == kept


def _wait_for_a_trial() -> int:
    """Return the number of finished trials once there is one."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if Path("long.db").exists():
            try:
                progress = hpsearch.load_study("long", storage="sqlite:///long.db").progress
            except hpsearch.HpsearchError:
                continue  # the database is being made
            if progress.finished:
                return progress.finished
        time.sleep(0.05)
    pytest.fail("no trial finished")
