"""The engine `local`: worker processes of this machine, which end with the process that started them."""

import socket
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, final

from hpsearch.storage.records import Placement
from hpsearch.worker.fleet.launcher import Ended, WorkerOrder, WorkerProcess

ENGINE: Final = "local"


@final
class LocalLauncher:
    """Starts workers as processes of this machine. Their logs are in `folder`."""

    engine = ENGINE

    def __init__(self, order: WorkerOrder, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._prefix = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        self._processes: dict[str, WorkerProcess] = {}
        self._started = 0
        folder.mkdir(parents=True, exist_ok=True)

    def submit(self, count: int) -> Sequence[str]:
        """Start worker processes."""
        return [self._start() for _ in range(count)]

    def _start(self) -> str:
        self._started += 1
        job = f"{self._prefix}-{self._started}"
        log = str((self._folder / f"worker-{job}.log").absolute())
        placement = Placement(engine=ENGINE, node=socket.gethostname(), job=job, log=log)
        self._processes[job] = WorkerProcess(self._order, placement)
        return job

    def ended(self) -> Sequence[Ended]:
        """Return the processes that ended."""
        found = [(job, process.poll()) for job, process in self._processes.items()]
        ended = [Ended(job=job, exit=left) for job, left in found if left is not None]
        for one in ended:
            del self._processes[one.job]
        return ended

    def cancel(self, jobs: Collection[str]) -> None:
        """Ask processes to drain."""
        for job in self._processes.keys() & jobs:
            self._processes[job].request_stop()

    def close(self) -> None:
        """Drain all processes at the same time, and kill those that do not end."""
        self.cancel(list(self._processes))
        for process in self._processes.values():
            process.end()
        self._processes.clear()
