"""A whole study with TPE, sampling included, on `open_storage` and on Optuna's own storage."""

import time
from contextlib import ExitStack

import optuna
from optuna.storages import BaseStorage

from tests.benchmarks.storage.databases import on_server
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import ask_and_tell, ours, stock

STEP = 50
"""So many trials of one study, then as many of the other: neither has the quieter half of the machine."""


def run(trials: int) -> None:
    """Print how long a TPE study of that many trials takes on each storage."""
    say(f"## A TPE study of {trials:,} trials with MedianPruner on PostgreSQL, sampling included\n")
    with on_server("PostgreSQL") as url, ExitStack() as stack:
        if url is None:
            say("There is no PostgreSQL.\n")
            return
        storages: dict[str, BaseStorage | None] = {
            "open_storage": ours(url),
            "RDBStorage": stock(url),
            "in memory": None,
        }
        for storage in storages.values():
            if storage is not None:
                stack.callback(storage.remove_session)
        wall_s = _timed(storages, trials)
    show(
        ["storage", "s", "ms/trial", "RDBStorage takes"],
        [
            [
                name,
                f"{taken:.1f}",
                f"{taken * 1e3 / trials:.1f}",
                f"{wall_s['RDBStorage'] / taken:.1f} times as long",
            ]
            for name, taken in wall_s.items()
        ],
    )


def _timed(storages: dict[str, BaseStorage | None], trials: int) -> dict[str, float]:
    studies = {
        name: optuna.create_study(storage=storage, sampler=optuna.samplers.TPESampler(seed=0))
        for name, storage in storages.items()
    }
    wall_s = dict.fromkeys(studies, 0.0)
    for _ in range(0, trials, STEP):
        for name, study in studies.items():
            began = time.perf_counter()
            for _ in range(STEP):
                ask_and_tell(study)
            wall_s[name] += time.perf_counter() - began
    return wall_s
