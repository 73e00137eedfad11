"""A Dask `LocalCluster` in a process of its own, which can be killed.

As a program, `python -m tests.chaos.dask_cluster PORT WORKERS`, it is that process.
"""

import subprocess
import sys
from types import TracebackType
from typing import Self, final

import psutil
from distributed import LocalCluster

from tests.chaos.cluster import free_port
from tests.chaos.crew import REPOSITORY, ends_with_us
from tests.chaos.waiting import wait_until


@final
class DaskCluster:
    """A scheduler with worker processes on this machine. It runs inside its context, and nothing is left of it."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self.address = f"tcp://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_scheduler()

    def start(self) -> None:
        """Start a cluster at the address, and return when its workers have joined."""
        command = [sys.executable, "-m", "tests.chaos.dask_cluster", str(self._port), str(self._workers)]
        self._process = subprocess.Popen(
            [*ends_with_us(), *command],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def kill_worker(self) -> int:
        """Kill the Dask worker that started first, as a power cut would; Dask starts another. Return its number."""
        victim = min(self._members(), key=psutil.Process.create_time)
        victim.kill()
        return int(victim.pid)

    def kill_scheduler(self) -> None:
        """Kill the process with the scheduler, and return when its workers have found that and ended."""
        if self._process is None:
            return
        members = self._members()
        self._process.kill()
        self._process.communicate()
        self._process = None
        wait_until(lambda: not any(map(_runs, members)), "the Dask workers end")

    def _members(self) -> list[psutil.Process]:
        assert self._process is not None
        children = psutil.Process(self._process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def _runs(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def main(port: int, workers: int) -> None:
    """Run the cluster until stdin ends."""
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        scheduler_port=port,
        dashboard_address=None,
        silence_logs=50,
    ) as cluster:
        cluster.wait_for_workers(workers)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
