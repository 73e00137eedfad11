"""The interface of an engine to the fleet, and one worker process on a node, which the engine's job starts."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, final

from hpsearch.errors import HpsearchError
from hpsearch.storage.records import Placement
from hpsearch.training.cohort import never
from hpsearch.worker.machine import placement_environment, worker_name
from hpsearch.worker.pool import worker_command, worker_environment
from hpsearch.worker.shutdown import INTERRUPTED

POLL_S: Final = 0.2
END_WITHIN_S: Final = 6.0
"""Time for a worker to end after a request: it needs 5 s at most."""

_OUTPUT_BYTES: Final = 4000


class EngineUnavailableError(HpsearchError):
    """The engine does not answer at the moment. The same call may succeed later."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOrder:
    """What the workers of a fleet serve: the database, one study or (None) every open one, `rows` trials at once.

    The workers of one study end when it has nothing left to do; the others wait for work. `lease_s` is for tests.
    """

    url: str = field(repr=False)  # engines log what they run
    study: str | None = None
    rows: int | None = None
    lease_s: float | None = None

    def command(self, name: str) -> list[str]:
        """Return the command of a worker that ends with the process that starts it."""
        command = worker_command(name, study=self.study, rows=self.rows)
        return command + ([] if self.lease_s is None else ["--lease", str(self.lease_s)])


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a worker process ended: its name in the database, its exit code, and the last lines of its log."""

    worker: str
    code: int
    output: str = ""

    @property
    def is_failure(self) -> bool:
        """True unless the worker found nothing left to do, or was asked to stop."""
        return self.code not in (0, INTERRUPTED)

    @property
    def reason(self) -> str:
        """How the worker failed, with the last line that it wrote."""
        how = f"killed by signal {-self.code}" if self.code < 0 else f"exit code {self.code}"
        lines = self.output.splitlines()
        return f"{how}: {lines[-1]}" if lines else how


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A job that ended. `exit` is None if the engine lost it, for the reason `lost`."""

    job: str
    exit: Exit | None = None
    lost: str = ""


class Launcher(Protocol):
    """Places workers on an engine, one job each. The engine's own names identify the jobs."""

    @property
    def engine(self) -> str:
        """The engine's name, as `worker list` shows it."""

    def submit(self, count: int) -> Sequence[str]:
        """Submit jobs with one worker each; return their names. Raises EngineUnavailableError."""

    def ended(self) -> Sequence[Ended]:
        """Return the jobs that ended since the last call."""

    def cancel(self, jobs: Collection[str]) -> None:
        """Ask jobs to end: those in the engine's queue at once, the others after their worker has drained."""

    def close(self) -> None:
        """End all jobs that are left, and let go of the engine."""


@final
class WorkerProcess:
    """A worker process of ours, whose output goes to the log of its placement."""

    def __init__(self, order: WorkerOrder, placement: Placement) -> None:
        self.name = worker_name()
        self._log = None if placement.log is None else Path(placement.log)
        self._is_stop_requested = False
        environment = worker_environment(os.environ, order.url) | placement_environment(placement)
        with Path(placement.log or os.devnull).open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 # our own interpreter, our own program
                order.command(self.name),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches only us: we pass it on
            )

    def poll(self) -> Exit | None:
        """Return how the process ended, or None while it runs."""
        code = self._popen.poll()
        if code is None:
            return None
        # The request came before the worker listened to signals, or after.
        was_stopped = self._is_stop_requested and code == -signal.SIGTERM
        return Exit(worker=self.name, code=INTERRUPTED if was_stopped else code, output=self._last_output())

    def request_stop(self) -> None:
        """Ask the worker to drain, only once: a second request would stop it immediately."""
        if not self._is_stop_requested and self._popen.poll() is None:
            self._is_stop_requested = True
            self._popen.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """Drain the worker, or kill it if that takes too long. Afterwards the process is gone."""
        self.request_stop()
        try:
            self._popen.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def wait(self, *, is_cancelled: Callable[[], bool] = never) -> Exit:
        """Return how the worker ended; drain it once `is_cancelled`, or if an exception leaves this call."""
        try:
            while (ended := self.poll()) is None:
                if is_cancelled():
                    self.request_stop()
                time.sleep(POLL_S)
        finally:
            self.end()
        return ended

    def _last_output(self) -> str:
        if self._log is None:
            return ""
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _OUTPUT_BYTES))
            return log.read().decode(errors="replace").strip()
