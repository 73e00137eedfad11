"""A fleet on Dask that loses workers and the scheduler: `python -m tests.chaos.fleet --trials 60 --workers 3`.

It prints its actions and a verdict per law, and ends with exit code 1 if one is broken.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from tests.chaos import audit, laws
from tests.chaos.cluster import Cluster
from tests.chaos.crew import REPOSITORY, ends_with_us
from tests.chaos.dask_cluster import DaskCluster
from tests.chaos.ground import STUDY, Ground, Plan, Result, undisturbed
from tests.chaos.waiting import wait_until

FINISH_S: Final = 900.0


def run(
    ground: Ground, *, workers: int, kills: int, schedulers: int, tell: Callable[[str], None]
) -> Mapping[str, Sequence[str]]:
    """Let a fleet run the study while Dask workers and schedulers are killed; return what the fleet broke.

    The kills are evenly spread over the study's trials, those of schedulers last.
    """
    share = ground.plan.trials // (kills + schedulers + 1)
    with DaskCluster(workers) as cluster:
        fleet = _start(ground.url, cluster.address, workers)
        try:
            wait_until(lambda: len(_nodes(ground)) == workers, "all workers have begun", within_s=FINISH_S)
            nodes = _nodes(ground)
            tell(f"nodes in `worker list`: {', '.join(sorted(nodes))}")
            for event in range(1, kills + schedulers + 1):
                _wait_for_trials(ground, event * share)
                if event <= kills:
                    tell(f"{ground.finished()} finished: killed the Dask worker {cluster.kill_worker()}")
                else:
                    tell(f"{ground.finished()} finished: killed the scheduler, and started one again")
                    cluster.kill_scheduler()
                    cluster.start()
            output, _ = fleet.communicate(timeout=FINISH_S)
            tell(output.strip())
        finally:
            fleet.kill()
            fleet.wait()
        wait_until(lambda: not processes_of(ground.url), "the workers end")
        broken = [] if fleet.returncode == 0 else [f"the fleet ended with {fleet.returncode}"]
        odd = [node for node in nodes if not node.startswith("tcp://127.0.0.1:")]
    return {"the fleet ends with 0": broken, "worker list names the nodes": odd}


def _wait_for_trials(ground: Ground, count: int) -> None:
    wait_until(lambda: ground.finished() >= count, f"{count} trials end", within_s=FINISH_S)


def _start(url: str, scheduler: str, workers: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "hpsearch", "worker", "fleet", STUDY, "--on", "dask", "--cohort", "1"]
    command += ["--scheduler", scheduler, "--count", str(workers)]
    environment = {**os.environ, "HPSEARCH_STORAGE": url, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([*ends_with_us(), *command], env=environment, stdout=subprocess.PIPE, text=True)


def _nodes(ground: Ground) -> set[str]:
    """Return the nodes of the living workers, as `worker list` names them."""
    found = (worker.identity.placement.node for worker in ground.store.workers.all() if not worker.is_lost)
    return {node for node in found if node is not None}


def processes_of(url: str) -> list[int]:
    """Return the numbers of the processes of hpsearch that work on the database at `url`."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = "hpsearch" in process.cmdline() and process.environ().get("HPSEARCH_STORAGE", "") == url
        except psutil.Error:
            continue
        if is_ours and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def judged(
    ground: Ground,
    expected: Sequence[Result],
    broken: Mapping[str, Sequence[str]],
    tell: Callable[[str], None],
) -> int:
    """Print a verdict per law; return the exit code."""
    verdicts = {**laws.breaches(ground, expected), **broken}
    verdicts.pop(laws.RIGHTFUL)  # a fleet's workers are not audited
    for name, found in verdicts.items():
        tell(f"{'BROKEN' if found else 'kept  '}  {name}")
        for line in found[:10]:
            tell(f"          {line}")
    return 1 if any(verdicts.values()) else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the fleet of the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fleet", description=__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kills", type=int, default=2, help="Dask workers to kill")
    parser.add_argument("--schedulers", type=int, default=1, help="schedulers to kill")
    chosen = parser.parse_args()
    plan = Plan(trials=chosen.trials, epochs=chosen.epochs)
    with (
        audit.named_connections(audit.OURSELVES),
        tempfile.TemporaryDirectory(prefix="hpsearch-chaos-", dir="/tmp") as name,
        Cluster(Path(name)) as server,
    ):
        folder = Path(name) / "undisturbed"
        folder.mkdir()
        say(f"one undisturbed worker: {plan.trials} trials")
        expected = undisturbed(plan, folder, within_s=FINISH_S)
        ground = Ground(server.url(server.new_database()), plan)
        try:
            broken = run(
                ground, workers=chosen.workers, kills=chosen.kills, schedulers=chosen.schedulers, tell=say
            )
            return judged(ground, expected, broken, say)
        finally:
            ground.close()


if __name__ == "__main__":
    sys.exit(main())
