"""A server that goes away for a while, closes connections, or is cut off in the middle of a commit."""

import threading
from collections.abc import Iterator
from typing import Literal

import pytest
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import TrialState
from sqlalchemy import make_url

from hpsearch.errors import StorageError
from hpsearch.storage import open_storage
from tests.contract.optuna_storage.everything import has_everything, set_everything
from tests.contract.optuna_storage.proxy import Proxy

AWAY_S = 1.0
PORTS = {"postgresql": 5432, "mariadb": 3306}
COMMIT = {"postgresql": b"COMMIT\0", "mariadb": b"\3COMMIT"}


@pytest.fixture
def proxy(dialect: str, url: str) -> Iterator[Proxy]:
    """Provide a way to the server that can be cut."""
    if dialect == "sqlite":
        pytest.skip("SQLite has no server")
    with Proxy(port=make_url(url).port or PORTS[dialect], commit=COMMIT[dialect]) as opened:
        yield opened


@pytest.fixture
def far(url: str, proxy: Proxy) -> Iterator[BaseStorage]:
    """Provide a storage that connects through the proxy."""
    behind = make_url(url).set(host="127.0.0.1", port=proxy.at)
    opened = open_storage(behind.render_as_string(hide_password=False))
    yield opened
    opened.remove_session()


def test_calls_wait_for_a_server_that_is_away(
    far: BaseStorage, proxy: Proxy, storage: BaseStorage, study_id: int
) -> None:
    """Every kind of call, made while the server is away for a while, does its work when the server is back."""
    trial_id = far.create_new_trial(study_id)
    set_everything(far, trial_id)
    for call in (
        lambda: far.get_trial(trial_id),
        lambda: far.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5]),
        lambda: far.get_all_trials(study_id),
        lambda: far.create_new_trial(study_id),
        lambda: far.set_study_user_attr(study_id, "key", 1),
        lambda: far.get_study_user_attrs(study_id),
    ):
        back = threading.Timer(AWAY_S, proxy.start)
        proxy.stop()
        back.start()
        call()
        back.join()
    complete, running = storage.get_all_trials(study_id)
    assert (complete.state, complete.value, running.state) == (TrialState.COMPLETE, 0.5, TrialState.RUNNING)
    assert has_everything(complete)
    assert storage.get_study_user_attrs(study_id) == {"key": 1}


def test_a_connection_that_the_server_closed_costs_nothing(
    far: BaseStorage, proxy: Proxy, stock: RDBStorage, study_id: int
) -> None:
    """After an unnoticed restart of the server the next call works, and the buffer is written."""
    trial_id = far.create_new_trial(study_id)
    set_everything(far, trial_id)
    proxy.stop()
    proxy.start()
    far.remove_session()
    assert has_everything(stock.get_trial(trial_id))


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_to_a_commit_does_not_end_a_trial_twice(
    far: BaseStorage, proxy: Proxy, storage: BaseStorage, study_id: int, cut: Literal["before", "after"]
) -> None:
    """A connection that is cut before or after the server commits the end of a trial: it ends, once, whole."""
    trial_id = far.create_new_trial(study_id)
    set_everything(far, trial_id)
    proxy.cut = cut
    assert far.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    assert proxy.cut != cut
    (trial,) = storage.get_all_trials(study_id)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert has_everything(trial)


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_to_a_new_trial_is_an_error(
    far: BaseStorage, proxy: Proxy, storage: BaseStorage, study_id: int, cut: Literal["before", "after"]
) -> None:
    """If it is unknown whether a trial was created, the call raises, and no second one is created."""
    made = 1 if cut == "after" else 0
    proxy.cut = cut
    with pytest.raises(StorageError, match="in the middle of a commit"):
        far.create_new_trial(study_id)
    assert len(storage.get_all_trials(study_id)) == made
    assert far.create_new_trial(study_id)
    assert [trial.number for trial in storage.get_all_trials(study_id)] == list(range(made + 1))
