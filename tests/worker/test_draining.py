"""The last resort: a process that does not end by itself after a request to stop is ended."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpsearch.worker.shutdown import INTERRUPTED

STUCK = """
import signal, sys, threading
from hpsearch.errors import StorageUnavailableError
from hpsearch.worker.draining import DrainWatch
from hpsearch.worker.shutdown import StopRequest

def hand_back():
    print("handed back", flush=True)
    {hand_back}

stop = StopRequest()
stop.listen()
with DrainWatch(stop, hand_back=hand_back, within_s={within_s}):
    {ask}
    {work}
print("ended by itself", [thread.name for thread in threading.enumerate()])
"""

FOR_EVER = "threading.Event().wait()"
IN_A_DRIVER = """
    import os, sqlite3
    path = sys.argv[1] + "/x.db"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
    sqlite3.connect(path, timeout=60).execute("CREATE TABLE t (i)")
"""
"""SQLite waits for a lock for a minute, and lets no signal handler run meanwhile."""

BY_SIGNAL = "signal.raise_signal(signal.SIGTERM)"
BY_HANGING_UP = "signal.raise_signal(signal.SIGHUP); signal.raise_signal(signal.SIGHUP)"
FROM_AFAR = "stop.ask()"


def run(*, ask: str, work: str, hand_back: str = "", within_s: float = 0.1) -> tuple[int, str]:
    """Return how a process ends that is asked to stop while it works, and what it wrote."""
    code = STUCK.format(ask=ask, work=work, hand_back=hand_back, within_s=within_s)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


@pytest.mark.parametrize(
    ("ask", "code"), [(BY_SIGNAL, INTERRUPTED), (BY_HANGING_UP, INTERRUPTED), (FROM_AFAR, 0)]
)
def test_a_process_that_is_stuck_is_ended(ask: str, code: int) -> None:
    """What the worker holds is handed back, and the exit code is that of a worker that drained."""
    assert run(ask=ask, work=FOR_EVER) == (code, "handed back\n")


def test_a_database_that_does_not_answer_holds_nobody_up() -> None:
    """Where handing back takes too long or fails, the process ends all the same, and the leases run out."""
    for hand_back in (FOR_EVER, 'raise StorageUnavailableError("the server does not answer")'):
        assert run(ask=BY_SIGNAL, work=FOR_EVER, hand_back=hand_back) == (INTERRUPTED, "handed back\n")


@pytest.mark.parametrize(("ask", "within_s"), [(BY_SIGNAL, 60.0), ("pass", 0.0)])
def test_a_process_that_ends_in_time_is_left_alone(ask: str, within_s: float) -> None:
    """Who drains in time, or was never asked to, ends by itself, and nothing watches any more."""
    assert run(ask=ask, work="pass", within_s=within_s) == (0, "ended by itself ['MainThread']\n")


def test_a_signal_counts_while_no_handler_can_run(tmp_path: Path) -> None:
    """A main thread that a driver keeps in its own code does not keep the process from ending in time."""
    code = STUCK.format(ask="pass", work=IN_A_DRIVER.strip(), hand_back="", within_s=0.1)
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "handed back\n", "")
    assert time.monotonic() - began < 30
