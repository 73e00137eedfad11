"""Every command of the README runs, in the order of the page, with fewer trials and epochs."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from hpsearch.worker.shutdown import INTERRUPTED
from tests.end_to_end.conftest import GIVE_UP_S
from tests.end_to_end.serving import Server

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

SUITE: Final = "bash tests/run"
"""The command that runs this test."""

INSTALLATIONS: Final = ("python3 -m venv .venv && ", ".venv/bin/pip install . && ")
DASHBOARD_INSTALLATION: Final = ".venv/bin/pip install '.[dashboard]' && "
"""Packages are not installed again: tests/run installs the project, and another test checks the extras."""

VALUES: Final[Mapping[str, str]] = {
    "FILE": "studies/digits.toml",
    "STUDY NUMBER": "digits 0",
    "NAME": "digits",
    "HPSEARCH_TOKEN=...": "HPSEARCH_TOKEN=a-token-of-the-test",
    "--install-completion": "--help",  # it would change the shell of the user who runs the tests
}
"""Parts of commands in the text -> what the test has in their place."""

HPSEARCH: Final = f'#!/bin/sh\nexec "{sys.executable}" -m hpsearch "$@"\n'


@pytest.fixture
def readme(repository: Path) -> str:
    """Return the text of the README."""
    return (repository / "README.md").read_text()


@pytest.fixture
def folder(make_folder: Callable[[Mapping[str, str]], "Folder"], repository: Path, readme: str) -> "Folder":
    """Return a clone as the README's reader has it, with fewer trials, the page's own study, and a table for it."""
    (flowers,) = (block for block in blocks(readme, "toml") if 'name = "flowers"' in block)
    made = make_folder({"flowers.toml": flowers, "flowers.csv": table()})
    shutil.copytree(repository / "studies", made.path / "studies")
    digits = made.path / "studies/digits.toml"
    text = digits.read_text().replace("trials = 200", "trials = 24").replace("epochs = 20", "epochs = 5")
    # Which trials are outranked depends on the workers' speed, and narrowing needs ten complete ones.
    digits.write_text(text + '\n[pruning]\nrank = "none"\n')
    program = made.path / ".venv/bin/hpsearch"
    program.parent.mkdir(parents=True)
    program.write_text(HPSEARCH)
    program.chmod(0o755)
    return made


def table() -> str:
    """Return a table with three columns of numbers and one of species."""
    numbers = random.Random(1)
    rows = [
        (numbers.random(), numbers.random(), kind + numbers.random()) for kind in (0, 1) for _ in range(40)
    ]
    lines = [f"{x:.3f},{y:.3f},{z:.3f},{'ab'[int(z)]}" for x, y, z in rows]
    return "\n".join(["width,height,depth,species", *lines, ""])


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def bash(folder: "Folder", script: str) -> "subprocess.Popen[str]":
    """Start a script in the folder, where `hpsearch` is the one of its environment; the first error ends it."""
    path = f"{folder.path / '.venv/bin'}{os.pathsep}{folder.environment['PATH']}"
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder.path,
        env={**folder.environment, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def runnable(script: str, folder: "Folder") -> str:
    """Return a script of the README without installations, on databases of the test, and with an end."""
    for installation in (*INSTALLATIONS, DASHBOARD_INSTALLATION):
        script = script.replace(installation, "")
    script = re.sub(r"postgresql://\S+", f"sqlite:///{folder.path}/shared.db", script)
    script = script.replace("sqlite:////tmp/", f"sqlite:///{folder.path}/tmp/")
    script = re.sub(r"worker start$", "worker start --exit-when-idle", script, flags=re.MULTILINE)
    return re.sub(r"(\S*hpsearch) dashboard", r"exec \1 dashboard --port 0", script)


def succeeds(folder: "Folder", script: str) -> None:
    """Run a script of the README to its end; a dashboard is ended by Ctrl-C as soon as it serves."""
    process = bash(folder, runnable(script, folder))
    if "hpsearch dashboard" in script:
        server = Server(process)
        assert server.address.startswith("http://"), script
        assert server.end(signal.SIGINT)[0] == INTERRUPTED, script
        return
    out, err = process.communicate(timeout=GIVE_UP_S)
    assert process.returncode == 0, f"{script}\n{out}\n{err}"


def scripts_of(readme: str) -> list[str]:
    """Return the blocks of commands, except the one that runs the tests."""
    return [block for block in blocks(readme, "sh") if block.strip() != SUITE]


def test_the_blocks_of_commands_run(folder: "Folder", readme: str) -> None:
    """Each block of commands runs, in the order of the page."""
    scripts = scripts_of(readme)
    assert len(scripts) > 6
    for script in scripts:
        succeeds(folder, script)


def test_the_commands_in_the_text_run(folder: "Folder", readme: str) -> None:
    """Each command of the table and of the text runs, unless a block has the same command with the same options."""
    (folder.path / "SCRIPT.py").write_text("import optuna\n")
    text = re.sub(r"^```.*?^```$", "", readme, flags=re.MULTILINE | re.DOTALL)
    commands = dict.fromkeys(re.findall(r"`((?:\w+=\S+ )?hpsearch [^`]+)`", text))
    run_before = "\n".join(scripts_of(readme))
    rest = [command for command in commands if re.sub(r" [A-Z ]+$", "", command) not in run_before]
    assert len(rest) > 6
    succeeds(folder, "hpsearch study run studies/digits.toml --trials 4")
    for command in rest:
        for part, value in VALUES.items():
            command = command.replace(part, value)  # noqa: PLW2901 # it becomes the command to run
        succeeds(folder, command)


def test_what_the_readme_installs_exists(readme: str, repository: Path) -> None:
    """Each extra that the README installs with pip is one of pyproject.toml."""
    project = (repository / "pyproject.toml").read_text()
    extras = re.findall(r"pip install '\.\[(\w+)\]'", readme)
    assert {"dashboard", "postgres", "mysql"} <= set(extras)
    assert [extra for extra in extras if f"\n{extra} = [" not in project] == []


def test_the_readmes_storage_for_optuna_opens(folder: "Folder", readme: str) -> None:
    """The example of `open_storage` runs as it stands."""
    (example,) = (block for block in blocks(readme, "python") if "open_storage" in block)
    (folder.path / "storage").mkdir()
    subprocess.run(
        [sys.executable, "-c", example],
        cwd=folder.path,
        env=folder.environment,
        check=True,
        timeout=GIVE_UP_S,
    )
