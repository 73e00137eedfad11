"""A database that is restored to an older state under its workers: writes to trials they lost are refused."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tests.chaos import campaign, laws
from tests.chaos.campaign import Campaign
from tests.chaos.cluster import Cluster
from tests.chaos.ground import Plan, Result
from tests.chaos.waiting import wait_until

Expected = Callable[[Plan], Sequence[Result]]

KEPT = 4
"""Minimum number of finished trials in the restored state."""

SINCE = 6
"""Minimum number of trials finished after that until the restoration: more than any worker holds."""


def calm(plan: Plan) -> Campaign:
    """Return two workers to whom nothing happens but the restoration."""
    return Campaign(plan=plan, workers=2, seed=1, every_s=1.0, calamities_s=0.0, lease_s=1.0, rows=3)


def test_a_restored_server(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan], expected: Expected
) -> None:
    """Workers continue from a restored server's state, and end the study as if it had never been ahead."""
    chosen = plan()
    with campaign.on_postgresql(calm(chosen), tmp_path, cluster) as scene:
        ground, crew = scene.ground, scene.crew
        wait_until(lambda: ground.finished() >= KEPT, "the study is under way")
        cluster.stop("fast")
        state = cluster.keep_state()
        cluster.start()
        before = ground.finished()
        wait_until(lambda: ground.finished() >= before + SINCE, "the study goes on")
        cluster.stop("fast")
        cluster.restore_state(state)
        cluster.start()
        assert ground.finished() < before + SINCE
        crew.dismiss()
        assert campaign.faults(crew) == []
        laws.check(ground, expected(chosen))


def test_a_restored_file(tmp_path: Path, plan: Callable[..., Plan], expected: Expected) -> None:
    """They do the same if an SQLite database is overwritten by its backup, as `.restore` of its shell does it."""
    chosen = plan(sampler="qmc")
    with campaign.on_sqlite(calm(chosen), tmp_path) as scene:
        ground, crew = scene.ground, scene.crew
        file, backup = ground.engine.url.database or "", tmp_path / "backup.db"
        wait_until(lambda: ground.finished() >= KEPT, "the study is under way")
        with closing(sqlite3.connect(file)) as live, closing(sqlite3.connect(backup)) as copy:
            live.backup(copy)
            (before,) = copy.execute(
                "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
            ).fetchone()
            wait_until(lambda: ground.finished() >= before + SINCE, "the study goes on")
            copy.backup(live)
        crew.dismiss()
        assert campaign.faults(crew) == []
        laws.check(ground, expected(chosen))
