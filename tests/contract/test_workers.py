"""The registry: workers with their studies, lost workers, and requests to stop."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import optuna
import pytest
from sqlalchemy import make_url, update

from hpsearch.errors import WorkerNotFoundError
from hpsearch.storage import schema
from hpsearch.storage.engine import write_transaction
from hpsearch.storage.records import Beat, WorkerIdentity, WorkerRecord
from hpsearch.storage.store import Store, open_store
from hpsearch.storage.workers import FORGET_AFTER_S, LOST_AFTER_S
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab, stock_storage

Labs = Callable[..., Lab]


def an_identity(name: str | None = None) -> WorkerIdentity:
    """Return a worker of its own."""
    return WorkerIdentity(
        name=name or f"worker-{uuid4().hex}", host="node7", process_id=4711, version="0.1.0"
    )


def found(store: Store, name: str) -> WorkerRecord | None:
    """Return the worker of that name, if it is registered."""
    return next((worker for worker in store.workers.all() if worker.identity.name == name), None)


def silence(store: Store, name: str, *, for_s: float) -> None:
    """Make a worker look unseen for that long."""
    table = schema.workers
    with write_transaction(store._transactions.engine, durable=False) as connection:
        silent = update(table).where(table.c.worker == name)
        connection.execute(silent.values(seen=table.c.seen - for_s, started=table.c.started - for_s))


def test_a_worker_is_registered_as_it_says(store: Store) -> None:
    """A worker's identity is read back, with the database's times in UTC, and it holds nothing yet."""
    identity = an_identity()
    store.workers.register(identity)
    worker = found(store, identity.name)
    assert worker is not None
    assert (worker.identity, worker.is_lost, worker.should_stop, worker.running) == (
        identity,
        False,
        False,
        {},
    )
    assert worker.started <= worker.seen
    assert abs(worker.seen - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_worker_that_ends_is_gone(store: Store) -> None:
    """A worker that leaves is no longer listed, and leaving twice is not an error."""
    identity, other = an_identity(), an_identity()
    store.workers.register(identity)
    store.workers.register(other)
    for _ in range(2):
        store.workers.unregister(identity.name)
    assert found(store, identity.name) is None
    assert found(store, other.name) is not None


def test_a_worker_is_listed_with_what_it_trains(new_lab: Labs) -> None:
    """The registry counts the trials that a worker holds, by study; what has ended is not among them."""
    lab, second = new_lab(), new_lab()
    lab.store.workers.register(an_identity(lab.worker))
    claims = lab.claim(3)
    lab.assign(claims[:1])
    lab.end(claims[:1])
    lab.claim(1, worker="another")
    second.claim(2, worker=lab.worker)
    worker = found(lab.store, lab.worker)
    assert worker is not None
    assert worker.running == {lab.study.spec.name: 2, second.study.spec.name: 2}


def test_who_looks_at_the_workers_sweeps(new_lab: Labs) -> None:
    """A vanished worker's trials wait again as soon as a process lists the workers, in every study."""
    labs = [new_lab(), new_lab()]
    for lab in labs:
        lab.store.workers.register(an_identity(lab.worker))
        lab.claim(2, lease_s=-1.0)
    worker = found(labs[0].store, labs[0].worker)
    assert worker is not None
    assert worker.running == {}
    for lab in labs:
        assert {trial.state for trial in lab.store.trials.all(lab.study)} == {TrialState.WAITING}


def test_a_beat_renews_leases_and_is_seen(new_lab: Labs) -> None:
    """A heartbeat returns the number of renewed leases, of all studies, and records that the worker was seen."""
    lab, second = new_lab(), new_lab()
    identity = an_identity(lab.worker)
    lab.store.workers.register(identity)
    lab.claim(2)
    second.claim(1, worker=lab.worker)
    silence(lab.store, identity.name, for_s=LOST_AFTER_S + 1)
    lost = found(lab.store, identity.name)
    assert lost is not None
    assert lost.is_lost
    assert lab.store.queue.beat(identity, lease_s=-1.0) == Beat(leases=3, should_stop=False)
    seen = found(lab.store, identity.name)
    assert seen is not None
    assert not seen.is_lost
    assert seen.started == lost.started < seen.seen
    assert lab.store.studies.progress(lab.study).waiting == 2


def test_a_worker_hears_that_it_should_stop(store: Store) -> None:
    """A request reaches the worker that it names with its next beat, and no other; it may be made again."""
    identity, other = an_identity(), an_identity()
    store.workers.register(identity)
    store.workers.register(other)
    for _ in range(2):
        store.workers.request_stop(identity.name)
    asked = found(store, identity.name)
    assert asked is not None
    assert asked.should_stop
    assert store.queue.beat(identity, lease_s=30.0).should_stop
    assert not store.queue.beat(other, lease_s=30.0).should_stop


def test_a_worker_that_starts_again_is_not_asked_to_stop(store: Store) -> None:
    """A new worker of an old name replaces the old one, and inherits nothing."""
    identity = an_identity()
    store.workers.register(identity)
    store.workers.request_stop(identity.name)
    store.workers.register(identity)
    assert not store.queue.beat(identity, lease_s=30.0).should_stop
    assert sum(worker.identity == identity for worker in store.workers.all()) == 1


def test_a_worker_that_was_forgotten_enters_again(store: Store) -> None:
    """Lost workers are forgotten after a day; one that lives is back with its next beat."""
    identity, lost = an_identity(), an_identity()
    for worker in (identity, lost):
        store.workers.register(worker)
        silence(store, worker.name, for_s=FORGET_AFTER_S + 1)
    store.workers.register(an_identity())
    assert found(store, identity.name) is None
    assert found(store, lost.name) is None
    assert store.queue.beat(identity, lease_s=30.0) == Beat(leases=0, should_stop=False)
    assert found(store, identity.name) is not None


def test_workers_are_listed_by_their_start(store: Store) -> None:
    """The earliest started are first."""
    names = []
    for seconds in (0.0, 200.0, 100.0):
        identity = an_identity()
        store.workers.register(identity)
        silence(store, identity.name, for_s=seconds)
        names.append(identity.name)
    listed = [worker.identity.name for worker in store.workers.all() if worker.identity.name in names]
    assert listed == [names[1], names[2], names[0]]


def test_an_unknown_worker_gets_the_nearest_names(fresh_url: str) -> None:
    """A name that is not there is refused with those that are like it, or with where to look."""
    with open_store(fresh_url) as store:
        store.workers.register(an_identity("node7-4711-9f3c"))
        with pytest.raises(WorkerNotFoundError) as caught:
            store.workers.request_stop("node7-4711")
        assert str(caught.value) == (
            'worker "node7-4711": there is no such worker: did you mean node7-4711-9f3c?'
        )
        with pytest.raises(WorkerNotFoundError) as caught:
            store.workers.request_stop("zzz")
        assert str(caught.value) == (
            'worker "zzz": there is no such worker: `hpsearch worker list` lists the workers'
        )


def test_a_database_of_other_clients_has_no_workers(fresh_url: str) -> None:
    """Without tables of ours, a request to stop a worker names the database, and creates nothing."""
    optuna.create_study(storage=(storage := stock_storage(fresh_url)))
    shown = make_url(fresh_url).render_as_string()
    with open_store(fresh_url, foreign=True) as store, pytest.raises(WorkerNotFoundError) as caught:
        store.workers.request_stop("node7")
    assert str(caught.value) == (
        f'worker "node7": there is no such worker: {shown} has never had any, check the URL'
    )
    storage.remove_session()
    storage.engine.dispose()
