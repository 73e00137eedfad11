"""The engine `dask`: one long task per worker on any Dask cluster, which supervises a `hpsearch worker start` there.

If Dask loses a Dask worker, it would run the task again elsewhere under the same key. Such a task ends at once, and the
fleet submits another one under a new key, so that a key stands for one worker. If the scheduler ends, its Dask workers
end, and with them our workers, which hand their trials back; the fleet waits for a scheduler at the same address. If
the fleet's own process ends, Dask releases its tasks, and they drain their workers.
"""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final, final

from hpsearch.errors import UsageError
from hpsearch.installation import install_command
from hpsearch.storage.records import Placement
from hpsearch.worker.fleet.launcher import Ended, EngineUnavailableError, Exit, WorkerOrder, WorkerProcess

try:
    import distributed
except ImportError as error:
    raise UsageError(
        f"--on dask: needs the package distributed (got no such package): {install_command('fleet')}"
    ) from error

if TYPE_CHECKING:
    from distributed import Client, Future

ENGINE: Final = "dask"
CONNECT_WITHIN_S: Final = 5.0


def supervise(order: WorkerOrder, job: str) -> Exit | None:
    """Run a worker until it ends or Dask takes the task back. This is the task, in a thread of a Dask worker.

    Return None if the task has begun before, on a Dask worker that was lost.
    """
    host = distributed.get_worker()
    has_begun = distributed.Event(job, client=distributed.get_client())
    if has_begun.is_set():
        return None
    has_begun.set()
    file, log = tempfile.mkstemp(prefix=f"{job}-", suffix=".log")
    os.close(file)
    placement = Placement(engine=ENGINE, node=host.address, job=job, log=log)

    def is_cancelled() -> bool:
        task = host.state.tasks.get(job)
        is_closing = host.status not in (distributed.Status.running, distributed.Status.paused)
        return is_closing or task is None or task.state not in ("executing", "long-running")

    return WorkerProcess(order, placement).wait(is_cancelled=is_cancelled)


@final
class DaskLauncher:
    """Submits tasks to the Dask scheduler at an address such as `tcp://10.0.0.5:8786`."""

    engine = ENGINE

    def __init__(self, order: WorkerOrder, scheduler: str) -> None:
        """Raises EngineUnavailableError if there is no scheduler."""
        self._order = order
        self._scheduler = scheduler
        self._futures: dict[str, Future[Exit | None]] = {}
        self._client: Client | None = self._connect()

    def submit(self, count: int) -> Sequence[str]:
        """Submit tasks, each under a key that was never used before."""
        if self._client is None or self._client.status == "closed":
            self._client = self._connect()
        if self._client.status != "running":
            raise EngineUnavailableError(f"--scheduler {self._scheduler}: does not answer at the moment")
        jobs = [f"hpsearch-{secrets.token_hex(6)}" for _ in range(count)]
        for job in jobs:
            self._futures[job] = self._client.submit(supervise, self._order, job, key=job, pure=False)
        return jobs

    def ended(self) -> Sequence[Ended]:
        """Return the tasks that ended, and those that Dask lost or gave up."""
        ended = [one for job, future in self._futures.items() if (one := _ended(job, future)) is not None]
        for one in ended:
            self._futures.pop(one.job).release()
            self._forget(one.job)
        return ended

    def _forget(self, job: str) -> None:
        """Let the scheduler forget that a task has begun."""
        if self._client is not None and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                distributed.Event(job, client=self._client).clear()

    def cancel(self, jobs: Collection[str]) -> None:
        """Take tasks back: those that run drain their workers."""
        futures = [self._futures[job] for job in self._futures.keys() & jobs]
        if futures and self._client is not None and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                self._client.cancel(futures, reason="the fleet drains")

    def close(self) -> None:
        """Take all tasks back and disconnect."""
        self.cancel(list(self._futures))
        self._futures.clear()
        if self._client is not None:
            with contextlib.suppress(OSError, TimeoutError):
                self._client.close(timeout=CONNECT_WITHIN_S)

    def _connect(self) -> "Client":
        try:
            return distributed.Client(
                self._scheduler, timeout=CONNECT_WITHIN_S, set_as_default=False, name="hpsearch"
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise EngineUnavailableError(
                f"--scheduler {self._scheduler}: must be the address of a Dask scheduler that answers "
                f"({str(error) or type(error).__name__}): start one (`dask scheduler`), or check the address"
            ) from error


def _ended(job: str, future: "Future[Exit | None]") -> Ended | None:
    match future.status:
        case "pending":
            return None
        case "finished":
            return Ended(job=job, exit=future.result(), lost="its Dask worker ended")
        case "error":
            return Ended(job=job, lost=str(future.exception()))
        case status:
            return Ended(job=job, lost=f"Dask reports the task as {status}")
