"""A database server that can go away: a proxy in front of one that does not."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import Literal, Self, final


@final
@dataclass
class Proxy:
    """Passes connections to 127.0.0.1:`port` on, while it is up. `at` is its own port.

    With `cut` "before", the next message that contains `commit` does not reach the server, and with "after" its answer
    does not reach the client: the connection is gone instead.
    """

    port: int
    commit: bytes
    cut: Literal["before", "after"] | None = None
    at: int = 0
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Accept clients, at the earlier port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.at))
        listener.listen()
        self.at = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """End all connections and accept no client."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        while self._open:
            _end(self._open.pop())

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            self._open += [client, server]
            muted = threading.Event()
            threading.Thread(target=self._pass_on, args=(client, server, muted), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, muted), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket, muted: threading.Event) -> None:
        """Forward the client's data until one of them ends or the connection is to be cut."""
        while data := _received(client):
            if self.cut is not None and self.commit in data:
                cut, self.cut = self.cut, None
                if cut == "before":
                    break
                muted.set()
            with contextlib.suppress(OSError):
                server.sendall(data)
        _end(client)
        _end(server)


def _pump(server: socket.socket, client: socket.socket, muted: threading.Event) -> None:
    """Forward the server's data, unless the client must not receive any more."""
    while (data := _received(server)) and not muted.is_set():
        with contextlib.suppress(OSError):
            client.sendall(data)
    _end(client)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(65536)
    except OSError:
        return b""


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
