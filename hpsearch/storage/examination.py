"""Whole databases and studies held against the laws of what is stored."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, func, select

from hpsearch.errors import Problem, StorageError
from hpsearch.storage import optuna_schema, schema, studies
from hpsearch.storage.address import Address
from hpsearch.storage.laws import facts, study_problems, sum_problems, trial_problems
from hpsearch.storage.migration import revisions
from hpsearch.storage.rows import Place, read_study, read_trials
from hpsearch.storage.sqlite_file import integrity_problems, unlinked_problems

_PROBLEMS_MAX: Final = 20
"""Most problems of one study that are listed."""


def study_faults(connection: Connection, place: Place) -> list[str]:
    """Return what is wrong with a study, its name in front; nothing for one that can be used."""
    name = connection.execute(
        select(optuna_schema.studies.c.study_name).where(optuna_schema.studies.c.study_id == place.study_id)
    ).scalar()
    try:
        found = [f"{problem}" for problem in islice(_problems(connection, place), _PROBLEMS_MAX)]
    except StorageError as error:
        found = [str(error)]
    shown = str(name) if len(str(name)) <= 80 else f"{str(name)[:77]}..."
    return [f'study "{shown}": {fault}' for fault in found]


def broken_study(address: Address, faults: list[str]) -> str:
    """Return the message for a study that cannot be taken."""
    count = f"{len(faults)} problem{'' if len(faults) == 1 else 's'}"
    listed = "\n".join(f"  {fault}" for fault in faults)
    return f"{address.shown}: must hold studies as hpsearch and Optuna store them ({count}):\n{listed}"


def database_faults(connection: Connection) -> list[str]:
    """Return what is wrong with everything in a database, at most `_PROBLEMS_MAX` things of each study."""
    faults: list[str] = []
    if connection.dialect.name == "sqlite":
        faults += [f"the database file is damaged: {line}" for line in integrity_problems(connection)]
        if not faults:
            faults += unlinked_problems(connection)
    if faults:
        return faults
    return [fault for place in _places(connection) for fault in study_faults(connection, place)]


def _places(connection: Connection) -> list[Place]:
    found = revisions(connection)
    if found.optuna is None:
        return []
    ours = {}
    if found.hpsearch is not None:
        ours = {row.study_id: row.study_key for row in studies.linked(connection)}
    ids = connection.scalars(
        select(optuna_schema.studies.c.study_id).order_by(optuna_schema.studies.c.study_id)
    )
    return [Place(study_id=study_id, key=ours.get(study_id)) for study_id in ids]


def _problems(connection: Connection, place: Place) -> Iterator[Problem]:
    study = read_study(connection, place)
    yield from study_problems(study)
    known = facts(study)
    last: int | None = None
    while trials := read_trials(connection, place, after=last):
        last = max(trials)
        for rows in trials.values():
            yield from trial_problems(known, rows)
    yield from sum_problems(known, _counted(connection, place))


def _counted(connection: Connection, place: Place) -> dict[str, int]:
    """Return how many rows of each of our tables a study has."""
    if place.key is None:
        return {}

    def count(table: Any) -> int:
        rows = select(func.count()).select_from(table).where(table.c.study_key == place.key)
        return int(connection.execute(rows).scalar_one())

    return {table.name: count(table) for table in schema.STUDY_DETAILS}
