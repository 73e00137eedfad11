"""Connections and transactions.

SQLite runs in WAL mode with a busy timeout; writers take their lock at once (`BEGIN IMMEDIATE`), so that
none fails half-way. Servers run writers at READ COMMITTED, so that what is read after a lock was waited for
is what the lock's last owner left, and readers at REPEATABLE READ, so that one call sees one state.

A transaction is `durable` when a power cut must not undo it: finished trials, studies, budgets. Claims,
parameters, reports and heartbeats are not: their commit does not wait for the disk (SQLite synchronous
NORMAL, PostgreSQL synchronous_commit off). A durable commit writes out everything before it. A claim that a
power cut undid is harmless, because the token that it gave no longer opens anything. MySQL and MariaDB
decide this for the whole server (innodb_flush_log_at_trx_commit).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from sqlalchemy import Connection, Dialect, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from hpsearch.errors import StorageError
from hpsearch.storage import forks
from hpsearch.storage.address import Address, mask
from hpsearch.storage.direct import is_lost, run
from hpsearch.storage.replacing import follow_file

BUSY_TIMEOUT_S: Final = 30
"""How long a writer waits for another writer's lock."""

_READING_TIMEOUT_S: Final = 900
"""How long a reader that holds no lock may be busy with what it has read."""

_CONNECT_TIMEOUT_S: Final = 10

_SINGLE: Final = "hpsearch_single"
_WRITES: Final = "hpsearch_writes"
_DURABLE: Final = "hpsearch_durable"


def make_engine(address: Address) -> Engine:
    """Return an engine for `address`. Nothing is connected yet.

    Threads may share it, and so may the child of a fork (see `forks`). Raises StorageError, as every connection does,
    if the driver cannot work with the URL's options.
    """

    def connect(dialect: Dialect, _record: Any, arguments: list[str], options: dict[str, Any]) -> Any:
        with _told_of_options(address):
            return dialect.connect(*arguments, **options)

    with _told_of_options(address):
        engine = (
            _sqlite_engine(address, address.path) if address.path is not None else _server_engine(address)
        )
    forks.follow(engine, address.path, shown=address.shown)
    event.listen(engine, "do_connect", connect)
    return engine


def _sqlite_engine(address: Address, path: Path) -> Engine:
    engine = create_engine(
        address.url, connect_args={"timeout": BUSY_TIMEOUT_S}, hide_parameters=True, pool_size=4
    )
    follow_file(engine, path, shown=address.shown)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server_engine(address: Address) -> Engine:
    def prepare(connection: Any, _record: Any) -> None:
        _prepare_server(connection, family=address.family)

    engine = create_engine(
        address.url,
        connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # transactions are ours to begin, see `_begin_server`
        pool_size=4,
        # Transactions end before their connections go back. PyMySQL would send a rollback after each query, too.
        pool_reset_on_return="rollback" if address.family == "postgresql" else None,
    )
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_server)
    event.listen(engine, "handle_error", _notice_loss)
    return engine


def close_connections(engine: Engine) -> None:
    """Close all connections: those in use by other threads when they come back. The next transaction opens new ones."""

    def close(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.close()

    pool = engine.pool
    engine.dispose()
    event.listen(pool, "checkin", close)
    pool.dispose()  # what came back in between


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection on which everything is read as of one moment."""
    with forks.connected(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def glancing(engine: Engine) -> Iterator[Connection]:
    """Give a connection without a transaction: each statement reads what is committed when it begins."""
    with forks.connected(), engine.connect().execution_options(**{_SINGLE: True}) as connection:
        yield connection


@contextmanager
def writing(engine: Engine, *, durable: bool) -> Iterator[Connection]:
    """Give a connection whose changes are committed at the end, or undone by an exception.

    Raises UncertainCommitError when the connection was lost while it committed.
    """
    options: dict[str, Any] = {_WRITES: True, _DURABLE: durable}
    with forks.connected(), engine.connect().execution_options(**options) as connection:
        transaction = connection.begin()
        try:
            yield connection
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except DBAPIError as error:
            if error.connection_invalidated:
                raise UncertainCommitError from error
            raise


@final
class UncertainCommitError(Exception):
    """The connection was lost while a transaction was committed: it may be in the database or not."""


@contextmanager
def _told_of_options(address: Address) -> Iterator[None]:
    """Turn what a driver raises about the URL's options, which is no error of its own, into a StorageError."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, OSError) as error:
        driver = address.url.get_driver_name()
        raise StorageError(
            f"{address.shown}: the driver {driver} cannot work with its options ({mask(str(error))}): "
            "check what stands behind the ?"
        ) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Transactions are ours to begin: the driver would begin them late and without their lock.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    connection.execute("PRAGMA journal_mode = WAL")


def _prepare_server(connection: Any, *, family: str) -> None:
    """Bound how long this connection waits for a lock, and how long it holds one if its process is stopped."""
    cursor = connection.cursor()
    if family == "postgresql":
        cursor.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{BUSY_TIMEOUT_S}s'")
    else:
        # Without the strict mode a text that is too long is cut off, and JSON with it.
        cursor.execute(
            f"SET SESSION innodb_lock_wait_timeout = {BUSY_TIMEOUT_S}, "
            "SESSION sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES')"
        )
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        cursor.execute("SELECT version()")
        if "mariadb" in cursor.fetchone()[0].lower():
            cursor.execute(f"SET idle_write_transaction_timeout = {BUSY_TIMEOUT_S}")
    cursor.close()
    connection.commit()


def _notice_loss(context: ExceptionContext) -> None:
    """Tell SQLAlchemy of lost connections that it does not take for lost."""
    if not context.is_disconnect and isinstance(context.sqlalchemy_exception, DBAPIError):
        context.is_disconnect = is_lost(context.dialect, None, context.original_exception)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_WRITES, False):
        level = "FULL" if options[_DURABLE] else "NORMAL"
        run(connection, f"PRAGMA synchronous = {level}", ())
        run(connection, "BEGIN IMMEDIATE", ())
    elif not options.get(_SINGLE, False):
        run(connection, "BEGIN", ())


def _begin_server(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_SINGLE, False):
        return
    writes = options.get(_WRITES, False)
    if connection.dialect.name == "postgresql":
        # One round trip for both: psycopg sends a text without parameters as it is.
        if not writes:
            # It holds nobody up, and what it reads may take a while to unpack between two queries.
            patience = f"SET LOCAL idle_in_transaction_session_timeout = '{_READING_TIMEOUT_S}s'"
            run(connection, f"BEGIN ISOLATION LEVEL REPEATABLE READ; {patience}", ())
            return
        local = "" if options[_DURABLE] else "; SET LOCAL synchronous_commit = off"
        run(connection, f"BEGIN ISOLATION LEVEL READ COMMITTED{local}", ())
        return
    if not writes:
        run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ())
    run(connection, "BEGIN", ())
