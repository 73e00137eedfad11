"""The two schemas of a database: made where they are missing, refused where they are of another version."""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from sqlalchemy import Connection, Engine, Table, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import Address
from hpsearch.storage.engine import reading, writing
from hpsearch.storage.faults import is_transient

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_TRIES: Final = 8

_MYSQL_LOCK: Final = ("SELECT get_lock(concat('hpsearch:', md5(database())), 60)",)
_MYSQL_UNLOCK: Final = ("SELECT release_lock(concat('hpsearch:', md5(database())))",)

_LOCK: Final = {
    # The lock ends with its transaction: behind a pooler another one may go to another session.
    "postgresql": (
        "SET LOCAL idle_in_transaction_session_timeout = 0",
        "SELECT pg_advisory_xact_lock(20170523)",
    ),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}
"""Statements that take a lock on the making of tables in this database."""

_UNLOCK: Final = {"mysql": _MYSQL_UNLOCK, "mariadb": _MYSQL_UNLOCK}

UNSTAMPED: Final = "none"
"""Tables of an Optuna from before revisions, or tables that somebody is making at this moment."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Revisions:
    """The revisions of the two schemas in a database, None where their tables are missing.

    `optuna` is UNSTAMPED for tables of Optuna's without one. `only_adds` is true where our tables are newer than this
    version's, and it can read and write them all the same: see `migrations`.
    """

    optuna: str | None
    hpsearch: str | None
    only_adds: bool = False

    @property
    def is_made(self) -> bool:
        """True when the tables are there, of whatever revision."""
        return self.hpsearch is not None and self.optuna not in (None, UNSTAMPED)

    @property
    def is_current(self) -> bool:
        """True when the tables are there, and this version of hpsearch reads and writes them."""
        return self.optuna == optuna_schema.HEAD and (self.hpsearch == schema.REVISION or self.only_adds)


def revisions(connection: Connection) -> Revisions:
    """Return what is stamped on the tables."""
    names = set(inspect(connection).get_table_names())

    def stamped(table: Table) -> str | None:
        if table.name not in names:
            return None
        return connection.execute(select(table)).scalars().first()

    theirs = stamped(optuna_schema.alembic_version) or UNSTAMPED
    ours = stamped(schema.versions)
    return Revisions(
        optuna=theirs if optuna_schema.studies.name in names else None,
        hpsearch=ours,
        only_adds=ours is not None and _is_of_our_line(ours) and _has_all_of_ours(connection),
    )


def _is_of_our_line(revision: str) -> bool:
    """True for a newer revision whose first two digits, which count breaks, are this version's."""
    is_revision = re.fullmatch(r"[0-9]{4}", revision) is not None
    return is_revision and revision > schema.REVISION and revision[:2] == schema.REVISION[:2]


def _has_all_of_ours(connection: Connection) -> bool:
    """True where our tables have every column that this version knows, and no other that a new row must fill."""
    there = inspect(connection)
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
    """Return what is stamped on the tables, in a transaction of its own."""
    with reading(engine) as connection:
        return revisions(connection)


def ensure(engine: Engine, address: Address, *, create: bool) -> bool:
    """Make the tables that are missing and check the revisions of those that are there; return whether none were.

    Several processes may do this at once. Without `create`, missing tables are an error. Raises StorageError.
    """
    found = revisions_of(engine)
    if found.is_current:
        return False
    if not create and (found.optuna is None or found.hpsearch is None):
        raise StorageError(
            f"{address.shown}: holds no studies of hpsearch yet: create one first, or check the URL"
        )
    if found.optuna != UNSTAMPED:
        check_revisions(found, shown=address.shown)
    if create and not found.is_made:
        with alone(engine):
            _until_made(
                lambda: _make_theirs(address), lambda: revisions_of(engine).optuna not in (None, UNSTAMPED)
            )
            _until_made(lambda: _make_ours(engine), lambda: revisions_of(engine).hpsearch is not None)
    check_revisions(revisions_of(engine), shown=address.shown)
    return found.optuna is None and found.hpsearch is None


def checked(engine: Engine, address: Address) -> Revisions:
    """Return what is stamped on the tables that are there, and make none. Raises StorageError as `check_revisions`."""
    found = revisions_of(engine)
    check_revisions(found, shown=address.shown)
    return found


def check_revisions(found: Revisions, *, shown: str) -> None:
    """Raise StorageError for a schema that this version of hpsearch cannot use. What is missing passes."""
    check_not_newer(found, shown=shown)
    upgrade = f"run `hpsearch storage upgrade --storage {shown}`"
    if found.hpsearch not in (None, schema.REVISION) and not found.only_adds:
        raise StorageError(
            f"{shown}: its hpsearch tables must be of version {schema.REVISION} "
            f"(got {found.hpsearch}, older): {upgrade}"
        )
    if found.optuna is not None and found.optuna != optuna_schema.HEAD:
        raise StorageError(
            f"{shown}: its Optuna tables must be of version {optuna_schema.HEAD} "
            f"(got {found.optuna}, older): {upgrade}"
        )


def check_not_newer(found: Revisions, *, shown: str) -> None:
    """Raise StorageError for a schema of a newer hpsearch or Optuna, unless it only adds to our tables."""
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
    """Return a key that sorts Optuna's revisions by age; what does not look like one is the newest."""
    if revision == UNSTAMPED:
        return (-1,)
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\.([a-z])", revision)
    if match is None:
        return (float("inf"),)
    *numbers, letter = match.groups()
    return (*map(int, numbers), ord(letter))


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Hold, where the server can, a lock that nobody else has who is here."""
    if engine.dialect.name not in _LOCK:
        yield
        return
    with reading(engine) as connection:
        for statement in _LOCK[engine.dialect.name]:
            connection.execute(text(statement))
        try:
            yield
        finally:
            for statement in _UNLOCK.get(engine.dialect.name, ()):
                connection.execute(text(statement))


def _until_made(make: Callable[[], None], is_made: Callable[[], bool]) -> None:
    """Call `make` until the tables are there, whoever made them.

    Processes that make the same tables at once get each other's errors; the tables in the end are the same.
    """
    for count in range(1, _TRIES + 1):
        if is_made():
            return
        try:
            make()
        except SQLAlchemyError as error:
            if not _collided(error) or count == _TRIES:
                raise
            # Chance keeps two that collided from colliding again; it touches no result.
            time.sleep(random.uniform(0.5, 1.0) * 0.02 * 2**count)  # noqa: S311


def _collided(error: SQLAlchemyError) -> bool:
    """True when somebody else made the same table or row at the same time."""
    return isinstance(error, IntegrityError) or is_transient(error) or "exists" in str(error)


def _make_theirs(address: Address) -> None:
    """Let Optuna make its own tables and stamp their revision. Raises SQLAlchemyError."""
    with optunas_own(address):
        pass


@contextmanager
def optunas_own(address: Address) -> "Iterator[RDBStorage]":
    """Give Optuna's own storage on the database, with all its tables, in whatever revision they are.

    Raises SQLAlchemyError.
    """
    from optuna.exceptions import StorageInternalError  # noqa: PLC0415  # slow to import, and rarely needed
    from optuna.storages import RDBStorage  # noqa: PLC0415  # the same

    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        # Optuna fills in braces as in a template. That the version fits is checked by our caller.
        url = address.full.replace("{", "{{").replace("}", "}}")
        # Without a pool nothing stays open, also where this fails.
        storage = RDBStorage(url, {"poolclass": NullPool}, skip_compatibility_check=True)
    except StorageInternalError as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            raise error.__cause__ from None
        raise
    try:
        yield storage
    finally:
        storage.remove_session()


def _make_ours(engine: Engine) -> None:
    with writing(engine, durable=True) as connection:
        schema.metadata.create_all(connection)
        schema.versions.create(connection, checkfirst=True)
        connection.execute(insert(schema.versions).values(version_num=schema.REVISION))
