"""A fleet of workers that only claim, beat and write: what one PostgreSQL needs for them.

The fleet's calls are made as fast as they go, by a few processes, in the order in which the fleet would make them;
the processor time of the server's processes for them, divided by the fleet's time, is the share of a core. As a
program it is one of the processes: `python -m tests.benchmarks.storage.fleet URL STUDY WORKERS SECONDS`.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from sqlalchemy import create_engine, text

import hpsearch
from hpsearch.storage.records import ClaimedTrial, StoredStudy, Update, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.heartbeat import BEATS_PER_LEASE, SLOWEST_BEAT_S
from hpsearch.worker.loop import LEASE_S, REFILL_SHARE, WRITE_EVERY_S
from tests.benchmarks.storage.databases import on_server
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import assignment, end, new_study

WORKERS: Final = 1000
PROCESSES: Final = 4
ROWS: Final = 8
TRIAL_S: Final = 60.0

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_REPOSITORY: Final = Path(__file__).parents[3]

KINDS: Final = {
    "beat": "heartbeats",
    "refill": "claim, assign and end of trials",
    "write": "progress of running trials",
}
"""What a worker asks of the database, and what that is called."""


def run(seconds: float) -> None:
    """Print what a fleet of `WORKERS` needs, measured over `seconds` of its life."""
    say(f"## A fleet of {WORKERS:,} workers on one PostgreSQL\n")
    with on_server("PostgreSQL") as url:
        if url is None or not Path("/proc/self/stat").exists():
            say("There is no PostgreSQL on this machine, or no /proc to see its processor time in.\n")
            return
        with open_store(url) as store:
            study = new_study(store, 10**7)
        with Crew(url, study.spec.name, seconds) as crew:
            crew.do("join")
            measured = {kind: crew.do(kind) for kind in KINDS}
    _show(measured, seconds)


def _show(measured: dict[str, tuple[int, float]], seconds: float) -> None:
    shares = {kind: server_s / seconds for kind, (_, server_s) in measured.items()}
    say(
        f"Each worker trains {ROWS} trials of {TRIAL_S:.0f} s at once, beats every {_beat_s():.0f} s, claims when "
        f"{ROWS // REFILL_SHARE} rows are free, and writes what is new every {WRITE_EVERY_S:.0f} s.\n"
    )
    show(
        ["", "calls/s", "server ms/call", "share of a core"],
        [
            [
                KINDS[kind],
                f"{calls / seconds:.0f}",
                f"{server_s * 1e3 / calls:.2f}",
                f"{shares[kind]:.2f}",
            ]
            for kind, (calls, server_s) in measured.items()
        ],
    )
    bare = shares["beat"] + shares["refill"]
    full = sum(shares.values())
    say(
        f"Claims and heartbeats need {bare:.2f} of a core: one core serves {WORKERS / bare:,.0f} such workers. "
        f"With their progress written every second it is {full:.2f}, and {WORKERS / full:,.0f} workers.\n"
    )


def _beat_s() -> float:
    return min(LEASE_S / BEATS_PER_LEASE, SLOWEST_BEAT_S)


@final
class Crew:
    """The processes that play the fleet, and the eye on the server's."""

    def __init__(self, url: str, study: str, seconds: float) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.storage.fleet", url, study]
        command += [str(WORKERS // PROCESSES), str(seconds)]
        self._processes = [
            subprocess.Popen(
                command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(PROCESSES)
        ]
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()
        self._engine.dispose()

    def do(self, kind: str) -> tuple[int, float]:
        """Let all processes make the fleet's calls of that kind; return their number and the server's seconds."""
        before_s = self._server_s()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{kind}\n")
            process.stdin.flush()
        calls = 0
        for process in self._processes:
            assert process.stdout is not None
            calls += int(process.stdout.readline())
        return calls, self._server_s() - before_s

    def _server_s(self) -> float:
        """Return the processor time so far of the server's processes that serve this database."""
        with self._engine.connect() as connection:
            pids = connection.execute(
                text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
            ).scalars()
            return sum(_processor_s(pid) for pid in pids)


def _processor_s(pid: int) -> float:
    # The command's name may hold spaces; it ends with the last parenthesis.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


@final
@dataclass
class Squad:
    """Some of the fleet's workers, played by one process. `held` are the claims of each."""

    store: Store
    study: StoredStudy
    names: list[str]
    seconds: float
    held: dict[str, list[ClaimedTrial]] = field(default_factory=dict)
    epoch: int = 0

    def join(self) -> int:
        """Let every worker register and fill its rows."""
        for name in self.names:
            self.store.workers.register(self._identity(name))
            self.held[name] = self.store.queue.claim(
                self.study, worker=name, count=ROWS, lease_s=LEASE_S * 100
            )
            self.store.trials.assign(self.study, [assignment(claim) for claim in self.held[name]])
        return len(self.names)

    def beat(self) -> int:
        """Let the fleet beat."""
        calls = 0
        for _ in range(round(self.seconds / _beat_s())):
            for name in self.names:
                tokens = {claim.token for claim in self.held[name]}
                self.store.queue.beat(self._identity(name), lease_s=LEASE_S * 100, tokens=tokens)
                calls += 1
        return calls

    def refill(self) -> int:
        """Let trials end, as many as do in that time, and others take their rows."""
        count = ROWS // REFILL_SHARE
        every_s = TRIAL_S * count / ROWS
        calls = round(self.seconds / every_s * len(self.names))
        for call in range(calls):
            name = self.names[call % len(self.names)]
            ended, kept = self.held[name][:count], self.held[name][count:]
            self.store.trials.record(self.study, [end(claim) for claim in ended])
            new = self.store.queue.claim(self.study, worker=name, count=count, lease_s=LEASE_S * 100)
            self.store.trials.assign(self.study, [assignment(claim) for claim in new])
            self.held[name] = kept + new
        return calls

    def write(self) -> int:
        """Let the fleet write which epochs have ended: with 20 in a trial, some of each worker's every second."""
        count = max(1, round(ROWS * 20 / TRIAL_S * WRITE_EVERY_S))
        calls = 0
        for second in range(round(self.seconds / WRITE_EVERY_S)):
            for name in self.names:
                updates = [
                    Update(claim=claim, reports={second: 0.5}, epochs=second + 1, steps=100 * (second + 1))
                    for claim in self.held[name][:count]
                ]
                self.store.trials.record(self.study, updates)
                calls += 1
        return calls

    def _identity(self, name: str) -> WorkerIdentity:
        return WorkerIdentity(name=name, host="fleet", process_id=1, version=hpsearch.__version__)


def play(url: str, study: str, workers: int, seconds: float) -> None:
    """Play some workers: do what the lines of stdin say, and answer with the number of calls."""
    with open_store(url) as store:
        names = [f"worker-{os.getpid()}-{i}" for i in range(workers)]
        squad = Squad(store=store, study=store.studies.get(study), names=names, seconds=seconds)
        acts = {"join": squad.join, "beat": squad.beat, "refill": squad.refill, "write": squad.write}
        for line in sys.stdin:
            say(str(acts[line.strip()]()))


if __name__ == "__main__":
    play(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
