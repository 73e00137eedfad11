"""What the database costs: `python -m tests.benchmarks.storage [--quick] [--tpe N] [--fleet] [--only PART]`."""

import argparse
import os
import platform
import warnings

import optuna

from tests.benchmarks.storage import costs, fleet, growth, load, search
from tests.benchmarks.storage.tables import say

PARTS = ("costs", "load", "growth", "search", "fleet")

INTRODUCTION = """\
# The database

Measured on {machine}, {cores} cores, Python {python}, load {load:.1f} when it began. Others may use the machine, and
the servers are on it, so the ratios count, not the times: what is compared takes turns in one run.
"""


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.storage", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument(
        "--tpe", type=int, default=None, help="trials of the TPE study (300, with --quick 50)"
    )
    parser.add_argument("--fleet", action="store_true", help="simulate 1,000 workers too")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part; may be repeated")
    arguments = parser.parse_args()
    chosen = set(arguments.only or PARTS) - (
        {"fleet"} if not arguments.fleet and not arguments.only else set()
    )
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    _introduce()
    for part in PARTS:
        if part in chosen:
            _run(part, quick=arguments.quick, tpe=arguments.tpe)


def _introduce() -> None:
    say(
        INTRODUCTION.format(
            machine=platform.machine(),
            cores=os.cpu_count(),
            python=platform.python_version(),
            load=os.getloadavg()[0],
        )
    )


def _run(part: str, *, quick: bool, tpe: int | None) -> None:
    """Run one part."""
    match part:
        case "costs":
            costs.run(rounds=4 if quick else 25)
        case "load":
            load.run(trials=1_600 if quick else 16_000)
        case "growth":
            growth.run(many=10_000 if quick else 100_000, rounds=5 if quick else 30)
        case "search":
            search.run(tpe or (50 if quick else 300))
        case "fleet":
            fleet.run(seconds=2.0 if quick else 10.0)


if __name__ == "__main__":
    main()
