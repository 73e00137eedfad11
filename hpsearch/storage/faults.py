"""What a driver's exceptions mean: worth another try, the server's absence, or something to put right."""

import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hpsearch.errors import (
    StorageError,
    StorageReadOnlyError,
    StorageUnavailableError,
    ValueRefusedError,
)
from hpsearch.storage.address import Address, mask
from hpsearch.storage.engine import UncertainCommitError

_T = TypeVar("_T")

_TRIES: Final = 6
_PATIENCE_S: Final = 45.0
"""No new try is begun after this long; one that waits for an SQLite lock takes up to 30 s itself."""

_TRANSIENT_POSTGRESQL: Final = frozenset({"40001", "40P01", "55P03"})
_TRANSIENT_MYSQL: Final = frozenset({1020, 1205, 1213})
_TRANSIENT_SQLITE: Final = ("database is locked", "database table is locked", "database schema is locked")

_VALUE_MYSQL: Final = frozenset({1118, 1153, 1267, 1644, 3819, 4025})
"""A row or a message is too long, characters are not in the column's set, a trigger or a constraint refuses."""

_VALUE_POSTGRESQL: Final = ("54", "P0001")
"""What exceeds a limit of the server, and what a trigger refuses. PostgreSQL's documentation, appendix A."""

_UNCERTAIN: Final = "the connection was lost in the middle of a commit"

_REFUSED: Final = "the server refused the user{name}: check user name and password"
_NO_DATABASE: Final = "the server has no database{name}: create it first, or check its name"
_NO_RIGHTS: Final = "the user may not do this ({reason}): grant the rights to create, read and write tables"
_READ_ONLY: Final = "the database is read-only: give one that can be written"
_OPTIONS: Final = "the URL asks for what cannot be ({reason}): check its port, and what stands behind the ?"
_FULL: Final = "the disk is full: make room, nothing that was written is lost"

_MEANINGS: Final[tuple[tuple[str, str], ...]] = (
    (
        r"password authentication failed|no password supplied|access denied for user .*using password",
        _REFUSED,
    ),
    (r'role "[^"]*" does not exist|no pg_hba\.conf entry|access denied for user', _REFUSED),
    (r'database "[^"]*" does not exist|unknown database', _NO_DATABASE),
    (r"invalid connection option|connection is bad: invalid", _OPTIONS),
    (r"permission denied|command denied", _NO_RIGHTS),
    (r"readonly database|read-only transaction|read[-_]only (option|mode)|--read-only", _READ_ONLY),
    (r"file is not a database|malformed", "the file is no SQLite database, or a damaged one: give another"),
    (r"disk is full|no space left|disk full|quota exceeded", _FULL),
    (r"unable to open database file", "the file cannot be opened: check that its folder can be written"),
)
"""Pattern in the driver's message (lower case) -> what to tell the user."""

_CLASSES: Final[Mapping[str, type[StorageError]]] = {
    # Workers wait for room as they wait for a server: what they have trained is not written yet.
    _FULL: StorageUnavailableError,
    _NO_RIGHTS: StorageReadOnlyError,
    _READ_ONLY: StorageReadOnlyError,
}
"""What to tell the user -> the error that says it, where it is no plain StorageError."""

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


@final
class CollisionError(SQLAlchemyError):
    """Somebody changed a row between our look and our write: the transaction must run again."""


def attempt(work: Callable[[], _T], address: Address) -> _T:
    """Return what `work`, one whole transaction, returns.

    Deadlocks, locked files and connections that were lost before the commit are tried again. Raises
    StorageUnavailableError when the server does not answer, and StorageError for the rest.
    """
    began = time.monotonic()
    for count in range(1, _TRIES + 1):
        try:
            return work()
        except UncertainCommitError:
            raise _absent(address, _UNCERTAIN) from None
        except UnicodeEncodeError as error:
            raise ValueRefusedError(
                f"{address.shown}: the connection's encoding, {error.encoding}, has no character "
                f"{error.object[error.start : error.end]!r}: use others, or a connection in UTF-8"
            ) from error
        except (DBAPIError, PoolTimeoutError, CollisionError) as error:
            patient = count < _TRIES and time.monotonic() - began < _PATIENCE_S
            if not (patient and is_transient(error)):
                raise translated(error, address) from error
            # Chance keeps two that collided from colliding again; it touches no result.
            time.sleep(random.uniform(0.5, 1.0) * 0.01 * 2**count)  # noqa: S311
    raise AssertionError("unreachable: the last try returns or raises")


def is_transient(error: SQLAlchemyError) -> bool:
    """True when the same transaction may succeed if it is tried again at once."""
    return getattr(error, "connection_invalidated", False) or _collided(error)


def _collided(error: SQLAlchemyError) -> bool:
    """True when another transaction was in the way of this one."""
    if isinstance(error, CollisionError):
        return True
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", getattr(cause, "pgcode", None)) in _TRANSIENT_POSTGRESQL:
        return True
    if _mysql_code(cause) in _TRANSIENT_MYSQL:
        return True
    return any(text in str(cause) for text in _TRANSIENT_SQLITE)


def translated(error: SQLAlchemyError, address: Address) -> StorageError:
    """Return `error` in the user's words."""
    if _collided(error):
        return StorageUnavailableError(
            f"{address.shown}: other processes have kept the database locked for too long: try again"
        )
    reason = _reason(error)
    if is_about_a_value(error):
        # Before the patterns: what the database says may quote the value.
        return ValueRefusedError(
            f"{address.shown}: the database refused a value ({reason}): shorten it, or store another one"
        )
    return _meant(error, reason, address)


def _meant(error: SQLAlchemyError, reason: str, address: Address) -> StorageError:
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, reason.lower()):
            message = f"{address.shown}: {_filled(meaning, address, reason)}"
            return _CLASSES.get(meaning, StorageError)(message)
    for pattern, absence in _ABSENT:
        if re.search(pattern, reason.lower()):
            return _absent(address, absence)
    if getattr(error, "connection_invalidated", False):
        return _absent(address, "the connection was lost")
    if isinstance(error, PoolTimeoutError):
        return _absent(address, "no connection was free in time")
    return StorageError(f"{address.shown}: the database refused ({reason}): see the database's own log")


def is_about_a_value(error: Exception) -> bool:
    """Return True if a statement failed for a value that the database does not take."""
    if isinstance(error, DataError | IntegrityError | ValueRefusedError):
        return True
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", getattr(cause, "pgcode", None)) or ""
    return state.startswith(_VALUE_POSTGRESQL) or _mysql_code(cause) in _VALUE_MYSQL


def _absent(address: Address, why: str) -> StorageUnavailableError:
    return StorageUnavailableError(
        f"{address.shown}: the server does not answer ({why}): check that it runs, its host and its port"
    )


def _filled(meaning: str, address: Address, reason: str) -> str:
    name = address.url.database if meaning is _NO_DATABASE else address.url.username
    return meaning.format(name=f' "{name}"' if name else "", reason=reason)


def _reason(error: SQLAlchemyError) -> str:
    """Return the first line of what the driver says, without a password; of SQLite's its code too, which tells more."""
    cause: Any = getattr(error, "orig", None) or error
    text = str(cause.args[1]) if _mysql_code(cause) and len(cause.args) > 1 else str(cause)
    code = getattr(cause, "sqlite_errorname", None)
    return mask(text.strip().partition("\n")[0]) + (f", {code}" if code else "")


def _mysql_code(cause: Any) -> int | None:
    code = cause.args[0] if getattr(cause, "args", ()) else None
    return code if isinstance(code, int) else None
