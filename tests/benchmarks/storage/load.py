"""Many processes on one PostgreSQL. As a program, one of them: `python -m tests.benchmarks.storage.load URL STUDY`."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from hpsearch.storage.store import open_store
from tests.benchmarks.storage.databases import on_server
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import by_claims, new_study

PROCESSES: Final = 16
COUNT: Final = 32

_REPOSITORY: Final = Path(__file__).parents[3]


def run(trials: int) -> None:
    """Print how many trials a second so many processes claim and end."""
    say(f"## {PROCESSES} processes on one PostgreSQL, in claims of {COUNT}\n")
    with on_server("PostgreSQL") as url:
        if url is None:
            say("There is no PostgreSQL.\n")
            return
        with open_store(url) as store:
            study = new_study(store, trials)
            wall_s = _timed(url, study.spec.name)
            ended = store.studies.progress(study).finished
    show(["trials", "seconds", "trials/s"], [[str(ended), f"{wall_s:.2f}", f"{ended / wall_s:.0f}"]])


def _timed(url: str, name: str) -> float:
    """Return the seconds from when all processes are ready to when all have ended."""
    command = [sys.executable, "-m", "tests.benchmarks.storage.load", url, name]
    workers = [
        subprocess.Popen(command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    began = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate()
    return time.perf_counter() - began


def work(url: str, name: str) -> None:
    """Say that this process is ready, wait, and end trials until there are no more."""
    with open_store(url) as store:
        study = store.studies.get(name)
        store.studies.progress(study)
        say("ready")
        sys.stdin.readline()
        while by_claims(store, study, worker=f"worker-{id(store)}", count=COUNT):
            pass


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2])
