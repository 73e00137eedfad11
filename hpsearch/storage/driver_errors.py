"""The meaning of a driver's exceptions: worth a retry, an absent server, or a problem to fix."""

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
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
from hpsearch.storage.engine import TurnedReadOnlyError, UncertainCommitError, absent
from hpsearch.storage.error_codes import AT_ONCE, PASSING, Kind, code_of, kind_of

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
_OPTIONS: Final = "the URL asks for what cannot be ({reason}): check its port, and what stands behind the ?"
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
    (r"no route to host|network is unreachable|errno 1(01|13)\b", "no way to its host"),
    (
        r"(server|host) closed the connection|connection (was )?(reset|aborted|closed)|lost connection|broken pipe",
        "it closed the connection",
    ),
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
            return work()
    raise AssertionError("unreachable: the last try returns or raises")


def tries(address: Address) -> Iterator["_Try"]:
    """Yield contexts for one whole transaction each, until the caller leaves the loop.

        for one_try in tries(address):
            with one_try, writing(engine, durable=True) as connection:
                return work(connection)

    Deadlocks, locked files, cancelled statements and connections lost before the commit are retried. The context raises
    StorageUnavailableError for transient errors, such as a server that does not answer, and StorageError for the rest.
    """
    used[address.shown] = address
    began = time.monotonic()
    for count in range(1, _TRIES + 1):
        yield _Try(address, count, began)


@final
class _Try:
    """The context of try number `count` at a transaction, whose first try started at `began`."""

    def __init__(self, address: Address, count: int, began: float) -> None:
        self._address = address
        self._count = count
        self._began = began

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Return True, after a pause, if the transaction should be retried."""
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
