"""Settings of each driver: how long it may wait, and the options of a URL in the types that it accepts.

A line that drops data, for example after a firewall forgot the connection, looks like a busy server. So every wait for
a server is bounded by its silence: an answer may take any time while data arrives. Settings in the user's URL take
precedence.
"""

import math
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from sqlalchemy import URL, Connection

from hpsearch.errors import StorageError

CONNECT_WITHIN_S: Final = 6
"""How long a server may take to accept a connection and its user: without a server a command ends within 10 s."""

ANSWER_WITHIN_S: Final = 40
"""How long a server may be silent during a statement: 30 s for a lock, plus the statement's own time."""

WORK_WITHIN_S: Final = 4 * 3600
"""The same for upgrades, copies, and changes of whole studies."""

_KEEPALIVE_IDLE_S: Final = 10
_KEEPALIVE_EVERY_S: Final = 5
_KEEPALIVES: Final = 3
"""A silent peer is probed after 10 s and then every 5 s; after 3 unanswered probes the connection counts as lost."""

_LIBPQ: Final[Mapping[str, int]] = {
    "keepalives": 1,
    "keepalives_idle": _KEEPALIVE_IDLE_S,
    "keepalives_interval": _KEEPALIVE_EVERY_S,
    "keepalives_count": _KEEPALIVES,
    "tcp_user_timeout": 1000 * (_KEEPALIVE_IDLE_S + _KEEPALIVES * _KEEPALIVE_EVERY_S),
}
"""Options of libpq, https://www.postgresql.org/docs/current/libpq-connect.html."""

_OF_LIBPQ: Final = ("psycopg", "psycopg2")
"""Drivers that connect through libpq, which reads PGCONNECT_TIMEOUT."""

_TCP: Final[Mapping[int, int]] = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": _KEEPALIVE_IDLE_S,
        "TCP_KEEPINTVL": _KEEPALIVE_EVERY_S,
        "TCP_KEEPCNT": _KEEPALIVES,
        "TCP_USER_TIMEOUT": _LIBPQ["tcp_user_timeout"],
    }.items()
    if hasattr(socket, name)
}
"""The same options for a socket, as far as the system has them."""

_NUMBERS: Final[Mapping[str, Mapping[str, int]]] = {
    "psycopg": {"prepare_threshold": 0, "read_timeout": 1},
    "pymysql": {"connect_timeout": 1, "read_timeout": 1, "write_timeout": 1, "max_allowed_packet": 1024},
    "mysqldb": {"connect_timeout": 1, "read_timeout": 1, "write_timeout": 1},
}
"""Driver -> options that must be whole numbers, with the smallest sensible value. In a URL everything is text."""

_PROGRAMS_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "psycopg": frozenset({"autocommit", "context", "row_factory", "cursor_factory"}),
    "psycopg2": frozenset({"async", "async_", "connection_factory", "cursor_factory"}),
    "pymysql": frozenset({"autocommit", "auth_plugin_map", "conv", "cursorclass", "defer_connect", "ssl"}),
}
"""Driver -> parameters whose values no URL can contain, or that the user must not choose."""


_FILES: Final = frozenset(
    {
        "passfile",
        "read_default_file",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslrootcert",
        "ssl_ca",
        "ssl_cert",
        "ssl_key",
    }
)
"""Options of any driver that name a file. A device or a pipe would be read endlessly."""


def check_options(driver: str, query: Mapping[str, Any], shown: str) -> None:
    """Raise StorageError for options of a URL that the driver would accept and then fail on."""
    for name, value in query.items():
        least = _NUMBERS.get(driver, {}).get(name)
        path = os.path.expanduser(str(value)) if name in _FILES else ""  # noqa: PTH111 # as drivers do it
        if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 # these raise nothing
            raise StorageError(f'{shown}: the option "{name}" must name a file (got {path}): check its path')
        if (driver, name) == ("psycopg2", "read_timeout"):
            raise StorageError(
                f'{shown}: the driver psycopg2 has no option "{name}": leave it out, or take the driver psycopg, as in '
                "postgresql+psycopg://..."
            )
        if name in _PROGRAMS_ONLY.get(driver, ()):
            raise StorageError(f'{shown}: no URL can set the option "{name}" of {driver}: leave it out')
        if least is not None and not _is_number(value, least):
            raise StorageError(
                f'{shown}: the option "{name}" must be a whole number, at least {least} (got "{value}")'
            )


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdecimal() and least <= int(value) < 2**31


def connect(
    driver: str, make: Callable[..., Any], options: Mapping[str, Any], *, answer_within_s: int
) -> Any:
    """Return a new connection to a server from `make`, the driver's own function, with bounded waits."""
    numbers = _NUMBERS.get(driver, {})
    given = {name: int(value) if name in numbers else value for name, value in options.items()}
    match driver:
        case "psycopg":
            within_s = given.pop("read_timeout", answer_within_s)
            connection = _bounded_psycopg().connect(**{**_connect_limit(), **_LIBPQ, **given})
            connection.answer_within_s = within_s
            return connection
        case "psycopg2":
            return make(**{**_connect_limit(), **_LIBPQ, **given, "connection_factory": _ending_psycopg2()})
        case "pymysql":
            return _connect_pymysql(make, given, answer_within_s)
        case _:
            limits = {"connect_timeout": CONNECT_WITHIN_S, "read_timeout": answer_within_s}
            return make(**{**limits, "write_timeout": ANSWER_WITHIN_S, **given})


def plain(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL and the arguments of SQLAlchemy's `connect_args` for an engine that is not ours.

    Its connections have the same connect timeout and detect a dead line; statements may take any time.
    """
    driver, numbers = url.get_driver_name(), _NUMBERS.get(url.get_driver_name(), {})
    given = {name: int(str(value)) for name, value in url.query.items() if name in numbers}
    match driver:
        case "psycopg" | "psycopg2":
            given.pop("read_timeout", None)
            limits = {**_connect_limit(), **_LIBPQ}
            url = url.difference_update_query(["read_timeout"])
        case "pymysql" | "mysqldb":
            limits = {"connect_timeout": CONNECT_WITHIN_S}
        case _:
            limits = {}
    return url, {name: value for name, value in limits.items() if name not in url.query} | given


def connect_within_s(driver: str, options: Mapping[str, Any]) -> float:
    """Return the connect timeout in seconds that the URL or libpq's environment sets; 0 means no bound."""
    usual = os.environ.get("PGCONNECT_TIMEOUT", CONNECT_WITHIN_S) if driver in _OF_LIBPQ else CONNECT_WITHIN_S
    chosen = float(options.get("connect_timeout", usual))
    return chosen if chosen > 0 else math.inf


@contextmanager
def working_long(connection: Connection) -> Iterator[None]:
    """Permit a long silence, as during the deletion of a large study, unless the URL sets a limit."""
    name = {"psycopg": "answer_within_s", "pymysql": "_read_timeout"}.get(connection.dialect.driver)
    made = connection.connection.dbapi_connection
    if name is None or getattr(made, name) != ANSWER_WITHIN_S:
        yield
        return
    setattr(made, name, WORK_WITHIN_S)
    try:
        yield
    finally:
        setattr(made, name, ANSWER_WITHIN_S)


def _connect_limit() -> dict[str, int]:
    return {} if "PGCONNECT_TIMEOUT" in os.environ else {"connect_timeout": CONNECT_WITHIN_S}


def _connect_pymysql(make: Callable[..., Any], given: Mapping[str, Any], answer_within_s: int) -> Any:
    """Return a PyMySQL connection that waits for a greeting no longer than for the connection itself.

    A program that listens but never sends, like a PostgreSQL server, would otherwise get the timeout of an answer.
    """
    limits = {"connect_timeout": CONNECT_WITHIN_S, "write_timeout": ANSWER_WITHIN_S, **given}
    within_s = given.get("read_timeout", answer_within_s)
    made = make(**{**limits, "read_timeout": min(within_s, limits["connect_timeout"])})
    made._read_timeout = within_s  # noqa: SLF001 # PyMySQL compares it with the socket's before each read
    for name, value in _TCP.items():
        # A Unix socket has none of these options.
        if made._sock is not None and made._sock.family != getattr(socket, "AF_UNIX", None):  # noqa: SLF001
            made._sock.setsockopt(socket.IPPROTO_TCP, name, value)  # noqa: SLF001
    return made


@cache
def _bounded_psycopg() -> Any:
    """Return a psycopg connection class that does not wait for a silent server: libpq has no option for that."""
    import psycopg  # noqa: PLC0415 # it is there only if its extra is installed

    class BoundedConnection(psycopg.Connection[Any]):
        """A connection that is lost after `answer_within_s` seconds of silence."""

        answer_within_s: float = ANSWER_WITHIN_S

        def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
            return super().wait(self._bounded(gen), *arguments, **options)

        def _bounded(self, waits: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """Forward the events that `waits` waits for, and the ready ones; psycopg checks ten times a second."""
            ready, heard_at = None, time.monotonic()
            try:
                while True:
                    ready = yield waits.send(ready)
                    if ready:
                        heard_at = time.monotonic()
                    elif time.monotonic() - heard_at > self.answer_within_s:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(
                            f"timeout: no answer within {self.answer_within_s:g} s"
                        )
            except StopIteration as end:
                return end.value

    return BoundedConnection


@cache
def _ending_psycopg2() -> Any:
    """Return a psycopg2 connection class whose `commit` and `rollback` also end transactions that a statement began.

    All our connections are in autocommit mode, in which psycopg2 ignores both calls; psycopg does not.
    """
    from psycopg2 import extensions  # noqa: PLC0415 # it is there only if the user has installed it

    class EndingConnection(extensions.connection):  # type: ignore[misc] # it may be missing
        """A connection that ends transactions in autocommit mode too."""

        def commit(self) -> None:
            super().commit()
            self._end("COMMIT")

        def rollback(self) -> None:
            super().rollback()
            self._end("ROLLBACK")

        def _end(self, statement: str) -> None:
            if self.autocommit and self.get_transaction_status() != extensions.TRANSACTION_STATUS_IDLE:
                with self.cursor() as cursor:
                    cursor.execute(statement)

    return EndingConnection
