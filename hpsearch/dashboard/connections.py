"""Connections: limits on the server resources that a client can use before it is authenticated.

Waitress reads a whole request, including its body, before it calls the application, and treats a connection as busy if
a byte arrives now and then. Here the guards check the head of a request before its body is read, a request has a
deadline to arrive, and if all connections are in use, the one that has kept the server waiting longest is closed.
"""

import time
from collections import Counter
from functools import partial
from typing import Any, Final, final

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from werkzeug import Request, Response

from hpsearch.dashboard.guards import Guard

HEAD_S: Final = 10.0
"""Time limit for the head of a request, or for the first byte of a new connection."""

BODY_BYTES_PER_S: Final = 20_000
"""Minimum rate of a body. Slow mobile connections reach twice this rate."""

CLEANUP_INTERVAL_S: Final = 2
FREED_SHARE: Final = 10
"""If no connection is free, one in this many is closed to make room."""


@final
class GuardedServer(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """A waitress server that calls `guards` before it reads a body, and closes connections that only wait."""

    def __init__(self, application: Any, adjustments: Any, guards: tuple[Guard, ...]) -> None:
        self.guards = guards
        self.channel_class = _Channel
        super().__init__(application, adj=adjustments)

    def maintenance(self, now: float) -> None:
        """Close connections that are idle, and those whose request takes too long to arrive."""
        super().maintenance(now)
        for channel in self.active_channels.values():
            if channel.waits and now > channel.deadline():
                channel.will_close = True

    def readable(self) -> bool:
        """Return whether a new connection can be accepted, after making room for one."""
        if len(self._map) >= self.adj.connection_limit:
            self._make_room()
        return bool(super().readable())

    def _make_room(self) -> None:
        """Close a tenth of the waiting connections: those of the busiest address first, the oldest first."""
        waiting = [channel for channel in self.active_channels.values() if channel.waits]
        addresses = Counter(channel.address for channel in waiting)
        waiting.sort(key=lambda channel: (-addresses[channel.address], channel.waits_since()))
        for channel in waiting[: max(1, self.adj.connection_limit // FREED_SHARE)]:
            channel.will_close = True


@final
class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection."""

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002
        self.address = addr[0]
        self.parser_class = partial(_Parser, server.guards, self.address)
        super().__init__(server, sock, addr, adj, map=map)

    def handle_close(self) -> None:
        """Close the connection, and the file that holds the received part of a body."""
        if self.request is not None:
            self.request.close()
        super().handle_close()

    @property
    def waits(self) -> bool:
        """True if nothing is being computed for this connection or sent to it."""
        return not (self.requests or self.total_outbufs_len or self.will_close)

    def waits_since(self) -> float:
        """Return the start of the request that is arriving, or the time of the last activity."""
        return float(self.last_activity if self.request is None else self.request.began)

    def deadline(self) -> float:
        """Return the time by which the awaited data must arrive; an idle connection has waitress's own limit."""
        if self.request is not None:
            return float(self.request.began + HEAD_S + self.request.body_bytes_received / BODY_BYTES_PER_S)
        is_new = self.last_activity == self.creation_time
        return float(self.creation_time + HEAD_S) if is_new else float("inf")


@final
class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    """A request that is arriving. The guards are called when its head is complete and a body follows."""

    def __init__(self, guards: tuple[Guard, ...], address: str, adj: Any) -> None:
        super().__init__(adj)
        self.began = time.time()
        self._guards = guards
        self._address = address

    def received(self, data: bytes) -> int:
        """Take in the next bytes; return how many were used."""
        had_head = self.headers_finished
        used = int(super().received(data))
        if self.headers_finished and not had_head and not self.completed:
            self._check()
        return used

    def _check(self) -> None:
        request = _request_of(self, self._address)
        response = next(filter(None, (guard(request) for guard in self._guards)), None)
        if response is not None:
            self.error = _Refusal(response)
            self.expect_continue = False
            self.completed = True


@final
class _Refusal:
    """A guard's response in waitress's form for errors: the connection is closed after it."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers and body."""
        response = self._response
        return response.status, response.headers.to_wsgi_list(), response.get_data()


def _request_of(parser: Any, address: str) -> Request:
    """Return the part of a request that guards read before its body arrives. A chunked body has no length."""
    length = "chunked" if parser.chunked else parser.headers.get("CONTENT_LENGTH", "0")
    return Request(
        {
            **{f"HTTP_{name}": value for name, value in parser.headers.items()},
            "REQUEST_METHOD": parser.command,
            "PATH_INFO": parser.path,
            "QUERY_STRING": parser.query,
            "CONTENT_LENGTH": length,
            "REMOTE_ADDR": address,
        }
    )
