"""The health of a database, for people who look after it."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from sqlalchemy import Connection, func, inspect, literal, select, text

from hpsearch.storage import migration, optuna_schema, schema, studies
from hpsearch.storage.address import parse_address, prepare_file
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.engine import make_engine, reading
from hpsearch.storage.faults import attempt

_ROUND_TRIPS: Final = 9

_VERSION: Final = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}

_SIZE: Final = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}

_MYSQL_VERSION: Final = "SELECT version()"
_MYSQL_SIZE: Final = (
    "SELECT COALESCE(SUM(data_length + index_length), 0) "
    "FROM information_schema.tables WHERE table_schema = database()"
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What a database is, and how well it answers.

    Versions of schemas are None where their tables are missing; `optuna_head` and `hpsearch_head` are those
    that this hpsearch writes. `round_trip_s` is the median of a few empty queries. `clock_difference_s` is the
    database's clock minus this machine's, known to about one round trip. `studies` counts ours, and
    `foreign_studies` those of other Optuna clients; `trials` those of both.
    """

    url_shown: str
    dialect: str
    server_version: str
    optuna_schema: str | None
    optuna_head: str
    hpsearch_schema: int | None
    hpsearch_head: int
    size_bytes: int
    round_trip_s: float
    clock_difference_s: float
    studies: int
    foreign_studies: int
    trials: int


def check(url: str) -> Health:
    """Return the health of the database at `url`. No table is made or changed.

    Raises StorageError as `open_store`, for schemas of another version too, but not for missing tables.
    """
    address = parse_address(url)
    prepare_file(address, create=False)
    engine = make_engine(address)

    def measured() -> Health:
        with reading(engine) as connection:
            return _health(connection, address.shown, address.family)

    try:
        return attempt(measured, address)
    finally:
        engine.dispose()


def _health(connection: Connection, shown: str, family: str) -> Health:
    theirs, ours = migration.optuna_version(connection), migration.our_version(connection)
    migration.check_versions(theirs, ours, shown=shown)
    own = 0 if theirs is None or ours is None else len(list(studies.linked(connection)))
    round_trip_s, clock_difference_s = _clock(connection)
    return Health(
        url_shown=shown,
        dialect=family,
        server_version=str(_scalar(connection, _VERSION.get(family, _MYSQL_VERSION))),
        optuna_schema=theirs,
        optuna_head=optuna_schema.HEAD,
        hpsearch_schema=ours,
        hpsearch_head=schema.VERSION,
        size_bytes=int(str(_scalar(connection, _SIZE.get(family, _MYSQL_SIZE)))),
        round_trip_s=round_trip_s,
        clock_difference_s=clock_difference_s,
        studies=own,
        foreign_studies=_count(connection, optuna_schema.studies.name) - own,
        trials=_count(connection, optuna_schema.trials.name),
    )


def _scalar(connection: Connection, statement: str) -> object:
    return connection.execute(text(statement)).scalar_one()


def _count(connection: Connection, table: str) -> int:
    """Return the rows of a table, 0 where it is missing."""
    if not inspect(connection).has_table(table):
        return 0
    return connection.execute(select(func.count()).select_from(text(table))).scalar_one()


def _clock(connection: Connection) -> tuple[float, float]:
    """Return the round-trip time and the database's clock minus ours, in seconds."""
    trips = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        connection.execute(select(literal(1))).scalar_one()
        trips.append(time.perf_counter() - began)
    before = time.time()
    there = connection.execute(select(EpochSeconds())).scalar_one()
    return median(trips), float(there) - (before + time.time()) / 2
