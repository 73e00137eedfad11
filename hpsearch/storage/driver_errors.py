"""The meaning of a driver's exceptions: worth a retry, an absent server, or a problem to fix.

Error codes of database servers are listed as data, with the meaning of each for the transaction that received it.
PostgreSQL: SQLSTATEs, appendix A of its documentation. MySQL: "Server Error Message Reference" and "Client Error
Message Reference". MariaDB: "MariaDB Error Code Reference". SQLite: "Result and Error Codes".
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import TracebackType
from typing import Any, Final, TypeVar, final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hpsearch.errors import (
    StorageError,
    StorageReadOnlyError,
    StorageUnavailableError,
    ValueRefusedError,
    mask,
)
from hpsearch.storage.address import Address


@final
class Kind(Enum):
    """The meaning of an error. The value is the text shown to users."""

    COLLISION = "another transaction was in the way"
    CANCELLED = "it cancelled the statement"
    ABSENT = "it closed the connection"
    CROWDED = "it has too many connections"
    SHORT = "it is short of memory or another resource"
    TROUBLED = "it is in trouble"
    FULL = "its disk is full"
    READ_ONLY = "it is read-only"


PASSING: Final = frozenset(Kind) - {Kind.READ_ONLY}
"""Transient errors: the same transaction may succeed later."""

AT_ONCE: Final = frozenset({Kind.COLLISION, Kind.CANCELLED})
"""Errors after which the same transaction may succeed immediately."""

UNCERTAIN: Final = frozenset({Kind.CANCELLED, Kind.ABSENT, Kind.SHORT, Kind.TROUBLED})
"""Errors that leave open whether a commit succeeded."""

SESSION_ENDED: Final = frozenset(
    {
        "57P01",  # admin_shutdown, and pg_terminate_backend
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P04",  # database_dropped
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "25P04",  # transaction_timeout
        1053,  # server shutdown in progress
        1079,  # shutdown complete
        1080,  # forcing close of thread
        1152,  # aborted connection
        1158,  # error reading communication packets
        1159,  # timeout reading communication packets
        1160,  # error writing communication packets
        1161,  # timeout writing communication packets
        1184,  # aborted connection
        1927,  # MariaDB: connection was killed
        2006,  # client: server has gone away
        2013,  # client: lost connection during query
        2055,  # client: lost connection
        3032,  # MySQL: the server is in offline mode
        3169,  # MySQL: session was killed
        4031,  # MySQL: disconnected because of inactivity
    }
)
"""Codes with which a server ends a session, or a driver reports that one has ended."""

_SQLSTATES: Final[Mapping[str, Kind]] = {
    "08": Kind.ABSENT,  # connection_exception
    "23503": Kind.COLLISION,  # foreign_key_violation: another Optuna client has deleted the study since our read
    "25006": Kind.READ_ONLY,  # read_only_sql_transaction: a standby, or default_transaction_read_only
    "25P03": Kind.ABSENT,
    "25P04": Kind.ABSENT,
    "40": Kind.COLLISION,  # transaction_rollback: serialization failures, deadlocks
    "40003": Kind.ABSENT,  # statement_completion_unknown
    "53": Kind.SHORT,  # insufficient_resources: 53200 out_of_memory, 53400 configuration_limit_exceeded
    "53100": Kind.FULL,  # disk_full
    "53300": Kind.CROWDED,  # too_many_connections
    "55": Kind.TROUBLED,  # object_not_in_prerequisite_state: in use, in recovery, not accepting connections
    "55P03": Kind.COLLISION,  # lock_not_available
    "57": Kind.ABSENT,  # operator_intervention
    "57014": Kind.CANCELLED,  # query_canceled: pg_cancel_backend, statement_timeout
    "58": Kind.TROUBLED,  # system_error: input and output, missing files
    "XX000": Kind.TROUBLED,  # internal_error; XX001 and XX002, damaged data, are permanent
}
"""SQLSTATE, or its class (the first two characters), -> meaning. The whole code takes precedence."""

_MYSQL: Final[Mapping[int, Kind]] = {
    1020: Kind.COLLISION,  # record has changed since last read
    1205: Kind.COLLISION,  # lock wait timeout exceeded
    1213: Kind.COLLISION,  # deadlock
    1452: Kind.COLLISION,  # foreign key violation: another Optuna client has deleted the study since our read
    1613: Kind.COLLISION,  # XA_RBTIMEOUT
    1614: Kind.COLLISION,  # XA_RBDEADLOCK
    3058: Kind.COLLISION,  # MySQL: deadlock of user-level locks
    3572: Kind.COLLISION,  # MySQL: NOWAIT
    1317: Kind.CANCELLED,  # query execution was interrupted: KILL QUERY
    1968: Kind.CANCELLED,  # MariaDB: query interrupted, LIMIT ROWS EXAMINED
    1969: Kind.CANCELLED,  # MariaDB: max_statement_time exceeded
    3024: Kind.CANCELLED,  # MySQL: max_execution_time exceeded
    1047: Kind.ABSENT,  # MariaDB: a Galera node that is not ready
    1077: Kind.ABSENT,  # normal shutdown
    2002: Kind.ABSENT,  # client: cannot connect through socket
    2003: Kind.ABSENT,  # client: cannot connect
    2014: Kind.ABSENT,  # client: commands out of sync
    2027: Kind.ABSENT,  # client: malformed packet
    2045: Kind.ABSENT,  # client: cannot open shared memory
    3168: Kind.ABSENT,  # MySQL: server is not available
    1040: Kind.CROWDED,  # too many connections
    1129: Kind.CROWDED,  # host is blocked because of many connection errors
    1135: Kind.CROWDED,  # cannot create a thread
    1203: Kind.CROWDED,  # user has more than max_user_connections
    1226: Kind.CROWDED,  # user has exceeded a resource
    1037: Kind.SHORT,  # out of memory
    1038: Kind.SHORT,  # out of sort memory
    1041: Kind.SHORT,  # out of memory
    1206: Kind.SHORT,  # more locks than the lock table has room for
    1637: Kind.SHORT,  # too many active transactions
    1015: Kind.TROUBLED,  # cannot lock file
    1023: Kind.TROUBLED,  # error on close
    1024: Kind.TROUBLED,  # error reading file
    1026: Kind.TROUBLED,  # error writing file
    1030: Kind.TROUBLED,  # error from the storage engine
    1180: Kind.TROUBLED,  # error during commit
    1181: Kind.TROUBLED,  # error during rollback
    1021: Kind.FULL,  # disk full
    1114: Kind.FULL,  # table is full
    1290: Kind.READ_ONLY,  # the server runs with the read_only option
    1792: Kind.READ_ONLY,  # transaction_read_only
    1836: Kind.READ_ONLY,  # running in read-only mode
    3100: Kind.TROUBLED,  # MySQL: a replication hook failed before the commit
    3101: Kind.COLLISION,  # MySQL: group replication rolled the transaction back
}
"""Error number of MySQL, MariaDB or their client -> meaning."""

_SQLITE: Final[Mapping[str, Kind]] = {
    "SQLITE_BUSY": Kind.COLLISION,
    "SQLITE_LOCKED": Kind.COLLISION,
    "SQLITE_READONLY": Kind.READ_ONLY,
    "SQLITE_FULL": Kind.FULL,
    "SQLITE_PROTOCOL": Kind.COLLISION,  # the locks of the log were contended
    "SQLITE_INTERRUPT": Kind.CANCELLED,
    "SQLITE_NOMEM": Kind.SHORT,
    "SQLITE_IOERR_NOMEM": Kind.SHORT,
    "SQLITE_IOERR_WRITE": Kind.TROUBLED,
    "SQLITE_IOERR_FSYNC": Kind.TROUBLED,
    "SQLITE_IOERR_TRUNCATE": Kind.TROUBLED,
    "SQLITE_IOERR_LOCK": Kind.TROUBLED,
    "SQLITE_IOERR_SHMSIZE": Kind.TROUBLED,  # often a full disk
    "SQLITE_IOERR_SHMMAP": Kind.TROUBLED,
}
"""Name of an error of SQLite, or of its family (SQLITE_BUSY of SQLITE_BUSY_SNAPSHOT), -> meaning."""


def code_of(cause: Any) -> str | int | None:
    """Return the SQLSTATE, or the MySQL or MariaDB number, of a driver's exception; None if it has neither."""
    first = cause.args[0] if getattr(cause, "args", ()) else None
    if isinstance(first, int):
        return first  # PyMySQL's errors have an SQLSTATE too, mostly HY000
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    return state if isinstance(state, str) else None


def kind_of(cause: Any) -> Kind | None:
    """Return the meaning of a driver's exception, or None if its code is unknown."""
    code = code_of(cause)
    if isinstance(code, str):
        return _SQLSTATES.get(code, _SQLSTATES.get(code[:2]))
    if code in SESSION_ENDED:
        return Kind.ABSENT
    if code is not None:
        return _MYSQL.get(code)
    name = getattr(cause, "sqlite_errorname", "")
    return _SQLITE.get(name, _SQLITE.get("_".join(name.split("_")[:2])))


_T = TypeVar("_T")

_TRIES: Final = 6
_PATIENCE_S: Final = 45.0
"""No new try starts after this time; a try that waits for an SQLite lock takes up to 30 s itself."""

_LOCKED_SQLITE: Final = ("database is locked", "database table is locked", "database schema is locked")

_VALUE_MYSQL: Final = frozenset({1118, 1153, 1267, 1644, 3819, 4025})
"""A row or a message is too long, characters are not in the column's set, or a trigger or constraint refuses."""

_VALUE_POSTGRESQL: Final = ("54", "P0001")
"""Values that exceed a limit of the server or that a trigger refuses. PostgreSQL's documentation, appendix A."""

_UNCERTAIN: Final = "the connection was lost in the middle of a commit"

_REFUSED: Final = "the server refused the user{name}: check user name and password"
_NO_DATABASE: Final = "the server has no database{name}: create it first, or check its name"
_NO_RIGHTS: Final = "the user may not do this ({reason}): grant the rights to create, read and write tables"
_READ_ONLY: Final = "the database is read-only: give one that can be written"
_TURNED_READ_ONLY: Final = (
    "the database has become read-only, as in a failover: workers wait until it can be written again"
)
_OPTIONS: Final = (
    "the server refuses a part of the URL ({reason}): check the port, and the options after the ?"
)
_DAMAGED: Final = (
    "the database file is damaged ({reason}): restore a backup, or save what can be read of it with "
    '`sqlite3 FILE ".recover"`'
)
_NO_SUCH_SERVER: Final = "another kind of server answers there ({reason}): check the port"
_HINDERED: Final = "the server could not do this now ({reason}): see its own log, and the limits that it sets"
_FULL: Final = "the disk is full: make room, nothing that was written is lost"

_MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"password authentication failed|no password supplied|access denied for user .*using password",
        _REFUSED,
    ),
    (r'role "[^"]*" does not exist|no pg_hba\.conf entry|access denied for user', _REFUSED),
    (r'database "[^"]*" does not exist|unknown database', _NO_DATABASE),
    (r"invalid connection option|connection is bad: invalid", _OPTIONS),
    (r"invalid (integer )?value |invalid \S+ value|invalid port number|bad value for ", _OPTIONS),
    (r"unrecognized configuration parameter|invalid command-line argument", _OPTIONS),
    (r"does not support ssl|certificate", _OPTIONS),
    (
        r"invalid response to ssl negotiation|packet sequence number wrong|unsupported frontend",
        _NO_SUCH_SERVER,
    ),
    (r"permission denied|command denied", _NO_RIGHTS),
    (r"readonly database|read-only transaction|read[-_]only (option|mode)|--read-only", _READ_ONLY),
    (r"file is not a database", "the file is no SQLite database, or a damaged one: give another"),
    (r"malformed|sqlite_corrupt|could not decode", _DAMAGED),
    (
        r"too big",
        "a value is larger than any that this program writes ({reason}): see `hpsearch storage check --full`",
    ),
    (r"disk is full|no space left|disk full|quota exceeded", _FULL),
    (r"unable to open database file", "the file cannot be opened: check that its folder can be written"),
)
"""Pattern in the driver's message (lower case) -> message for the user."""

_CLASSES: Final[Mapping[str, type[StorageError]]] = {
    # Workers wait for disk space as they wait for a server: their trained epochs are not written yet.
    _FULL: StorageUnavailableError,
    _HINDERED: StorageUnavailableError,
    _NO_RIGHTS: StorageReadOnlyError,
    _READ_ONLY: StorageReadOnlyError,
}
"""Message for the user -> class of its error, if it is not a plain StorageError."""

_OF_KIND: Final[Mapping[Kind | None, str]] = {
    Kind.CANCELLED: _HINDERED,
    Kind.SHORT: _HINDERED,
    Kind.TROUBLED: _HINDERED,
    Kind.FULL: _FULL,
    Kind.READ_ONLY: _READ_ONLY,
}
"""Meaning of an error by its code -> message for the user, unless a pattern in the driver's message is more precise."""

_ABSENT: Final[tuple[tuple[str, str], ...]] = (
    (r"connection refused|errno 111", "connection refused"),
    (
        r"translate host name|resolve host|name or service not known|getaddrinfo|name resolution",
        "unknown host",
    ),
    (r"timed? ?out|timeout", "no answer in time"),
    (r"shutting down|starting up|recovery mode|shutdown|not yet accepting", "it is starting or stopping"),
    (
        r"too many (connections|clients)|remaining connection slots|no more connections",
        "it has too many connections",
    ),
    (r"no route to host|network is unreachable|errno 1(01|13)\b", "its host cannot be reached"),
    (
        r"(server|host) closed the connection|connection (was )?(reset|aborted|closed)|lost connection|broken pipe",
        "it closed the connection",
    ),
)


@final
class UncertainCommitError(Exception):
    """The connection was lost while a transaction was committed: it may or may not be in the database."""


@final
class TurnedReadOnlyError(Exception):
    """The database accepted writes earlier and refuses them now: a failover, or a standby that was promoted."""


def absent(address: Address, why: str) -> StorageUnavailableError:
    """Return the error for a server that does not answer."""
    return StorageUnavailableError(
        f"{address.shown}: the server does not answer ({why}): check that it runs, its host and its port"
    )


used: Final[dict[str, Address]] = {}
"""The databases that this process has used, by URL: where to look after a failure of unknown cause."""


@final
class CollisionError(SQLAlchemyError):
    """Another process changed a row between our read and our write: the transaction must run again."""


def attempt(work: Callable[[], _T], address: Address) -> _T:
    """Return the result of `work`, one whole transaction, with retries as in `tries`."""
    for one_try in tries(address):
        with one_try:
            result = work()
    return result


def tries(address: Address) -> Iterator["Try"]:
    """Yield contexts for one whole transaction each, until one succeeds.

        for one_try in tries(address):
            with one_try, writing(engine, durable=True) as connection:
                result = work(connection)
        return result

    Deadlocks, locked files, cancelled statements and connections lost before the commit are retried. The context raises
    StorageUnavailableError for transient errors, such as a server that does not answer, and StorageError for the rest.
    """
    used[address.shown] = address
    began = time.monotonic()
    for count in range(1, _TRIES + 1):
        one_try = Try(address, count, began)
        yield one_try
        if one_try.succeeded:
            return


@final
class Try:
    """The context of try number `count` at a transaction, whose first try started at `began`."""

    def __init__(self, address: Address, count: int, began: float) -> None:
        self._address = address
        self._count = count
        self._began = began
        self.succeeded = False

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Return True, after a pause, if the transaction should be retried."""
        self.succeeded = error is None
        shown = self._address.shown
        match error:
            case UncertainCommitError():
                raise absent(self._address, _UNCERTAIN) from None
            case TurnedReadOnlyError():
                raise StorageUnavailableError(f"{shown}: {_TURNED_READ_ONLY}") from None
            case UnicodeEncodeError():
                raise ValueRefusedError(
                    f"{shown}: the connection's encoding, {error.encoding}, has no character "
                    f"{error.object[error.start : error.end]!r}: use others, or a connection in UTF-8"
                ) from error
            case UnicodeDecodeError() if self._address.path is not None:
                # The driver's own message contains bytes of the file.
                raise StorageError(
                    f"{shown}: {_DAMAGED.format(reason='no text where text should be')}"
                ) from error
            case DBAPIError() | PoolTimeoutError() | CollisionError():
                patient = self._count < _TRIES and time.monotonic() - self._began < _PATIENCE_S
                if not (patient and is_transient(error)):
                    raise translated(error, self._address) from error
                # A random pause keeps two colliding processes from colliding again; it affects no result.
                time.sleep(random.uniform(0.5, 1.0) * 0.01 * 2**self._count)  # noqa: S311
                return True
        return False


def is_transient(error: SQLAlchemyError) -> bool:
    """Return True if the same transaction may succeed on an immediate retry."""
    return getattr(error, "connection_invalidated", False) or _kind(error) in AT_ONCE


def _kind(error: SQLAlchemyError) -> Kind | None:
    """Return the meaning of an error, by the driver's code if it has one."""
    if isinstance(error, CollisionError):
        return Kind.COLLISION
    cause = getattr(error, "orig", None)
    if any(text in str(cause) for text in _LOCKED_SQLITE):
        return Kind.COLLISION
    return kind_of(cause)


def translated(error: SQLAlchemyError, address: Address) -> StorageError:
    """Return `error` as an error with a message for users."""
    kind, reason = _kind(error), _reason(error)
    if kind is Kind.COLLISION:
        return StorageUnavailableError(
            f"{address.shown}: other processes have kept the database locked for too long: try again"
        )
    is_lost = getattr(error, "connection_invalidated", False)
    if not is_lost and is_about_a_value(error):
        # Checked first, because the database's message may quote the value and match a pattern.
        return ValueRefusedError(
            f"{address.shown}: the database refused a value ({reason}): shorten it, or store another one"
        )
    if not is_lost and (meaning := _meaning(kind, reason)) is not None:
        message = f"{address.shown}: {_filled(meaning, address, reason)}"
        return _CLASSES.get(meaning, StorageError)(message)
    return _absence(error, kind, reason, address)


def _absence(error: SQLAlchemyError, kind: Kind | None, reason: str, address: Address) -> StorageError:
    """Return `error` as the server's absence if it means that, or as the server's message."""
    why = next((absence for pattern, absence in _ABSENT if re.search(pattern, reason.lower())), None)
    if why is None and getattr(error, "connection_invalidated", False):
        why = "the connection was lost"
    elif why is None and isinstance(error, PoolTimeoutError):
        why = "no connection was free in time"
    elif why is None and kind in PASSING:
        why = kind.value
    if why is not None:
        return absent(address, why)
    return StorageError(f"{address.shown}: the database refused ({reason}): see the database's own log")


def _meaning(kind: Kind | None, reason: str) -> str | None:
    """Return the meaning of a server's answer, or None if neither its code nor its text is known."""
    found = next((meaning for pattern, meaning in _MEANINGS if re.search(pattern, reason.lower())), None)
    return found if found is _FULL else _OF_KIND.get(kind, found)


def is_about_a_value(error: Exception) -> bool:
    """Return True if a statement failed because the database does not accept a value."""
    if isinstance(error, DataError | IntegrityError | ValueRefusedError):
        return True
    code = code_of(getattr(error, "orig", None))
    return code.startswith(_VALUE_POSTGRESQL) if isinstance(code, str) else code in _VALUE_MYSQL


def _filled(meaning: str, address: Address, reason: str) -> str:
    name = address.url.database if meaning is _NO_DATABASE else address.url.username
    return meaning.format(name=f' "{name}"' if name else "", reason=reason)


def _reason(error: SQLAlchemyError) -> str:
    """Return the first line of the driver's message, without a password; for SQLite with its more precise code."""
    cause: Any = getattr(error, "orig", None) or error
    text = str(cause.args[1]) if isinstance(code_of(cause), int) and len(cause.args) > 1 else str(cause)
    code = getattr(cause, "sqlite_errorname", None)
    return mask(text.strip().partition("\n")[0]) + (f", {code}" if code else "")
