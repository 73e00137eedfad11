"""The engine `slurm`: array jobs by submitit, one worker in each.

Before SLURM preempts a job, or its time is over, submitit's signal arrives: the job drains its worker and is queued
again under the same id. The jobs live on if the process that submitted them ends.
"""

import os
import signal
import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from hpsearch.errors import UsageError
from hpsearch.installation import install_command
from hpsearch.storage.records import Placement
from hpsearch.worker.fleet.launcher import Ended, EngineUnavailableError, Exit, WorkerOrder, WorkerProcess

try:
    import submitit
except ImportError as error:
    raise UsageError(
        f"--on slurm: needs the package submitit (got no such package): {install_command('fleet')}"
    ) from error

if TYPE_CHECKING:
    from submitit import Job
    from submitit.helpers import DelayedSubmission

ENGINE: Final = "slurm"

DEFAULTS: Final[Mapping[str, Any]] = {
    "name": "hpsearch",
    "cpus_per_task": 1,
    "mem_gb": 1,
    "timeout_min": 240,
    "slurm_signal_delay_s": 60,
}
"""Parameters of the jobs. A worker needs 5 s of the delay between the signal and the end of the job's time."""

MOST_TIME_LIMITS: Final = 1000
"""How often a job that reached its time limit is queued again; in submitit 3 times by default."""


@final
class SlurmTask:
    """What one job runs: a worker. submitit pickles it, and calls `checkpoint` when the job must end."""

    def __init__(self, order: WorkerOrder) -> None:
        self._order = order
        self._process: WorkerProcess | None = None

    def __call__(self) -> Exit:
        """Run the worker to its end."""
        environment = submitit.JobEnvironment()
        placement = Placement(
            engine=ENGINE,
            node=os.environ.get("SLURMD_NODENAME", socket.gethostname()),
            job=environment.job_id,
            log=str(environment.paths.stderr),
        )
        # SLURM sends the signal to all processes of a job. The worker inherits the mask, so only this one handles it.
        kept = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        try:
            self._process = WorkerProcess(self._order, placement)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        return self._process.wait()

    def checkpoint(self) -> "DelayedSubmission":
        """Drain the worker, and let the job be queued again with another one."""
        if self._process is not None:
            self._process.end()
        return submitit.helpers.DelayedSubmission(SlurmTask(self._order))


@final
class SlurmLauncher:
    """Submits array jobs. `folder` must be the same on all nodes: submitit keeps jobs and logs there."""

    engine = ENGINE

    def __init__(
        self, order: WorkerOrder, folder: Path, *, parameters: Mapping[str, Any], cluster: str = ENGINE
    ) -> None:
        """`parameters` are those of submitit's AutoExecutor. Raises UsageError for wrong ones or without SLURM."""
        self._order = order
        self._jobs: dict[str, Job[Exit]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the jobs' files hold the database's URL
        try:
            self._executor = submitit.AutoExecutor(
                folder, cluster=cluster, slurm_max_num_timeout=MOST_TIME_LIMITS
            )
            self._executor.update_parameters(**{**DEFAULTS, **parameters})
        except (AssertionError, NameError, RuntimeError, ValueError) as error:
            raise UsageError(f"--on slurm: {error}") from error

    def submit(self, count: int) -> Sequence[str]:
        """Submit an array of jobs."""
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(SlurmTask(self._order)) for _ in range(count)]
        except (
            OSError,
            submitit.core.utils.FailedJobError,
            submitit.core.utils.FailedSubmissionError,
        ) as error:
            raise EngineUnavailableError(f"--on slurm: {error}") from error
        self._jobs |= {job.job_id: job for job in jobs}
        return [job.job_id for job in jobs]

    def ended(self) -> Sequence[Ended]:
        """Return the jobs that ended; one that is queued again has not."""
        ended = [_ended(job) for job in self._jobs.values() if job.done()]
        for one in ended:
            del self._jobs[one.job]
        return ended

    def cancel(self, jobs: Collection[str]) -> None:
        """Cancel jobs: their workers drain."""
        for job in self._jobs.keys() & jobs:
            self._jobs[job].cancel(check=False)

    def close(self) -> None:
        """Cancel the jobs that are left."""
        self.cancel(list(self._jobs))
        self._jobs.clear()


def _ended(job: "Job[Exit]") -> Ended:
    try:
        return Ended(job=job.job_id, exit=job.result())
    except submitit.core.utils.UncompletedJobError as error:
        return Ended(job=job.job_id, lost=str(error).splitlines()[0])
