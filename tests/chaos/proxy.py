"""A line from clients to their database server that can be cut, also in the middle of a commit, or fall silent."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, final

Cut: TypeAlias = Literal["before", "after"]
"""The point of the cut: before the server receives the commit, or before its client gets the answer."""

_COMMIT: Final = b"COMMIT\0"
_CHUNK: Final = 65536


@final
class Proxy:
    """Passes connections to `port`, its own for as long as the context lasts, on to the server's.

    `commits` counts the commits that came by, and `cuts` those that were cut.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.commits = self.cuts = 0
        self._lock = threading.Lock()
        self._armed: Cut | None = None
        self._commits_left = 0
        self._is_open = True
        self._is_silent = False
        self._lines: set[_Line] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread that waits in accept() does not notice a close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.go_down()

    def cut_commit(self, where: Cut, *, after: int = 0) -> None:
        """Cut the connection that commits next, `after` so many others."""
        with self._lock:
            self._armed, self._commits_left = where, after

    @property
    def is_armed(self) -> bool:
        """Return True until the commit to be cut has arrived."""
        with self._lock:
            return self._armed is not None

    def go_down(self) -> None:
        """Cut all connections; new ones are closed as soon as they are made."""
        with self._lock:
            self._is_open = False
            lines = list(self._lines)
        for line in lines:
            line.close()

    def come_up(self) -> None:
        """Let connections pass again."""
        with self._lock:
            self._is_open = True

    def fall_silent(self) -> None:
        """Drop all data on all connections from now on, new ones included, and close none.

        A firewall that forgets its connections, or a cable that is pulled, looks like this to both ends.
        """
        with self._lock:
            self._is_silent = True
            for line in self._lines:
                line.is_silent = True

    def speak_again(self) -> None:
        """Let new connections pass; those that fell silent stay silent."""
        with self._lock:
            self._is_silent = False

    def take_cut(self) -> Cut | None:
        """Count a commit, and return where to cut it, if it is to be cut."""
        with self._lock:
            self.commits += 1
            if self._armed is None or self._commits_left:
                self._commits_left -= 1
                return None
            where, self._armed = self._armed, None
            self.cuts += 1
            return where

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # the listener was closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            client.close()
            return
        line = _Line(self, client, server)
        with self._lock:
            is_open = self._is_open
            line.is_silent = self._is_silent
            self._lines.add(line)
        if is_open:
            line.run()
        line.close()
        with self._lock:
            self._lines.discard(line)


@final
class _Line:
    """One client's connection, and ours to the server on its behalf."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_mute = False
        self.is_silent = False

    def run(self) -> None:
        """Forward data, both ways, until either side closes or the line is cut.

        One that is silent stays open until its client closes it, or the proxy does.
        """
        answers = threading.Thread(target=self._pass_answers, daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            while data := self._client.recv(_CHUNK):
                if self.is_silent:
                    continue
                cut = self._proxy.take_cut() if _COMMIT in data else None
                if cut == "before":
                    break
                self._is_mute = cut == "after"
                self._server.sendall(data)
                if cut == "after":
                    answers.join()  # the first answer after this ends it
        self.close()
        answers.join()

    def close(self) -> None:
        """Close both connections."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _pass_answers(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._server.recv(_CHUNK)) and not self._is_mute:
                if not self.is_silent:
                    self._client.sendall(data)
        if not self.is_silent:
            self.close()
