"""Connections and transactions.

SQLite runs in WAL mode, from the first write on, with a busy timeout; writers take their lock immediately (`BEGIN
IMMEDIATE`), so that none fails half-way. A process that only reads does not change a byte of the file. Servers run
writers at READ COMMITTED, so that reads after waiting for a lock see the last owner's writes, and readers at REPEATABLE
READ, so that one call sees one state.

A transaction is `durable` if a power cut must not undo it: finished trials, studies, budgets. Claims, parameters,
reports and heartbeats are not: their commit does not wait for the disk (SQLite synchronous NORMAL, PostgreSQL
synchronous_commit off). A durable commit also flushes all earlier ones. A claim undone by a power cut is harmless,
because its token is no longer valid. MySQL and MariaDB decide this for the whole server
(innodb_flush_log_at_trx_commit).
"""

import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, final

from sqlalchemy import Connection, Dialect, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from hpsearch.errors import HpsearchError, StorageError, StorageUnavailableError, mask
from hpsearch.storage import drivers, fork_safety
from hpsearch.storage.address import Address
from hpsearch.storage.driver_errors import (
    UNCERTAIN,
    Kind,
    Try,
    TurnedReadOnlyError,
    UncertainCommitError,
    absent,
    kind_of,
    tries,
)
from hpsearch.storage.statements import is_lost, run

_T = TypeVar("_T")
_P = ParamSpec("_P")

BUSY_TIMEOUT_S: Final = 30
"""How long a writer waits for another writer's lock."""

_LOGGING_NAME: Final = "hpsearch"
_READING_TIMEOUT_S: Final = 900
"""How long a reader that holds no lock may process the rows that it has read."""

_SINGLE: Final = "hpsearch_single"
_WRITES: Final = "hpsearch_writes"
_DURABLE: Final = "hpsearch_durable"
_LOCKS: Final = "hpsearch_locks"
_WAL: Final = "hpsearch_wal"


def make_engine(address: Address, *, works_long: bool = False) -> Engine:
    """Return an engine for `address`. Nothing is connected yet.

    Threads may share it, and so may the child of a fork (see `fork_safety`). With `works_long`, a statement may take a
    server hours. This function and every connection raise StorageError if the driver cannot use the URL's options, and
    StorageUnavailableError if a server does not answer in time.
    """
    with _translate_option_errors(address):
        engine = (
            _sqlite_engine(address, address.path)
            if address.path is not None
            else _server_engine(address, drivers.WORK_WITHIN_S if works_long else drivers.ANSWER_WITHIN_S)
        )
    # An error from closing a lost connection only repeats the loss.
    logging.getLogger(f"sqlalchemy.pool.impl.QueuePool.{_LOGGING_NAME}").setLevel(logging.CRITICAL)
    return engine


def _sqlite_engine(address: Address, path: Path) -> Engine:
    def connect(dialect: Dialect, _record: Any, arguments: list[str], options: dict[str, Any]) -> Any:
        with _translate_option_errors(address, dialect.loaded_dbapi.Error):
            return dialect.connect(*arguments, **{"timeout": BUSY_TIMEOUT_S, **options})

    engine = create_engine(address.url, hide_parameters=True, pool_size=4, pool_logging_name=_LOGGING_NAME)
    follow_file(engine, path, shown=address.shown)
    fork_safety.follow(engine, path, shown=address.shown)  # must precede the listener that connects
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _server_engine(address: Address, answer_within_s: int) -> Engine:
    def connect(dialect: Dialect, _record: Any, _arguments: Any, options: dict[str, Any]) -> Any:
        own = dialect.loaded_dbapi.Error
        with (
            _translate_option_errors(address, own),
            _limit_connect_time(drivers.connect_within_s(dialect.driver, options), own, address),
        ):
            return drivers.connect(dialect.driver, dialect.connect, options, answer_within_s=answer_within_s)

    def prepare(connection: Any, _record: Any) -> None:
        _prepare_server(connection, family=address.family)

    engine = create_engine(
        address.url,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # we begin transactions ourselves, see `_begin_server`
        pool_size=4,
        pool_logging_name=_LOGGING_NAME,
        # Transactions end before their connections return to the pool. PyMySQL would also send a rollback after each
        # query.
        pool_reset_on_return="rollback" if address.family == "postgresql" else None,
    )
    fork_safety.follow(engine, None, shown=address.shown)
    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_server)
    event.listen(engine, "handle_error", _report_disconnects)
    return engine


def close_connections(engine: Engine) -> None:
    """Close all connections, those in use by other threads on their return. The next transaction opens new ones."""

    def close(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.close()

    pool = engine.pool
    engine.dispose()
    event.listen(pool, "checkin", close)
    pool.dispose()  # connections returned in the meantime


@contextmanager
def read_transaction(engine: Engine) -> Iterator[Connection]:
    """Yield a connection on which everything is read as of one moment."""
    with fork_safety.connected(), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """Yield a connection without a transaction: each statement reads the data committed at its start."""
    with fork_safety.connected(), engine.connect().execution_options(**{_SINGLE: True}) as connection:
        yield connection


@contextmanager
def single_write(engine: Engine) -> Iterator[Connection]:
    """Yield a connection on which a statement that writes is a transaction of its own."""
    with _detect_read_only(engine), autocommit(engine) as connection:
        yield connection


@contextmanager
def write_transaction(engine: Engine, *, durable: bool, study_id: int | None = None) -> Iterator[Connection]:
    """Yield a connection whose changes are committed at the end, or rolled back after an exception.

    With a `study_id`, PostgreSQL locks the row of that study as the transaction begins: see `locks`.
    Raises UncertainCommitError if the connection was lost during the commit, and TurnedReadOnlyError if the database
    accepted earlier transactions and is read-only now.
    """
    options: dict[str, Any] = {_WRITES: True, _DURABLE: durable, _LOCKS: study_id}
    with (
        fork_safety.connected(),
        _detect_read_only(engine),
        engine.connect().execution_options(**options) as connection,
    ):
        transaction = connection.begin()
        try:
            yield connection
        except BaseException:
            transaction.rollback()
            raise
        try:
            transaction.commit()
        except BaseException as error:
            is_lost = isinstance(error, DBAPIError) and (
                error.connection_invalidated or kind_of(error.orig) in UNCERTAIN
            )
            # SQLAlchemy would return it to the pool with its open transaction and locks: close it instead.
            connection.invalidate()
            if is_lost:
                raise UncertainCommitError from error
            raise


@final
class Transactions:
    """The transactions of a database. Each is repeated while it fails with errors that may pass.

        for one_try, transaction in transactions.writing(durable=True):
            with one_try, transaction as connection:
                result = connection.execute(...)
        return result

    The loop ends after the first transaction that succeeds. It raises StorageUnavailableError if the database does not
    answer, and StorageError for other errors. Without `has_theirs`, the database has no tables of Optuna's; without
    `has_ours`, none of hpsearch.
    """

    def __init__(self, engine: Engine, address: Address, *, has_theirs: bool, has_ours: bool) -> None:
        self.engine = engine
        self.address = address
        self.has_theirs = has_theirs
        self.has_ours = has_ours

    def read_tries(self) -> Iterator[tuple[Try, AbstractContextManager[Connection]]]:
        """Yield transactions that read as of one moment, until one succeeds."""
        for one_try in tries(self.address):
            yield one_try, read_transaction(self.engine)

    def write_tries(
        self, *, durable: bool, study_id: int | None = None
    ) -> Iterator[tuple[Try, AbstractContextManager[Connection]]]:
        """Yield transactions that write, until one succeeds. See `write_transaction` for `study_id`."""
        for one_try in tries(self.address):
            yield one_try, write_transaction(self.engine, durable=durable, study_id=study_id)

    def single_tries(self) -> Iterator[tuple[Try, AbstractContextManager[Connection]]]:
        """Yield connections for one statement that writes and may be repeated, until it succeeds."""
        for one_try in tries(self.address):
            yield one_try, single_write(self.engine)

    def read(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the result of `work`, a function of this package, in a transaction that reads."""
        for one_try, transaction in self.read_tries():
            with one_try, transaction as connection:
                result = work(connection, *args, **kwargs)
        return result

    def write(
        self, work: Callable[Concatenate[Connection, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the result of `work`, a function of this package, in a durable transaction."""
        for one_try, transaction in self.write_tries(durable=True):
            with one_try, transaction as connection:
                result = work(connection, *args, **kwargs)
        return result


def use_wal(engine: Engine) -> None:
    """Put an SQLite file into WAL mode, in which readers and writers do not wait for each other."""
    if engine.dialect.name == "sqlite":
        with write_transaction(engine, durable=False):
            pass


@contextmanager
def _detect_read_only(engine: Engine) -> Iterator[None]:
    """Raise TurnedReadOnlyError if the database refuses a write although `engine` has written earlier."""
    try:
        yield
    except DBAPIError as error:
        if engine in _written and kind_of(error.orig) is Kind.READ_ONLY:
            raise TurnedReadOnlyError from error
        raise
    _written.add(engine)


_written: Final[weakref.WeakSet[Engine]] = weakref.WeakSet()


@contextmanager
def _translate_option_errors(address: Address, own: type[Exception] = DBAPIError) -> Iterator[None]:
    """Turn a driver's error about the URL's options, unless it is an error of its `own`, into a StorageError."""
    try:
        yield
    except (HpsearchError, own):
        raise
    except Exception as error:
        names = ", ".join(address.url.query)
        reason = str(error).partition("\n")[0]  # the rest may be a line of a file with passwords
        raise StorageError(
            f"{address.shown}: the driver {address.url.get_driver_name()} cannot work with its options "
            f"({mask(reason or type(error).__name__)}): check {names or 'host, port and database'}"
        ) from error


@contextmanager
def _limit_connect_time(within_s: float, own: type[Exception], address: Address) -> Iterator[None]:
    """Raise StorageUnavailableError for a connection that took too long: the next would take as long."""
    began = time.monotonic()
    try:
        yield
    except own as error:
        if time.monotonic() - began < within_s:
            raise
        raise absent(address, "no answer in time") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # We begin transactions ourselves: the driver would begin them late and without their lock.
    connection.isolation_level = None
    # A file from another source may contain triggers and views; a damaged page should be detected, not read.
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


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


def _report_disconnects(context: ExceptionContext) -> None:
    """Report lost connections to SQLAlchemy that it does not recognize as lost."""
    if not context.is_disconnect and isinstance(context.sqlalchemy_exception, DBAPIError):
        context.is_disconnect = is_lost(context.dialect, None, context.original_exception)


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get(_WRITES, False):
        if not connection.info.get(_WAL, False):
            run(connection, "PRAGMA journal_mode = WAL", ())
            connection.info[_WAL] = True
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
            # It blocks no other process, and unpacking its rows between two queries may take a while.
            patience = f"SET LOCAL idle_in_transaction_session_timeout = '{_READING_TIMEOUT_S}s'"
            run(connection, f"BEGIN ISOLATION LEVEL REPEATABLE READ; {patience}", ())
            return
        local = "" if options[_DURABLE] else "; SET LOCAL synchronous_commit = off"
        study_id: int | None = options.get(_LOCKS)
        if study_id is not None:
            # One round trip less while other transactions wait for this one.
            local += f"; SELECT study_id FROM studies WHERE study_id = {study_id:d} FOR UPDATE"  # noqa: S608 # a whole number
        run(connection, f"BEGIN ISOLATION LEVEL READ COMMITTED{local}", ())
        return
    if not writes:
        run(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", ())
    run(connection, "BEGIN", ())


def locks(connection: Connection, study_id: int) -> bool:
    """Return True if this transaction, which writes, began by locking the row of that study, or the whole database."""
    if connection.dialect.name == "sqlite":
        return True
    is_postgresql = connection.dialect.name == "postgresql"
    return is_postgresql and connection.get_execution_options().get(_LOCKS) == study_id


_FILE: Final = "hpsearch_file"


def follow_file(engine: Engine, path: Path, *, shown: str) -> None:
    """Direct every transaction of `engine` to the file that is at `path` when it begins.

    If the file was replaced, connections are renewed. If it is missing, a transaction raises StorageUnavailableError,
    so that no empty file takes its place.
    """
    gone = f"{shown}: the file is gone: restore it, or stop the processes that use it"
    was_there = threading.Event()

    def look(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
        # The driver creates a missing file, which only the first connection may permit.
        if was_there.is_set() and _identity(path) is None:
            raise StorageUnavailableError(gone)

    def note(_connection: Any, record: Any) -> None:
        was_there.set()
        record.info[_FILE] = _identity(path)

    def compare(_connection: Any, record: Any, _proxy: Any) -> None:
        present = _identity(path)
        if present is None:
            raise StorageUnavailableError(gone)
        if present != record.info[_FILE]:
            raise DisconnectionError(f"{path}: the file was replaced by another one")

    event.listen(engine, "do_connect", look)
    event.listen(engine, "connect", note)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and the inode number of the file, or None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
