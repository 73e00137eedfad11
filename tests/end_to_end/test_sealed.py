"""`study test` is killed between opening and result: the opening stays, and the same command finishes it alone."""

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

STUDY = """
name = "sealed"
trials = 8
seed = 5
data = { source = "digits", test_fraction = 0.2 }

[training]
epochs = 25

[model]
hidden = [128, 128]

[search]
learning_rate = { low = 1e-2, high = 0.3, log = true }

[pruning]
rank = "none"
"""


def test_a_killed_test_is_finished_for_its_configuration(
    make_folder: Callable[[Mapping[str, str]], "Folder"], tmp_path: Path
) -> None:
    """What was opened stays opened for its trial, nothing else is tested, and the result is that without the kill."""
    folder = make_folder({"sealed.toml": STUDY})
    assert folder.run("study", "run", "sealed.toml", "--workers", "1").returncode == 0
    shutil.copytree(folder.path / "storage", tmp_path / "unharmed")
    process = folder.start("study", "test", "sealed", "--yes")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("Training trial ")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    best = folder.json("study", "best", "sealed")
    shown = folder.json("study", "show", "sealed")
    assert shown["test"]["number"] == best[0]["number"]
    assert "it was stopped before the result" in folder.run("study", "show", "sealed").stdout
    other = folder.run("study", "test", "sealed", "--trial", str(best[1]["number"]), "--yes")
    assert other.returncode == 1
    finished = folder.json("study", "test", "sealed")
    assert finished["test"] == shown["test"]
    url = f"sqlite:///{tmp_path}/unharmed/hpsearch.db"
    unharmed = folder.json("study", "test", "sealed", "--yes", "--storage", url)
    assert unharmed["seeds"] == finished["seeds"]
    assert len(finished["seeds"]) == 5


def test_an_opening_while_somebody_is_asked_counts(
    make_folder: Callable[[Mapping[str, str]], "Folder"],
) -> None:
    """A confirmation after another trial was opened reports that trial, and trains nothing."""
    folder = make_folder({"sealed.toml": STUDY.replace("epochs = 25", "epochs = 1")})
    assert folder.run("study", "run", "sealed.toml", "--workers", "1").returncode == 0
    terminal, keyboard = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hpsearch", "study", "test", "sealed", "--trial", "1"],
        cwd=folder.path,
        env=folder.environment,
        stdin=keyboard,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as asked:
        assert asked.stderr is not None
        seen = b""
        while b"It opens once" not in seen:
            letter = asked.stderr.read(1)
            assert letter, seen
            seen += letter
        assert folder.run("study", "test", "sealed", "--trial", "2", "--yes").returncode == 0
        os.write(terminal, b"y\n")
        words = asked.stderr.read().decode()
    os.close(terminal)
    os.close(keyboard)
    assert asked.returncode == 1, words
    assert "--trial: must be 2, for which the sealed test part was opened" in words
    assert folder.json("study", "show", "sealed")["test"]["number"] == 2
