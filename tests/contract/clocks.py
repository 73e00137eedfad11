"""Clocks that tests set: the database's, as each worker reads it, and the one that watches leases."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import pytest
from sqlalchemy import event, text

from hpsearch.storage.engine import write_transaction
from hpsearch.storage.store import Store

_EPOCH_DAYS: Final = 2_440_587.5

_POSTGRESQL_CLOCK: Final = (
    "CREATE SCHEMA IF NOT EXISTS hpsearch_clock",
    (
        "CREATE OR REPLACE FUNCTION hpsearch_clock.clock_timestamp() RETURNS timestamptz STABLE LANGUAGE sql "
        "AS 'SELECT to_timestamp(current_setting(''hpsearch.now'')::double precision)'"
    ),
)
"""A function that sessions use instead of the server's own."""


@final
class Clocks:
    """Time that only a test advances, for all registered stores. On SQLite a store may be ahead of others."""

    def __init__(self) -> None:
        self.monotonic_s = 1_000.0
        self._now_s = time.time()

    def keep(self, store: Store, *, ahead_s: float = 0.0) -> None:
        """Use this time for a store's connections from now on."""
        dialect = store._transactions.engine.dialect.name
        if dialect == "postgresql":
            with write_transaction(store._transactions.engine, durable=False) as connection:
                for statement in _POSTGRESQL_CLOCK:
                    connection.execute(text(statement))

        def give(connection: Any, *_: object) -> None:
            _set(connection, dialect, self._now_s + ahead_s)

        event.listen(store._transactions.engine, "checkout", give)

    def wait(self, seconds: float) -> None:
        """Advance every clock."""
        self.monotonic_s += seconds
        self._now_s += seconds

    def jump(self, seconds: float) -> None:
        """Set the database's clock, or let a machine sleep: no time passes for observers."""
        self._now_s += seconds


def _set(connection: Any, dialect: str, now_s: float) -> None:
    """Set the time of one of a driver's connections."""
    if dialect == "sqlite":
        connection.create_function("julianday", 1, lambda _: now_s / 86_400 + _EPOCH_DAYS)
        return
    with connection.cursor() as cursor:
        if dialect == "postgresql":
            cursor.execute("SET search_path = hpsearch_clock, pg_catalog, public")
            cursor.execute(f"SET hpsearch.now = '{now_s}'")
        else:
            cursor.execute(f"SET timestamp = {now_s}")


@contextmanager
def kept_clocks() -> Iterator[Clocks]:
    """Give clocks, and let leases be watched by them."""
    clocks = Clocks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hpsearch.storage.leases.monotonic_s", lambda: clocks.monotonic_s)
        yield clocks
