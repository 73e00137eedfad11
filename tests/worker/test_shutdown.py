"""Requests to stop, by signal and by the end of the parent; and the end of a process that does not end by itself."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpsearch.worker.shutdown import INTERRUPTED, DrainWatch, StopNowError, StopRequest


@pytest.fixture
def _handlers() -> object:
    """Restore the process's own signal handlers after the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("_handlers")
def test_one_signal_drains_and_two_stop(number: signal.Signals) -> None:
    """The first SIGINT or SIGTERM asks to drain; the second ends the worker immediately."""
    stop = StopRequest()
    stop.listen()
    before = stop.is_requested
    os.kill(os.getpid(), number)
    assert (before, stop.is_requested, stop.signal) == (False, True, number)
    with pytest.raises(StopNowError):
        os.kill(os.getpid(), number)


@pytest.mark.usefixtures("_handlers")
def test_a_third_signal_interrupts_no_hand_back() -> None:
    """After the second one, and in sections that must not be interrupted, signals are only requests."""
    stop = StopRequest()
    stop.listen()
    with stop.shield():
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
    handed_back = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            handed_back.append("all")

    with pytest.raises(StopNowError):
        work()
    assert handed_back == ["all"]


def test_a_worker_whose_parent_is_gone_drains() -> None:
    """The end of the parent process is a request to stop; a running parent is not."""
    assert not StopRequest(parent=os.getppid()).is_requested
    assert StopRequest(parent=os.getpid()).is_requested


def test_waiting_ends_with_a_request() -> None:
    """A request ends a wait early, and the wait returns True."""
    stop = StopRequest()
    assert not stop.wait(0.001)
    stop.request()
    assert stop.wait(60)


STUCK = """
import signal, sys, threading
from hpsearch.errors import StorageUnavailableError
from hpsearch.worker.shutdown import DrainWatch, StopRequest

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

FOREVER = "threading.Event().wait()"
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
BY_HANGUP = "signal.raise_signal(signal.SIGHUP); signal.raise_signal(signal.SIGHUP)"
BY_CALL = "stop.request()"


def run(*, ask: str, work: str, hand_back: str = "", within_s: float = 0.1) -> tuple[int, str]:
    """Return the exit code and output of a process that is asked to stop while it works."""
    code = STUCK.format(ask=ask, work=work, hand_back=hand_back, within_s=within_s)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout


@pytest.mark.parametrize(("ask", "code"), [(BY_SIGNAL, INTERRUPTED), (BY_HANGUP, INTERRUPTED), (BY_CALL, 0)])
def test_a_process_that_is_stuck_is_ended(ask: str, code: int) -> None:
    """The worker's trials are handed back, and the exit code is that of a drained worker."""
    assert run(ask=ask, work=FOREVER) == (code, "handed back\n")


def test_a_database_that_does_not_answer_does_not_delay_the_end() -> None:
    """If handing back takes too long or fails, the process still ends, and the leases expire."""
    for hand_back in (FOREVER, 'raise StorageUnavailableError("the server does not answer")'):
        assert run(ask=BY_SIGNAL, work=FOREVER, hand_back=hand_back) == (INTERRUPTED, "handed back\n")


def test_a_program_of_others_is_not_ended() -> None:
    """In a program that is not ours, the trials are handed back in time, and the program goes on."""
    stop, handed_back = StopRequest(), threading.Event()
    with DrainWatch(stop, hand_back=handed_back.set, within_s=0.1, ends_process=False):
        stop.request()
        assert handed_back.wait(30)
    assert stop.is_requested


@pytest.mark.parametrize(("ask", "within_s"), [(BY_SIGNAL, 60.0), ("pass", 0.0)])
def test_a_process_that_ends_in_time_is_not_ended(ask: str, within_s: float) -> None:
    """A worker that drains in time, or was never asked to, ends by itself."""
    assert run(ask=ask, work="pass", within_s=within_s) == (0, "ended by itself ['MainThread']\n")


def test_a_signal_counts_while_no_handler_can_run(tmp_path: Path) -> None:
    """A main thread that is blocked in a driver does not keep the process from ending in time."""
    code = STUCK.format(ask="pass", work=IN_A_DRIVER.strip(), hand_back="", within_s=0.1)
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "handed back\n", "")
    assert time.monotonic() - began < 30
