"""The two schemas of a database: made where they are missing, refused where they are of another version."""

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, insert, inspect, select, text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import Address
from hpsearch.storage.engine import reading, writing
from hpsearch.storage.faults import is_transient

_TRIES: Final = 8

_MYSQL_LOCK: Final = (
    "SELECT get_lock(concat('hpsearch:', md5(database())), 60)",
    "SELECT release_lock(concat('hpsearch:', md5(database())))",
)

_LOCK: Final = {
    "postgresql": ("SELECT pg_advisory_lock(20170523)", "SELECT pg_advisory_unlock(20170523)"),
    "mysql": _MYSQL_LOCK,
    "mariadb": _MYSQL_LOCK,
}
"""Statements that take and give back a lock on the making of tables in this database."""

UNSTAMPED: Final = "none"
"""Tables of an Optuna from before revisions, or tables that somebody is making at this moment."""


def optuna_version(connection: Connection) -> str | None:
    """Return the revision of Optuna's schema, UNSTAMPED for tables without one, None without tables."""
    names = set(inspect(connection).get_table_names())
    if optuna_schema.studies.name not in names:
        return None
    if optuna_schema.alembic_version.name not in names:
        return UNSTAMPED
    return connection.execute(select(optuna_schema.alembic_version)).scalars().first() or UNSTAMPED


def our_version(connection: Connection) -> int | None:
    """Return the version of our tables, or None without them."""
    if not inspect(connection).has_table(schema.versions.name):
        return None
    return connection.execute(select(schema.versions)).scalars().first()


def ensure(engine: Engine, address: Address, *, create: bool) -> None:
    """Make the tables that are missing and check the versions of those that are there.

    Several processes may do this at once. Without `create`, missing tables are an error. Raises StorageError.
    """
    theirs, ours = _versions(engine)
    if not create and (theirs is None or ours is None):
        raise StorageError(
            f"{address.shown}: holds no studies of hpsearch yet: create one first, or check the URL"
        )
    if create and (ours is None or theirs in (None, UNSTAMPED)):
        with _alone(engine):
            _until_made(lambda: _make_theirs(address), lambda: _versions(engine)[0] not in (None, UNSTAMPED))
            _until_made(lambda: _make_ours(engine), lambda: _versions(engine)[1] is not None)
    check_versions(*_versions(engine), shown=address.shown)


def _versions(engine: Engine) -> tuple[str | None, int | None]:
    with reading(engine) as connection:
        return optuna_version(connection), our_version(connection)


def check_versions(theirs: str | None, ours: int | None, *, shown: str) -> None:
    """Raise StorageError for a schema that this version of hpsearch cannot use."""
    if ours is not None and ours > schema.VERSION:
        raise StorageError(
            f"{shown}: its hpsearch tables must be of version {schema.VERSION} or older (got {ours}): "
            f"use a newer hpsearch than {hpsearch.__version__}"
        )
    if theirs is None or theirs == optuna_schema.HEAD:
        return
    if _order(theirs) < _order(optuna_schema.HEAD):
        raise StorageError(
            f"{shown}: its Optuna tables must be of version {optuna_schema.HEAD} (got {theirs}, older): "
            f"run `optuna storage upgrade --storage {shown}`"
        )
    raise StorageError(
        f"{shown}: its Optuna tables must be of version {optuna_schema.HEAD} (got {theirs}, newer): "
        f"use a newer hpsearch than {hpsearch.__version__}"
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
def _alone(engine: Engine) -> Iterator[None]:
    """Hold, where the server can, a lock that nobody else has who is here."""
    if engine.dialect.name not in _LOCK:
        yield
        return
    lock, unlock = _LOCK[engine.dialect.name]
    with engine.connect() as connection:
        connection.execute(text(lock))
        connection.commit()
        try:
            yield
        finally:
            connection.execute(text(unlock))


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
    storage.remove_session()


def _make_ours(engine: Engine) -> None:
    with writing(engine, durable=True) as connection:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.versions).values(version=schema.VERSION))
