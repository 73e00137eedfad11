"""Limits on connections, time and disk space of clients that are not yet authorized."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from hpsearch.dashboard.connections import HEAD_S, GuardedServer
from hpsearch.dashboard.guards import guarded
from hpsearch.dashboard.guards.changes import BODY_BYTES, SizeGuard
from hpsearch.dashboard.guards.token import TokenGuard
from tests.dashboard.client import greeting

TOKEN = "correct-horse-battery"
LIMIT = 40
WITHIN_S = 30
REQUEST = f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def server() -> Iterator[GuardedServer]:
    """Provide a server with a token and few connections, which runs in a thread."""
    guards = (TokenGuard(TOKEN), SizeGuard(has_artifacts=True))
    adjustments = Adjustments(
        host="127.0.0.1",
        port=0,
        threads=2,
        connection_limit=LIMIT,
        cleanup_interval=0.1,
        asyncore_loop_timeout=0.05,
        asyncore_use_poll=True,
        ident=None,
    )
    made = GuardedServer(guarded(greeting, guards), adjustments, guards)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            made.asyncore.loop(timeout=0.05, map=made._map, use_poll=True, count=1)

    thread = threading.Thread(target=run)
    thread.start()
    yield made
    ended.set()
    thread.join()
    made.task_dispatcher.shutdown()
    for channel in [*made._map.values()]:
        channel.close()


def connect(server: GuardedServer) -> socket.socket:
    """Return a connection to the server."""
    return socket.create_connection(("127.0.0.1", server.effective_port), timeout=WITHIN_S)


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server closes the connection; unread bytes turn that into a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def exchange(server: GuardedServer, sent: bytes) -> bytes:
    """Send bytes on a new connection and return the whole response."""
    with closing(connect(server)) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_slow_connections_do_not_lock_out_others(server: GuardedServer) -> None:
    """With three times the maximum number of connections, each with half a head, a client with the token is served."""
    with ExitStack() as open_ones:
        for _ in range(3 * LIMIT):
            connection = open_ones.enter_context(closing(connect(server)))
            with suppress(ConnectionError):  # it was closed already
                connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert exchange(server, REQUEST).startswith(b"HTTP/1.1 200 OK")
    assert len(server.active_channels) <= LIMIT


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Drip: "])
def test_a_head_must_arrive_in_time(server: GuardedServer, sent: bytes) -> None:
    """A connection whose head is not complete in time is closed, even if bytes keep arriving."""
    with closing(connect(server)) as connection:
        connection.sendall(sent)
        _until(lambda: any(not sent or c.request is not None for c in server.active_channels.values()))
        (channel,) = server.active_channels.values()
        assert channel.deadline() <= time.time() + HEAD_S
        if channel.request is not None:
            channel.request.began -= HEAD_S
            connection.sendall(b"x")
        else:
            channel.creation_time = channel.last_activity = channel.creation_time - HEAD_S
        assert is_closed(connection)


def test_a_body_must_arrive_at_a_minimum_rate(server: GuardedServer) -> None:
    """A connection whose body is too slow is closed; each received byte extends the deadline."""
    head = REQUEST.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 900000\r\n\r\n")
    with closing(connect(server)) as connection:
        connection.sendall(head + bytes(600_000))
        _until(
            lambda: any(c.request and c.request.body_bytes_received for c in server.active_channels.values())
        )
        (channel,) = server.active_channels.values()
        _until(lambda: channel.request.body_bytes_received == 600_000)
        assert channel.deadline() == channel.request.began + HEAD_S + 30
        channel.request.began -= HEAD_S + 30
        assert is_closed(connection)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 100000000", b"401 UNAUTHORIZED"),
        ("Transfer-Encoding: chunked", b"401 UNAUTHORIZED"),
        ("Content-Length: 100000000\r\nExpect: 100-continue", b"401 UNAUTHORIZED"),
        (
            f"Content-Length: {BODY_BYTES + 1}\r\nAuthorization: Bearer {TOKEN}",
            b"413 REQUEST ENTITY TOO LARGE",
        ),
        (f"Transfer-Encoding: chunked\r\nAuthorization: Bearer {TOKEN}", b"411 LENGTH REQUIRED"),
    ],
)
def test_a_body_is_refused_before_it_is_sent(server: GuardedServer, headers: str, status: bytes) -> None:
    """Without the token, or with too long a body, the request is refused after its head, before its body is read."""
    response = exchange(server, f"POST /api/studies HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.1 " + status)
    assert b"100 Continue" not in response


def test_an_accepted_body_is_read(server: GuardedServer) -> None:
    """With the token a body is read, and the application responds."""
    head = REQUEST.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")
    assert exchange(server, head + b"hello").startswith(b"HTTP/1.1 200 OK")


def _until(holds: Any) -> None:
    """Return once `holds()` is true; fail if that takes too long."""
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
