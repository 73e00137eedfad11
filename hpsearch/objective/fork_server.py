"""A process that has imported a training function, and forks for each trial, so that no trial imports it again.

An import of PyTorch takes seconds. A fork shares nothing with other forks that a trial could change: a crash, a leak or
a hang of one harms no other. Trials of a function whose process cannot fork safely run in new processes: one whose
import starts threads, opens files or connections, initializes CUDA, or fails.
"""

import contextlib
import multiprocessing
import os
import random
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from hpsearch.objective.child import end_with_parent, import_late_modules, load_function, run_trial
from hpsearch.objective.trial import Objective

POLL_S: Final = 0.05
"""Seconds between two looks for ends of trials."""

START_S: Final = 5.0
"""The longest wait for a fork, which takes milliseconds; after it, a new process starts in its place."""

_NUMBER: Final = struct.Struct("<q")
_REQUEST: Final = b"1"
_FIT, _UNFIT = b"1", b"0"


@final
class ForkServer:
    """The worker's side: it starts the process, and requests forks once it is ready."""

    def __init__(self, function: str, python_path: Sequence[str]) -> None:
        """Start to import `function` in the background."""
        self._socket, theirs = socket.socketpair()
        self._answer = b""
        self._process = multiprocessing.get_context("spawn").Process(
            target=serve,
            args=(theirs, function, tuple(python_path), os.getpid()),
            name="fork server of trials",
        )
        self._process.start()
        theirs.close()
        self._socket.settimeout(0.0)

    @property
    def is_ready(self) -> bool:
        """True if the function is imported and its process can fork."""
        if not self._answer:
            with contextlib.suppress(BlockingIOError, OSError):
                self._answer = self._socket.recv(1) or _UNFIT
        return self._answer == _FIT and self._process.is_alive()

    def fork(self, connection: Connection, output: Connection) -> "ForkedProcess":
        """Return a fork, which trains the trial whose order comes through `connection`.

        Raises OSError if there is none.
        """
        ours, theirs = os.pipe()
        try:
            descriptors = [connection.fileno(), output.fileno(), theirs]
            socket.send_fds(self._socket, [_REQUEST], descriptors)
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return ForkedProcess(ours)

    def close(self) -> None:
        """End the process, and with it all forks."""
        self._socket.close()
        self._process.kill()
        self._process.join()


@final
class ForkedProcess:
    """A fork of the server, with the interface of a process. The server sends its id, and its exit code at its end."""

    def __init__(self, descriptor: int) -> None:
        self._numbers = Connection(descriptor, writable=False)
        if not self._numbers.poll(START_S):
            self._numbers.close()
            raise OSError("the server makes no fork")
        try:
            self.pid = self._number()
        except EOFError as error:
            self._numbers.close()
            raise OSError("the server has ended") from error
        self._exit_code: int | None = None

    @property
    def sentinel(self) -> int:
        """The descriptor that becomes ready at the end of the process."""
        return self._numbers.fileno()

    @property
    def exitcode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        if self._exit_code is None and self._numbers.poll():
            try:
                self._exit_code = self._number()
            except EOFError:  # the server ended, and the system ends its forks
                self._exit_code = -9
        return self._exit_code

    def is_alive(self) -> bool:
        """Return True while the process runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until the process ends, `timeout` seconds at most."""
        if self._exit_code is None:
            wait([self._numbers], timeout)

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)

    def _number(self) -> int:
        (number,) = _NUMBER.unpack(self._numbers.recv_bytes())
        return int(number)


def serve(requests: socket.socket, function: str, python_path: Sequence[str], parent: int) -> None:
    """Import the function, and fork for each request until the worker ends: the target of a process."""
    os.setsid()
    end_with_parent(parent)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    prepared = _prepared(function, python_path)
    with contextlib.suppress(BrokenPipeError):
        requests.send(_UNFIT if prepared is None else _FIT)
    if prepared is not None:
        _fork_on_request(requests, *prepared)


def _fork_on_request(requests: socket.socket, train: Objective, seed_anew: Callable[[], None]) -> None:
    """Fork for each request, and send the exit codes of the forks."""
    forks: dict[BaseProcess, Connection] = {}
    while True:
        ready = wait([requests, *(one.sentinel for one in forks)], POLL_S if forks else None)
        for process in [one for one in forks if not one.is_alive()]:
            with contextlib.suppress(OSError):
                forks[process].send_bytes(_NUMBER.pack(process.exitcode or 0))
            forks.pop(process).close()
            process.close()
        if requests not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(requests, len(_REQUEST), 3)
        if not message:
            return
        for one in descriptors:
            os.set_inheritable(one, False)  # noqa: FBT003 # it has no other form
        connection, output, numbers = (Connection(one) for one in descriptors)
        not_theirs = [requests, numbers, *forks.values()]
        process = multiprocessing.get_context("fork").Process(
            target=_train,
            args=(connection, output, train),
            kwargs={"seed_anew": seed_anew, "not_ours": not_theirs},
        )
        process.start()
        numbers.send_bytes(_NUMBER.pack(process.pid or 0))
        connection.close()
        output.close()
        forks[process] = numbers


def _train(
    connection: Connection,
    output: Connection,
    train: Objective,
    *,
    seed_anew: Callable[[], None],
    not_ours: Sequence[socket.socket | Connection],
) -> None:
    """Train one trial in a fork, without the connections of the server and of other forks."""
    for one in not_ours:
        one.close()
    seed_anew()
    run_trial(connection, output, connection.recv(), os.getppid(), train)


def _prepared(function: str, python_path: Sequence[str]) -> tuple[Objective, Callable[[], None]] | None:
    """Return the function, and a function that seeds a fork's random numbers; None if the process cannot fork."""
    with contextlib.suppress(ImportError):
        import_module("scipy.linalg")  # its BLAS has threads of its own, which survive forks as NumPy's do
    threads, files = _threads(), _open_files()
    unused, numpy_unused = random.getstate(), _numpy_state()
    try:
        train = load_function(function, python_path)
    except BaseException:  # noqa: BLE001 # a new process reports it as the trial's failure
        return None
    import_late_modules()
    if _threads() > threads or _open_files() - files or threading.active_count() > 1 or _uses_cuda():
        return None
    state = random.getstate()

    def seed_anew() -> None:
        """Keep random numbers that the import has seeded or used; give others fresh seeds, as new processes have."""
        if state != unused:  # Python itself seeds forks anew
            random.setstate(state)
        if _numpy_state() == numpy_unused:
            np.random.seed()  # noqa: NPY002 # users draw from this stream

    return train, seed_anew


def _numpy_state() -> str:
    return repr(np.random.get_state())  # noqa: NPY002 # users draw from this stream


def _threads() -> int:
    """Return the number of this process's threads, those of libraries included."""
    return len(list(Path("/proc/self/task").iterdir()))


def _open_files() -> frozenset[Path]:
    """Return this process's open files and connections. The listing itself is always the last one."""
    return frozenset(Path("/proc/self/fd").iterdir())


def _uses_cuda() -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
