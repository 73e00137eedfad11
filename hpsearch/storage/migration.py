"""The two schemas of a database: made where they are missing, refused where they are of another version."""

import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine, insert, inspect, select

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import Address
from hpsearch.storage.engine import reading, writing

_TRIES: Final = 8

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
    if create and theirs in (None, UNSTAMPED):
        _until_made(lambda: _make_theirs(address), lambda: _versions(engine)[0] not in (None, UNSTAMPED))
    if ours is None:
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


def _until_made(make: Callable[[], None], is_made: Callable[[], bool]) -> None:
    """Call `make` until the tables are there, whoever made them.

    Processes that make the same tables at once get each other's errors, of many kinds; the tables in the end
    are the same.
    """
    for count in range(1, _TRIES + 1):
        try:
            make()
        except Exception:
            # Chance keeps two that collided from colliding again; it touches no result.
            time.sleep(random.uniform(0.5, 1.0) * 0.02 * 2**count)  # noqa: S311
            if not is_made() and count == _TRIES:
                raise
        if is_made():
            return


def _make_theirs(address: Address) -> None:
    """Let Optuna make its own tables and stamp their revision."""
    from optuna.storages import RDBStorage  # noqa: PLC0415  slow to import, and rarely needed

    logging.getLogger("alembic").setLevel(logging.WARNING)
    # Optuna fills in braces as in a template.
    storage = RDBStorage(address.full.replace("{", "{{").replace("}", "}}"))
    storage.remove_session()
    storage.engine.dispose()


def _make_ours(engine: Engine) -> None:
    with writing(engine, durable=True) as connection:
        schema.metadata.create_all(connection)
        connection.execute(insert(schema.versions).values(version=schema.VERSION))
