"""Both schemas of a database, brought to the revisions that this version of hpsearch reads and writes."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from sqlalchemy import Engine

from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, registry, schema
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.engine import make_engine, reading, writing
from hpsearch.storage.faults import attempt
from hpsearch.storage.migration import Revisions, alone, check_not_newer, optunas_own, revisions_of


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Upgrade:
    """What an upgrade found and what it left. Equal revisions mean that nothing was to be done."""

    url_shown: str
    before: Revisions
    after: Revisions


def upgrade(url: str, *, beside_workers: bool = False) -> Upgrade:
    """Bring Optuna's tables and ours, where they are there, to the newest revisions, and keep every row.

    PostgreSQL and SQLite undo a revision of our tables that fails; where Optuna's own or MySQL's is interrupted,
    the same call goes on from there. Raises StorageError for tables of a newer hpsearch or Optuna, where nothing
    is there to upgrade, and, unless `beside_workers`, while workers are alive.
    """
    address = parse_address(url)
    prepare_file(address, create=False)
    engine = make_engine(address)
    try:
        return attempt(lambda: _upgraded(engine, address, beside_workers=beside_workers), address)
    finally:
        engine.dispose()


def _upgraded(engine: Engine, address: Address, *, beside_workers: bool) -> Upgrade:
    before = revisions_of(engine)
    if before.optuna is None:
        raise StorageError(
            f"{address.shown}: holds no studies, so there is nothing to upgrade: check the URL"
        )
    check_not_newer(before, shown=address.shown)
    is_theirs_old = before.optuna != optuna_schema.HEAD
    is_ours_old = before.hpsearch is not None and before.hpsearch < schema.REVISION
    if is_theirs_old or is_ours_old:
        if before.hpsearch is not None and not beside_workers:
            _refuse_workers(engine, address)
        with alone(engine), _known_revisions(address):
            if is_theirs_old:
                _upgrade_theirs(address)
            if is_ours_old:
                _upgrade_ours(engine)
    return Upgrade(url_shown=address.shown, before=before, after=revisions_of(engine))


def _refuse_workers(engine: Engine, address: Address) -> None:
    with reading(engine) as connection:
        alive = registry.alive(connection)
    if alive:
        raise StorageError(
            f"{address.shown}: no worker may be at work while its tables change "
            f"(got {len(alive)}: {', '.join(alive)}): stop them with `hpsearch worker stop`, or say --yes"
        )


def _upgrade_ours(engine: Engine) -> None:
    from hpsearch.storage.revisions import upgrade_tables  # noqa: PLC0415  # Alembic is slow to import

    with writing(engine, durable=True) as connection:
        upgrade_tables(connection)


def _upgrade_theirs(address: Address) -> None:
    with optunas_own(address) as storage, _logging_as_it_is():
        storage.upgrade()


@contextmanager
def _known_revisions(address: Address) -> Iterator[None]:
    """Turn Alembic's word for a revision that was never there into a StorageError."""
    from alembic.util import CommandError  # noqa: PLC0415  # slow to import

    try:
        yield
    except CommandError as error:
        raise StorageError(
            f"{address.shown}: its tables cannot be upgraded ({error}): "
            "upgrade them with the versions of hpsearch and Optuna that made them, or restore a backup"
        ) from error


@contextmanager
def _logging_as_it_is() -> Iterator[None]:
    """Keep Optuna's migrations from setting up this process's logging, which they do where nobody has."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
