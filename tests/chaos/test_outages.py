"""A database that is away for longer than leases run: workers wait for it and continue."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos import campaign, laws
from tests.chaos.calamities import cancel, fail_over, silence
from tests.chaos.campaign import Campaign
from tests.chaos.cluster import Cluster
from tests.chaos.crew import REPOSITORY
from tests.chaos.ground import STUDY, Ground, Plan, Result
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import GIVE_UP_S, let_pass, wait_until

OUTAGE_S = 3.0
STOP_WITHIN_S = 12.0
"""10 s, and a margin for a busy machine."""

LEASE_S = 1.0
BEGUN = 4

Expected = Callable[[Plan], Sequence[Result]]


def go_away(cluster: Cluster) -> None:
    """Let the server be away for a while, as after a crash."""
    cluster.stop("crash")
    let_pass(OUTAGE_S)
    cluster.start()


def test_workers_wait_for_their_database(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan], expected: Expected
) -> None:
    """No worker ends because its database is away for three times as long as a lease, and nothing is lost."""
    chosen = plan(trials=16)
    calm = Campaign(plan=chosen, workers=2, seed=1, every_s=1.0, calamities_s=0.0, lease_s=LEASE_S, rows=3)
    with campaign.on_postgresql(calm, tmp_path, cluster) as scene:
        wait_until(lambda: scene.ground.finished() >= BEGUN, "the study is under way")
        go_away(cluster)
        scene.crew.dismiss()
        assert [hand.popen.returncode for hand in scene.crew.everybody] == [0, 0], [
            hand.said for hand in scene.crew.everybody
        ]
        laws.check(scene.ground, expected(chosen))


def test_workers_live_through_what_cuts_nothing(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan], expected: Expected
) -> None:
    """Lines that fall silent, cancelled statements and a failover to read-only and back end no worker."""
    chosen = plan(trials=16)
    calm = Campaign(plan=chosen, workers=2, seed=1, every_s=1.0, calamities_s=0.0, outage_s=2.0, rows=3)
    with campaign.on_postgresql(calm, tmp_path, cluster) as scene:
        wait_until(lambda: scene.ground.finished() >= BEGUN, "the study is under way")
        for calamity in (cancel, silence, fail_over):
            assert calamity(scene) is not None
        scene.crew.dismiss()
        assert [hand.popen.returncode for hand in scene.crew.everybody] == [0, 0], [
            hand.said for hand in scene.crew.everybody
        ]
        laws.check(scene.ground, expected(chosen))


@contextmanager
def run_of(ground: Ground, folder: Path, *, url: str | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Give `hpsearch study run` on a stored study, with two workers of its own, perhaps over another line."""
    environment = {
        **os.environ,
        "HPSEARCH_STORAGE": url or ground.url,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "hpsearch", "study", "run", STUDY, "--workers", "2", "--cohort", "3"]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_run_waits_for_its_database(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan], expected: Expected
) -> None:
    """`study run` lives through the same, with its workers, and ends as if nothing had happened."""
    chosen = plan(trials=16)
    ground = Ground(cluster.url(cluster.new_database()), chosen)
    with run_of(ground, tmp_path) as process:
        wait_until(lambda: ground.finished() >= BEGUN, "the study is under way")
        go_away(cluster)
        _, said = process.communicate(timeout=GIVE_UP_S)
        assert process.returncode == 0, said
    # The workers of a run do not tell the server their names.
    laws.check(ground, expected(chosen), knows_writers=False)
    ground.close()


def test_a_run_that_is_stopped_ends_although_its_database_is_silent(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan]
) -> None:
    """SIGTERM ends `study run` within 10 s over a line that drops all data, and no worker remains."""
    database = cluster.new_database()
    ground = Ground(cluster.url(database), plan())
    with (
        Proxy(cluster.port) as proxy,
        run_of(ground, tmp_path, url=cluster.url(database, port=proxy.port)) as run,
    ):
        wait_until(lambda: ground.finished() >= 1, "the study is under way")
        workers = [record.identity.process_id for record in ground.store.workers.all()]
        proxy.fall_silent()
        began = time.monotonic()
        run.terminate()
        _, said = run.communicate(timeout=GIVE_UP_S)
        assert time.monotonic() - began < STOP_WITHIN_S
        assert run.returncode == 130
        assert "Stopped. Run the same command again to continue." in said
        wait_until(lambda: not any(Path(f"/proc/{number}").exists() for number in workers), "its workers end")
    ground.close()
