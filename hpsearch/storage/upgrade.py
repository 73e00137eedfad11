"""Both schemas of a database, brought to the revisions that this version of hpsearch reads and writes."""

import logging
import re
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from sqlalchemy import URL, Connection, Engine, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import fork_safety, optuna_schema, schema, workers
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.driver_errors import attempt, is_transient, translated
from hpsearch.storage.engine import BUSY_TIMEOUT_S, UncertainCommitError, make_engine, reading, writing
from hpsearch.storage.migration import (
    Revisions,
    alone,
    check_can_upgrade,
    check_not_newer,
    revisions_of,
    upgrade_theirs,
)
from hpsearch.storage.schema import LINK_ATTRIBUTE

if TYPE_CHECKING:
    from alembic.config import Config

_UTC_SINCE: Final = 5
"""The major version of Optuna that writes times in UTC."""

_UPGRADED_INDEX: Final = "trials_study_id_key"
"""The index that the revision v3.2.0.a adds; new tables have `ix_trials_study_id` instead."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LocalTimes:
    """The trials, of studies that hpsearch did not make, whose times may be local.

    `optuna` is the version that made the tables, or "before 3.2".
    """

    optuna: str
    trials: int


def local_times(engine: Engine, found: Revisions) -> LocalTimes | None:
    """Return what `local_times_in` does, in a transaction of its own."""
    with reading(engine) as connection:
        return local_times_in(connection, found)


def local_times_in(connection: Connection, found: Revisions) -> LocalTimes | None:
    """Return which trials may have times of Optuna before 5.0, None if none can. Tables of any revision will do."""
    version = None if found.optuna is None else _maker(connection)
    if version is None:
        return None
    trials, links = optuna_schema.trials, optuna_schema.study_user_attributes
    # Trials of our own studies have never had other times than UTC.
    ours = select(links.c.study_id).where(links.c.key == LINK_ATTRIBUTE)
    count = connection.execute(
        select(func.count())
        .select_from(trials)
        .where(trials.c.datetime_start.is_not(None), trials.c.study_id.not_in(ours))
    ).scalar_one()
    return LocalTimes(optuna=version, trials=count) if count else None


def _maker(connection: Connection) -> str | None:
    """Return the version before 5.0 of the Optuna that made the tables, None for a newer or unknown one."""
    inspector, info = inspect(connection), optuna_schema.version_info
    if not inspector.has_table(info.name):
        return None
    version: str | None = connection.execute(select(info.c.library_version)).scalars().first()
    if version is not None and _major(version) < _UTC_SINCE:
        return version
    indexes = {index["name"] for index in inspector.get_indexes(optuna_schema.trials.name)}
    return "before 3.2" if _UPGRADED_INDEX in indexes else None


def _major(version: str) -> int:
    """Return the major version; what does not look like a version is taken for a new one."""
    match = re.match(r"(\d+)\.", version)
    return _UTC_SINCE if match is None else int(match[1])


_AFTERWARDS: Final = {
    "sqlite": "the file is as it was: {remedy}",
    "postgresql": "the revision that failed was undone: {remedy}, and repeat the command",
}
"""What a failed upgrade leaves, and what to do. MySQL and MariaDB undo no change of a table."""

_AFTERWARDS_MYSQL: Final = (
    "its tables may be between two versions, because the server undoes no change of a table: {remedy}, restore your "
    "backup, and repeat the command"
)

_REMEDY: Final = "fix what it names"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Upgrade:
    """What an upgrade found and what it left. Equal revisions mean that nothing was to be done.

    `local_times` is None unless trials may have times of Optuna before 5.0.
    """

    url_shown: str
    before: Revisions
    after: Revisions
    local_times: LocalTimes | None = None


def upgrade(url: str, *, beside_workers: bool = False) -> Upgrade:
    """Bring Optuna's tables and ours, where they are there, to the newest revisions, and keep every row.

    An SQLite file changes in one transaction, once a copy of it was upgraded, so one that cannot be upgraded stays
    byte for byte as it is. PostgreSQL undoes what fails of either schema. MySQL and MariaDB cannot; the error says
    what to do. Raises StorageError for tables of a newer hpsearch or Optuna, for another application's, where
    nothing is there to upgrade, and, unless `beside_workers`, while workers are alive.
    """
    address = parse_address(url)
    prepare_file(address, create=False)
    engine = make_engine(address, works_long=True)
    try:
        return attempt(lambda: _upgraded(engine, address, beside_workers=beside_workers), address)
    finally:
        engine.dispose()


def _upgraded(engine: Engine, address: Address, *, beside_workers: bool) -> Upgrade:
    before = revisions_of(engine)
    check_not_newer(before, shown=address.shown)
    if before.optuna is None:
        raise StorageError(
            f"{address.shown}: holds no studies, so there is nothing to upgrade: check the URL"
        )
    check_can_upgrade(engine, before, shown=address.shown)
    times = local_times(engine, before)
    is_theirs_old = before.optuna != optuna_schema.HEAD or bool(before.lacks)
    is_ours_old = before.hpsearch is not None and before.hpsearch < schema.REVISION
    if is_theirs_old or is_ours_old:
        if before.hpsearch is not None and not beside_workers:
            _refuse_workers(engine, address)
        with alone(engine), _explained(address), _safely(engine, address) as (target, there):
            if is_theirs_old:
                _upgrade_theirs(target, there, before)
            if is_ours_old:
                _upgrade_ours(target)
    return Upgrade(url_shown=address.shown, before=before, after=revisions_of(engine), local_times=times)


def _refuse_workers(engine: Engine, address: Address) -> None:
    with reading(engine) as connection:
        alive = workers.alive(connection)
    if alive:
        raise StorageError(
            f"{address.shown}: no worker may run while its tables change "
            f"(got {len(alive)}: {', '.join(alive)}): stop them with `hpsearch worker stop`, or add --yes"
        )


def _upgrade_ours(engine: Engine) -> None:
    with writing(engine, durable=True) as connection:
        upgrade_tables(connection)


def _upgrade_theirs(engine: Engine, address: Address, before: Revisions) -> None:
    with _logging_as_it_is(), warnings.catch_warnings():
        # They are about Optuna's own old code, which its revisions read old distributions with.
        warnings.simplefilter("ignore")
        upgrade_theirs(engine, address, before)


@contextmanager
def _safely(engine: Engine, address: Address) -> Iterator[tuple[Engine, Address]]:
    """Give the database to change: of an SQLite file a copy, which becomes its contents when nothing was raised.

    SQLite's tables are changed in many transactions, so a change that fails in the middle cannot be undone.
    """
    if address.path is None:
        yield engine, address
        return
    with fork_safety.connected(), _folder_beside(address.path, address.shown) as folder:
        path = Path(folder) / "copy.db"
        there = replace(address, url=URL.create("sqlite+pysqlite", database=str(path)), path=path)
        copied = make_engine(there)
        try:
            with _raw(engine) as original:
                original.execute("BEGIN IMMEDIATE")  # no other process writes from here on
                with _raw(engine) as source, _raw(copied) as target:
                    _copy(source, target)
                yield copied, there
                original.rollback()
                with _raw(copied) as source:
                    _copy(source, original)
        finally:
            copied.dispose()


@contextmanager
def _raw(engine: Engine) -> Iterator[Any]:
    """Give a connection of SQLite's driver."""
    connection = engine.raw_connection()
    try:
        yield connection.driver_connection
    finally:
        connection.close()


@contextmanager
def _folder_beside(path: Path, shown: str) -> Iterator[str]:
    """Give a folder for a copy of the file at `path`, on the same disk, which goes away with everything in it."""
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{path.name}-upgrade-", dir=path.resolve().parent)
    except OSError as error:
        raise StorageError(
            f"{shown}: its folder must take a copy while the file is upgraded ({error.strerror}): "
            "make room, or give yourself the right to write there"
        ) from error
    with folder as name:
        yield name


def _copy(source: Any, target: Any) -> None:
    """Let the contents of `source` be those of `target`, in one transaction. Raises SQLite's error for a lock."""
    began = time.monotonic()

    def look(_status: int, _remaining: int, _total: int) -> None:
        # The driver would wait for a lock without end.
        if time.monotonic() - began > BUSY_TIMEOUT_S:
            raise sqlite3.OperationalError("database is locked")

    source.backup(target, progress=look, sleep=0.05)


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Turn what a failed upgrade raises into a StorageError with the state of the database, and what to do.

    Optuna's revisions read what is stored, and raise whatever it makes them raise. What may go away by itself passes.
    """
    from alembic.util import CommandError  # noqa: PLC0415  # slow to import

    try:
        yield
    except (StorageError, UncertainCommitError):
        raise
    except CommandError as error:
        raise StorageError(
            f"{address.shown}: its tables cannot be upgraded ({error}): "
            "upgrade them with the versions of hpsearch and Optuna that made them, or restore a backup"
        ) from error
    except SQLAlchemyError as error:
        if is_transient(error) or isinstance(meant := translated(error, address), StorageUnavailableError):
            raise
        raise type(meant)(f"{meant}; {_afterwards(address)}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise StorageError(
            f"{address.shown}: its tables cannot be upgraded ({reason}): {_afterwards(address)}"
        ) from error


def _afterwards(address: Address) -> str:
    return _AFTERWARDS.get(address.family, _AFTERWARDS_MYSQL).format(remedy=_REMEDY)


@contextmanager
def _logging_as_it_is() -> Iterator[None]:
    """Keep Optuna's migrations from setting up this process's logging, which they do where nobody has."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


FOLDER: Final = Path(__file__).parent / "migrations"
"""Where the revisions are. `migrations` says how to write one."""


def scripts(folder: Path = FOLDER) -> "Config":
    """Return what Alembic needs to know to find the revisions in `folder`."""
    from alembic.config import Config  # noqa: PLC0415  # Alembic is slow to import

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def upgrade_tables(connection: Connection, *, folder: Path = FOLDER, to: str = "head") -> None:
    """Run the revisions that the tables lack, up to `to`, in the caller's transaction, and stamp the last one.

    Alembic keeps its place in the process, so only one thread at a time may be here. Raises SQLAlchemyError.
    """
    from alembic import command  # noqa: PLC0415  # Alembic is slow to import

    config = scripts(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, to)
