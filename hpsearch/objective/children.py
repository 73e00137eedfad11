"""Trials of a training function, each in a child process of its own, with limits."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, final

import numpy as np

from hpsearch.objective.child import import_late_modules, run_trial
from hpsearch.objective.failures import of_exit, output_end
from hpsearch.objective.fork_server import ForkedProcess, ForkServer
from hpsearch.objective.messages import (
    END,
    Acknowledgement,
    ChosenValue,
    End,
    EndRequest,
    EpochReport,
    FromChild,
    Order,
    ToChild,
)
from hpsearch.objective.trial import Objective
from hpsearch.study.spec import Limits, ObjectiveSpec
from hpsearch.trials import Failure, ParameterValue
from hpsearch.verdicts import Cause

GRACE_S: Final = 5.0
"""Seconds between the request that a trial should end and its kill: a step of a large model, and a checkpoint."""

POLL_S: Final = 0.05
"""Seconds between two looks at limits. A process takes up to about 5 GB in a second, so 250 MB in this time."""

_OUTPUT_BYTES: Final = 2**16
"""Bytes of output that are kept of each trial."""

_CAN_FORK: Final = Path("/proc/self/task").is_dir()
"""True on Linux: only there can a process check that its forks are safe."""

_SPAWN: Final = multiprocessing.get_context("spawn")

_SEED_STREAM: Final = int.from_bytes(b"objv")
"""Second word of the seeds of trials; the first is the study's seed, the third the trial's number."""


def trial_seed(seed: int, number: int) -> int:
    """Return the seed (0..2^32 - 1) of trial `number` of a study."""
    return int(np.random.SeedSequence([seed, _SEED_STREAM, number]).generate_state(1)[0])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChildObservation:
    """A message of the child process that trains trial `number`."""

    number: int
    message: FromChild


@final
@dataclass(kw_only=True, slots=True)
class _Child:
    """One trial's process. `stopped_s` is when it was asked to end, `breach` the limit that it broke."""

    number: int
    process: BaseProcess | ForkedProcess
    connection: Connection
    output: "_Output"
    started_s: float
    is_waiting: bool = False
    is_killed: bool = False
    stopped_s: float | None = None
    breach: Failure | None = None

    def send(self, message: ToChild) -> None:
        """Send a message; a process that has ended gets none."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def stop(self) -> None:
        """Ask the function to end; it is killed `GRACE_S` later."""
        if self.stopped_s is None:
            self.stopped_s = time.monotonic()
            self.send(EndRequest())

    def kill(self) -> None:
        """Kill the process and those that it started, and wait for its end. It may be called again."""
        if self.is_killed:
            return
        self.is_killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)  # its own session, unless it has just begun
        self.process.kill()
        self.process.join()
        self.connection.close()
        self.output.close()


@final
class _Output:
    """The last output of a process and those that it started: a thread reads it, so that no write blocks."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader
        self._kept = b""
        self._thread = threading.Thread(target=self._read, name="output of a trial", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return the last output of a process that has ended."""
        self._thread.join(timeout=1.0)
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        """Stop reading. All writers were killed."""
        self._thread.join(timeout=1.0)
        self._reader.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(self._reader.fileno(), _OUTPUT_BYTES):
                self._kept = (self._kept + chunk)[-_OUTPUT_BYTES:]


@final
@dataclass(kw_only=True, slots=True)
class Children:
    """Trains trials of one study, each in a process of its own.

    `folder` holds the trials' checkpoints. With `function`, processes are forks of this one, in which the function
    exists. Otherwise they are new ones that import it, and forks of a server once that has imported it.
    """

    objective: ObjectiveSpec
    metric: str
    seed: int
    folder: Path
    limits: Limits = field(default_factory=Limits)
    function: Objective | None = None
    _children: dict[int, _Child] = field(default_factory=dict)
    _ending: list[_Child] = field(default_factory=list)
    _server: ForkServer | None = None

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the trials in training."""
        return tuple(self._children)

    def has_checkpoint(self, number: int) -> bool:
        """Return True if an earlier attempt at trial `number` left files in its folder."""
        folder = self.folder / str(number)
        return folder.is_dir() and any(folder.iterdir())

    def join(
        self, number: int, params: Mapping[str, ParameterValue], *, fresh_seed: int | None = None
    ) -> None:
        """Start the process of trial `number`; with `fresh_seed`, its seed and its folder of checkpoints are others."""
        folder = str(number) if fresh_seed is None else f"{number}-seed-{fresh_seed}"
        order = Order(
            number=number,
            params=params,
            seed=trial_seed(self.seed, number) if fresh_seed is None else fresh_seed,
            function=self.objective.function,
            python_path=self.objective.python_path,
            metric=self.metric,
            checkpoint_dir=str(self.folder / folder),
        )
        self._children[number] = self._forked(order) or _start(order, self.function)

    def advance(self, *, is_interrupted: Callable[[], bool]) -> Sequence[ChildObservation]:
        """Return the new messages of the trials, after waiting a short time for one; none once it is interrupted.

        Trials whose last report was not answered yet, since they need not end, train on.
        """
        for child in self._children.values():
            if child.is_waiting:
                child.is_waiting = False
                child.send(Acknowledgement())
        self._reap()
        if is_interrupted():
            return []
        ready = wait(
            [one for child in self._children.values() for one in (child.connection, child.process.sentinel)],
            timeout=POLL_S,
        )
        found: list[ChildObservation] = []
        for child in self._children.values():
            if child.connection in ready or child.process.sentinel in ready:
                found += self._received(child)
            # A trial that reports all the time is over its limits too.
            has_ended = (
                bool(found) and found[-1].number == child.number and isinstance(found[-1].message, END)
            )
            if not has_ended and (end := self._over_limits(child)) is not None:
                found.append(ChildObservation(number=child.number, message=end))
        return found

    def answer(self, number: int, value: ParameterValue) -> None:
        """Send the value of the parameter that trial `number` asked for."""
        self._children[number].send(ChosenValue(value=value))

    def leave(self, number: int) -> None:
        """End the training of trial `number`: its function is asked to end, and its process killed a little later."""
        child = self._children.pop(number)
        child.stop()
        self._ending.append(child)

    def kill(self, number: int) -> None:
        """Kill the process of trial `number` now."""
        self._children.pop(number).kill()

    def close(self) -> None:
        """Kill all processes. Those whose trials have ended get a second to end by themselves."""
        for child in self._ending:
            child.process.join(timeout=1.0)
        for child in (*self._children.values(), *self._ending):
            child.kill()
        self._children.clear()
        self._ending.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _forked(self, order: Order) -> _Child | None:
        """Return the trial in a fork of the server, which the first trial starts; None if it cannot fork (yet)."""
        if self.function is not None or not _CAN_FORK:
            return None
        if self._server is None:
            self._server = ForkServer(order.function, order.python_path)
        if not self._server.is_ready:
            return None
        ours, theirs = multiprocessing.Pipe()
        reader, writer = multiprocessing.Pipe(duplex=False)
        try:
            process = self._server.fork(theirs, writer)
            ours.send(order)
        except OSError:
            ours.close()
            reader.close()
            return None
        finally:
            theirs.close()
            writer.close()
        return _child(order, process, ours, reader)

    def _reap(self) -> None:
        """Kill the rest of the processes that were asked to end, once they did or their time is over."""
        for child in list(self._ending):
            with contextlib.suppress(EOFError, OSError):
                while child.connection.poll():
                    child.connection.recv()
            is_late = time.monotonic() - (child.stopped_s or 0.0) > GRACE_S
            if is_late or not child.process.is_alive():
                child.kill()
                self._ending.remove(child)

    def _received(self, child: _Child) -> list[ChildObservation]:
        """Return the child's new messages, the last of which is its end if it has ended."""
        # The process's end is looked up before its last messages, which it sent earlier.
        has_ended = not child.process.is_alive()
        found: list[ChildObservation] = []
        try:
            while child.connection.poll():
                message: FromChild = child.connection.recv()
                if isinstance(message, EpochReport):
                    child.is_waiting = True
                if isinstance(message, END):
                    message = self._judged(child, message)
                found.append(ChildObservation(number=child.number, message=message))
                if isinstance(message, END):
                    return found
        except (EOFError, OSError):
            child.process.join(timeout=GRACE_S)
            has_ended = True
        if has_ended:
            exit_code = child.process.exitcode or 0
            end = _killed(child, child.breach) if child.breach else of_exit(exit_code, _last_output(child))
            found.append(ChildObservation(number=child.number, message=end))
        return found

    def _judged(self, child: _Child, end: End) -> End:
        """Return the end of a trial, which is that of its limit if it broke one."""
        if child.breach is not None:
            return _killed(child, child.breach)
        if isinstance(end, Failure):
            child.process.join(timeout=1.0)
            return _killed(child, end)
        return end

    def _over_limits(self, child: _Child) -> Failure | None:
        """Ask a child over its limits to end; return its end if it has to be killed."""
        now_s = time.monotonic()
        if child.breach is not None:
            is_late = now_s - (child.stopped_s or now_s) > GRACE_S
            return _killed(child, child.breach) if is_late else None
        child.breach = _breach(child, self.limits, now_s)
        if child.breach is None:
            return None
        if child.breach.cause is Cause.OUT_OF_MEMORY:  # more memory is gone before it could end by itself
            return _killed(child, child.breach)
        child.stop()
        return None


def _start(order: Order, function: Objective | None) -> _Child:
    context = _SPAWN if function is None else multiprocessing.get_context("fork")
    if function is not None:
        import_late_modules()
    ours, theirs = context.Pipe()
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(
        target=run_trial,
        args=(theirs, writer, order, os.getpid(), function),
        name=f"trial {order.number}",
    )
    with warnings.catch_warnings():
        # Python warns of forks with threads: a child that runs the function uses none of this process's locks.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    writer.close()
    return _child(order, process, ours, reader)


def _child(
    order: Order, process: BaseProcess | ForkedProcess, connection: Connection, reader: Connection
) -> _Child:
    return _Child(
        number=order.number,
        process=process,
        connection=connection,
        output=_Output(reader),
        started_s=time.monotonic(),
    )


def _killed(child: _Child, failure: Failure) -> Failure:
    """Kill the rest of a child's processes, and return the failure with its last output."""
    return replace(failure, output=output_end(_last_output(child)))


def _last_output(child: _Child) -> str:
    child.kill()
    return child.output.text()


def _breach(child: _Child, limits: Limits, now_s: float) -> Failure | None:
    """Return the failure of a child that is over a limit now, None if it is not."""
    seconds = now_s - child.started_s
    if limits.trial_seconds is not None and seconds > limits.trial_seconds:
        return Failure(
            cause=Cause.TIMEOUT,
            kind="over trial_seconds",
            message=f"it trained for more than {limits.trial_seconds:g} s",
        )
    if limits.trial_memory_mb is not None and child.process.pid is not None:
        used_mb = memory_of_family(child.process.pid) / 2**20
        if used_mb > limits.trial_memory_mb:
            return Failure(
                cause=Cause.OUT_OF_MEMORY,
                kind="over trial_memory_mb",
                message=f"it took {used_mb:.0f} MiB of {limits.trial_memory_mb} MiB",
            )
    return None


def can_limit_memory(root: Path = Path("/proc")) -> bool:
    """Return True if this system shows the memory of other processes."""
    return (root / "self/statm").exists()


def memory_of_family(process_id: int, root: Path = Path("/proc")) -> int:
    """Return the resident memory in bytes of a process and all that it started; 0 for one that has ended."""
    try:
        pages = int((root / str(process_id) / "statm").read_text().split()[1])
        tasks = (root / str(process_id) / "task").iterdir()
        started = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(memory_of_family(one, root) for one in started)
