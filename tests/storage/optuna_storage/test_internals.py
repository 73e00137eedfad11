"""What `hpsearch.storage.optuna.records` takes from Optuna, and what to do when Optuna changes it.

These fail when another Optuna is installed whose private parts differ. Change `records.py`, which is the only module
that has to know, and run Optuna's suite (`tests/contract/test_optuna_suite.py`).
"""

import ast
import inspect
import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hpsearch.storage import open_storage, optuna_schema
from hpsearch.storage.optuna import records
from hpsearch.storage.optuna.storage import OptunaStorage

MEND = "Optuna changed {what}: {how}, in hpsearch/storage/optuna/records.py"


def test_a_trial_is_made_of_the_parts_that_we_give(tmp_path: Path) -> None:
    """`FrozenTrial` takes exactly the arguments that `frozen_trial` gives it."""
    parts = set(inspect.signature(FrozenTrial.__init__).parameters) - {"self"}
    expected = {
        *("number", "state", "value", "values", "datetime_start", "datetime_complete", "params"),
        *("distributions", "user_attrs", "system_attrs", "intermediate_values", "trial_id"),
    }
    assert parts == expected, MEND.format(
        what=f"FrozenTrial's arguments ({sorted(parts ^ expected)})",
        how="give `frozen_trial` what is new, from a column of the schema, and leave out what is gone",
    )


def test_a_trial_has_its_id() -> None:
    """`trial_id_of` finds the id that `frozen_trial` was given."""
    trial = records.frozen_trial(
        trial_id=7,
        number=1,
        state=TrialState.RUNNING,
        values=None,
        start=None,
        complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
    assert records.trial_id_of(trial) == 7, MEND.format(
        what="where a FrozenTrial keeps its id", how="let `trial_id_of` read it there"
    )


def test_a_study_is_made_of_the_parts_that_we_give() -> None:
    """`FrozenStudy` shows the parts that `frozen_study` gives it, and equals Optuna's own."""
    storage = optuna.storages.InMemoryStorage()
    study_id = storage.create_new_study([StudyDirection.MAXIMIZE], "name")
    storage.set_study_user_attr(study_id, "user", 1)
    storage.set_study_system_attr(study_id, "system", 2)
    ours = records.frozen_study(
        study_id, "name", [StudyDirection.MAXIMIZE], user_attrs={"user": 1}, system_attrs={"system": 2}
    )
    assert [ours] == storage.get_all_studies(), MEND.format(
        what="FrozenStudy", how="let `frozen_study` build what `InMemoryStorage.get_all_studies` returns"
    )


def test_studies_without_a_name_are_called_as_optuna_calls_them() -> None:
    """The prefix of a generated name is the one that Optuna's own storages take."""
    storage = optuna.storages.InMemoryStorage()
    name = storage.get_study_name_from_id(storage.create_new_study([StudyDirection.MAXIMIZE]))
    assert name.startswith(records.DEFAULT_STUDY_NAME_PREFIX), MEND.format(
        what="how it names studies", how="take the prefix from where it is now"
    )


def test_the_interface_is_the_one_that_we_implement() -> None:
    """Every method of Optuna's interface has the arguments that ours has."""
    differing = {
        name
        for interface in (BaseStorage, records.BaseHeartbeat)
        for name in interface.__abstractmethods__
        if list(inspect.signature(getattr(interface, name)).parameters)
        != list(inspect.signature(getattr(OptunaStorage, name)).parameters)
    }
    assert not differing, (
        f"Optuna changed the arguments of {sorted(differing)}: follow it in "
        "hpsearch/storage/optuna/storage.py, and run Optuna's suite"
    )


def test_the_schema_is_the_one_that_we_write(tmp_path: Path) -> None:
    """The installed Optuna makes tables of the revision that `optuna_schema` describes, with its columns."""
    storage = RDBStorage(f"sqlite:///{tmp_path / 'stock.db'}")
    assert storage.get_head_version() == optuna_schema.HEAD, (
        "Optuna has a newer schema: read its migration, mend hpsearch/storage/optuna_schema.py and `HEAD`, and say "
        "in pyproject.toml from which Optuna on"
    )
    storage.remove_session()
    storage.engine.dispose()


def test_nothing_else_is_private(repository: Path) -> None:
    """No other module of the package imports a private module of Optuna's."""
    importers = {
        path.relative_to(repository).as_posix()
        for path in (repository / "hpsearch/storage").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("optuna")
        and any(part.startswith("_") for part in (node.module or "").split("."))
    }
    assert importers == {"hpsearch/storage/optuna/records.py"}


@pytest.mark.parametrize("state", list(TrialState))
def test_states_are_called_as_in_the_schema(state: TrialState) -> None:
    """The names of Optuna's states are those that its schema stores."""
    assert state.name in optuna_schema.STATES


def test_what_heartbeats_take_is_what_optuna_takes() -> None:
    """`open_storage` has every argument about heartbeats that `RDBStorage` has."""
    theirs = inspect.signature(RDBStorage.__init__).parameters.keys()
    about = {name for name in theirs if "heartbeat" in name or "callback" in name} | {"grace_period"}
    assert about == inspect.signature(open_storage).parameters.keys() - {"url"}, (
        "Optuna changed its arguments about heartbeats: follow it in hpsearch/storage/__init__.py"
    )


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5"])
def test_bad_periods_are_refused_at_once(tmp_path: Path, value: Any) -> None:
    """What is no positive number of seconds is refused before a file is made, both periods in one message."""
    path = tmp_path / "x.db"
    options: Any = {"heartbeat_interval": value, "grace_period": value}
    with (
        pytest.warns(ExperimentalWarning),
        pytest.raises(ValueError, match="heartbeat_interval: must be a positive") as caught,
    ):
        open_storage(f"sqlite:///{path}", **options)
    assert f"grace_period: must be a positive number of seconds (got {value!r})" in str(caught.value)
    with pytest.raises(ValueError, match="two names of one argument"):
        open_storage(f"sqlite:///{path}", heartbeat_stale_trial_callback=print, failed_trial_callback=print)
    assert not path.exists()


def test_heartbeats_survive_pickling(tmp_path: Path) -> None:
    """A storage that goes to another process has the same heartbeats there, and warns once, where it was opened."""
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with pytest.warns(ExperimentalWarning, match="heartbeat_interval is experimental"):
        storage: Any = open_storage(
            url, heartbeat_interval=5, grace_period=9, heartbeat_stale_trial_callback=print
        )
    again = pickle.loads(pickle.dumps(storage))
    assert (again.get_heartbeat_interval(), again.grace_period) == (5, 9)
    assert again.get_heartbeat_stale_trial_callback() is print
    with pytest.warns(FutureWarning, match="deprecated since Optuna 4.9"):
        old: Any = open_storage(url, failed_trial_callback=print)
    assert old.get_heartbeat_stale_trial_callback() is print
    for each in (storage, again, old):
        each.remove_session()
