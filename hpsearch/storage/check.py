"""The health of a database, for its administrators."""

from dataclasses import dataclass, replace
from typing import Final, final

from sqlalchemy import Connection, Engine, func, inspect, select, text

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import migration, optuna_schema, schema, studies, workers
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.engine import make_engine, reading
from hpsearch.storage.forecast import Forecast, WriteRate, clock, forecast, write_rate
from hpsearch.storage.integrity import examine
from hpsearch.storage.records import UnreadableStudy
from hpsearch.storage.upgrade import LocalTimes, local_times_in

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
            with reading(engine) as connection:
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
    listed = studies.listed(connection) if is_ours else []
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
