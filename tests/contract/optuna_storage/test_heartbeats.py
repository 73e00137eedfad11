"""Heartbeats: trials of a process that died are failed and can run again, whoever runs them and whoever looks."""

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.trial import TrialState
from sqlalchemy import create_engine, make_url, text

from hpsearch.storage import open_storage
from tests.contract.laboratory import Lab, stock_storage

Labs = Callable[..., Lab]

LONG_AGO: Final = "2001-01-01 00:00:00"

KILLED: Final = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import optuna
from hpsearch.storage import open_storage

url, name, client = sys.argv[1:]
opened = open_storage if client == "hpsearch" else optuna.storages.RDBStorage
study = optuna.load_study(study_name=name, storage=opened(url, heartbeat_interval=60))

def die(trial):
    trial.suggest_float("x", 0, 1)
    while not read.execute(beats, {"i": trial._trial_id}).scalar():
        pass
    os.kill(os.getpid(), signal.SIGKILL)

from sqlalchemy import create_engine, text
beats = text("SELECT count(*) FROM trial_heartbeats WHERE trial_id = :i")
read = create_engine(url, isolation_level="AUTOCOMMIT").connect()
study.optimize(die, n_trials=1)
"""


def opened_by(client: str, url: str, **options: Any) -> Any:
    """Return a storage with heartbeats of hpsearch or of Optuna itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return (open_storage if client == "hpsearch" else stock_storage)(
            url, heartbeat_interval=1, grace_period=3600, **options
        )


@contextmanager
def closing(storage: Any) -> Iterator[Any]:
    """Provide a storage and close it."""
    yield storage
    storage.remove_session()
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()


def run(url: str, statement: str, **values: Any) -> list[Any]:
    """Run a statement on the database, outside any client."""
    engine = create_engine(make_url(url))
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        rows = list(result) if result.returns_rows else []
    engine.dispose()
    return rows


def let_die(url: str, trial_id: int) -> None:
    """Age a trial's last heartbeat."""
    run(url, "UPDATE trial_heartbeats SET heartbeat = :t WHERE trial_id = :i", t=LONG_AGO, i=trial_id)


@pytest.fixture(params=["hpsearch", "stock"])
def client(request: pytest.FixtureRequest) -> str:
    """Provide each client in turn."""
    chosen: str = request.param
    return chosen


@pytest.mark.parametrize(
    ("client", "looker"), [("hpsearch", "hpsearch"), ("hpsearch", "stock"), ("stock", "hpsearch")]
)
def test_a_killed_trial_is_failed_and_waits_again(
    url: str, storage: BaseStorage, client: str, looker: str, study_id: int
) -> None:
    """Whichever client ran the trial that was killed, and whichever looks: it fails once, and its retry waits."""
    name = storage.get_study_name_from_id(study_id)
    subprocess.run([sys.executable, "-W", "error", "-c", KILLED, url, name, client], check=False, timeout=120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        retry = RetryHeartbeatStaleTrialCallback(max_retry=1)
        with closing(opened_by(looker, url, heartbeat_stale_trial_callback=retry)) as mine:
            study = optuna.load_study(study_name=name, storage=mine)
            (trial,) = study.get_trials()
            fail_stale_trials(study)
            assert [t.state for t in study.get_trials()] == [TrialState.RUNNING]
            let_die(url, trial._trial_id)
            fail_stale_trials(study)
            fail_stale_trials(study)
            failed, waiting = study.get_trials()
            assert (failed.state, waiting.state) == (TrialState.FAIL, TrialState.WAITING)
            assert waiting.params == trial.params
            assert retry.retried_trial_number(waiting) == 0


@pytest.mark.parametrize(
    ("client", "other_client"), [("hpsearch", "hpsearch"), ("hpsearch", "stock"), ("stock", "hpsearch")]
)
def test_a_heartbeat_reaches_the_others(
    url: str, storage: BaseStorage, client: str, other_client: str, study_id: int
) -> None:
    """A trial whose heartbeats continue is unchanged, for any writer and reader; so is one without heartbeats."""
    with closing(opened_by(client, url)) as mine, closing(opened_by(other_client, url)) as other:
        trial_id, silent = mine.create_new_trial(study_id), mine.create_new_trial(study_id)
        mine.record_heartbeat(trial_id)
        let_die(url, trial_id)
        assert other._get_stale_trial_ids(study_id) == [trial_id]
        mine.record_heartbeat(trial_id)
        assert other._get_stale_trial_ids(study_id) == []
        assert silent != trial_id


def test_what_a_worker_holds_is_never_stale(new_lab: Labs, client: str) -> None:
    """No client fails a trial that a worker of ours holds, also if it once ran it itself and its heartbeats stopped."""
    lab = new_lab()
    lab.stock().enqueue_trial({})
    study_id = lab.study.study_id
    (waiting,) = run(lab.url, "SELECT trial_id FROM trials WHERE study_id = :i", i=study_id)
    with closing(opened_by(client, lab.url)) as mine:
        mine.record_heartbeat(waiting.trial_id)
        let_die(lab.url, waiting.trial_id)
        claims = lab.claim(2)
        assert waiting.trial_id in {claim.trial_id for claim in claims}
        study = optuna.load_study(study_name=lab.study.spec.name, storage=mine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(study)
        assert [trial.state for trial in study.get_trials()] == [TrialState.RUNNING] * 2


def test_a_lease_counts_for_more_than_a_heartbeat(new_lab: Labs) -> None:
    """Our storage leaves a leased trial to its lease, whatever its heartbeat."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    with closing(opened_by("hpsearch", lab.url)) as mine:
        mine.record_heartbeat(claim.trial_id)
        let_die(lab.url, claim.trial_id)
        assert mine._get_stale_trial_ids(lab.study.study_id) == []
        lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="x", crashed=False)


def test_workers_leave_the_trials_of_others_alone(new_lab: Labs, client: str) -> None:
    """A trial with a heartbeat that another client runs is not swept by our workers, and keeps its place."""
    lab = new_lab()
    with closing(opened_by(client, lab.url)) as mine:
        trial_id = mine.create_new_trial(lab.study.study_id)
        mine.record_heartbeat(trial_id)
        lab.store.queue.sweep(lab.study)
        lab.store.queue.sweep_all()
        assert trial_id not in {claim.trial_id for claim in lab.claim(3)}
        assert mine.get_trial(trial_id).state is TrialState.RUNNING


def test_only_a_trial_has_a_heart(storage: BaseStorage) -> None:
    """A heartbeat for a missing trial is an error, on every database."""
    assert isinstance(storage, BaseHeartbeat)
    with pytest.raises(KeyError, match="there is no such trial"):
        storage.record_heartbeat(2_000_000_000)


def test_heartbeats_go_with_their_study(url: str, storage: BaseStorage) -> None:
    """Deleting a study deletes its heartbeats, which a later trial of the same id would inherit."""
    assert isinstance(storage, BaseHeartbeat)
    study = optuna.create_study(study_name=f"optuna-{uuid4().hex}", storage=storage)
    trial_id = study.ask()._trial_id
    storage.record_heartbeat(trial_id)
    storage.record_heartbeat(trial_id)
    there = "SELECT count(*) FROM trial_heartbeats WHERE trial_id = :i"
    assert [tuple(row) for row in run(url, there, i=trial_id)] == [(1,)]
    optuna.delete_study(study_name=study.study_name, storage=storage)
    assert [tuple(row) for row in run(url, there, i=trial_id)] == [(0,)]


def test_without_an_interval_there_are_no_heartbeats(storage: BaseStorage, study_id: int) -> None:
    """As in Optuna, a storage without an interval neither gives heartbeats nor fails anything."""
    assert isinstance(storage, BaseHeartbeat)
    assert storage.get_heartbeat_interval() is None
    assert storage._get_stale_trial_ids(study_id) == []
