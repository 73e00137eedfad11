"""What a trial of a training function costs besides the training: `python -m tests.benchmarks.objectives`.

The function returns at once. Each way runs a small and a large study in a new SQLite database; the cost of a trial is
the difference of their times, divided by that of their trials, so that start-up is not in it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import optuna

import hpsearch
from tests.benchmarks.storage.tables import say, show

FEW: Final = 4


def parabola(trial: Any) -> float:
    """Return a number at once; for Optuna and for us."""
    return float((trial.suggest_float("x", -1.0, 1.0) - 0.5) ** 2)


def ours(function: Callable[[Any], float] | str) -> Callable[[str, int], None]:
    """Return a function that runs a study of ours with one worker."""

    def run(url: str, trials: int) -> None:
        study = hpsearch.create_study(
            name="parabola", objective=function, sampler="random", trials=trials, storage=url
        )
        study.run(workers=1, progress=False)
        assert study.progress.finished == trials

    return run


def plain(url: str, trials: int) -> None:
    """Run a study of Optuna on its own storage."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(study_name="parabola", storage=url, sampler=sampler)
    study.optimize(parabola, n_trials=trials)


WAYS: Final[Mapping[str, Callable[[str, int], None]]] = {
    "Optuna on RDBStorage, in this process": plain,
    "a function of a module: forks of a process that imported it": ours(
        "tests.benchmarks.objectives:parabola"
    ),
    "a function of a script: forks of this process": ours(parabola),
}


def measure(run: Callable[[str, int], None], trials: int) -> tuple[float, float]:
    """Return the seconds of a run, and those of the processors."""
    with tempfile.TemporaryDirectory() as folder:
        before, began = sum(os.times()[:4]), time.monotonic()
        run(f"sqlite:///{Path(folder)}/lab.db", trials)
        return time.monotonic() - began, sum(os.times()[:4]) - before


def main() -> None:
    """Print a table of all ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100, help="trials of the large study")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for name, run in WAYS.items():
        few, many = measure(run, FEW), measure(run, options.trials)
        wall, processor = ((b - a) / (options.trials - FEW) * 1e3 for a, b in zip(few, many, strict=True))
        rows.append([name, f"{wall:.1f}", f"{processor:.1f}"])
    say(f"{options.trials} trials:\n")
    show(["way", "ms/trial", "CPU ms/trial"], rows)


if __name__ == "__main__":
    main()
