"""Keep forked child processes from inheriting open connections.

A connection shared by two processes is harmful with every database. SQLite keeps its locks in the memory of the process
as well as in the kernel, so a child that inherits them takes none of its own in the kernel; the parent then closes its
seemingly last connection and deletes the write-ahead log under the child (https://www.sqlite.org/howtocorrupt.html,
2.6). A server reads the messages of both processes as one conversation.

So, prior to a fork, the parent lets its other threads finish their transactions, begins no new one and closes all its
connections. After the fork, parent and child open new ones on demand. A process that is started in another way
(`spawn`, `subprocess`) inherits nothing and does not need this.
"""

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, final

from sqlalchemy import Engine, event

from hpsearch.errors import StorageError

WAIT_S: Final = 40.0
"""How long a fork waits for transactions of other threads: longer than one of them waits for a lock (`engine`)."""


@final
class _Gate:
    """Lets threads use connections, or one thread fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._depths: dict[int, int] = {}
        self._forking = False

    def enter(self) -> None:
        """Wait until no other thread forks. A thread that is already inside does not wait."""
        me = threading.get_ident()
        with self._changed:
            while self._forking and me not in self._depths:
                self._changed.wait()
            self._depths[me] = self._depths.get(me, 0) + 1

    def leave(self) -> None:
        """Undo one `enter`."""
        me = threading.get_ident()
        with self._changed:
            self._depths[me] -= 1
            if not self._depths[me]:
                del self._depths[me]
                self._changed.notify_all()

    def close(self) -> None:
        """Let no thread enter, and wait for those inside, at most `WAIT_S`."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._forking, WAIT_S)
            self._forking = True
            self._changed.wait_for(lambda: not self._depths.keys() - {me}, WAIT_S)

    def open(self) -> None:
        """Let threads enter again."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()

    @property
    def is_empty(self) -> bool:
        """True if no thread is inside."""
        return not self._depths

    def of_child(self) -> "_Gate":
        """Return the gate of a child process, whose only thread is the one that forked."""
        gate, me = _Gate(), threading.get_ident()
        gate._depths.update((thread, depth) for thread, depth in self._depths.items() if thread == me)
        return gate


_gate = _Gate()
_engines: Final[weakref.WeakKeyDictionary[Engine, Path | None]] = weakref.WeakKeyDictionary()
_inherited: Final[set[Path]] = set()
"""SQLite files that this process must not open: its parent had an open transaction at the fork."""


@contextmanager
def connected() -> Iterator[None]:
    """Use connections only inside this context: a fork waits until it is left."""
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


def follow(engine: Engine, path: Path | None, *, shown: str) -> None:
    """Keep connections of `engine`, to the SQLite file at `path` or to a server, from passing to a child process."""

    def look(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
        if path is not None and path.resolve() in _inherited:
            raise StorageError(
                f"{shown}: must not be used by this process, which was forked in the middle of a transaction "
                "of its parent: start it with the method spawn"
            )

    event.listen(engine, "do_connect", look)
    _engines[engine] = None if path is None else path.resolve()


def _before() -> None:
    _gate.close()
    for reference in _engines.keyrefs():
        if (engine := reference()) is not None:
            engine.dispose()


def _after_in_parent() -> None:
    _gate.open()


def _after_in_child() -> None:
    global _gate  # noqa: PLW0603  # the lock of the old one may be held by a thread that is no more
    if not _gate.is_empty:
        _inherited.update(path for path in _engines.values() if path is not None)
    _gate = _gate.of_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
