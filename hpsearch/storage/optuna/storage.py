"""Optuna's storage interface on top of the database. `hpsearch.storage.open_storage` opens one."""

import json
import logging
import os
import uuid
import weakref
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, cast, final

import optuna.logging
from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from hpsearch.errors import StorageError, ValueRefusedError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.optuna import writes
from hpsearch.storage.optuna.database import Database
from hpsearch.storage.optuna.records import (
    DEFAULT_STUDY_NAME_PREFIX,
    BaseHeartbeat,
    Details,
    FrozenStudy,
    copied,
    frozen_study,
    name_of,
    param_of,
    step_of,
)
from hpsearch.storage.optuna.trials import OptunaTrials
from hpsearch.storage.optuna.writes import StaleTrialCallback
from hpsearch.storage.statements import write_rows
from hpsearch.storage.stored_studies import remove_optuna_rows, remove_strays

_studies = optuna_schema.studies
_ours = schema.studies
_directions = optuna_schema.study_directions
_USER = optuna_schema.study_user_attributes
_SYSTEM = optuna_schema.study_system_attributes

_log: Final = logging.getLogger(__name__)

_optunas_log: Final = optuna.logging.get_logger("optuna.storages.hpsearch")
"""The logger that users switch on and off with `optuna.logging`."""

_ALL_STATES: Final = frozenset(TrialState)


@final
class OptunaStorage(BaseStorage, BaseHeartbeat):
    """A database as a storage for Optuna. Threads may share it; a pickle holds its URL and heartbeat settings.

    Values set on a running trial are stored with the next change of a state, or half a second later; this process reads
    them immediately. All other writes are in the database when they return.
    """

    def __init__(
        self,
        url: str,
        heartbeat_interval: float | None = None,
        grace_period: float | None = None,
        heartbeat_stale_trial_callback: StaleTrialCallback | None = None,
    ) -> None:
        """Open the database at `url` and create missing tables. The other arguments are those of `open_storage`.

        Raises StorageError, and ValueError for an unusable period.
        """
        writes.check_heartbeat_periods(heartbeat_interval=heartbeat_interval, grace_period=grace_period)
        self.heartbeat_interval = heartbeat_interval
        self.grace_period = grace_period
        self.heartbeat_stale_trial_callback = heartbeat_stale_trial_callback
        self._url = url
        self._database = Database(url)
        self._trials = OptunaTrials(self._database)
        _storages[id(self)] = self

    def __reduce__(self) -> tuple[type["OptunaStorage"], tuple[Any, ...]]:
        self._trials.flush()
        periods = self.heartbeat_interval, self.grace_period
        return OptunaStorage, (self._url, *periods, self.heartbeat_stale_trial_callback)

    @property
    def url(self) -> str:
        """The URL as given, with its password, as in `RDBStorage`."""
        return self._url

    def remove_session(self) -> None:
        """Write all pending values, and close the connections. The next call opens new ones."""
        self._trials.flush()
        self._database.close()

    def before_fork(self) -> None:
        """Write all pending values, so that a child process finds the present state of its trials."""
        try:
            self._trials.flush()
        except StorageError as error:
            _log.warning(
                "values set on running trials could not be stored before the process forked: %s", error
            )

    def after_fork(self) -> None:
        """Reset the state in a child process: the parent writes the values that are still pending."""
        self._trials = OptunaTrials(self._database)

    # Studies

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Store a study and return its id. Raises DuplicatedStudyError if the name is taken."""
        name = _new_name() if study_name is None else name_of("study name", study_name)
        study_id = self._database.write(lambda connection: _create(connection, name, directions))
        if study_id is None:
            raise DuplicatedStudyError(f'study "{name}": the name is taken: choose another one')
        self._trials.forget_study(study_id)
        _optunas_log.info("A new study created in RDB with name: %s", name)  # in Optuna's words
        return study_id

    def delete_study(self, study_id: int) -> None:
        """Delete all data of a study. Raises KeyError if there is none."""
        self._trials.forget_study(study_id)
        self._database.write(lambda connection: _delete(connection, study_id))

    def rename_study(self, study_id: int, name: str) -> None:
        """Rename a study and keep everything else, including its id and its workers' leases.

        Optuna has no such call. Raises KeyError if there is no such study, and DuplicatedStudyError.
        """
        key = name_of("study name", name)
        self._trials.flush()
        if not self._database.write(lambda connection: _rename(connection, study_id, key)):
            raise DuplicatedStudyError(f'study "{name}": the name is taken: choose another one')

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store an attribute of a study. Raises KeyError if there is no such study, and ValueError."""
        self._set_study_attribute(_USER, study_id, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store an attribute of a study that is Optuna's own. Raises KeyError if there is no such study."""
        self._set_study_attribute(_SYSTEM, study_id, key, value)

    def _set_study_attribute(self, table: Table, study_id: int, key: str, value: Any) -> None:
        attribute = name_of("attribute key", key), json.dumps(value)
        try:
            self._database.rewrite(
                lambda connection, _: _set_attribute(connection, table, study_id, attribute)
            )
        except ValueRefusedError as error:
            raise ValueRefusedError(f'attribute "{key}" of the study: {error}') from error

    def revise_study_system_attrs(
        self, study_id: int, keys: Sequence[str], revise: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> None:
        """Replace, in one transaction, the attributes under `keys` with the result of `revise` on them.

        Optuna has no such call: it stores one attribute per transaction. Raises KeyError if there is no such study.
        """
        self._database.write(lambda connection: _revise_attributes(connection, study_id, keys, revise))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of the study of that name. Raises KeyError if there is none."""
        return self._database.read_autocommit(lambda connection: _id_of(connection, study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return a study's name. Raises KeyError if there is no such study."""
        name, _ = self._database.read_autocommit(
            lambda connection: _name_and_directions(connection, study_id)
        )
        return name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return a study's direction of each objective. Raises KeyError if there is no such study."""
        _, directions = self._database.read_autocommit(
            lambda connection: _name_and_directions(connection, study_id)
        )
        return directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study. Raises KeyError if there is no such study."""
        return self._database.read_autocommit(lambda connection: _attributes(connection, _USER, study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study that are Optuna's own. Raises KeyError if there is no such study."""
        return self._database.read_autocommit(lambda connection: _attributes(connection, _SYSTEM, study_id))

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies by id."""
        return self._database.read(_every)

    # OptunaTrials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Store a running trial, or a copy of `template_trial`, and return its id.

        Raises KeyError if there is no such study, and ValueError for values that cannot be stored.
        """
        return self._trials.create(study_id, template_trial)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter of a trial.

        Raises KeyError, UpdateFinishedTrialError, and ValueError if the study's other trials have another kind of
        distribution under that name.
        """
        self._trials.set_param(
            trial_id, name_of("parameter name", param_name), param_of(param_value_internal, distribution)
        )

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Write a trial's state and values and return whether the state changed.

        Of several concurrent calls that set a waiting trial running, one succeeds. Raises KeyError,
        UpdateFinishedTrialError, and ValueError for a value that is NaN.
        """
        return self._trials.set_state(trial_id, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set the value that a trial reports for a step. Raises KeyError, and UpdateFinishedTrialError."""
        self._trials.set(trial_id, Details(reports={step_of(step): float(intermediate_value)}))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial. Raises KeyError, and UpdateFinishedTrialError."""
        self._trials.set(
            trial_id, Details(user_attributes={name_of("attribute key", key): json.dumps(value)})
        )

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial that is Optuna's own. Raises KeyError, and UpdateFinishedTrialError."""
        self._trials.set(
            trial_id, Details(system_attributes={name_of("attribute key", key): json.dumps(value)})
        )

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial. Raises KeyError if there is none."""
        return self._trials.one(trial_id)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of the trial of a study with that number. Raises KeyError if there is none."""
        return self._trials.trial_id(study_id, trial_number)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002  # as Optuna
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return a study's trials in `states` by number, copies with `deepcopy`. Raises KeyError without the study."""
        wanted = _ALL_STATES if states is None else frozenset(s for s in TrialState if s in states)
        trials = self._trials.all(study_id, wanted)
        return [copied(trial) for trial in trials] if deepcopy else trials

    # Heartbeats

    def record_heartbeat(self, trial_id: int) -> None:
        """Store that a trial is running at this moment. Raises KeyError if there is none."""
        self._database.rewrite(
            lambda connection, _: writes.record_heartbeat(connection, trial_id), durable=False
        )

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """Return the ids of the study's running trials whose heartbeats have stopped. Their leases count as well."""
        interval_s, grace_s = self.heartbeat_interval, self.grace_period
        if interval_s is None:
            return []
        grace_s = 2 * interval_s if grace_s is None else grace_s
        return self._database.read(
            lambda connection: writes.stale_trials(connection, study_id, grace_s=grace_s)
        )

    def get_heartbeat_interval(self) -> int | None:
        """Return the seconds between two heartbeats, or None without heartbeats."""
        # Optuna declares `int` but accepts any number of seconds.
        return cast("int | None", self.heartbeat_interval)

    def get_heartbeat_stale_trial_callback(self) -> StaleTrialCallback | None:
        """Return the callback for each trial that Optuna failed because its heartbeats stopped."""
        return self.heartbeat_stale_trial_callback


def _new_name() -> str:
    """Return a name for a study that was created without one."""
    return f"{DEFAULT_STUDY_NAME_PREFIX}{uuid.uuid4()}"


def _create(connection: Connection, name: str, directions: Sequence[StudyDirection]) -> int | None:
    """Store a study and return its id, or None if the name is taken."""
    try:
        with connection.begin_nested():
            connection.execute(insert(_studies).values(study_name=name))
    except IntegrityError:
        return None
    study_id = _id_of(connection, name)
    remove_strays(connection, study_id)
    connection.execute(
        insert(_directions),
        [
            {"study_id": study_id, "objective": i, "direction": direction.name}
            for i, direction in enumerate(directions)
        ],
    )
    return study_id


def _delete(connection: Connection, study_id: int) -> None:
    """Delete Optuna's rows of a study."""
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise _no_study(study_id)
    remove_optuna_rows(connection, study_id)


def _rename(connection: Connection, study_id: int, name: str) -> bool:
    """Rename a study and keep all its data. Return False, and change nothing, if the name is taken."""
    found = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(found).first() is None:
        raise _no_study(study_id)
    try:
        with connection.begin_nested():
            connection.execute(
                update(_studies).where(_studies.c.study_id == study_id).values(study_name=name)
            )
            connection.execute(update(_ours).where(_ours.c.study_id == study_id).values(name=name))
    except IntegrityError:
        return False
    return True


def _id_of(connection: Connection, name: str) -> int:
    """Return the id of the study of that name. Raises KeyError if there is none."""
    study_id: int | None = connection.execute(
        select(_studies.c.study_id).where(_studies.c.study_name == name)
    ).scalar_one_or_none()
    if study_id is None:
        raise KeyError(f'study "{name}": there is no such study')
    return study_id


def _name_and_directions(connection: Connection, study_id: int) -> tuple[str, list[StudyDirection]]:
    """Return a study's name and its direction of each objective."""
    rows = connection.execute(
        select(_studies.c.study_name, _directions.c.direction)
        .select_from(_studies.outerjoin(_directions, _directions.c.study_id == _studies.c.study_id))
        .where(_studies.c.study_id == study_id)
        .order_by(_directions.c.objective)
    ).all()
    if not rows:
        raise _no_study(study_id)
    return rows[0][0], [StudyDirection[row[1]] for row in rows if row[1] is not None]


def _attributes(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """Return the attributes of a study in `table`."""
    rows = connection.execute(
        select(table.c.key, table.c.value_json)
        .select_from(_studies.outerjoin(table, table.c.study_id == _studies.c.study_id))
        .where(_studies.c.study_id == study_id)
    ).all()
    if not rows:
        raise _no_study(study_id)
    return {key: json.loads(text) for key, text in rows if key is not None}


def _set_attribute(connection: Connection, table: Table, study_id: int, attribute: tuple[str, str]) -> None:
    """Store an attribute, its key and its value as JSON text, of a study in `table`."""
    if connection.execute(select(_studies).where(_studies.c.study_id == study_id)).first() is None:
        raise _no_study(study_id)
    key, text = attribute
    row = {"study_id": study_id, "key": key, "value_json": text}
    write_rows(connection, table, [row], key=("study_id", "key"))


def _revise_attributes(
    connection: Connection,
    study_id: int,
    keys: Sequence[str],
    revise: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> None:
    """Store the result of `revise` on the study's system attributes with these keys, without concurrent revisions."""
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise _no_study(study_id)
    found = select(_SYSTEM.c.key, _SYSTEM.c.value_json).where(
        _SYSTEM.c.study_id == study_id, _SYSTEM.c.key.in_(keys)
    )
    there = {key: json.loads(text) for key, text in connection.execute(found)}
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        for key, value in revise(there).items()
    ]
    write_rows(connection, _SYSTEM, rows, key=("study_id", "key"))


def _every(connection: Connection) -> list[FrozenStudy]:
    """Return all studies by id."""
    directions: dict[int, list[StudyDirection]] = {}
    for row in connection.execute(select(_directions).order_by(_directions.c.objective)):
        directions.setdefault(row.study_id, []).append(StudyDirection[row.direction])
    user_attrs, system_attrs = (_all_attributes(connection, table) for table in (_USER, _SYSTEM))
    return [
        frozen_study(
            row.study_id,
            row.study_name,
            directions.get(row.study_id, []),
            user_attrs=user_attrs.get(row.study_id, {}),
            system_attrs=system_attrs.get(row.study_id, {}),
        )
        for row in connection.execute(select(_studies).order_by(_studies.c.study_id))
    ]


def _all_attributes(connection: Connection, table: Table) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for row in connection.execute(select(table)):
        found.setdefault(row.study_id, {})[row.key] = json.loads(row.value_json)
    return found


def _no_study(study_id: int) -> KeyError:
    return KeyError(f"study_id {study_id}: there is no such study")


_storages: Final[weakref.WeakValueDictionary[int, OptunaStorage]] = weakref.WeakValueDictionary()


def _open_storages() -> list[OptunaStorage]:
    return [storage for reference in _storages.valuerefs() if (storage := reference()) is not None]


def _before_fork() -> None:
    for storage in _open_storages():
        storage.before_fork()


def _after_fork() -> None:
    for storage in _open_storages():
        storage.after_fork()


if hasattr(os, "register_at_fork"):
    # After `fork_safety`, which closes the connections: the last registered function is called first before a fork.
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
