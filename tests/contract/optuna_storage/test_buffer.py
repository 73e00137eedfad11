"""Values set on a running trial: they are buffered, visible at once, and in the database before the trial ends."""

import logging
import pickle
import time
from collections.abc import Callable
from datetime import timedelta
from operator import methodcaller
from pathlib import Path

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

from hpsearch.storage.optuna.storage import OptunaStorage
from tests.contract.optuna_storage.everything import UNIT, has_everything, is_bare, set_everything


def until(is_so: Callable[[], bool], *, within_s: float = 30.0) -> bool:
    """Wait until a condition holds, and return whether it did."""
    ends = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > ends:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.usefixtures("_no_hurry")
def test_what_is_set_is_read_back_at_once_and_waits(
    storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """Values set on a running trial are visible to the process that set them before they are in the database."""
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    assert is_bare(stock.get_trial(trial_id))
    assert has_everything(storage.get_trial(trial_id))
    assert has_everything(storage.get_all_trials(study_id)[0])
    assert storage.get_trial_param(trial_id, "x") == 0.25
    assert storage.get_trial_system_attrs(trial_id) == {"sampler": "tpe"}


def test_what_waits_is_soon_in_the_database(storage: BaseStorage, stock: RDBStorage, study_id: int) -> None:
    """Values set on a running trial are written after a moment, without a further call."""
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    assert until(lambda: has_everything(stock.get_trial(trial_id)))
    storage.set_trial_user_attr(trial_id, "who", "again")
    assert until(lambda: stock.get_trial(trial_id).user_attrs == {"who": "again"})


@pytest.mark.parametrize(
    ("state", "values"),
    [(TrialState.COMPLETE, [0.5]), (TrialState.PRUNED, [0.25]), (TrialState.FAIL, None)],
)
def test_a_change_of_state_brings_everything_along(
    storage: BaseStorage, stock: RDBStorage, study_id: int, state: TrialState, values: list[float] | None
) -> None:
    """All values of an ended trial are in the database, and so are its neighbours'."""
    neighbour, trial_id = (storage.create_new_trial(study_id) for _ in range(2))
    set_everything(storage, neighbour)
    set_everything(storage, trial_id)
    assert storage.set_trial_state_values(trial_id, state, values)
    for seen in (stock.get_trial(trial_id), storage.get_trial(trial_id)):
        assert has_everything(seen)
        assert (seen.state, seen.values) == (state, values)
        assert seen.datetime_start is not None
        assert seen.datetime_complete is not None
        assert timedelta(seconds=-1) < seen.datetime_complete - seen.datetime_start < timedelta(minutes=1)
    assert has_everything(stock.get_trial(neighbour))


@pytest.mark.parametrize("flush", [methodcaller("remove_session"), pickle.dumps])
def test_closing_and_pickling_write_what_waits(
    storage: BaseStorage, stock: RDBStorage, study_id: int, flush: Callable[[BaseStorage], object]
) -> None:
    """A storage that was closed or pickled has no values outside the database."""
    trial_id = storage.create_new_trial(study_id)
    set_everything(storage, trial_id)
    flush(storage)
    assert has_everything(stock.get_trial(trial_id))


def test_many_rows_do_not_wait(storage: BaseStorage, stock: RDBStorage, study_id: int) -> None:
    """The buffer is bounded: at some size the call that adds to it writes it."""
    trial_id = storage.create_new_trial(study_id)
    for step in range(6000):
        storage.set_trial_intermediate_value(trial_id, step, step / 2)
    assert len(stock.get_trial(trial_id).intermediate_values) >= 5000
    assert storage.get_trial(trial_id).intermediate_values == {step: step / 2 for step in range(6000)}


@pytest.mark.usefixtures("_no_hurry")
def test_a_trial_that_somebody_ended_is_not_written(
    storage: BaseStorage, stock: RDBStorage, study_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Buffered values of a trial that another process ended are dropped with a warning, later writes refused."""
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_user_attr(trial_id, "late", 1)
    stock.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with caplog.at_level(logging.WARNING, "hpsearch"):
        storage.remove_session()
    expected = f"trial_id {trial_id}: its last values are not stored: another process ended it"
    assert expected in caplog.messages
    assert stock.get_trial(trial_id).user_attrs == storage.get_trial(trial_id).user_attrs == {}
    for write in _writes(storage, trial_id):
        with pytest.raises(UpdateFinishedTrialError, match=r"^Trial#0 has already finished"):
            write()


def _writes(storage: BaseStorage, trial_id: int) -> list[Callable[[], object]]:
    return [
        lambda: storage.set_trial_user_attr(trial_id, "late", 2),
        lambda: storage.set_trial_system_attr(trial_id, "late", 2),
        lambda: storage.set_trial_intermediate_value(trial_id, 0, 1.0),
        lambda: storage.set_trial_param(trial_id, "x", 0.5, UNIT),
        lambda: storage.set_trial_state_values(trial_id, TrialState.FAIL),
    ]


@pytest.mark.parametrize("kind", range(5))
def test_the_first_late_write_is_refused(
    storage: BaseStorage, stock: RDBStorage, study_id: int, kind: int
) -> None:
    """The call that writes to a trial which another process has ended meanwhile raises, as in Optuna's storage."""
    trial_id = storage.create_new_trial(study_id)
    stock.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError, match=r"^Trial#0 has already finished"):
        _writes(storage, trial_id)[kind]()
    assert is_bare(storage.get_trial(trial_id))


@pytest.mark.parametrize("kind", range(5))
def test_a_deleted_trial_is_not_written(
    storage: BaseStorage, stock: RDBStorage, study_id: int, kind: int
) -> None:
    """The call that writes to a trial whose study another process has deleted raises KeyError."""
    stock.create_new_trial(
        stock.create_new_study([StudyDirection.MINIMIZE])
    )  # keeps the id from another trial
    trial_id = storage.create_new_trial(study_id)
    stock.delete_study(study_id)
    with pytest.raises(KeyError, match=f"^'trial_id {trial_id}: there is no such trial'$"):
        _writes(storage, trial_id)[kind]()


@pytest.mark.usefixtures("_no_hurry")
def test_what_waits_for_a_deleted_trial_is_dropped(
    storage: BaseStorage, stock: RDBStorage, study_id: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Buffered values of a deleted trial are dropped, with a warning, and harm no other trial."""
    deleted = storage.create_new_trial(study_id)
    other = storage.create_new_study([StudyDirection.MINIMIZE])
    trial_id = storage.create_new_trial(other)
    set_everything(storage, deleted)
    set_everything(storage, trial_id)
    stock.delete_study(study_id)
    with caplog.at_level(logging.WARNING, "hpsearch"):
        storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"trial_id {deleted}: its last values are not stored: it was deleted"]
    assert has_everything(stock.get_trial(trial_id))


def test_what_no_database_takes_is_refused_at_once(storage: BaseStorage, study_id: int) -> None:
    """A write that would fail later, with the rest of the buffer, raises ValueError now."""
    trial_id = storage.create_new_trial(study_id)
    for write in (
        lambda: storage.set_trial_user_attr(trial_id, "k" * 513, 1),
        lambda: storage.set_trial_system_attr(trial_id, "nul\0", 1),
        lambda: storage.set_trial_user_attr(trial_id, "half \ud800", 1),
        lambda: storage.set_trial_param(trial_id, "x", float("inf"), UNIT),
        lambda: storage.set_trial_intermediate_value(trial_id, 2**31, 1.0),
        lambda: storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [float("nan")]),
    ):
        with pytest.raises(ValueError, match=r"\(got "):
            write()
    with pytest.raises(TypeError):
        storage.set_trial_user_attr(trial_id, "object", object())
    storage.set_trial_user_attr(trial_id, "k" * 512, "NUL \0, half \ud800, \U0001f600")
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    assert storage.get_trial(trial_id).user_attrs == {"k" * 512: "NUL \0, half \ud800, \U0001f600"}


def test_an_sqlite_file_waits_for_the_disk_when_a_trial_ends(tmp_path: Path) -> None:
    """A trial's start does not wait for the disk; its end, a waiting trial and one added whole do."""
    storage = OptunaStorage(f"sqlite:///{tmp_path}/study.db")
    study_id = storage.create_new_study([StudyDirection.MINIMIZE])
    levels: list[str] = []

    def listen(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("PRAGMA synchronous"):
            levels.append(statement.rpartition(" ")[2])

    event.listen(storage._database._engine, "before_cursor_execute", listen)
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    storage.create_new_trial(study_id, create_trial(value=1.0))
    storage.remove_session()
    assert levels == ["NORMAL", "FULL", "FULL", "FULL"]
