"""`hpsearch worker`: the studies that a worker trains, its end, listings, and remote stops."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import hpsearch
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store

Command = Callable[..., CompletedProcess[str]]


def show(command: Command, name: str) -> Any:
    """Return the progress of a study."""
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
    """A worker without a study's data reports that and continues with the next study."""
    rows = "\n".join(f"{i},{i % 2}" for i in range(40))
    Path("data.csv").write_text(f"a,b\n{rows}\n")
    Path("away.toml").write_text('name = "away"\ntraining.batch_size = 10\ndata = { source = "data.csv" }\n')
    assert command("study", "create", "away.toml").returncode == 0
    assert command("study", "create", str(study_file), "--trials", "6").returncode == 0
    Path("data.csv").unlink()
    ended = command("worker", "start", "--exit-when-idle", "--name", "ann")
    assert ended.returncode == 0
    assert 'worker ann: skips the study "away": data.source: the file must exist' in ended.stderr
    assert (show(command, "away")["finished"], show(command, "flowers")["finished"]) == (0, 6)
    ended = command("worker", "start", "--exit-when-idle", "--study", "away")
    assert ended.returncode == 1
    assert "Error: data.source: the file must exist" in ended.stderr


def test_a_worker_says_that_it_made_its_database(command: Command, tmp_path: Path) -> None:
    """A worker may start before the first study exists; it reports a mistyped URL once."""
    url = f"sqlite:///{tmp_path / 'mistyped.db'}"
    arguments = ("worker", "start", "--exit-when-idle", "--name", "ann", "--storage", url)
    made = f"worker ann: {url} was created just now and is empty: create a study there, or check the URL"
    first, second = command(*arguments), command(*arguments)
    assert (first.returncode, first.stderr.splitlines()[0]) == (0, made)
    assert first.stderr.splitlines()[1:] == second.stderr.splitlines()
    empty = command("study", "list", "--storage", url)
    assert empty.stderr == "There are no studies yet: `hpsearch study create FILE` makes one\n"
    assert empty.stdout.split()[:3] == ["study", "state", "finished"]


def test_a_worker_of_a_study_that_is_not_there_ends(command: Command, finished: str) -> None:
    """An unknown study name is an error, and a finished study has no work."""
    assert command("worker", "start", "--study", "flower", "--exit-when-idle").returncode == 1
    ended = command("worker", "start", "--study", finished, "--exit-when-idle", "--name", "ann")
    assert ended.returncode == 0
    assert "ended here" not in ended.stderr


def test_a_started_worker_is_quiet(command: Command, study_file: Path) -> None:
    """A worker of `study run` writes only errors, since its parent shows the progress."""
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


def started(store_url: str, name: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a worker that logs its work to stderr."""
    command = [sys.executable, "-m", "hpsearch", "worker", "start", "--name", name, "--storage", store_url]
    return subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)


def test_workers_are_listed_with_what_they_do(command: Command, finished: str, tmp_path: Path) -> None:
    """A worker is listed while it runs, for people and for programs, and is gone after a remote stop."""
    url = f"sqlite:///{tmp_path / 'default.db'}"
    empty = command("worker", "list", "--format", "json")
    assert (empty.stdout, empty.stderr) == (
        "[]\n",
        "No workers are running: `hpsearch worker start` starts one\n",
    )
    with started(url, "ann") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("worker ann: started on sqlite:///")
        (worker,) = json.loads(command("worker", "list", "--format", "json").stdout)
        assert (worker.pop("started") <= worker["seen"], worker.pop("seen")[-6:]) == (True, "+00:00")
        assert worker == {
            "id": "ann",
            "state": "idle",
            "host": socket.gethostname(),
            "process": process.pid,
            "version": hpsearch.__version__,
            "trains": [],
            **dict.fromkeys(("engine", "node", "job", "log", "problem")),
        }
        head, row = command("worker", "list").stdout.splitlines()
        assert head.split() == [
            "worker",
            "state",
            "host",
            "process",
            "version",
            "started",
            "last",
            "seen",
            "trains",
        ]
        assert row.split()[:5] == [
            "ann",
            "idle",
            socket.gethostname(),
            str(process.pid),
            hpsearch.__version__,
        ]
        assert command("worker", "list", "--format", "csv").stdout.splitlines()[0] == (
            "id,state,host,process,version,started,seen,trains,engine,node,job,log,problem"
        )
        ended = command("worker", "stop", "ann", "--wait")
        assert (ended.returncode, ended.stdout, ended.stderr) == (
            0,
            'Worker "ann": was asked to stop\nWorker "ann": has ended\n',
            "",
        )
        assert process.wait(30) == 0
        assert process.stderr.read() == "worker ann: stopped\n"
    assert (
        command("worker", "list", "--format", "csv").stdout
        == "id,state,host,process,version,started,seen,trains,engine,node,job,log,problem\n"
    )


def test_workers_are_listed_with_what_they_train(command: Command, study_file: Path, tmp_path: Path) -> None:
    """Each study that a worker trains is named with the number of trials, and a lost or stopping worker is marked."""
    assert command("study", "create", str(study_file)).returncode == 0
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        study = store.studies.get("flowers")
        for name in ("ann", "bob", "eve"):
            store.workers.register(WorkerIdentity(name=name, host="node7", process_id=47, version="0.1.0"))
            store.queue.claim(study, worker=name, count=2, lease_s=600.0)
    assert command("worker", "stop", "eve").stdout == 'Worker "eve": was asked to stop\n'
    with closing(sqlite3.connect(tmp_path / "default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_workers SET seen = seen - 60 WHERE worker = 'bob'")
    workers = json.loads(command("worker", "list", "--format", "json").stdout)
    assert [(worker["id"], worker["state"]) for worker in workers] == [
        ("ann", "working"),
        ("bob", "lost"),
        ("eve", "stopping"),
    ]
    assert {json.dumps(worker["trains"]) for worker in workers} == {'[{"study": "flowers", "trials": 2}]'}
    rows = command("worker", "list").stdout.splitlines()[1:]
    assert [row.rsplit("UTC", 1)[1].strip() for row in rows] == ["flowers (2)"] * 3


def test_a_lost_worker_is_not_waited_for(command: Command, finished: str, tmp_path: Path) -> None:
    """Stopping a worker that has not been seen for a while is an error that states the future of its trials."""
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        store.workers.register(WorkerIdentity(name="bob", host="node7", process_id=47, version="0.1.0"))
    with closing(sqlite3.connect(tmp_path / "default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_workers SET seen = 1700000000")
    for arguments in ((), ("--wait",)):
        ended = command("worker", "stop", "bob", *arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            'Error: worker "bob": must be alive (last seen 2023-11-14 22:13 UTC): it is lost, and its '
            "trials are set waiting automatically; if it comes back, it stops\n"
        )
