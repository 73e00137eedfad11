"""Workers that are forks: independent of their parent's signals, streams and threads, with its data in memory."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from hpsearch.worker.fork import IS_POSSIBLE, Fork

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="workers are forks on Linux only")


@pytest.fixture
def errors() -> Iterator[IO[bytes]]:
    """Yield a file for the error output of a fork."""
    with tempfile.TemporaryFile() as file:
        yield file


@pytest.fixture
def start(errors: IO[bytes]) -> Iterator[Callable[..., Fork]]:
    """Yield a function that forks this process; each fork is killed in the end."""
    forks: list[Fork] = []

    def make(work: Callable[[], int], environment: Mapping[str, str] | None = None) -> Fork:
        forks.append(Fork(work, environment=environment or {}, errors=errors))
        return forks[-1]

    yield make
    for fork in forks:
        fork.kill()
        fork.wait()


def wait_long() -> int:
    """Return after a minute."""
    time.sleep(60)
    return 0


def written(file: IO[bytes]) -> str:
    """Return what was written to a file."""
    file.seek(0)
    return file.read().decode()


def test_a_fork_ends_with_the_exit_code_of_its_work(start: Callable[..., Fork]) -> None:
    """The pool reads why a worker ended from its exit code; signals are negative, as in `subprocess`."""
    assert start(lambda: 130).wait(20) == 130
    killed = start(wait_long)
    with pytest.raises(subprocess.TimeoutExpired):
        killed.wait(0.01)
    assert (killed.poll(), killed.returncode) == (None, None)
    killed.kill()
    assert (killed.wait(20), killed.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    killed.send_signal(signal.SIGTERM)  # too late, and no error


def test_a_fork_has_streams_and_a_session_of_its_own(start: Callable[..., Fork], errors: IO[bytes]) -> None:
    """Its output goes to its file even if another thread held the lock of a stream, and Ctrl-C does not reach it."""

    def work() -> int:
        sys.stdout.write("lost")
        sys.stderr.write(
            f"{os.getsid(0) == os.getpid()} {os.environ['OMP_NUM_THREADS']} {sys.stdin.read()!r}"
        )
        return 0

    assert start(work, {"OMP_NUM_THREADS": "1"}).wait(20) == 0
    assert written(errors) == "True 1 ''"


def test_signals_of_a_fork_do_not_reach_its_parent(start: Callable[..., Fork], errors: IO[bytes]) -> None:
    """A signal wakes no watch of the parent's, and runs none of its handlers, however early it arrives."""
    here, there = socket.socketpair()
    for end in (here, there):
        end.settimeout(0)
    before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    handler = signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"of the parent"))
    try:
        fork = start(wait_long)
        fork.send_signal(signal.SIGTERM)
        assert fork.wait(20) == -signal.SIGTERM
        with pytest.raises(BlockingIOError):
            here.recv(64)
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.set_wakeup_fd(before)
        here.close()
        there.close()
    assert written(errors) == ""
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_fork_ends_with_its_interpreter(tmp_path: Path) -> None:
    """A parent that ends without stopping its workers does not wait for them, and they do not stay."""
    program = (
        "import sys, tempfile, time; from hpsearch.worker.fork import Fork;"
        "fork = Fork(lambda: time.sleep(60) or 0, environment={}, errors=tempfile.TemporaryFile());"
        "print(fork._process.pid)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)
    assert multiprocessing.active_children() == []
