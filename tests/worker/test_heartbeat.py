"""The heartbeat: a working worker is registered, keeps its leases and receives requests."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from hpsearch.storage.engine import read_transaction
from hpsearch.storage.records import StoredStudy, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from hpsearch.worker.heartbeat import Heartbeat
from hpsearch.worker.shutdown import StopRequest
from tests.chaos.waiting import wait_until
from tests.contract.laboratory import FINGERPRINT, a_spec

LEASE_S = 0.6
ANN = WorkerIdentity(name="ann", host="node7", process_id=4711, version="0.1.0")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield a database used by this test only."""
    with open_store(f"sqlite:///{tmp_path}/heart.db") as opened:
        yield opened


@pytest.fixture
def study(store: Store) -> StoredStudy:
    """Return a study in the database."""
    return store.studies.create(a_spec(), fingerprint=FINGERPRINT)


def heart(
    store: Store, *, tokens: Callable[[], Collection[int]] = tuple, stop: StopRequest | None = None
) -> Heartbeat:
    """Return Ann's heartbeat, for the claims with those tokens."""
    return Heartbeat(store, identity=ANN, lease_s=LEASE_S, tokens=tokens, stop=stop or StopRequest())


def lease_until_s(store: Store) -> float:
    """Return the expiry of the lease of trial 0."""
    with read_transaction(store._transactions.engine) as connection:
        found = connection.execute(text("SELECT lease_until FROM hpsearch_trials WHERE number = 0"))
        until_s: float = found.scalar_one()
        return until_s


def names(store: Store) -> list[str]:
    """Return the registered workers."""
    return [worker.identity.name for worker in store.workers.all()]


def test_a_worker_is_registered_during_its_heartbeat(store: Store) -> None:
    """The registry has the worker inside the context, and not after any kind of exit."""
    assert names(store) == []
    with heart(store):
        assert names(store) == ["ann"]
    assert names(store) == []

    def fail() -> None:
        with heart(store):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(store) == []


def test_the_heartbeat_renews_leases(store: Store, study: StoredStudy) -> None:
    """A trial stays its worker's after the first lease has expired, and the worker is recorded as seen."""
    held: list[int] = []
    with heart(store, tokens=lambda: held):
        (before,) = store.workers.all()
        held += [claim.token for claim in store.queue.claim(study, worker="ann", count=1, lease_s=LEASE_S)]
        first_s = lease_until_s(store)
        wait_until(lambda: lease_until_s(store) > first_s + LEASE_S, "the lease is renewed")
        assert store.queue.sweep(study) == []
        assert store.workers.all()[0].seen > before.seen
    wait_until(lambda: store.queue.sweep(study) == [0], "the lease runs out behind the last beat")
    assert store.trials.get(study, 0).state is TrialState.WAITING


def test_a_remote_request_to_stop_reaches_the_worker(store: Store) -> None:
    """A worker that is asked to stop through the database stops."""
    stop = StopRequest()
    with heart(store, stop=stop):
        store.workers.request_stop("ann")
        wait_until(lambda: stop.is_requested, "the worker hears of it")
    assert (stop.signal, stop.exit_code) == (None, 0)


def test_a_heartbeat_registers_a_removed_worker(store: Store) -> None:
    """A worker that was removed from the registry is registered again by its next heartbeat."""
    with heart(store):
        store.workers.unregister("ann")
        wait_until(lambda: names(store) == ["ann"], "the worker is registered again")


def test_only_leases_with_a_known_token_are_renewed(store: Store, study: StoredStudy) -> None:
    """A claim that the worker never received goes back when its lease expires, despite heartbeats."""
    with heart(store):
        store.queue.claim(study, worker="ann", count=1, lease_s=LEASE_S)
        wait_until(lambda: store.queue.sweep(study) == [0], "the lease runs out")


def test_an_error_in_the_heartbeat_ends_the_worker(store: Store) -> None:
    """The worker is asked to stop, and the error is raised at the end of the context."""
    stop = StopRequest()

    def broken() -> list[int]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), heart(store, tokens=broken, stop=stop):
        wait_until(lambda: stop.is_requested, "the worker is asked to stop")
