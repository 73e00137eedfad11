"""Many worker processes that train nothing, on one PostgreSQL: `python -m tests.benchmarks.storage.processes`.

Each process is a worker as the database sees it: registered, with a heartbeat, it claims trials, stores their
parameters and ends them at once, until the budget is spent. So the database is the only limit.
"""

import argparse
import math
import os
import signal
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil

import hpsearch
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from hpsearch.worker.heartbeat import SLOWEST_BEAT_S, Heartbeat
from hpsearch.worker.loop import IDLE_WAIT_S, LEASE_S
from hpsearch.worker.shutdown import StopRequest
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import assignment, end, new_study
from tests.chaos.cluster import Cluster
from tests.chaos.waiting import wait_until

PROJECTED: Final = 5000
TRIAL_S: Final = 60.0
"""Seconds that a trial takes in the projection."""


def work(url: str, study_name: str, name: str, rows: int) -> int:
    """Be one worker until the study's budget is spent; return the number of its claims."""
    with open_store(url) as store:
        study = store.studies.get(study_name)
        identity = WorkerIdentity(
            name=name, host="benchmark", process_id=os.getpid(), version=hpsearch.__version__
        )
        tokens: frozenset[int] = frozenset()
        claims = 0
        with Heartbeat(store, identity=identity, lease_s=LEASE_S, tokens=lambda: tokens, stop=StopRequest()):
            while store.queue.opening(study).is_open:
                claimed = store.queue.claim(study, worker=name, count=rows, lease_s=LEASE_S)
                claims += 1
                if not claimed:
                    time.sleep(IDLE_WAIT_S)
                    continue
                tokens = frozenset(claim.token for claim in claimed)
                store.trials.assign(study, [assignment(claim) for claim in claimed])
                store.trials.record(study, [end(claim) for claim in claimed])
        return claims


def _fork(url: str, study: str, rows: int, number: int, folder: Path) -> int:
    """Start one worker; it writes its claims to a file, and waits for the signal to end."""
    if child := os.fork():
        return child
    code = 1
    try:
        claims = work(url, study, f"worker-{number}", rows)
        (folder / f"{number}.part").write_text(str(claims))
        (folder / f"{number}.part").rename(folder / f"{number}.claims")
        threading.Event().wait(600)
        code = 0
    finally:
        os._exit(code)


def server_s(postmaster: psutil.Process) -> float:
    """Return the processor time of the server so far, with that of connections that have ended."""
    own = postmaster.cpu_times()
    children = [child.cpu_times() for child in postmaster.children()]
    return float(
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(c.user + c.system for c in children)
    )


def check_exact(store: Store, study_name: str, trials: int) -> None:
    """Raise AssertionError unless each number from 0 is there once, and all are complete."""
    found = store.trials.all(store.studies.get(study_name))
    assert [trial.number for trial in found] == list(range(trials)), len(found)
    assert {trial.state for trial in found} == {TrialState.COMPLETE}


def main() -> None:
    """Run the workers of the command line, and print the costs and a projection."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storage.processes", description=__doc__)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1, help="trials of one claim")
    chosen = parser.parse_args()
    settings = {"max_connections": str(2 * chosen.workers + 20), "fsync": "on", "full_page_writes": "on"}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hpsearch-", dir="/tmp")))
        server = stack.enter_context(Cluster(folder, settings=settings))
        url = server.url(server.new_database())
        with open_store(url) as store:
            study = new_study(store, chosen.trials).spec.name
        counts = folder / "counts"
        counts.mkdir()
        postmaster = psutil.Process(server.process_id)
        before, began = server_s(postmaster), time.monotonic()
        children = [_fork(url, study, chosen.rows, i, counts) for i in range(chosen.workers)]
        try:
            wait_until(
                lambda: len(list(counts.glob("*.claims"))) == chosen.workers, "all workers end", within_s=3600
            )
            seconds, busy_s = time.monotonic() - began, server_s(postmaster) - before
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
        claims = sum(int(path.read_text()) for path in counts.glob("*.claims"))
        with open_store(url) as store:
            check_exact(store, study, chosen.trials)
    _report(chosen, claims, seconds, busy_s)


def _report(chosen: argparse.Namespace, claims: int, seconds: float, busy_s: float) -> None:
    beats = chosen.workers * math.floor(seconds / SLOWEST_BEAT_S)
    per_trial_ms = 1e3 * busy_s / chosen.trials
    say(
        f"{chosen.workers} processes, {chosen.trials:,} trials, {chosen.rows} in a claim; "
        "each number once, all complete.\n"
    )
    show(
        ["claims/s", "trials/s", "heartbeats", "server ms/trial", "share of a core"],
        [
            [
                f"{claims / seconds:.0f}",
                f"{chosen.trials / seconds:.0f}",
                f"{beats:,}",
                f"{per_trial_ms:.2f}",
                f"{busy_s / seconds:.2f}",
            ]
        ],
    )
    trials_per_s = PROJECTED / TRIAL_S
    say(
        f"\n{PROJECTED:,} workers with trials of {TRIAL_S:.0f} s end {trials_per_s:.0f} trials/s: at this cost, which "
        f"includes the heartbeats, {trials_per_s * per_trial_ms / 1e3:.2f} of a core."
    )


if __name__ == "__main__":
    main()
