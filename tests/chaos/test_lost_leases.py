"""A worker that was stopped for longer than its lease finds its trials taken, and can write none of them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.chaos import campaign, laws
from tests.chaos.calamities import Scene
from tests.chaos.campaign import Campaign
from tests.chaos.cluster import Cluster
from tests.chaos.crew import VOID, Hand
from tests.chaos.ground import Ground, Plan, Result
from tests.chaos.waiting import wait_until


@contextmanager
def scene_of(dialect: str, request: pytest.FixtureRequest, plan: Plan) -> Iterator[Scene]:
    """Give two workers at work, with leases of one second."""
    folder: Path = request.getfixturevalue("tmp_path")
    calm = Campaign(plan=plan, workers=2, seed=1, every_s=1.0, calamities_s=0.0, lease_s=1.0, rows=3)
    if dialect == "sqlite":
        with campaign.on_sqlite(calm, folder) as scene:
            yield scene
        return
    cluster: Cluster = request.getfixturevalue("cluster")
    with campaign.on_postgresql(calm, folder, cluster) as scene:
        yield scene


def stands(sleeper: Hand, ground: Ground) -> bool:
    """Stop a worker that holds trials; return True if it still does and is not in the middle of a write."""
    if not ground.held_by(sleeper.name):
        return False
    sleeper.freeze()
    if ground.held_by(sleeper.name) and not ground.is_blocked_by(sleeper.name):
        return True
    sleeper.thaw()
    return False


def tokens(ground: Ground, worker: str) -> dict[int, int]:
    """Return number -> token of the trials that a worker holds."""
    with ground.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT number, token FROM hpsearch_trials WHERE worker = :worker AND lease_until IS NOT NULL"
            ),
            {"worker": worker},
        )
        return {row.number: row.token for row in rows}


def tokens_now(ground: Ground, numbers: Sequence[int]) -> dict[int, int]:
    """Return number -> the token that opens the trial now, or opened it last."""
    with ground.connect() as connection:
        rows = connection.execute(text("SELECT number, token FROM hpsearch_trials"))
        return {row.number: row.token for row in rows if row.number in numbers}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_worker_that_comes_back_too_late_writes_nothing(
    dialect: str,
    request: pytest.FixtureRequest,
    plan: Callable[..., Plan],
    expected: Callable[[Plan], Sequence[Result]],
) -> None:
    """It tries to, gets its trials reported as lost, and claims others."""
    chosen = plan(trials=18)
    with scene_of(dialect, request, chosen) as scene:
        ground, crew = scene.ground, scene.crew
        sleeper = crew.hands[0]
        wait_until(lambda: stands(sleeper, ground), "the worker stands still with its trials")
        held = tokens(ground, sleeper.name)
        wait_until(lambda: not ground.held_by(sleeper.name), "its leases run out and others sweep them")
        taken = tokens_now(ground, list(held))
        assert all(taken[number] != token for number, token in held.items())
        sleeper.thaw()
        wait_until(lambda: VOID in sleeper.said or not sleeper.is_alive, "the worker writes in vain")
        crew.dismiss()
        assert VOID in sleeper.said
        assert campaign.faults(crew) == []
        with ground.connect() as connection:
            lost = connection.execute(
                text("SELECT number, kind FROM hpsearch_attempts WHERE worker = :worker"),
                {"worker": sleeper.name},
            )
            kinds = {row.number: row.kind for row in lost}
            # It returned and reported that, unless that trial had ended by then.
            assert {kinds[number] for number in held} <= {"superseded", "lost", "expired"}
        laws.check(ground, expected(chosen))
