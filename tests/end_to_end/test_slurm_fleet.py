"""A fleet on SLURM, for which submitit's local executor stands: preemption, the time limit, and the end."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.fleet.launcher import WorkerOrder
from hpsearch.worker.fleet.slurm import SlurmLauncher


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
        wait_until(lambda: not living(store) and not psutil.pid_exists(second.process_id))
