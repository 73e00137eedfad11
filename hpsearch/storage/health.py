"""The health of a database, for its administrators: its answers, its commits, and the cost of the remaining budgets."""

import time
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, final

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, inspect, literal, select, text

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import migration, optuna_schema, schema, stored_studies, workers
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.engine import make_engine, read_transaction, write_transaction
from hpsearch.storage.integrity import examine
from hpsearch.storage.progress import openings
from hpsearch.storage.records import UnreadableStudy
from hpsearch.storage.upgrade import LocalTimes, local_times_in

_ROUND_TRIPS: Final = 9

_BURST_S: Final = 0.25
_COMMITS_MIN: Final = 3
_COMMITS_MAX: Final = 100

_PAYLOAD: Final = bytes(64)

_KEY: Final = "hpsearch storage check"
"""The study key of the rows that a burst writes. No study has such a key, and no reader reads it."""


def clock(connection: Connection) -> tuple[float, float]:
    """Return the round-trip time, as the median of a few empty queries, and the database's clock minus ours, in s."""
    trips = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        connection.execute(select(literal(1))).scalar_one()
        trips.append(time.perf_counter() - began)
    before = time.time()
    there = connection.execute(select(EpochSeconds())).scalar_one()
    return median(trips), float(there) - (before + time.time()) / 2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WriteRate:
    """The number of small transactions per second that one connection commits.

    `durable` ones survive a power cut, as finished trials do; `light` ones, such as claims, need not (`engine`).
    """

    durable_per_s: float
    light_per_s: float


def write_rate(engine: Engine) -> WriteRate:
    """Return the commit rates of the database, from two bursts of a quarter of a second or 100 transactions.

    Each transaction inserts one row of 64 bytes into our table of series. All of them are removed at the end, with
    those of killed checks. Raises SQLAlchemyError if the user may not write.
    """
    series = schema.series
    try:
        return WriteRate(
            durable_per_s=_burst(engine, durable=True), light_per_s=_burst(engine, durable=False)
        )
    finally:
        with write_transaction(engine, durable=True) as connection:
            connection.execute(delete(series).where(series.c.study_key == _KEY))


def _burst(engine: Engine, *, durable: bool) -> float:
    """Return commits per second."""
    began = time.perf_counter()
    for count in range(1, _COMMITS_MAX + 1):
        with write_transaction(engine, durable=durable) as connection:
            row = {"study_key": _KEY, "number": _number(), "format": 0, "payload": _PAYLOAD}
            connection.execute(insert(schema.series).values(**row))
        elapsed_s = time.perf_counter() - began
        if elapsed_s > _BURST_S and count >= _COMMITS_MIN:
            break
    return count / elapsed_s


def _number() -> int:
    """Return a number that a concurrent check does not use."""
    return time.time_ns() % 2**31


STATEMENTS_PER_TRIAL: Final = 10
"""A trial that is claimed alone takes one transaction each to claim, assign parameters and end, of which only the last
is durable. Number of their statements in addition to one each."""

BYTES_PER_TRIAL: Final = {"sqlite": 2_600, "postgresql": 5_000, "mysql": 5_200, "mariadb": 5_200}
"""Measured with four parameters, 20 epochs and their series."""

MEASURED_FROM: Final = 1_000
"""Trials from which on the tables' own size is the better estimate: fewer do not outweigh the size of empty tables."""

_TABLES: Final = tuple(
    table.name for table in (optuna_schema.trials, *optuna_schema.TRIAL_DETAILS, *schema.STUDY_DETAILS)
)

_SIZES: Final = {
    "sqlite": (
        "SELECT (pages.page_count - free.freelist_count) * page_size AS size, NULL AS trials "
        "FROM pragma_page_count() AS pages, pragma_freelist_count() AS free, pragma_page_size()"
    ),
    "postgresql": (
        "SELECT SUM(pg_total_relation_size(oid)) AS size, NULL AS trials FROM pg_class "
        "WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relname IN :tables"
    ),
}

_MYSQL_SIZES: Final = (
    "SELECT SUM(data_length + index_length) AS size, "
    "MAX(CASE WHEN table_name = 'trials' THEN table_rows END) AS trials "
    "FROM information_schema.tables WHERE table_schema = database() AND table_name IN :tables"
)
"""MySQL and MariaDB answer from statistics, which lag; `trials` is the number of trials that they cover."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The remaining work of the open studies, and its greatest cost.

    `trials` is the number of trials in the budgets that no worker has claimed yet. `seconds` is the time that one
    connection waits for the database if each of them is claimed alone; claims of 32 need about a tenth. It is None if
    commits could not be measured, and excludes heartbeats and reports of running trials, a transaction or two per
    worker and second. `bytes_are_measured` is true if the size of a trial is this database's, not `BYTES_PER_TRIAL`.
    """

    open_studies: int
    trials: int
    seconds_per_trial: float | None
    seconds: float | None
    bytes_per_trial: float
    bytes_are_measured: bool
    size_bytes: float


def forecast(
    connection: Connection, *, trials: int, round_trip_s: float, write_rate: WriteRate | None
) -> Forecast:
    """Return the forecast for a database with `trials` trials and these response and commit times."""
    opened = [opening for opening in openings(connection, above=None) if opening.is_open]
    left = sum(opening.room for opening in opened)
    measured = _bytes_per_trial(connection, trials)
    size = BYTES_PER_TRIAL[connection.dialect.name] if measured is None else measured
    seconds = None
    if write_rate is not None:
        seconds = (
            1 / write_rate.durable_per_s + 2 / write_rate.light_per_s + STATEMENTS_PER_TRIAL * round_trip_s
        )
    return Forecast(
        open_studies=len(opened),
        trials=left,
        seconds_per_trial=seconds,
        seconds=None if seconds is None else left * seconds,
        bytes_per_trial=size,
        bytes_are_measured=measured is not None,
        size_bytes=left * size,
    )


def _bytes_per_trial(connection: Connection, trials: int) -> float | None:
    """Return the bytes of a trial, including indexes, or None if there are too few trials, or no statistics."""
    if trials < MEASURED_FROM:
        return None
    query = text(_SIZES.get(connection.dialect.name, _MYSQL_SIZES))
    if connection.dialect.name != "sqlite":
        query = query.bindparams(bindparam("tables", value=_TABLES, expanding=True))
    row = connection.execute(query).one()
    if row.trials is not None and not trials / 2 < row.trials < trials * 2:
        return None
    return float(row.size) / trials


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
    """A database's properties and response times.

    Versions of schemas are None if their tables are missing; `optuna_head` and `hpsearch_head` are those that this
    hpsearch writes. `round_trip_s` is the median of a few empty queries. `clock_difference_s` is the database's clock
    minus this machine's, known to about one round trip. If `write_rate` is None, `no_write_rate` holds the reason.
    `studies` counts ours, `unreadable_studies` those of them that this version cannot read, and `foreign_studies` those
    of other Optuna clients; `trials` those of both. `outlook` is None if there are no tables of ours, and `local_times`
    unless trials may have times of Optuna before 5.0. `faults` are the findings of a full check, or None without one.
    """

    url_shown: str
    dialect: str
    server_version: str
    optuna_schema: str | None
    optuna_head: str
    hpsearch_schema: str | None
    hpsearch_head: str
    size_bytes: int
    round_trip_s: float
    clock_difference_s: float
    write_rate: WriteRate | None
    no_write_rate: str | None
    workers_alive: int
    studies: int
    unreadable_studies: int
    foreign_studies: int
    trials: int
    outlook: Forecast | None
    local_times: LocalTimes | None
    faults: tuple[str, ...] | None = None


def check(url: str, *, full: bool = False) -> Health:
    """Return the health of the database at `url`. No table is created or changed; a few rows are added and removed.

    With `full`, checks every page and every row. Raises StorageError as `open_store`, for schemas of another version
    too, but not for missing tables; and for a damaged file.
    """
    address = parse_address(url)
    prepare_file(address, create=False)
    faults = tuple(examine(address)) if full else None
    engine = make_engine(address)
    try:
        found = attempt(lambda: migration.revisions_of(engine), address)
        migration.check_revisions(found, shown=address.shown)
        rate, no_rate = _write_rate(engine, address, found)

        def measured() -> Health:
            with read_transaction(engine) as connection:
                return _health(connection, address, found, rate=rate, no_rate=no_rate)

        return replace(attempt(measured, address), faults=faults)
    finally:
        engine.dispose()


def _write_rate(
    engine: Engine, address: Address, found: migration.Revisions
) -> tuple[WriteRate | None, str | None]:
    """Return the number of commits per second, or None and the reason why it is unknown."""
    if found.hpsearch is None:
        return None, "there are no tables of hpsearch yet"
    try:
        return attempt(lambda: write_rate(engine), address), None
    except StorageUnavailableError:
        raise
    except StorageError as error:
        return None, str(error)


def _health(
    connection: Connection,
    address: Address,
    found: migration.Revisions,
    *,
    rate: WriteRate | None,
    no_rate: str | None,
) -> Health:
    is_ours = found.optuna is not None and found.hpsearch is not None
    listed = stored_studies.listed(connection) if is_ours else []
    trials = _count(connection, optuna_schema.trials.name)
    round_trip_s, clock_difference_s = clock(connection)
    return Health(
        url_shown=address.shown,
        dialect=address.family,
        server_version=str(_scalar(connection, _VERSION.get(address.family, _MYSQL_VERSION))),
        optuna_schema=found.optuna,
        optuna_head=optuna_schema.HEAD,
        hpsearch_schema=found.hpsearch,
        hpsearch_head=schema.REVISION,
        size_bytes=int(str(_scalar(connection, _SIZE.get(address.family, _MYSQL_SIZE)))),
        round_trip_s=round_trip_s,
        clock_difference_s=clock_difference_s,
        write_rate=rate,
        no_write_rate=no_rate,
        workers_alive=len(workers.alive(connection)) if is_ours else 0,
        studies=len(listed),
        unreadable_studies=sum(isinstance(study, UnreadableStudy) for study in listed),
        foreign_studies=_count(connection, optuna_schema.studies.name) - len(listed),
        trials=trials,
        outlook=(
            forecast(connection, trials=trials, round_trip_s=round_trip_s, write_rate=rate)
            if is_ours
            else None
        ),
        local_times=local_times_in(connection, found),
    )


def _scalar(connection: Connection, statement: str) -> object:
    return connection.execute(text(statement)).scalar_one()


def _count(connection: Connection, table: str) -> int:
    """Return the number of rows of a table, 0 if it is missing."""
    if not inspect(connection).has_table(table):
        return 0
    return connection.execute(select(func.count()).select_from(text(table))).scalar_one()
