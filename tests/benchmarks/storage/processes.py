"""Many worker processes that train nothing, on one PostgreSQL: `python -m tests.benchmarks.storage.processes`.

Each process is a worker as the database sees it: registered, with a heartbeat, it claims trials, stores their
parameters and ends them at once, until the budget is spent. So the database is the only limit.

The cost of a heartbeat is measured first, alone. What the server did afterwards, less the heartbeats at that cost, is
the cost of a trial.
"""

import argparse
import math
import os
import resource
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
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

_BEATS: Final = 1000
"""Heartbeats of which the mean is the cost of one: a clock tick of the processor time is 10 ms."""


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
    children = []
    for child in postmaster.children():
        with suppress(psutil.NoSuchProcess):  # its time is then among those of the children that have ended
            children.append(child.cpu_times())
    own = postmaster.cpu_times()
    return float(
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(c.user + c.system for c in children)
    )


def heartbeat_s(url: str, study_name: str, postmaster: psutil.Process) -> tuple[float, float]:
    """Return the processor time of a heartbeat that renews one lease: of the client, and of the server."""
    with open_store(url) as store:
        identity = WorkerIdentity(name="heart", host="benchmark", process_id=1, version=hpsearch.__version__)
        store.workers.register(identity)
        study = store.studies.get(study_name)
        claimed = store.queue.claim(study, worker="heart", count=1, lease_s=LEASE_S)
        tokens = [claim.token for claim in claimed]
        for _ in range(_BEATS // 10):
            store.queue.beat(identity, lease_s=LEASE_S, tokens=tokens)
        server, client = server_s(postmaster), time.process_time()
        for _ in range(_BEATS):
            beat = store.queue.beat(identity, lease_s=LEASE_S, tokens=tokens)
            assert beat.leases == 1, beat
        cost = (time.process_time() - client) / _BEATS, (server_s(postmaster) - server) / _BEATS
        store.queue.release(study, worker="heart", numbers=None, why="measured", crashed=False)
        store.workers.unregister("heart")
    return cost


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
        beat_s = heartbeat_s(url, study, postmaster)
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
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        claims = sum(int(path.read_text()) for path in counts.glob("*.claims"))
        with open_store(url) as store:
            check_exact(store, study, chosen.trials)
    _report(
        chosen, claims, seconds, client=(used.ru_utime + used.ru_stime, beat_s[0]), server=(busy_s, beat_s[1])
    )


def _report(
    chosen: argparse.Namespace,
    claims: int,
    seconds: float,
    *,
    client: tuple[float, float],
    server: tuple[float, float],
) -> None:
    """Print the costs; `client` and `server` are the seconds of all, and of one heartbeat."""
    beats = chosen.workers * math.floor(seconds / SLOWEST_BEAT_S)
    say(
        f"{chosen.workers} processes, {chosen.trials:,} trials, {chosen.rows} in a claim; "
        "each number once, all complete.\n"
    )
    show(
        ["claims/s", "trials/s", "heartbeats", "seconds", "share of a core: clients", "server"],
        [
            [
                f"{claims / seconds:.0f}",
                f"{chosen.trials / seconds:.0f}",
                f"{beats:,}",
                f"{seconds:.0f}",
                f"{client[0] / seconds:.2f}",
                f"{server[0] / seconds:.2f}",
            ]
        ],
    )
    sides = {"client": client, "server": server}
    trial_ms = {
        name: 1e3 * (all_s - beats * beat_s) / chosen.trials for name, (all_s, beat_s) in sides.items()
    }
    show(
        ["", "heartbeat, ms", "trial without heartbeats, ms"],
        [[name, f"{1e3 * beat_s:.2f}", f"{trial_ms[name]:.2f}"] for name, (_, beat_s) in sides.items()],
    )
    beats_per_s, trials_per_s = PROJECTED / SLOWEST_BEAT_S, PROJECTED / TRIAL_S
    share = beats_per_s * server[1] + trials_per_s * trial_ms["server"] / 1e3
    say(
        f"{PROJECTED:,} workers with trials of {TRIAL_S:.0f} s send {beats_per_s:,.0f} heartbeats/s and end "
        f"{trials_per_s:.0f} trials/s: the server needs {share:.2f} of a core for them."
    )


if __name__ == "__main__":
    main()
