"""Events and notifications of a study with several workers, one of which is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import hpsearch

TRIALS = 40


class _Handler(BaseHTTPRequestHandler):
    titles: list[str] = []  # noqa: RUF012 # cleared by the fixture

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.titles.append(body["title"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    """Provide the URL of a server that keeps the titles of its notifications."""
    _Handler.titles.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"json://user:s3cret@127.0.0.1:{running.server_port}"
        running.shutdown()


def start(storage: str, events: Path) -> subprocess.Popen[bytes]:
    """Start a worker of the study that writes its events to a file."""
    command = [sys.executable, "-m", "hpsearch", "worker", "start", "--study", "noted", "--exit-when-idle"]
    command += ["--cohort", "2", "--storage", storage, "--events", str(events)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the events in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_killed_worker_neither_loses_nor_repeats_anything(receiver: str, tmp_path: Path) -> None:
    """Each notification arrives once, and the survivor's events have every later trial once; no line has a secret."""
    storage = f"sqlite:///{tmp_path}/a.db"
    study = hpsearch.create_study(
        name="noted", data="iris", training={"epochs": 150}, trials=TRIALS, notify=[receiver], storage=storage
    )
    assert study.to_dict()["notify"] == ["json://****"]
    files = [tmp_path / f"{name}.jsonl" for name in ("ann", "bob")]
    killed, survivor = (start(storage, file) for file in files)
    try:
        deadline = time.monotonic() + 120
        while len(lines(files[0])) < 4 and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(killed.pid, signal.SIGKILL)
        assert survivor.wait(150) == 0
    finally:
        for process in (killed, survivor):
            process.kill()
            process.wait()
    titles = Counter(_Handler.titles)
    assert set(titles.values()) == {1}
    assert 'Study "noted" finished' in titles
    best = study.best_trial.number
    assert f'Study "noted": trial {best} is the best' in titles
    events = lines(files[1])
    ended = Counter(one["trial"] for one in events if one["event"] in ("trial_finished", "trial_failed"))
    assert set(ended.values()) == {1}
    assert Counter(one["event"] for one in events)["study_finished"] == 1
    assert events[-1]["finished"] == TRIALS
    assert "s3cret" not in "".join(
        map(str, (files[0].read_text(), files[1].read_text(), study.report().read_text()))
    )
