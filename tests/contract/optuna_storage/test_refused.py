"""Rows that the database does not take: the call that sets one raises, and no other trial suffers."""

import logging
import time
from collections.abc import Callable

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import create_engine, make_url, text

from hpsearch.errors import ValueRefusedError
from hpsearch.storage import open_storage
from tests.contract.optuna_storage.everything import UNIT, has_everything, set_everything

COMPLETE = TrialState.COMPLETE

_FORBID = {
    "sqlite": "CREATE TRIGGER forbid BEFORE INSERT ON trial_user_attributes WHEN new.key = 'forbidden' "
    "BEGIN SELECT RAISE(ABORT, 'forbidden'); END",
    "postgresql": "ALTER TABLE trial_user_attributes ADD CONSTRAINT forbid CHECK (key <> 'forbidden')",
    "mariadb": "ALTER TABLE trial_user_attributes ADD CONSTRAINT forbid CHECK (`key` <> 'forbidden')",
}


def execute(url: str, statement: str) -> None:
    """Run a statement on a database."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def latin(new_database: Callable[[str], str]) -> str:
    """Provide a MariaDB database whose texts are in Latin-1."""
    url = new_database("mariadb")
    execute(url, f"ALTER DATABASE {make_url(url).database} CHARACTER SET latin1")
    return url


def test_a_row_that_is_refused_harms_no_other(
    fresh_url: str, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that the database turns out not to take is reported with its trial, once; all else is stored."""
    storage = open_storage(fresh_url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    execute(fresh_url, _FORBID[dialect])
    neighbour, trial_id = (storage.create_new_trial(study_id) for _ in range(2))
    for each in (neighbour, trial_id):
        set_everything(storage, each)
    storage.set_trial_user_attr(trial_id, "forbidden", 1)
    with caplog.at_level(logging.ERROR, "hpsearch"):
        storage.set_trial_state_values(neighbour, COMPLETE, [1.0])
    (message,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    assert message.startswith(f'trial_id {trial_id}: this is not stored: user attribute "forbidden": ')
    assert has_everything(storage.get_trial(trial_id))
    with pytest.raises(ValueRefusedError, match=r'^user attribute "forbidden": .* refused a value'):
        storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    assert storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    storage.remove_session()
    fresh = open_storage(fresh_url)
    for trial in fresh.get_all_trials(study_id):
        assert (trial.state, has_everything(trial)) == (COMPLETE, True)
    fresh.remove_session()


def test_a_refused_row_of_the_trial_that_ends_is_reported_by_that_call(fresh_url: str, dialect: str) -> None:
    """A trial does not end without a row that was set on it unless its second try accepts that."""
    storage = open_storage(fresh_url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    execute(fresh_url, _FORBID[dialect])
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    storage.set_trial_user_attr(trial_id, "forbidden", 1)
    with pytest.raises(ValueRefusedError, match="forbidden"):
        storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    assert storage.get_trial(trial_id).state is TrialState.RUNNING
    assert storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    assert has_everything(storage.get_trial(trial_id))
    storage.remove_session()


@pytest.mark.parametrize("length", [65_000, 70_000, 1_000_000])
def test_a_long_text_is_stored_or_refused_by_its_call(
    storage: BaseStorage, study_id: int, dialect: str, length: int
) -> None:
    """An attribute or a distribution too long for its column raises when it is set, and the trial continues."""
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    long = "x" * length
    writes: dict[str, Callable[[], object]] = {
        "user attribute": lambda: storage.set_trial_user_attr(trial_id, "long", long),
        "system attribute": lambda: storage.set_trial_system_attr(trial_id, "long", long),
        "parameter": lambda: storage.set_trial_param(trial_id, "long", 0, CategoricalDistribution((long,))),
        "attribute": lambda: storage.set_study_user_attr(study_id, "long", long),
    }
    is_refused = dialect == "mariadb" and length > 65_535
    for what, write in writes.items():
        if is_refused:
            with pytest.raises(ValueRefusedError, match=f'^{what} "long".*: .*Data too long for column'):
                write()
        else:
            write()
    storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    trial = storage.get_trial(trial_id)
    assert has_everything(trial) is is_refused
    assert trial.user_attrs.get("long", long) == long
    assert storage.get_study_user_attrs(study_id) == ({} if is_refused else {"long": long})


def test_a_short_text_does_not_go_under_a_long_one(storage: BaseStorage, study_id: int) -> None:
    """Of a short and a long value of one key the later one stays, though the long one is written first."""
    trial_id = storage.create_new_trial(study_id)
    for length in (1, 60_000, 2):
        storage.set_trial_user_attr(trial_id, "λ", "x" * length)
    storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    assert storage.get_trial(trial_id).user_attrs == {"λ": "xx"}


def test_a_row_that_is_no_message_is_refused_at_once(new_database: Callable[[str], str]) -> None:
    """A row longer than MariaDB's messages raises at once: the server is not treated as lost, nor waited for."""
    storage = open_storage(new_database("mariadb"))
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    began = time.monotonic()
    with pytest.raises(
        ValueRefusedError, match=r"a row must fit into a message of the server, 16,777,216 bytes"
    ):
        storage.set_study_user_attr(study_id, "long", "x" * 17_000_000)
    assert time.monotonic() - began < 30
    storage.set_study_user_attr(study_id, "long", "x")
    storage.remove_session()


@pytest.mark.parametrize("options", ["", "?charset=latin1"])
def test_characters_that_a_database_lacks_are_refused_by_their_call(latin: str, options: str) -> None:
    """A name with a character that a database in Latin-1 lacks raises when it is set; one that it has is stored."""
    storage = open_storage(latin + options)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    for write in (
        lambda: storage.set_trial_user_attr(trial_id, "λ", 1),
        lambda: storage.set_trial_system_attr(trial_id, "λ", 1),
        lambda: storage.set_trial_param(trial_id, "λ", 0.5, UNIT),
        lambda: storage.set_study_user_attr(study_id, "λ", 1),
        lambda: storage.create_new_study([StudyDirection.MINIMIZE], "λ"),
        lambda: storage.create_new_trial(study_id, create_trial(value=1.0, user_attrs={"λ": 1})),
    ):
        with pytest.raises(ValueRefusedError, match=r"λ|xCE|collation"):
            write()
    storage.set_trial_param(trial_id, "é", 0.5, FloatDistribution(0, 1))
    storage.set_trial_state_values(trial_id, COMPLETE, [1.0])
    (trial,) = storage.get_all_trials(study_id)
    assert (trial.state, trial.params) == (COMPLETE, {"x": 0.25, "é": 0.5})
    storage.remove_session()
