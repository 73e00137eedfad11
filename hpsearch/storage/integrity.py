"""Check whole databases and studies against the rules for stored values."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Engine, func, select

from hpsearch.errors import Problem, StorageError, StorageUnavailableError
from hpsearch.storage import optuna_schema, schema, studies
from hpsearch.storage.address import Address, prepare_file
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.engine import make_engine, reading
from hpsearch.storage.invariants import facts, study_problems, sum_problems, trial_problems
from hpsearch.storage.migration import check_revisions, revisions, revisions_of
from hpsearch.storage.records import Place
from hpsearch.storage.sqlite_file import check_file, check_stamps, source_engine, unlinked_problems
from hpsearch.storage.study_rows import read_study, read_trials

_PROBLEMS_MAX: Final = 20
"""Most listed problems of one study."""

_FEW: Final = 3
"""Most listed problems of each study if there are several such studies."""


def study_faults(connection: Connection, place: Place) -> list[str]:
    """Return the problems of a study, prefixed with its name; none for a usable one."""
    name = connection.execute(
        select(optuna_schema.studies.c.study_name).where(optuna_schema.studies.c.study_id == place.study_id)
    ).scalar()
    try:
        found = [f"{problem}" for problem in islice(_problems(connection, place), _PROBLEMS_MAX)]
    except StorageError as error:
        found = [str(error)]
    shown = str(name) if len(str(name)) <= 80 else f"{str(name)[:77]}..."
    return [f'study "{shown}": {fault}' for fault in found]


def broken_studies(address: Address, broken: Mapping[str, Sequence[str]], *, remedy: str) -> StorageError:
    """Return the error for refused studies (name -> faults), with the remedy at its end."""
    most = _PROBLEMS_MAX if len(broken) == 1 else _FEW
    count = sum(map(len, broken.values()))
    listed = "\n".join(f"  {line}" for faults in broken.values() for line in _first(faults, most))
    return StorageError(
        f"{address.shown}: must hold studies as hpsearch and Optuna store them "
        f"({count} problem{'' if count == 1 else 's'}):\n{listed}\n{remedy}"
    )


def _first(lines: Sequence[str], most: int) -> list[str]:
    """Return the first lines up to the limit, and one more with the number of omitted ones."""
    left = len(lines) - most
    return [*lines[:most], *([f"and {left} more: see `hpsearch storage check --full`"] if left > 0 else [])]


@contextmanager
def reader(address: Address) -> Iterator[Engine]:
    """Yield an engine that only reads a database; an SQLite file is not changed."""
    if address.path is not None:
        with source_engine(address, address.path) as engine:
            yield engine
        return
    engine = make_engine(address, works_long=True)
    try:
        yield engine
    finally:
        engine.dispose()


def examine(address: Address, *, within_s: float = math.inf) -> list[str]:
    """Return all problems in a database, at most `_PROBLEMS_MAX` of each study.

    Studies that are not reached `within_s` are omitted. Raises StorageError if the database is of another version or
    cannot be read at all.
    """
    prepare_file(address, create=False, is_source=True)
    end = time.monotonic() + within_s
    with reader(address) as engine:
        if address.path is not None:
            attempt(lambda: check_stamps(engine, shown=address.shown), address)
        found = attempt(lambda: revisions_of(engine), address)
        check_revisions(found, shown=address.shown)
        if found.optuna is None:
            return []
        if address.path is not None:
            attempt(lambda: check_file(engine, shown=address.shown), address)

        def faults() -> list[str]:
            with reading(engine) as connection:
                return _database_faults(connection, end=end)

        return attempt(faults, address)


def explained(error: Exception, addresses: Iterable[Address], *, within_s: float) -> StorageError | None:
    """Return the problems of a database if they may have caused `error`, or None.

    A database that does not answer is no reason: its readers report that themselves.
    """
    for address in addresses:
        if address.path is not None and not address.path.exists():  # an unfinished export
            continue
        faults: list[str] = []
        # If the check of the database fails too, the original error is reported.
        with suppress(Exception):
            try:
                faults = examine(address, within_s=within_s)
            except StorageUnavailableError:
                continue
            except StorageError as unreadable:
                return unreadable
        if faults:
            why = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            listed = "\n".join(f"  {fault}" for fault in faults[:_PROBLEMS_MAX])
            return StorageError(
                f"{address.shown}: the database is damaged, or another program wrote what must not be there ({why}): "
                f"restore a backup, or delete these studies:\n{listed}"
            )
    return None


def _database_faults(connection: Connection, *, end: float) -> list[str]:
    faults = unlinked_problems(connection) if connection.dialect.name == "sqlite" else []
    for place in _places(connection):
        if time.monotonic() > end:
            break
        faults += study_faults(connection, place)
    return faults


def _places(connection: Connection) -> list[Place]:
    ours = {}
    if revisions(connection).hpsearch is not None:
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
    """Return the number of rows that a study has in each of our tables."""
    if place.key is None:
        return {}

    def count(table: Any) -> int:
        rows = select(func.count()).select_from(table).where(table.c.study_key == place.key)
        return int(connection.execute(rows).scalar_one())

    return {table.name: count(table) for table in schema.STUDY_DETAILS}
