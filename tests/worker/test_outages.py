"""A database that becomes unavailable during work: restarted, or cut off during a commit."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store
from hpsearch.worker.heartbeat import Heartbeat
from hpsearch.worker.shutdown import StopRequest
from tests.chaos.cluster import Cluster, find_program
from tests.chaos.proxy import Cut, Proxy
from tests.chaos.waiting import wait_until
from tests.contract.laboratory import FINGERPRINT, a_spec
from tests.worker.bench import SPEC, Bench, numbers_of

LEASE_S = 0.9
ANN = WorkerIdentity(name="ann", host="node7", process_id=4711, version="0.1.0")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Yield a private PostgreSQL server; without one skip the test, or fail it if servers are required."""
    if find_program("initdb") is None:
        if os.environ.get("HPSEARCH_REQUIRE_SERVERS") == "1":
            pytest.fail("PostgreSQL is not installed")
        pytest.skip("PostgreSQL is not installed")
    with (
        tempfile.TemporaryDirectory(prefix="hpsearch-outages-", dir="/tmp") as folder,
        Cluster(Path(folder)) as made,
    ):
        yield made


def test_the_heartbeat_continues_after_a_restart(cluster: Cluster) -> None:
    """After a restart of the server leases are renewed and the worker is seen again, without intervention."""
    with open_store(cluster.url(cluster.new_database())) as store:
        study = store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        claims = store.queue.claim(study, worker="ann", count=2, lease_s=600.0)
        tokens = [claim.token for claim in claims]
        with Heartbeat(store, identity=ANN, lease_s=LEASE_S, tokens=lambda: tokens, stop=StopRequest()):
            cluster.stop("fast")
            # Only the heartbeat connects while the server is gone: a beat has failed.
            with socket.create_server(("127.0.0.1", cluster.port)) as listener:
                listener.settimeout(60)
                listener.accept()[0].close()
            cluster.start()
            (behind,) = store.workers.all()
            wait_until(lambda: store.workers.all()[0].seen > behind.seen, "the heart beats again")
            # Its leases of 600 s are of 0.9 s now, and are renewed.
            assert store.queue.sweep(study) == []
        wait_until(lambda: store.queue.sweep(study) == [0, 1], "the leases run out behind the last beat")
        assert store.workers.all() == []


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_claim_without_an_answer_is_repeated(cluster: Cluster, where: Cut, tmp_path: Path) -> None:
    """Claims that lose their connection during the commit leave no stray trial, committed or not.

    The study ends with the results of an undisturbed worker, to the last bit.
    """
    name = cluster.new_database()
    with Proxy(cluster.port) as proxy:
        bench = Bench(cluster.url(name), through=cluster.url(name, port=proxy.port))
        armed = iter(["claim"] * 3)

        def arm() -> bool:
            # The next commit is the claim's.
            if next(armed, None) is not None:
                proxy.cut_commit(where)
            return False

        messages: list[str] = []
        bench.worker("ann", should_yield=arm, notify=messages.append).run()
        assert proxy.cuts == 3
    progress = bench.progress()
    assert (progress.finished, progress.running, progress.waiting) == (SPEC.trials, 0, 0)
    assert ["in the middle of a commit" in line for line in messages] == [True] * 3
    histories = [bench.store.trials.attempts(bench.study, number) for number in range(SPEC.trials)]
    whys = {attempt.why for history in histories for attempt in history}
    assert whys == ({"the claim's answer was lost"} if where == "after" else set())
    assert not any(attempt.crashed for history in histories for attempt in history)
    quiet = Bench(f"sqlite:///{tmp_path}/quiet.db")
    quiet.worker("bob").run()
    assert [numbers_of(trial) for trial in bench.trials()] == [numbers_of(trial) for trial in quiet.trials()]
    bench.close()
