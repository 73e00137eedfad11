"""A fleet on SLURM, for which submitit's local executor stands: preemption, the time limit, and the end."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from hpsearch.storage.records import Attempt, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import TrainingSpec
from hpsearch.verdicts import Cause
from hpsearch.worker.fleet.launcher import WorkerOrder
from hpsearch.worker.fleet.slurm import SlurmLauncher
from tests.worker.bench import SPEC, Bench

TIME_S: Final = 60
"""The time limit of a job, which submitit's local executor keeps as SLURM does."""

DRAINED_AT_S: Final = 25
"""When it sends the signal that announces the end: a worker on a busy machine takes 10 s to begin."""


def wait_until(is_so: Callable[[], Any], within_s: float = 300.0) -> Any:
    """Return the value of `is_so` as soon as it is true."""
    deadline = time.monotonic() + within_s
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[SlurmLauncher]:
    """Yield a launcher whose jobs run on this machine."""
    order = WorkerOrder(url=f"sqlite:///{tmp_path / 'default.db'}")
    launcher = SlurmLauncher(
        order,
        tmp_path / "jobs",
        cluster="local",
        parameters={"timeout_min": 60},
    )
    yield launcher
    launcher.close()


def living(store: Store) -> dict[str, WorkerIdentity]:
    """Return name -> identity of the registered workers."""
    return {worker.identity.name: worker.identity for worker in store.workers.all()}


def test_a_preempted_job_drains_and_is_queued_again(launcher: SlurmLauncher, tmp_path: Path) -> None:
    """On the signal the worker drains and leaves; the same job goes on with another one, and ends when cancelled."""
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        (job,) = launcher.submit(1)
        first = wait_until(lambda: next(iter(living(store).values()), None))
        assert (first.placement.engine, first.placement.job) == ("slurm", job)
        task = psutil.Process(first.process_id).parent()
        assert task is not None
        task.send_signal(signal.SIGUSR2)
        second = wait_until(
            lambda: next((one for name, one in living(store).items() if name != first.name), None)
        )
        assert living(store).keys() == {second.name}
        assert (second.placement, launcher.ended()) == (first.placement, [])
        assert f"worker {first.name}: stopped" in Path(str(first.placement.log)).read_text()
        launcher.cancel([job])
        assert [one.job for one in wait_until(launcher.ended)] == [job]
        wait_until(lambda: not living(store) and not psutil.pid_exists(second.process_id))


def test_the_time_limit_drains_a_job_before_its_end(launcher: SlurmLauncher, tmp_path: Path) -> None:
    """A worker hands its trial back before the job's time is over, and the next worker of the job goes on with it."""
    spec = replace(SPEC, trials=1, training=TrainingSpec(epochs=10**6, batch_size=32))
    # submitit's own parameters are whole minutes.
    launcher._executor._executor.parameters |= {
        "timeout_min": TIME_S / 60,
        "signal_delay_s": TIME_S - DRAINED_AT_S,
    }
    with closing(Bench(f"sqlite:///{tmp_path / 'default.db'}", spec)) as bench:
        (job,) = launcher.submit(1)

        def attempts() -> list[Attempt]:
            return list(bench.store.trials.attempts(bench.study, 0))

        ended = wait_until(lambda: next((one for one in attempts() if one.started is not None), None))
        assert (ended.why, ended.cause) == ("the worker was stopped", Cause.STOPPED)
        assert ended.ended - ended.started < timedelta(seconds=TIME_S)
        second = wait_until(
            lambda: next((i for n, i in living(bench.store).items() if n != ended.worker), None)
        )
        assert (second.placement.job, launcher.ended()) == (job, [])
        log = Path(str(second.placement.log)).read_text()
        assert "this job is timed-out" in log
        assert f"worker {ended.worker}: stopped" in log
        launcher.cancel([job])
        assert [one.job for one in wait_until(launcher.ended)] == [job]
        wait_until(lambda: not living(bench.store) and not psutil.pid_exists(second.process_id))
