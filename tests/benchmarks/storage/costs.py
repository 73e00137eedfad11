"""What one trial costs, alone and in a cohort, beside Optuna's own storage."""

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack

from tests.benchmarks.storage.counting import counted
from tests.benchmarks.storage.databases import every
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import Block, of_claims, of_optuna, ours, stock

CLAIM_32, CLAIM_1 = "claims of 32", "claims of 1"
OPEN_STORAGE, RDB_STORAGE = "Optuna on open_storage", "Optuna on RDBStorage"
TRIALS_OF_OPTUNA = 4

INTRODUCTION = """\
## One trial with 2 parameters, 5 reports and 3 attributes

`claims of K`: claim, assign and record of a `Store`, K trials at a time. `Optuna on ...`: ask, suggest, report, tell,
with a sampler and a pruner that do nothing. Milliseconds of wall time per trial, median of the rounds, in which all
take turns. Statements are those that read or write rows; one for many rows counts once.
"""


def run(rounds: int) -> None:
    """Print what a trial costs on every kind of database."""
    say(INTRODUCTION)
    with every() as urls:
        for kind, url in urls.items():
            with ExitStack() as stack:
                _show(kind, blocks(stack, url), rounds)


def blocks(stack: ExitStack, url: str) -> dict[str, Block]:
    """Return the contenders, each on a study of its own in one database."""
    return {
        CLAIM_32: of_claims(stack, url, 32),
        CLAIM_1: of_claims(stack, url, 1),
        OPEN_STORAGE: of_optuna(stack, ours(url), TRIALS_OF_OPTUNA),
        RDB_STORAGE: of_optuna(stack, stock(url), TRIALS_OF_OPTUNA),
    }


def _show(kind: str, contenders: Mapping[str, Block], rounds: int) -> None:
    counts = {name: _counted(block) for name, block in contenders.items()}
    times_ms: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, block in contenders.items():
            began = time.perf_counter()
            trials = block()
            times_ms[name].append((time.perf_counter() - began) * 1e3 / trials)
    medians = {name: statistics.median(times) for name, times in times_ms.items()}
    show(
        [kind, "ms", "smallest", "RDBStorage costs", "statements", "commits"],
        [
            [
                name,
                f"{medians[name]:.2f}",
                f"{min(times_ms[name]):.2f}",
                f"{medians[RDB_STORAGE] / medians[name]:.1f} times",
                *counts[name],
            ]
            for name in contenders
        ],
    )


def _counted(block: Block) -> tuple[str, str]:
    """Return statements and commits per trial, after a first round that prepares connections."""
    block()
    with counted() as counts:
        trials = block()
    return f"{counts.statements / trials:.2f}", f"{counts.commits / trials:.2f}"
