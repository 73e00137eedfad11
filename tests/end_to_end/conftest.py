"""Real processes: `hpsearch` as a user starts it, in a folder of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, final

import pytest
from playwright.sync_api import Browser

from hpsearch.storage.store import open_store
from tests.end_to_end.browser import chromium

GIVE_UP_S = 120.0
POLL_S = 0.02


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A user's folder, its default database in `storage/`, and the commands that run in it."""

    path: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """Run `hpsearch` to its end and return the result."""
        return subprocess.run(
            self._command(arguments),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=GIVE_UP_S,
            check=False,
        )

    def start(self, *arguments: str, module: str = "hpsearch") -> "subprocess.Popen[str]":
        """Start `hpsearch`, or another module with its arguments, its stderr readable, its stdout nowhere."""
        return subprocess.Popen(
            self._command(arguments, module=module),
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def json(self, *arguments: str) -> Any:
        """Return the JSON of a listing."""
        ended = self.run(*arguments, "--format", "json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def results(self, name: str) -> list[tuple[Any, ...]]:
        """Return the facts of every trial that must not depend on its worker or time."""
        with open_store(f"sqlite:///{self.path}/storage/hpsearch.db") as store:
            trials = store.trials.all(store.studies.get(name))
        return [
            (trial.number, trial.state, trial.value, trial.params, trial.verdict, trial.steps)
            for trial in trials
        ]

    def wait_for_trials(self, process: "subprocess.Popen[str]", least: int) -> None:
        """Return after the run reports on stderr that so many trials have finished. It must not have ended before."""
        assert process.stderr is not None
        for line in process.stderr:
            finished, of, *_ = *line.split(), "", ""
            if of == "of" and int(finished.replace(",", "")) >= least:
                return
        raise AssertionError("the run ended too soon")

    def _command(self, arguments: tuple[str, ...], *, module: str = "hpsearch") -> list[str]:
        return [sys.executable, "-m", module, *arguments]


@pytest.fixture(scope="session")
def make_folder(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mapping[str, str]], Folder]:
    """Return a function that makes a folder with files (name -> text), isolated from the user's own."""

    def make(files: Mapping[str, str]) -> Folder:
        path = tmp_path_factory.mktemp("folder")
        for name, text in files.items():
            (path / name).write_text(text)
        hidden = ("HPSEARCH_STORAGE", "OPTUNA_STORAGE", "HPSEARCH_MNIST")
        kept = {name: value for name, value in os.environ.items() if name not in hidden}
        python_path = os.pathsep.join(filter(None, [str(repository), os.environ.get("PYTHONPATH")]))
        return Folder(path=path, environment={**kept, "HOME": str(path), "PYTHONPATH": python_path})

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Provide Chromium, one for all tests of a module: its start takes longer than opening most pages."""
    with chromium() as started:
        yield started


def children(pid: int) -> list[int]:
    """Return the processes whose parent is `pid`, according to Linux."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue  # it has ended
        if f"\nPPid:\t{pid}\n" in text and "\nState:\tZ" not in text:
            found.append(int(status.parent.name))
    return sorted(found)


@pytest.fixture(scope="session")
def workers_of() -> Callable[["subprocess.Popen[str]"], list[int]]:
    """Return a function that lists the worker processes of a run; skip the test if the system cannot."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only /proc tells whose child a process is")
    return lambda process: children(process.pid)


@pytest.fixture(scope="session")
def wait_until_gone() -> Callable[[list[int]], None]:
    """Return a function that waits until none of some processes lives, and fails if one does not end."""

    def wait(pids: list[int]) -> None:
        deadline = time.monotonic() + GIVE_UP_S
        while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
            assert time.monotonic() < deadline, f"still running: {alive}"
            time.sleep(POLL_S)

    return wait
