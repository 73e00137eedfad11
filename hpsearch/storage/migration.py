"""The two schemas of a database: created if they are missing, refused if they are of another version."""

import logging
import random
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, final

from sqlalchemy import Connection, Engine, Inspector, Table, insert, inspect, literal, select, text
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import DropTable

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.storage import drivers, fork_safety, optuna_schema, schema
from hpsearch.storage.address import Address
from hpsearch.storage.driver_errors import is_transient
from hpsearch.storage.engine import read_transaction, use_wal, write_transaction

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_TRIES: Final = 8

_MYSQL_LOCK: Final = ("SELECT get_lock(concat('hpsearch:', md5(database())), 30)",)
_MYSQL_UNLOCK: Final = ("SELECT release_lock(concat('hpsearch:', md5(database())))",)

_LOCK: Final = {
    # The lock ends with its transaction: with a pooler, the next transaction may go to another session.
    "postgresql": (
        "SET LOCAL idle_in_transaction_session_timeout = 0",
        "SELECT pg_advisory_xact_lock(20170523)",
    ),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}
"""Statements that lock the creation of tables in this database."""

_REVISION: Final = r"v(\d+)\.(\d+)\.(\d+)\.([a-z])"
"""Optuna's names of its revisions."""

_UNLOCK: Final = {"mysql": _MYSQL_UNLOCK, "mariadb": _MYSQL_UNLOCK}

UNSTAMPED: Final = "none"
"""Tables of an Optuna without revisions, 0.9 and older."""

UNFINISHED: Final = "unfinished"
"""Today's tables without a revision: another process is creating them, or was interrupted."""

_MADE_LATER: Final = (
    optuna_schema.study_directions,
    optuna_schema.trial_intermediate_values,
    optuna_schema.trial_heartbeats,
)
"""Tables that Optuna has since 2.4."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """The revisions of the two schemas in a database, None if their tables are missing.

    `optuna` is UNSTAMPED or UNFINISHED for tables of Optuna's without one. `lacks` names tables of Optuna's newest
    revision that are missing although it is stamped: Optuna's own upgrade leaves them to the next client. `strange`
    names tables that have names of Optuna's but are not Optuna's, or whose revision cannot be determined. `only_adds`
    is true if our tables are newer than this version's, but it can read and write them: see `migrations`.
    `is_unstamped` is true if our tables hold studies, but no revision.
    """

    optuna: str | None
    hpsearch: str | None
    lacks: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()
    only_adds: bool = False
    is_unstamped: bool = False

    @property
    def exists(self) -> bool:
        """True if the tables exist, in any revision."""
        return self.hpsearch is not None and self.optuna not in (None, UNFINISHED) and not self.lacks

    @property
    def is_current(self) -> bool:
        """True if the tables exist, and this version of hpsearch reads and writes them."""
        is_ours = self.hpsearch == schema.REVISION or self.only_adds
        return self.optuna == optuna_schema.HEAD and is_ours and not (self.lacks or self.strange)


def revisions(connection: Connection) -> Revisions:
    """Return the revisions of the tables. Writes nothing."""
    inspector = inspect(connection)
    found = _stamps(connection, inspector)
    if found.hpsearch is None and _has_studies(connection, inspector):
        # A process that creates tables stamps them before it writes a row: it may have done both in the meantime.
        found = _stamps(connection, inspect(connection))
        return replace(found, is_unstamped=found.hpsearch is None)
    is_newer = found.hpsearch is not None and _is_compatible(found.hpsearch)
    return replace(found, only_adds=True) if is_newer and _has_our_columns(inspector) else found


def _has_studies(connection: Connection, inspector: Inspector) -> bool:
    """Return True if there are rows of our studies, with any columns."""
    rows = select(literal(1)).select_from(schema.studies).limit(1)
    return inspector.has_table(schema.studies.name) and connection.execute(rows).first() is not None


def _stamps(connection: Connection, inspector: Inspector) -> Revisions:
    names = set(inspector.get_table_names())

    def stamped(table: Table) -> str | None:
        if table.name not in names:
            return None
        stamp = connection.execute(select(table)).scalars().first()
        return None if stamp is None else str(stamp)

    theirs, ours = stamped(optuna_schema.alembic_version), stamped(schema.versions)
    if optuna_schema.studies.name in names and theirs is not None and _is_optuna_schema(theirs):
        lacks = sorted(set(optuna_schema.metadata.tables) - names) if theirs == optuna_schema.HEAD else ()
        return Revisions(optuna=theirs, hpsearch=ours, lacks=tuple(lacks))
    others = _foreign_tables(inspector, names)
    if theirs is not None:
        # Another application's Alembic has a table of the same name.
        is_optunas = optuna_schema.studies.name in names and not others
        strange = () if is_optunas else (optuna_schema.alembic_version.name, *others)
        return Revisions(optuna=theirs if is_optunas else None, hpsearch=ours, strange=strange)
    if not others:
        is_there = not names.isdisjoint(optuna_schema.metadata.tables.keys() - {"alembic_version"})
        return Revisions(optuna=UNFINISHED if is_there else None, hpsearch=ours)
    if _is_unversioned(connection, names, others):
        return Revisions(optuna=UNSTAMPED, hpsearch=ours)
    return Revisions(optuna=None, hpsearch=ours, strange=others)


def _is_optuna_schema(revision: str) -> bool:
    return re.fullmatch(_REVISION, revision) is not None


def _foreign_tables(inspector: Inspector, names: Collection[str]) -> tuple[str, ...]:
    """Return the tables that have a name of Optuna's but lack today's columns."""
    tables = [*optuna_schema.metadata.sorted_tables, optuna_schema.version_info]
    return tuple(
        table.name
        for table in tables
        if table.name in names and not _has_current_columns(table, inspector.get_columns(table.name))
    )


def _has_current_columns(table: Table, columns: Sequence[ReflectedColumn]) -> bool:
    """Return True if a table has the columns of today's Optuna. Other applications have a table `studies` too."""
    there, declared = {column["name"] for column in columns}, set(table.columns.keys())
    return there == declared if table is optuna_schema.studies else there >= declared


def _is_unversioned(connection: Connection, names: Collection[str], others: Collection[str]) -> bool:
    """Return True for tables of an Optuna without revisions, as recorded in a table that it has always had."""
    info = optuna_schema.version_info
    if info.name not in names or info.name in others or optuna_schema.trials.name not in others:
        return False
    version = connection.execute(select(info.c.schema_version)).scalars().first()
    return version is not None and version < optuna_schema.SCHEMA_VERSION


def _is_compatible(revision: str) -> bool:
    """Return True for a newer revision whose first two digits, which count breaks, are this version's."""
    is_revision = re.fullmatch(r"[0-9]{4}", revision) is not None
    return is_revision and revision > schema.REVISION and revision[:2] == schema.REVISION[:2]


def _has_our_columns(there: Inspector) -> bool:
    """Return True if our tables have every column that this version uses, and no other required column."""
    for table in schema.metadata.sorted_tables:
        if not there.has_table(table.name):
            return False
        columns = {column["name"]: column for column in there.get_columns(table.name)}
        more = [column for name, column in columns.items() if name not in table.columns]
        if not set(table.columns.keys()) <= set(columns):
            return False
        if not all(column["nullable"] or column["default"] is not None for column in more):
            return False
    return True


def revisions_of(engine: Engine) -> Revisions:
    """Return the stamped revisions, in a transaction of its own."""
    with read_transaction(engine) as connection:
        return revisions(connection)


def create_missing(engine: Engine, address: Address, *, create: bool) -> bool:
    """Create missing tables and check the revisions of existing ones; return whether there were none.

    Several processes may call this at once. Without `create`, missing tables are an error. Raises StorageError.
    """
    found = revisions_of(engine)
    if found.is_current:
        return False
    check_not_newer(found, shown=address.shown)
    is_being_made = found.optuna == UNFINISHED and (create or found.hpsearch is None)
    if not is_being_made:
        check_revisions(found, shown=address.shown)
    if not create and (found.optuna is None or found.hpsearch is None):
        raise StorageError(
            f"{address.shown}: holds no studies of hpsearch yet: create one first, or check the URL"
        )
    if create and not found.exists:
        use_wal(engine)
        with exclusive_lock(engine):
            _create_with_retries(
                lambda: _create_optuna_tables(engine, address),
                lambda: _has_optuna_columns(revisions_of(engine)),
            )
            _create_with_retries(
                lambda: _create_our_tables(engine), lambda: revisions_of(engine).hpsearch is not None
            )
    check_revisions(revisions_of(engine), shown=address.shown)
    return found.optuna is None and found.hpsearch is None


def _has_optuna_columns(found: Revisions) -> bool:
    return found.optuna not in (None, UNFINISHED) and not found.lacks


def check_existing(engine: Engine, address: Address) -> Revisions:
    """Return the stamped revisions of the existing tables, and create none. Raises StorageError as `check_revisions`.

    Tables of Optuna's that another process is creating count as missing.
    """
    found = revisions_of(engine)
    if found.optuna == UNFINISHED and found.hpsearch is None:
        found = replace(found, optuna=None)
    check_revisions(found, shown=address.shown)
    return found


def check_revisions(found: Revisions, *, shown: str) -> None:
    """Raise StorageError for a schema that this version of hpsearch cannot use. Missing tables pass."""
    check_not_newer(found, shown=shown)
    upgrade = f"run `hpsearch storage upgrade --storage {shown}`"
    if found.hpsearch not in (None, schema.REVISION) and not found.only_adds:
        raise StorageError(
            f"{shown}: its hpsearch tables must be of version {schema.REVISION} "
            f"(got {found.hpsearch}, older): {upgrade}"
        )
    if found.optuna is not None and found.optuna != optuna_schema.HEAD:
        got = UNSTAMPED if found.optuna == UNFINISHED else found.optuna
        raise StorageError(
            f"{shown}: its Optuna tables must be of version {optuna_schema.HEAD} "
            f"(got {got}, older): {upgrade}"
        )


def check_not_strange(found: Revisions, *, shown: str) -> None:
    """Raise StorageError if tables that are not Optuna's have the names of Optuna's."""
    if found.strange:
        tables = "table" if len(found.strange) == 1 else "tables"
        raise StorageError(
            f"{shown}: tables with the names of Optuna's must be those of a known Optuna version "
            f"(got other columns, or another application's revision, in {tables} {', '.join(found.strange)}): "
            "give hpsearch a database of its own, or restore a backup; nothing was changed"
        )


def check_not_newer(found: Revisions, *, shown: str) -> None:
    """Raise StorageError for a schema of another application, of a newer hpsearch or Optuna, or without a version.

    A newer schema that only adds to our tables passes.
    """
    check_not_strange(found, shown=shown)
    if found.is_unstamped:
        raise StorageError(f"{shown}: its hpsearch tables must have a version (got none): restore a backup")
    newer = f"use a newer hpsearch than {hpsearch.__version__}"
    if found.hpsearch is not None and found.hpsearch > schema.REVISION and not found.only_adds:
        raise StorageError(
            f"{shown}: its hpsearch tables must be of version {schema.REVISION} "
            f"(got {found.hpsearch}, newer): {newer}"
        )
    if found.optuna is not None and _order(found.optuna) > _order(optuna_schema.HEAD):
        raise StorageError(
            f"{shown}: its Optuna tables must be of version {optuna_schema.HEAD} "
            f"(got {found.optuna}, newer): {newer}"
        )


def _order(revision: str) -> tuple[int, ...] | tuple[float]:
    """Return a key that sorts Optuna's revisions by age; any other text sorts as the newest."""
    if revision in (UNSTAMPED, UNFINISHED):
        return (-1,)
    match = re.fullmatch(_REVISION, revision)
    if match is None:
        return (float("inf"),)
    *numbers, letter = match.groups()
    return (*map(int, numbers), ord(letter))


@contextmanager
def exclusive_lock(engine: Engine) -> Iterator[None]:
    """Hold a lock that excludes other processes from this block, if the server supports it."""
    if engine.dialect.name not in _LOCK:
        yield
        return
    with read_transaction(engine) as connection:
        for statement in _LOCK[engine.dialect.name]:
            connection.execute(text(statement))
        try:
            yield
        finally:
            for statement in _UNLOCK.get(engine.dialect.name, ()):
                connection.execute(text(statement))


def _create_with_retries(make: Callable[[], None], exists: Callable[[], bool]) -> None:
    """Call `make` until the tables exist, made by this process or another.

    Processes that create the same tables at once cause errors in each other; the resulting tables are the same.
    """
    for count in range(1, _TRIES + 1):
        if exists():
            return
        try:
            make()
        except SQLAlchemyError as error:
            if not _collided(error) or count == _TRIES:
                raise
            # A random pause keeps two colliding processes from colliding again; it affects no result.
            time.sleep(random.uniform(0.5, 1.0) * 0.02 * 2**count)  # noqa: S311


def _collided(error: SQLAlchemyError) -> bool:
    """Return True if another process created the same table or row at the same time."""
    return isinstance(error, IntegrityError) or is_transient(error) or "exists" in str(error)


def _create_optuna_tables(engine: Engine, address: Address) -> None:
    """Create Optuna's missing tables as it does, and stamp their revision. Raises SQLAlchemyError.

    If there are none yet, and this is the version of Optuna that they were compared with, `optuna_schema` creates them:
    it takes milliseconds, and Optuna's own models and revisions most of a second.
    """
    from optuna.version import __version__  # noqa: PLC0415  # slow to import, and rarely needed

    if __version__ != optuna_schema.DECLARED_FOR or revisions_of(engine).optuna is not None:
        complete_optuna_tables(address)
        return
    with write_transaction(engine, durable=True) as connection:
        optuna_schema.metadata.create_all(connection)
        optuna_schema.version_info.create(connection)
        info = {"schema_version": optuna_schema.SCHEMA_VERSION, "library_version": __version__}
        connection.execute(insert(optuna_schema.version_info).values(version_info_id=1, **info))
        connection.execute(insert(optuna_schema.alembic_version).values(version_num=optuna_schema.HEAD))


def complete_optuna_tables(address: Address) -> None:
    """Let Optuna create its missing tables and stamp their revision. Raises SQLAlchemyError."""
    with fork_safety.connected(), optuna_storage(address, skip_table_creation=False):
        pass


_BEFORE_2_4: Final = {
    "postgresql": (
        "PostgreSQL",
        "upgrade them with Optuna 2.10 first, in an environment of its own, and then with this command",
    ),
    "mariadb": ("MariaDB", "upgrade a copy on a server of MySQL"),
}
"""Servers on which the revision v2.4.0.a fails -> their names and the remedy.

It creates a type that PostgreSQL already has, and drops a column that MariaDB, unlike MySQL, does not remove from a
key.
"""


def check_can_upgrade(engine: Engine, found: Revisions, *, shown: str) -> None:
    """Raise StorageError for tables on which Optuna's own revisions are known to fail half-way."""
    if found.optuna in (None, UNFINISHED) or _order(str(found.optuna)) >= _order("v2.4.0.a"):
        return
    server = "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name
    if server in _BEFORE_2_4:
        name, remedy = _BEFORE_2_4[server]
        raise StorageError(
            f"{shown}: tables of Optuna before 2.4 cannot be upgraded on {name}, where Optuna's own upgrade fails "
            f"half-way (got {found.optuna}): {remedy}; nothing was changed"
        )


def upgrade_optuna_tables(engine: Engine, address: Address, found: Revisions) -> None:
    """Upgrade Optuna's tables to the newest revision and create missing ones. Raises any error of its revisions."""
    if found.optuna not in (None, UNFINISHED, optuna_schema.HEAD):
        _drop_premature_tables(engine, found)
        # Tables created before the revisions run would already have the columns that the revisions add.
        with fork_safety.connected(), optuna_storage(address, skip_table_creation=True) as storage:
            storage.upgrade()
    complete_optuna_tables(address)


def _drop_premature_tables(engine: Engine, found: Revisions) -> None:
    """Drop empty tables that a present client added to those of an old revision: the revisions create them again.

    Every `RDBStorage` of Optuna adds them before it reads the revision, and so did hpsearch.
    """
    if found.optuna is None or _order(found.optuna) >= _order("v2.4.0.a"):
        return
    with write_transaction(engine, durable=True) as connection:
        there = set(inspect(connection).get_table_names())
        for table in _MADE_LATER:
            if table.name in there and connection.execute(select(table.c.values()[0])).first() is None:
                connection.execute(DropTable(table))


@contextmanager
def optuna_storage(address: Address, *, skip_table_creation: bool) -> "Iterator[RDBStorage]":
    """Yield Optuna's own storage on the database, in any revision.

    Missing tables are created in their newest form, unless `skip_table_creation`. Raises SQLAlchemyError.
    """
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415  # slow to import, and rarely needed
    from optuna.storages import RDBStorage  # noqa: PLC0415  # the same

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        # Optuna formats braces like a template. Our caller checks the version.
        plain, arguments = drivers.plain(address.url)
        url = plain.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
        # Without a pool no connection stays open, even if this fails.
        storage = RDBStorage(
            url,
            {"poolclass": NullPool, "connect_args": arguments},
            skip_compatibility_check=True,
            skip_table_creation=skip_table_creation,
        )
    except StorageInternalError as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            raise error.__cause__ from None
        raise
    try:
        yield storage
    finally:
        storage.remove_session()


def _create_our_tables(engine: Engine) -> None:
    with write_transaction(engine, durable=True) as connection:
        schema.metadata.create_all(connection)
        schema.versions.create(connection, checkfirst=True)
        connection.execute(insert(schema.versions).values(version_num=schema.REVISION))
