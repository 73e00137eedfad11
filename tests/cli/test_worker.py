"""`hpsearch worker start`: which studies a worker takes up, and how it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

Command = Callable[..., CompletedProcess[str]]


def show(command: Command, name: str) -> Any:
    """Return where a study stands."""
    return json.loads(command("study", "show", name, "--format", "json").stdout)


def test_a_worker_goes_from_study_to_study(command: Command, study_file: Path) -> None:
    """Without `--study` a worker runs every open study, the oldest first, each to its exact budget."""
    for name in ("second", "first"):
        assert command("study", "create", str(study_file), "--name", name, "--trials", "6").returncode == 0
    ended = command("worker", "start", "--exit-when-idle", "--name", "ann")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert [line for line in ended.stderr.splitlines() if "ended here" in line] == [
        'worker ann: study "second": 6 trials ended here',
        'worker ann: study "first": 6 trials ended here',
    ]
    assert [show(command, name)["finished"] for name in ("second", "first")] == [6, 6]
    assert ended.stderr.endswith("worker ann: nothing is left to do\n")


def test_a_study_whose_data_is_missing_is_left_to_others(command: Command, study_file: Path) -> None:
    """A worker that lacks a study's data says so and goes on with the next study."""
    rows = "\n".join(f"{i},{i % 2}" for i in range(40))
    Path("data.csv").write_text(f"a,b\n{rows}\n")
    Path("away.toml").write_text('name = "away"\ntraining.batch_size = 10\ndata = { source = "data.csv" }\n')
    assert command("study", "create", "away.toml").returncode == 0
    assert command("study", "create", str(study_file), "--trials", "6").returncode == 0
    Path("data.csv").unlink()
    ended = command("worker", "start", "--exit-when-idle", "--name", "ann")
    assert ended.returncode == 0
    assert 'worker ann: leaves the study "away" to others: data.source: the file must exist' in ended.stderr
    assert (show(command, "away")["finished"], show(command, "flowers")["finished"]) == (0, 6)
    ended = command("worker", "start", "--exit-when-idle", "--study", "away")
    assert ended.returncode == 1
    assert "Error: data.source: the file must exist" in ended.stderr


def test_a_worker_of_a_study_that_is_not_there_ends(command: Command, finished: str) -> None:
    """A name that means no study is an error, and a finished study is no work."""
    assert command("worker", "start", "--study", "flower", "--exit-when-idle").returncode == 1
    ended = command("worker", "start", "--study", finished, "--exit-when-idle", "--name", "ann")
    assert ended.returncode == 0
    assert "ended here" not in ended.stderr


def test_a_started_worker_is_quiet(command: Command, study_file: Path) -> None:
    """A worker of `study run` writes nothing but errors, since its parent shows what goes on."""
    assert command("study", "create", str(study_file), "--trials", "6").returncode == 0
    worker = [sys.executable, "-m", "hpsearch", "worker", "start", "--exit-when-idle", "--study", "flowers"]
    started = [*worker, "--name", "ann", "--parent", str(os.getpid()), "--cohort", "2"]
    ended = subprocess.run(started, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert show(command, "flowers")["finished"] == 6


def test_a_waiting_worker_ends_on_request(command: Command, finished: str) -> None:
    """A worker without work waits for some; Ctrl-C ends it with 130, and it prints no password."""
    worker = [sys.executable, "-m", "hpsearch", "worker", "start", "--name", "ann"]
    with subprocess.Popen(worker, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("worker ann: started on sqlite:///")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == "worker ann: stopped\n"
