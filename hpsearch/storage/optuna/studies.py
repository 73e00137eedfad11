"""Studies, for Optuna. Each function runs inside its caller's transaction.

Those that take a study's id raise KeyError if there is no such study.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.study import StudyDirection
from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.optuna.records import DEFAULT_STUDY_NAME_PREFIX, FrozenStudy, frozen_study
from hpsearch.storage.statements import write_rows
from hpsearch.storage.stored_studies import remove_strays, remove_theirs

_studies = optuna_schema.studies
_ours = schema.studies
_directions = optuna_schema.study_directions
USER = optuna_schema.study_user_attributes
SYSTEM = optuna_schema.study_system_attributes


def new_name() -> str:
    """Return a name for a study that was created without one."""
    return f"{DEFAULT_STUDY_NAME_PREFIX}{uuid.uuid4()}"


def create(connection: Connection, name: str, directions: Sequence[StudyDirection]) -> int | None:
    """Store a study and return its id, or None if the name is taken."""
    try:
        with connection.begin_nested():
            connection.execute(insert(_studies).values(study_name=name))
    except IntegrityError:
        return None
    study_id = id_of(connection, name)
    remove_strays(connection, study_id)
    connection.execute(
        insert(_directions),
        [
            {"study_id": study_id, "objective": i, "direction": direction.name}
            for i, direction in enumerate(directions)
        ],
    )
    return study_id


def delete(connection: Connection, study_id: int) -> None:
    """Delete Optuna's rows of a study."""
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise _no_study(study_id)
    remove_theirs(connection, study_id)


def rename(connection: Connection, study_id: int, name: str) -> bool:
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


def id_of(connection: Connection, name: str) -> int:
    """Return the id of the study of that name. Raises KeyError if there is none."""
    study_id: int | None = connection.execute(
        select(_studies.c.study_id).where(_studies.c.study_name == name)
    ).scalar_one_or_none()
    if study_id is None:
        raise KeyError(f'study "{name}": there is no such study')
    return study_id


def name_and_directions(connection: Connection, study_id: int) -> tuple[str, list[StudyDirection]]:
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


def attributes(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    """Return the attributes of a study in `table`."""
    rows = connection.execute(
        select(table.c.key, table.c.value_json)
        .select_from(_studies.outerjoin(table, table.c.study_id == _studies.c.study_id))
        .where(_studies.c.study_id == study_id)
    ).all()
    if not rows:
        raise _no_study(study_id)
    return {key: json.loads(text) for key, text in rows if key is not None}


def set_attribute(connection: Connection, table: Table, study_id: int, attribute: tuple[str, str]) -> None:
    """Store an attribute, its key and its value as JSON text, of a study in `table`."""
    if connection.execute(select(_studies).where(_studies.c.study_id == study_id)).first() is None:
        raise _no_study(study_id)
    key, text = attribute
    row = {"study_id": study_id, "key": key, "value_json": text}
    write_rows(connection, table, [row], key=("study_id", "key"))


def revise_attributes(
    connection: Connection,
    study_id: int,
    keys: Sequence[str],
    revise: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> None:
    """Store the result of `revise` on the study's system attributes with these keys, without concurrent revisions."""
    locked = select(_studies.c.study_id).where(_studies.c.study_id == study_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise _no_study(study_id)
    found = select(SYSTEM.c.key, SYSTEM.c.value_json).where(
        SYSTEM.c.study_id == study_id, SYSTEM.c.key.in_(keys)
    )
    there = {key: json.loads(text) for key, text in connection.execute(found)}
    rows = [
        {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
        for key, value in revise(there).items()
    ]
    write_rows(connection, SYSTEM, rows, key=("study_id", "key"))


def every(connection: Connection) -> list[FrozenStudy]:
    """Return all studies by id."""
    directions: dict[int, list[StudyDirection]] = {}
    for row in connection.execute(select(_directions).order_by(_directions.c.objective)):
        directions.setdefault(row.study_id, []).append(StudyDirection[row.direction])
    user_attrs, system_attrs = (_all_attributes(connection, table) for table in (USER, SYSTEM))
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
