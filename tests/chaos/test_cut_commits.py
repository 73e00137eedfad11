"""A worker that is cut off in the middle of a commit, of each of its commits in turn: done or not, it counts once."""

from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

import pytest

from hpsearch.storage.store import open_store
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.shutdown import StopRequest
from tests.chaos import laws
from tests.chaos.cluster import Cluster
from tests.chaos.ground import Ground, Plan
from tests.chaos.proxy import Cut, Proxy

PLAN: Final = Plan(trials=4, epochs=2)
NAME: Final = "alone"
ROWS: Final = 3
LEASE_S: Final = 600.0
"""Long enough that no lease expires during the test."""

LEAST_COMMITS: Final = 6
"""Two claims, two assignments, and twice the ends of trials."""

NEVER: Final = 10**6
AT_ONCE: Final = 6


@final
class Bench:
    """Studies, each in a database of its own, that a worker in this process trains to their ends."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._prepared: PreparedStudy = prepare_study(PLAN.spec)
        self._template = cluster.new_database()
        Ground(cluster.url(self._template), PLAN).close()

    def train(self, where: Cut, *, after: int) -> tuple[Ground, int]:
        """Train a study, one commit cut after so many others; return its ground, and how many commits there were."""
        database = self._cluster.new_database(like=self._template)
        ground = Ground(self._cluster.url(database), PLAN)
        with Proxy(self._cluster.port) as proxy:
            url = f"{self._cluster.url(database, port=proxy.port)}?application_name={NAME}"
            options = WorkerOptions(name=NAME, rows=ROWS, lease_s=LEASE_S)
            with open_store(url) as store:
                worker = Worker(store, ground.study, self._prepared.data, options=options, stop=StopRequest())
                begun = proxy.commits
                proxy.cut_commit(where, after=after)
                worker.run()
            return ground, proxy.commits - begun


@pytest.mark.parametrize("where", ["before", "after"])
def test_every_commit_may_be_cut(where: Cut, cluster: Cluster) -> None:
    """Whichever of a worker's commits is cut, it continues by itself and the study has the undisturbed results."""
    bench = Bench(cluster)
    ground, commits = bench.train(where, after=NEVER)
    undisturbed = ground.results()
    ground.close()
    assert commits >= LEAST_COMMITS

    def cut(after: int) -> None:
        ground, _ = bench.train(where, after=after)
        laws.check(ground, undisturbed)
        ground.close()

    # Most of the time is spent in waiting for a database that seems to be gone.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(cut, range(commits)))
