"""A worker as a fork of the process that supervises it: without another start of Python, and with its data.

The imports of a worker take longer than many searches, and reading MNIST takes seconds. A fork has both at once, and
shares the memory of the data with the other workers of the host, because no process writes to it.

A fork has only the thread that forked, so only a program of ours whose other threads are known may fork: the command
line, on Linux. A worker uses nothing that these threads may hold:

* connections to a database are closed before the fork (`fork_safety`), and OpenBLAS ends its threads before it;
* signals are blocked until the handlers of the parent, and its wake-up socket, are replaced;
* standard streams are new objects, since another thread may have held the locks of the old ones.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final, NoReturn, final

IS_POSSIBLE: Final = sys.platform == "linux"
"""On macOS, libraries of the system such as Accelerate do not support it."""

_REQUESTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if IS_POSSIBLE else ()


@final
class Fork:
    """A fork of this process in a session of its own that runs `work`, which returns its exit code, and then ends.

    Its methods are those of `subprocess.Popen`. `environment` is added to that of this process, and `errors` is the
    file of its error output.
    """

    def __init__(self, work: Callable[[], int], *, environment: Mapping[str, str], errors: IO[bytes]) -> None:
        self._process = multiprocessing.get_context("fork").Process(
            target=_run, args=(work, environment, errors.fileno()), daemon=True
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
        try:
            with warnings.catch_warnings():
                # Python warns of forks with threads: see the module's docstring.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the number of the signal that ended the process, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process, and return its exit code. Raises TimeoutExpired."""
        self._process.join(timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        self._process.kill()


def _run(work: Callable[[], int], environment: Mapping[str, str], errors: int) -> NoReturn:
    """Make this new process independent of its parent, and run `work` in it."""
    os.setsid()  # Ctrl-C reaches only the parent, which passes it on
    signal.set_wakeup_fd(-1)
    for number in _REQUESTS:
        if callable(signal.getsignal(number)):  # not ignored, as SIGHUP is under `nohup`
            is_interrupt = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)
    with Path(os.devnull).open("r+b") as null:
        for stream in (0, 1):
            os.dup2(null.fileno(), stream)
    os.dup2(errors, 2)
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), _writer(1), _writer(2)  # noqa: SIM115
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
    sys.exit(work())


def _writer(stream: int) -> IO[str]:
    return open(  # as long as the process
        stream, "w", encoding="utf-8", errors="backslashreplace", closefd=False
    )
