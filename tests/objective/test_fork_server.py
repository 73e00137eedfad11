"""Copies of a process that has imported the training function: fast to start, and isolated as new processes are."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hpsearch.objective.child import import_late_modules
from hpsearch.objective.children import Children
from hpsearch.objective.fork_server import _prepared
from hpsearch.objective.messages import EarlyEnd, End, FinalValue
from hpsearch.study.spec import ObjectiveSpec
from hpsearch.trials import Failure
from hpsearch.verdicts import Cause

GIVE_UP_S = 60.0

MODULE = """
import os, random, signal
from pathlib import Path
import numpy as np

with Path(__file__).with_name("imports").open("a") as file:
    file.write("import\\n")

random.seed(0)
state = []

def train(trial):
    state.append(trial.number)
    match trial.params["x"]:
        case 1.0:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 2.0:
            signal.pause()
        case 3.0:
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        case 4.0:
            return np.random.random()
        case 5.0:
            return random.random()
    print("trained", trial.number)
    return len(state)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the module."""
    made = tmp_path_factory.mktemp("copies")
    (made / "copied.py").write_text(MODULE)
    return made


@pytest.fixture(scope="module")
def children(folder: Path) -> Iterator[Children]:
    """Yield the processes of the module's function, with the server of copies ready."""
    objective = ObjectiveSpec(function="copied:train", python_path=(str(folder),))
    made = Children(objective=objective, metric="value", seed=3, folder=folder)
    try:
        assert end_of(made, 0) == FinalValue(value=1.0)
        wait_until_ready(made)
        yield made
    finally:
        made.close()


def wait_until_ready(children: Children) -> None:
    """Wait until the server can make copies."""
    server = children._server
    assert server is not None
    deadline = time.monotonic() + GIVE_UP_S
    while not server.is_ready:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def end_of(children: Children, number: int, x: float = 0.0) -> End:
    """Train one trial and return its end."""
    children.join(number, {"x": x})
    while True:
        for one in children.advance(is_interrupted=lambda: False):
            if isinstance(one.message, FinalValue | EarlyEnd | Failure):
                children.leave(one.number)
                return one.message


def imports(folder: Path) -> int:
    """Return how often the module was imported."""
    return len((folder / "imports").read_text().splitlines())


def test_copies_import_nothing_again(children: Children, folder: Path) -> None:
    """The first trial and the server import the module; later trials start with it as it was imported."""
    assert [end_of(children, number) for number in (1, 2)] == [FinalValue(value=1.0)] * 2
    assert imports(folder) == 2


def test_a_copy_harms_no_other(children: Children, folder: Path) -> None:
    """One crashes and one hangs at the same time as a third trains, and each ends as in a new process."""
    for number, x in ((1, 1.0), (2, 2.0), (3, 0.0)):
        children.join(number, {"x": x})
    ends: dict[int, End] = {}
    while len(ends) < 2:
        for one in children.advance(is_interrupted=lambda: False):
            assert isinstance(one.message, FinalValue | EarlyEnd | Failure)
            ends[one.number] = one.message
            children.leave(one.number)
    crashed = ends[1]
    assert isinstance(crashed, Failure)
    assert (crashed.cause, crashed.kind, crashed.signal) == (Cause.CODE_ERROR, "SIGSEGV", signal.SIGSEGV)
    assert crashed.place.startswith("copied.py:")
    assert ends[3] == FinalValue(value=1.0)
    hanging = children._children[2].process
    assert hanging.is_alive()
    children.kill(2)
    assert not hanging.is_alive()
    assert imports(folder) == 2


def test_random_numbers_are_those_of_new_processes(children: Children) -> None:
    """Streams that the module leaves alone differ from copy to copy; one that it seeds goes on from its seed."""
    drawn = [end_of(children, number, x) for number, x in ((1, 4.0), (2, 4.0), (3, 5.0), (4, 5.0))]
    assert drawn[0] != drawn[1]
    assert drawn[2] == drawn[3]


def test_trials_go_on_without_the_server(children: Children, folder: Path) -> None:
    """If it is killed, its copy ends as killed, and later trials get new processes."""
    killed = end_of(children, 1, 3.0)
    assert isinstance(killed, Failure)
    assert killed.kind == "SIGKILL"
    assert end_of(children, 2) == FinalValue(value=1.0)
    assert imports(folder) == 3


@pytest.mark.parametrize(
    "line",
    [
        "opened = open(__file__)",
        "import threading; event = threading.Event(); threading.Thread(target=event.wait, daemon=True).start()",
        "raise SystemExit",
    ],
)
def test_a_module_that_cannot_be_copied_is_refused(
    tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies would share a file that the module opens, and miss a thread that it starts."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shared.py").write_text(f"{line}\ndef train(trial):\n    return 0.0\n")
    try:
        assert _prepared("shared:train", ()) is None
    finally:
        module: Any = sys.modules.pop("shared", None)
        if hasattr(module, "event"):
            module.event.set()
        if hasattr(module, "opened"):
            module.opened.close()


@pytest.mark.parametrize("source", ["", "raise RuntimeError"])
def test_what_pytorch_imports_late_is_imported_before_copies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    """Only if the program has imported PyTorch; an import that fails is left to the trial."""
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    import_late_modules()
    assert "torch" not in sys.modules
    package = ModuleType("torch")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "torch", package)
    (tmp_path / "_dynamo.py").write_text(source)
    import_late_modules()
    assert (sys.modules.pop("torch._dynamo", None) is not None) == (source == "")
