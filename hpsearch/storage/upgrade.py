"""Upgrade both schemas of a database to the revisions that this version of hpsearch reads and writes."""

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
from hpsearch.storage.driver_errors import UncertainCommitError, attempt, is_transient, translated
from hpsearch.storage.engine import BUSY_TIMEOUT_S, make_engine, read_transaction, write_transaction
from hpsearch.storage.migration import (
    Revisions,
    check_can_upgrade,
    check_not_newer,
    exclusive_lock,
    revisions_of,
    upgrade_optuna_tables,
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
    """The trials, in studies that hpsearch did not make, whose times may be local.

    `optuna` is the version that made the tables, or "before 3.2".
    """

    optuna: str
    trials: int


def local_times(engine: Engine, found: Revisions) -> LocalTimes | None:
    """Return the result of `local_times_in`, in a transaction of its own."""
    with read_transaction(engine) as connection:
        return local_times_in(connection, found)


def local_times_in(connection: Connection, found: Revisions) -> LocalTimes | None:
    """Return the trials that may have times of Optuna before 5.0, or None. Works on tables of any revision."""
    version = None if found.optuna is None else _old_optuna_version(connection)
    if version is None:
        return None
    trials, links = optuna_schema.trials, optuna_schema.study_user_attributes
    # Trials of our own studies have always had times in UTC.
    ours = select(links.c.study_id).where(links.c.key == LINK_ATTRIBUTE)
    count = connection.execute(
        select(func.count())
        .select_from(trials)
        .where(trials.c.datetime_start.is_not(None), trials.c.study_id.not_in(ours))
    ).scalar_one()
    return LocalTimes(optuna=version, trials=count) if count else None


def _old_optuna_version(connection: Connection) -> str | None:
    """Return the version of the Optuna that made the tables if it precedes 5.0, or None if it is newer or unknown."""
    inspector, info = inspect(connection), optuna_schema.version_info
    if not inspector.has_table(info.name):
        return None
    version: str | None = connection.execute(select(info.c.library_version)).scalars().first()
    if version is not None and _major(version) < _UTC_SINCE:
        return version
    indexes = {index["name"] for index in inspector.get_indexes(optuna_schema.trials.name)}
    return "before 3.2" if _UPGRADED_INDEX in indexes else None


def _major(version: str) -> int:
    """Return the major version; text that is no version counts as a new one."""
    match = re.match(r"(\d+)\.", version)
    return _UTC_SINCE if match is None else int(match[1])


_STATES_AFTER_FAILURE: Final = {
    "sqlite": "the file is unchanged: {remedy}",
    "postgresql": "the failed revision was rolled back: {remedy}, and repeat the command",
}
"""The state after a failed upgrade, and the remedy. MySQL and MariaDB do not roll back changes of tables."""

_STATE_AFTER_FAILURE_MYSQL: Final = (
    "its tables may be between two versions, because the server undoes no change of a table: {remedy}, restore your "
    "backup, and repeat the command"
)

_REMEDY: Final = "fix what it names"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Upgrade:
    """The revisions before and after an upgrade. Equal revisions mean that there was nothing to do.

    `local_times` is None unless trials may have times of Optuna before 5.0.
    """

    url_shown: str
    before: Revisions
    after: Revisions
    local_times: LocalTimes | None = None


def upgrade(url: str, *, allow_workers: bool = False) -> Upgrade:
    """Upgrade Optuna's tables and ours, if they exist, to the newest revisions, and keep every row.

    An SQLite file changes in one transaction, after a copy of it was upgraded, so a file that cannot be upgraded stays
    identical byte for byte. PostgreSQL rolls back a failed upgrade of either schema. MySQL and MariaDB cannot; the
    error names the remedy. Raises StorageError for tables of a newer hpsearch or Optuna, or of another application, if
    there is nothing to upgrade, and, unless `allow_workers`, if workers are alive.
    """
    address = parse_address(url)
    prepare_file(address, create=False)
    engine = make_engine(address, works_long=True)
    try:
        return attempt(lambda: _upgraded(engine, address, allow_workers=allow_workers), address)
    finally:
        engine.dispose()


def _upgraded(engine: Engine, address: Address, *, allow_workers: bool) -> Upgrade:
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
        if before.hpsearch is not None and not allow_workers:
            _refuse_workers(engine, address)
        with (
            exclusive_lock(engine),
            _explain_failure(address),
            _working_copy(engine, address) as (target, there),
        ):
            if is_theirs_old:
                _upgrade_optuna_tables(target, there, before)
            if is_ours_old:
                _upgrade_our_tables(target)
    return Upgrade(url_shown=address.shown, before=before, after=revisions_of(engine), local_times=times)


def _refuse_workers(engine: Engine, address: Address) -> None:
    with read_transaction(engine) as connection:
        alive = workers.alive(connection)
    if alive:
        raise StorageError(
            f"{address.shown}: no worker may run while its tables change "
            f"(got {len(alive)}: {', '.join(alive)}): stop them with `hpsearch worker stop`, or add --yes"
        )


def _upgrade_our_tables(engine: Engine) -> None:
    with write_transaction(engine, durable=True) as connection:
        upgrade_tables(connection)


def _upgrade_optuna_tables(engine: Engine, address: Address, before: Revisions) -> None:
    with _preserve_logging(), warnings.catch_warnings():
        # They concern Optuna's own old code, with which its revisions read old distributions.
        warnings.simplefilter("ignore")
        upgrade_optuna_tables(engine, address, before)


@contextmanager
def _working_copy(engine: Engine, address: Address) -> Iterator[tuple[Engine, Address]]:
    """Yield the database to change: for an SQLite file a copy, which replaces its contents if nothing was raised.

    SQLite's tables are changed in many transactions, so a change that fails in the middle cannot be undone.
    """
    if address.path is None:
        yield engine, address
        return
    with fork_safety.connected(), _temporary_folder(address.path, address.shown) as folder:
        path = Path(folder) / "copy.db"
        there = replace(address, url=URL.create("sqlite+pysqlite", database=str(path)), path=path)
        copied = make_engine(there)
        try:
            with _driver_connection(engine) as original:
                original.execute("BEGIN IMMEDIATE")  # no other process writes from here on
                with _driver_connection(engine) as source, _driver_connection(copied) as target:
                    _copy(source, target)
                yield copied, there
                original.rollback()
                with _driver_connection(copied) as source:
                    _copy(source, original)
        finally:
            copied.dispose()


@contextmanager
def _driver_connection(engine: Engine) -> Iterator[Any]:
    """Yield a connection of SQLite's driver."""
    connection = engine.raw_connection()
    try:
        yield connection.driver_connection
    finally:
        connection.close()


@contextmanager
def _temporary_folder(path: Path, shown: str) -> Iterator[str]:
    """Yield a folder for a copy of the file at `path`, on the same disk, and delete it with all contents afterwards."""
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
    """Copy the contents of `source` into `target`, in one transaction. Raises SQLite's error for a lock."""
    began = time.monotonic()

    def look(_status: int, _remaining: int, _total: int) -> None:
        # The driver would wait for a lock endlessly.
        if time.monotonic() - began > BUSY_TIMEOUT_S:
            raise sqlite3.OperationalError("database is locked")

    source.backup(target, progress=look, sleep=0.05)


@contextmanager
def _explain_failure(address: Address) -> Iterator[None]:
    """Turn the error of a failed upgrade into a StorageError with the state of the database and the remedy.

    Optuna's revisions read stored values and may raise any error because of them. Transient errors pass through.
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
        raise type(meant)(f"{meant}; {_state_and_remedy(address)}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise StorageError(
            f"{address.shown}: its tables cannot be upgraded ({reason}): {_state_and_remedy(address)}"
        ) from error


def _state_and_remedy(address: Address) -> str:
    return _STATES_AFTER_FAILURE.get(address.family, _STATE_AFTER_FAILURE_MYSQL).format(remedy=_REMEDY)


@contextmanager
def _preserve_logging() -> Iterator[None]:
    """Keep Optuna's migrations from configuring this process's logging, as they do if it has no configuration."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


FOLDER: Final = Path(__file__).parent / "migrations"
"""The folder of the revisions. `migrations` explains how to write one."""


def scripts(folder: Path = FOLDER) -> "Config":
    """Return Alembic's configuration to find the revisions in `folder`."""
    from alembic.config import Config  # noqa: PLC0415  # Alembic is slow to import

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def upgrade_tables(connection: Connection, *, folder: Path = FOLDER, to: str = "head") -> None:
    """Run the missing revisions, up to `to`, in the caller's transaction, and stamp the last one.

    Alembic keeps global state, so only one thread at a time may call this. Raises SQLAlchemyError.
    """
    from alembic import command  # noqa: PLC0415  # Alembic is slow to import

    config = scripts(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, to)
