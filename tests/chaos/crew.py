"""Worker processes: started, killed, stopped, continued, and replaced when they end too soon."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self, final

from tests.chaos.waiting import GIVE_UP_S, wait_until

REPOSITORY: Final = Path(__file__).parents[2]

VOID: Final = "is discarded"
"""A worker's message about trials that it trained and that were taken from it meanwhile."""

_HIDDEN: Final = ("HPSEARCH_STORAGE", "OPTUNA_STORAGE", "HPSEARCH_MNIST")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The work of workers: the trials of one study or of all, `rows` at once, with leases of `lease_s` seconds.

    `module` is what Python runs, with a worker's arguments; `environment` is added to ours.
    """

    url: str
    study: str | None
    folder: Path
    rows: int = 3
    lease_s: float = 2.0
    module: str = "hpsearch"
    environment: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(kw_only=True, slots=True)
class Hand:
    """One worker process, and the file with its output."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    is_frozen: bool = False
    frozen_at: float = 0.0
    was_killed: bool = False

    @property
    def is_alive(self) -> bool:
        """Return True while the process runs, or is stopped."""
        return self.popen.poll() is None

    @property
    def said(self) -> str:
        """The worker's output so far."""
        return self.log.read_text(errors="replace")

    @property
    def has_begun(self) -> bool:
        """Return True if the worker has reached its database and begun the study."""
        return "at once" in self.said

    def kill(self) -> None:
        """End the process as a power cut would."""
        self.was_killed = True
        self.popen.kill()
        self.popen.wait()

    def freeze(self) -> None:
        """Stop the process, and return when it stands still."""
        self.is_frozen, self.frozen_at = True, time.monotonic()
        self.popen.send_signal(signal.SIGSTOP)
        wait_until(lambda: not self.is_alive or _state(self.popen.pid) == "T", f"{self.name} stops")

    def thaw(self) -> None:
        """Let the process continue."""
        self.is_frozen = False
        self.popen.send_signal(signal.SIGCONT)


@final
class Crew:
    """Keeps `size` workers at their job. In the end of the context none is left.

    `gone` are the workers that have ended, of which `started` counts all.
    """

    def __init__(self, job: Job, *, size: int) -> None:
        self._job = job
        self._size = size
        self.hands: list[Hand] = []
        self.gone: list[Hand] = []
        self.started = 0

    def __enter__(self) -> Self:
        self.fill()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hand in self.hands:
            with contextlib.suppress(ProcessLookupError):
                hand.kill()

    def fill(self) -> None:
        """Replace the workers that have ended, but for those that found nothing left to do."""
        for hand in self.hands:
            if not hand.is_alive:
                self.gone.append(hand)
        self.hands = [hand for hand in self.hands if hand.is_alive]
        content = sum(hand.popen.returncode == 0 for hand in self.gone)
        while len(self.hands) + content < self._size:
            self.hands.append(self._start())

    def dismiss(self, *, within_s: float = GIVE_UP_S) -> None:
        """Wait until all workers have found that nothing is left to do."""

        def are_content() -> bool:
            self.fill()
            return not self.hands

        wait_until(are_content, "the workers end", within_s=within_s)

    @property
    def everybody(self) -> Sequence[Hand]:
        """All workers that ever were."""
        return [*self.gone, *self.hands]

    def _start(self) -> Hand:
        self.started += 1
        name = f"hand-{self.started}"
        log = self._job.folder / f"{name}.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [*ends_with_us(), *self._command(name)],
                cwd=self._job.folder,
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return Hand(name=name, popen=popen, log=log)

    def _command(self, name: str) -> list[str]:
        job = self._job
        options = ["--exit-when-idle", "--name", name]
        options += [] if job.study is None else ["--study", job.study]
        options += ["--cohort", str(job.rows), "--lease", str(job.lease_s)]
        return [sys.executable, "-m", job.module, "worker", "start", *options]

    def _environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in _HIDDEN}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        own = {"HPSEARCH_STORAGE": self._job.url, "PYTHONPATH": path, "PGAPPNAME": name}
        return {**kept, **own, **self._job.environment}


def ends_with_us() -> list[str]:
    """Return the prefix that ends a command if we are killed, if the system has one."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def _state(pid: int) -> str:
    """Return the state of a process as Linux reports it: T if it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
