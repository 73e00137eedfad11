"""Edits of stored studies by users: enqueue, fail and retry trials; rename, copy and end studies.

Functions that take a store are one transaction, as the methods of Store; the others run inside their caller's.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select, update

from hpsearch.errors import HpsearchError, StudyExistsError
from hpsearch.storage import creation, foreign_trials, optuna_schema, schema, studies
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.optuna_schema import COMPLETE, PRUNED, RUNNING
from hpsearch.storage.records import Place, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.storage.studies import LockedStudy
from hpsearch.storage.study_rows import (
    Row,
    StudyRows,
    at_rest,
    finish_study,
    read_study,
    read_trials,
    write_study,
    write_trials,
)
from hpsearch.trials import ParameterValue

_ours = schema.studies
_theirs = optuna_schema.studies
_trials = optuna_schema.trials


def rename(connection: Connection, place: Place, old: str, name: str, *, has_ours: bool = True) -> None:
    """Rename a study, made by any client; our key and Optuna's id of it are unchanged.

    Raises StudyExistsError for a taken name, and HpsearchError while our workers, which use the old name, train trials.
    """
    holder = studies.holder(connection, name)
    if holder is not None and holder != old:
        refuse_taken(connection, name, holder, has_ours=has_ours)
    if running := _count_held(connection, place):
        raise HpsearchError(
            f'study "{old}": must have no trial in training to be renamed (got {running}): '
            "stop its workers first, or let them end"
        )
    at = _theirs.c.study_id == place.study_id
    connection.execute(update(_theirs).where(at).values(study_name=name))
    if place.key is not None:
        connection.execute(update(_ours).where(_ours.c.study_key == place.key).values(name=name))


def _count_held(connection: Connection, place: Place) -> int:
    """Return the number of trials that workers of ours train."""
    if place.key is None:
        return 0
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    others = foreign_trials.look(connection, place.key, now_s)
    return _count(connection, place.study_id, RUNNING) - len(others)


def refuse_taken(connection: Connection, name: str, holder: str, *, has_ours: bool = True) -> None:
    """Raise StudyExistsError because `holder` has the name."""
    is_ours = has_ours and studies.row_named(connection, holder) is not None
    if is_ours and holder == name:
        raise StudyExistsError(f'study "{name}": the name must be free (a study has it): choose another name')
    studies.refuse_name(name, holder)


def copy(connection: Connection, origin: Place, name: str, *, has_ours: bool = True) -> int:
    """Copy a study, made by any client, with all its data, to another name in the same database.

    Return the number of its trials. The copy has its own key if the study is ours, and its trials have the numbers and
    results of the original's; running trials wait in the copy. An opened test part is open in the copy too. Raises
    StudyExistsError for a taken name.
    """
    holder = studies.holder(connection, name)
    if holder is not None:
        refuse_taken(connection, name, holder, has_ours=has_ours)
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    rows = read_study(connection, origin)
    place = write_study(connection, _renamed(rows, name, key=str(uuid.uuid4()), now_s=now_s))
    ids: list[int] = []
    last: int | None = None
    while trials := read_trials(connection, origin, after=last):
        last = max(trials)
        resting = [at_rest(one, now_s=now_s) for one in trials.values()]
        ids += write_trials(connection, place, resting, after=max(ids, default=-1))
    finish_study(connection, place, rows, ids=ids)
    return len(ids)


def _renamed(rows: StudyRows, name: str, *, key: str, now_s: float) -> StudyRows:
    """Return a study's rows under another name and, if the study is ours, under a new key."""
    if rows.ours is None:
        return replace(rows, name=name)
    links = optuna_schema.study_user_attributes.name
    details: Mapping[str, Any] = {**rows.details, links: [_linked(row, key) for row in rows.details[links]]}
    ours = {**rows.ours, "study_key": key, "name": name, "created": now_s}
    return replace(rows, name=name, details=details, ours=ours)


def _linked(row: Row, key: str) -> Row:
    return {**row, "value_json": json.dumps(key)} if row["key"] == schema.LINK_ATTRIBUTE else row


def stop(connection: Connection, locked: LockedStudy) -> StoredStudy:
    """Set the budget to the finished and running trials, which run to their end; return the updated study.

    A spent budget is unchanged. Raises HpsearchError if no trial has finished or is running.
    """
    study = locked.study
    made = _count(connection, study.study_id, COMPLETE, PRUNED, RUNNING)
    made -= foreign_trials.silent(connection, locked)
    if not made:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a trial that has finished or runs to be ended (got none): '
            "pause it, or delete it"
        )
    return studies.set_budget(connection, locked, min(made, locked.budget))


def _count(connection: Connection, study_id: int, *states: str) -> int:
    counted = select(func.count()).where(_trials.c.study_id == study_id, _trials.c.state.in_(states))
    return int(connection.execute(counted).scalar_one())


def enqueue(store: Store, study: StoredStudy, asked: Sequence[Mapping[str, ParameterValue]]) -> list[int]:
    """Create a waiting trial for each of `asked`, to precede all new ones; return their numbers.

    Missing parameters are sampled. The trials count against the budget: beyond it they wait until it is raised.
    """
    return store.write(
        lambda connection: creation.enqueue(connection, studies.lock(connection, study).study, asked)
    )


def rename_named(store: Store, old: str, name: str) -> None:
    """Rename the study `old`, made by any client, readable or not. Its key and all dependent data are unchanged.

    Raises StudyExistsError for a taken name, HpsearchError while trials run.
    """
    store.sweep_all()
    store.write_to(
        old,
        lambda connection, place: rename(connection, place, old, name, has_ours=store.has_ours),
    )


def copy_named(store: Store, old: str, name: str) -> int:
    """Copy the study `old`, made by any client, readable or not, to another name; return its number of trials.

    Running trials wait in the copy. Raises StudyExistsError for a taken name.
    """
    return store.write_to(
        old, lambda connection, place: copy(connection, place, name, has_ours=store.has_ours)
    )


def stop_study(store: Store, study: StoredStudy) -> StoredStudy:
    """End the study with its finished and running trials, and return it with their number as its budget.

    Raises HpsearchError if there are none.
    """
    store.sweep(study)
    return store.change(study, stop)


def fail_trial(store: Store, study: StoredStudy, number: int) -> bool:
    """Fail a trial that another Optuna client runs, or that waits; return False if it had already failed.

    Raises HpsearchError if a worker of ours trains the trial or it has finished, and TrialNotFoundError.
    """
    store.sweep(study)
    return store.change(study, foreign_trials.fail, number)


def retry_trial(store: Store, study: StoredStudy, number: int) -> foreign_trials.Retried:
    """Let our workers train another Optuna client's running trial, or a failed one's parameters as a new trial.

    Return the waiting trial. Raises HpsearchError if a worker of ours trains the trial or it has finished, and
    TrialNotFoundError.
    """
    store.sweep(study)
    return store.change(study, foreign_trials.retry, number)
