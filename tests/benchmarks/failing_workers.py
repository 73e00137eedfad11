"""How often sound workers are found failing, and how soon bad ones: `python -m tests.benchmarks.failing_workers`.

A study's trials are simulated for three workers that take turns. A trial fails with a probability that depends on its
configuration and its worker. After every failure of the first worker, its failures are compared with the others'.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from hpsearch.study.spec import Range
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.failure_rate import FALSE_ALARM_RATE, failure_rate

SEARCH: Final = (Range(name="x", low=0.0, high=1.0), Range(name="y", low=0.0, high=1.0))
WORKERS: Final = ("ann", "bob", "eve")


def simulate(
    seed: int, own_rate: Callable[[float], float], rate: Callable[[float], float], *, trials: int
) -> list[Trial]:
    """Return `trials` trials of each worker. Each fails with its worker's rate at its `x`; the first has its own."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(trials * len(WORKERS)):
        worker = WORKERS[number % len(WORKERS)]
        params = {"x": float(random.random()), "y": float(random.random())}
        chance = (own_rate if worker == WORKERS[0] else rate)(params["x"])
        state = TrialState.FAILED if random.random() < chance else TrialState.COMPLETE
        made.append(Trial(number=number, state=state, params=params, worker=worker))
    return made


def first_alarm(trials: Sequence[Trial], worker: str) -> int | None:
    """Return after how many of its trials the worker is found failing, or None; it is checked after each failure."""
    count = 0
    for end, trial in enumerate(trials, 1):
        count += trial.worker == worker
        is_new = trial.worker == worker and trial.state is TrialState.FAILED
        if is_new and failure_rate(trials[:end], worker, SEARCH).is_too_high:
            return count
    return None


CASES: Final = {
    "sound, 5 % fail": (lambda _: 0.05, lambda _: 0.05),
    "sound, 50 % fail": (lambda _: 0.5, lambda _: 0.5),
    "sound, a part of the space fails": (lambda x: float(x > 0.7), lambda x: float(x > 0.7)),
    "bad, all fail, 5 % elsewhere": (lambda _: 1.0, lambda _: 0.05),
    "bad, half fail, 5 % elsewhere": (lambda _: 0.5, lambda _: 0.05),
    "bad, 30 % fail, 10 % elsewhere": (lambda _: 0.3, lambda _: 0.1),
}
"""Name -> (failure rate of the first worker, of the others)."""


def main() -> None:
    """Print a table of the cases."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.failing_workers", description=__doc__)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--trials", type=int, default=100, help="trials of each worker")
    chosen = parser.parse_args()
    sys.stdout.write(
        f"{chosen.studies} studies of {len(WORKERS)} workers with {chosen.trials} trials each; stated rate of false "
        f"alarms {FALSE_ALARM_RATE}\n\n| case | found | median number of its trials |\n| --- | --- | --- |\n"
    )
    for name, (own, others) in CASES.items():
        alarms = [
            first_alarm(simulate(seed, own, others, trials=chosen.trials), WORKERS[0])
            for seed in range(chosen.studies)
        ]
        found = [alarm for alarm in alarms if alarm is not None]
        median = f"{statistics.median(found):.0f}" if found else ""
        sys.stdout.write(f"| {name} | {len(found)} of {len(alarms)} | {median} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
