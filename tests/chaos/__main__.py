"""The large campaign: `python -m tests.chaos --workers 8 --trials 400 --minutes 5 --seed 1 --database postgresql`.

It prints its actions and a verdict per law, and ends with exit code 1 if one is broken.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.chaos import audit, campaign, laws, strangers
from tests.chaos.calamities import Scene
from tests.chaos.campaign import Account, Campaign
from tests.chaos.cluster import Cluster
from tests.chaos.ground import Ground, Plan, Result, undisturbed
from tests.chaos.strangers import Visit


def main() -> int:
    """Run the campaign of the command line and return the exit code."""
    chosen = _parser().parse_args()
    with audit.named_connections(audit.OURSELVES):
        return _run(chosen)


def _run(chosen: argparse.Namespace) -> int:
    plan = Plan(trials=chosen.trials, sampler=chosen.sampler, epochs=chosen.epochs)
    hard = Campaign(
        plan=plan,
        workers=chosen.workers,
        seed=chosen.seed,
        every_s=chosen.every,
        calamities_s=60 * chosen.minutes,
        outage_s=chosen.outage,
        finish_s=60 * (chosen.minutes + 5),
    )
    with tempfile.TemporaryDirectory(prefix="hpsearch-chaos-", dir="/tmp") as folder:
        _say(f"one undisturbed worker: {chosen.trials} trials ({chosen.sampler}, {chosen.epochs} epochs)")
        expected = undisturbed(plan, Path(folder), within_s=hard.finish_s)
        if chosen.strangers:
            return _visited(chosen, plan, Path(folder), expected)
        _say(f"{chosen.workers} workers on {chosen.database}, seed {chosen.seed}")
        with _scene(hard, Path(folder), chosen.database) as scene:
            account = campaign.run(hard, scene, tell=_say)
            _report(account)
            broken = laws.breaches(scene.ground, expected)
            broken["no worker ended by itself with work left to do"] = account.faults
    return _judged(broken)


def _visited(chosen: argparse.Namespace, plan: Plan, folder: Path, expected: Sequence[Result]) -> int:
    _say(f"{chosen.workers} workers and {chosen.strangers} strangers, seed {chosen.seed}")
    visit = Visit(
        plan=plan,
        workers=chosen.workers,
        seed=chosen.seed,
        strangers=chosen.strangers,
        seconds=60 * chosen.minutes,
        finish_s=60 * (chosen.minutes + 5),
    )
    ground = Ground(f"sqlite:///{folder}/chaos.db", plan)
    try:
        deeds, broken = strangers.run(visit, ground, folder, expected)
        for name, count in sorted(deeds.items()):
            _say(f"  {name} {count}")
        return _judged(broken)
    finally:
        ground.close()


def _judged(broken: Mapping[str, Sequence[str]]) -> int:
    for name, found in broken.items():
        _say(f"{'BROKEN' if found else 'kept  '}  {name}")
        for line in found[:10]:
            _say(f"          {line}")
    return 1 if any(broken.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--database", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=60, help="of each trial (default 60)")
    parser.add_argument("--sampler", choices=["random", "qmc"], default="random")
    parser.add_argument("--minutes", type=float, default=5, help="how long calamities happen (default 5)")
    parser.add_argument("--every", type=float, default=2, help="seconds between them, about (default 2)")
    parser.add_argument("--outage", type=float, default=30, help="seconds of an outage (default 30)")
    parser.add_argument(
        "--strangers", type=int, default=0, help="stock Optuna clients, on SQLite, in place of calamities"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser


@contextmanager
def _scene(hard: Campaign, folder: Path, database: str) -> Iterator[Scene]:
    with ExitStack() as stack:
        if database == "sqlite":
            yield stack.enter_context(campaign.on_sqlite(hard, folder))
        else:
            server = stack.enter_context(tempfile.TemporaryDirectory(prefix="hpsearch-postgres-", dir="/tmp"))
            cluster = stack.enter_context(Cluster(Path(server)))
            yield stack.enter_context(campaign.on_postgresql(hard, folder, cluster))


def _report(account: Account) -> None:
    _say(
        f"done after {account.seconds:.0f} s; {account.started} workers started; "
        f"{account.void} times a worker found its trials taken from it; {account.cuts} commits cut"
    )
    for name, count in sorted(account.happened.items()):
        _say(f"  {name} {count}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
