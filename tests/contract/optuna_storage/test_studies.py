"""Studies that are made, deleted and made again by several processes."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import optuna
import pytest
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpsearch.storage.optuna.storage import OptunaStorage


def test_a_study_that_another_process_made_anew_is_read_anew(
    storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """If a database gives the ids of a deleted study to another one, nothing old is shown or counted on."""
    name = storage.get_study_name_from_id(study_id)
    for value in (1.0, 2.0):
        storage.create_new_trial(study_id, create_trial(value=value))
    assert len(storage.get_all_trials(study_id)) == 2
    stock.delete_study(study_id)
    again = stock.create_new_study([StudyDirection.MINIMIZE], name)
    made = stock.create_new_trial(again, create_trial(value=3.0))
    assert [trial.value for trial in storage.get_all_trials(again)] == [3.0]
    assert storage.get_trial(made).value == 3.0
    assert storage.get_trial_number_from_id(storage.create_new_trial(again)) == 1


def test_numbers_do_not_rest_on_a_study_that_is_gone(
    storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """The first trial of a study is number 0, though an older study had its id and this process knew it."""
    for _ in range(3):
        storage.create_new_trial(study_id)
    name = storage.get_study_name_from_id(study_id)
    stock.delete_study(study_id)
    again = stock.create_new_study([StudyDirection.MINIMIZE], name)
    template = create_trial(value=1.0)
    trial_id = storage.create_new_trial(again, template)
    assert storage.get_trial_number_from_id(trial_id) == stock.get_trial(trial_id).number == 0
    assert storage.get_trial(trial_id).value == 1.0


def test_a_deleted_study_is_gone_for_everyone(
    storage: BaseStorage, other: BaseStorage, study_id: int
) -> None:
    """After a deletion every call that names the study or its trials raises KeyError, in other processes too."""
    trial_id = storage.create_new_trial(study_id)
    other.set_trial_user_attr(trial_id, "key", 1)
    storage.set_trial_user_attr(trial_id, "key", 2)
    storage.delete_study(study_id)
    calls: tuple[Callable[[BaseStorage], object], ...] = (
        lambda s: s.get_trial(trial_id),
        lambda s: s.get_all_trials(study_id),
        lambda s: s.create_new_trial(study_id),
        lambda s: s.set_trial_user_attr(trial_id, "key", 3),
        lambda s: s.set_trial_state_values(trial_id, TrialState.FAIL),
        lambda s: s.get_study_name_from_id(study_id),
        lambda s: s.set_study_user_attr(study_id, "key", 1),
    )
    for each in (storage, other):
        for call in calls:
            with pytest.raises(KeyError):
                call(each)


def test_names_are_taken_once(storage: BaseStorage, other: BaseStorage) -> None:
    """Of eight that make a study of one name at once exactly one does, and the others get an error."""
    name = f"optuna-{uuid4().hex}"

    def make(storage: BaseStorage) -> int:
        try:
            storage.create_new_study([StudyDirection.MINIMIZE], name)
        except DuplicatedStudyError:
            return 0
        return 1

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(make, [storage, other] * 4)) == 1
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
    assert study.study_name == name


def test_a_renamed_study_is_the_same_study(url: str, stock: RDBStorage) -> None:
    """Its id, its trials and its latest values stay, for every client; a taken name changes nothing."""
    storage = OptunaStorage(url)
    old, new, taken = (f"optuna-{uuid4().hex}" for _ in range(3))
    study_id, _ = (storage.create_new_study([StudyDirection.MINIMIZE], name) for name in (old, taken))
    trial_id = storage.create_new_trial(study_id)
    storage.get_all_trials(study_id)
    storage.set_trial_user_attr(trial_id, "key", 1)
    with pytest.raises(DuplicatedStudyError):
        storage.rename_study(study_id, taken)
    storage.rename_study(study_id, new)
    assert stock.get_study_id_from_name(new) == storage.get_study_id_from_name(new) == study_id
    for client in (storage, stock):
        [trial] = client.get_all_trials(study_id)
        assert trial.user_attrs == {"key": 1}
        with pytest.raises(KeyError):
            client.get_study_id_from_name(old)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(KeyError):
        storage.rename_study(10**6, f"optuna-{uuid4().hex}")
    storage.remove_session()


def test_attributes_are_revised_at_once(url: str, stock: RDBStorage) -> None:
    """Changed attributes replace and extend the stored ones in one transaction; other keys are unchanged."""
    storage = OptunaStorage(url)
    study_id = storage.create_new_study([StudyDirection.MINIMIZE], f"optuna-{uuid4().hex}")
    for key, value in (("a", 1), ("b", "two"), ("c", None)):
        stock.set_study_system_attr(study_id, key, value)
    seen = []

    def revise(there: Mapping[str, Any]) -> dict[str, Any]:
        seen.append(dict(there))
        return {"a": 2, "d": {"e": "ä" * 5000}}

    storage.revise_study_system_attrs(study_id, ["a", "d"], revise)
    storage.revise_study_system_attrs(study_id, ["a"], lambda _: {})
    assert seen == [{"a": 1}]
    assert stock.get_study_system_attrs(study_id) == {"a": 2, "b": "two", "c": None, "d": {"e": "ä" * 5000}}
    with pytest.raises(KeyError):
        storage.revise_study_system_attrs(study_id + 1000, ["a"], revise)
    storage.remove_session()


def test_a_new_study_is_announced_as_by_optuna(
    storage: BaseStorage, stock: RDBStorage, caplog: pytest.LogCaptureFixture
) -> None:
    """A created study is logged as by Optuna's own storage, under the control of `optuna.logging`."""
    log = logging.getLogger("optuna")
    log.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, "optuna"):
            told = []
            for each in (storage, stock):
                caplog.clear()
                name = f"announced-{uuid4().hex}"
                each.create_new_study([StudyDirection.MINIMIZE], name)
                told.append({message.replace(name, "NAME") for message in caplog.messages})
    finally:
        log.removeHandler(caplog.handler)
    assert told[0] == told[1] == {"A new study created in RDB with name: NAME"}
