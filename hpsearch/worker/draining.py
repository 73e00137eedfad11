"""The last resort of a process that was asked to stop: what it does at that moment may take too long."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Protocol, Self, final

from hpsearch.errors import HpsearchError
from hpsearch.worker.shutdown import INTERRUPTED, StopRequest

DRAIN_WITHIN_S: Final = 3.6
"""How long a worker may take to end by itself."""

END_WITHIN_S: Final = 8.4
"""How long any other command may take: `study run` waits for its workers, which end first, and writes a report."""

HAND_BACK_WITHIN_S: Final = 0.8
"""How long the database may take to answer then. Together a worker ends within 5 s, and any command within 10 s."""

LOOK_EVERY_S: Final = 0.1

_REQUESTS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stoppable(Protocol):
    """Something that remembers that a process was asked to stop, by which signal, and what it ends with then."""

    signal: int | None

    @property
    def is_asked(self) -> bool:
        """True when the process should end."""

    @property
    def exit_code(self) -> int:
        """What the process ends with."""

    def ask(self) -> None:
        """Ask the process to end."""


def do_nothing() -> None:
    """Leave everything as it is."""


@final
class DrainWatch:
    """Ends the process `within_s` seconds after a request to stop, unless the context was left before.

    One step of a huge network, the reading of data, or a database that does not answer cannot be interrupted from
    within. `asked` is called at once, and `hand_back` before the end, each from a thread of its own: what the main
    thread then still writes finds its leases gone. Signals count from the moment at which they arrive, also while the
    main thread is in a driver that lets no Python run, as SQLite's does while it waits for a lock.
    """

    def __init__(
        self,
        stop: Stoppable,
        *,
        hand_back: Callable[[], None] = do_nothing,
        asked: Callable[[], None] = do_nothing,
        within_s: float = DRAIN_WITHIN_S,
    ) -> None:
        self._stop = stop
        self._hand_back = hand_back
        self._asked = asked
        self._within_s = within_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drain watch", daemon=True)
        self._signals: tuple[socket.socket, socket.socket] | None = None
        self._signals_before = -1
        self._was_signalled = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._signals = socket.socketpair()
            for end in self._signals:
                end.setblocking(False)  # noqa: FBT003 # its only parameter
            self._signals_before = signal.set_wakeup_fd(self._signals[1].fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()
        if self._signals is not None:
            signal.set_wakeup_fd(self._signals_before, warn_on_full_buffer=False)
            for end in self._signals:
                end.close()

    def _watch(self) -> None:
        while not self._is_asked():
            if self._left.wait(LOOK_EVERY_S):
                return
        self._asked()
        if self._left.wait(self._within_s):
            return
        helper = threading.Thread(target=self._try_to_hand_back, name="hand back", daemon=True)
        helper.start()
        helper.join(HAND_BACK_WITHIN_S)
        unheard = self._was_signalled and self._stop.signal is None  # by the main thread, which was stuck
        os._exit(INTERRUPTED if unheard else self._stop.exit_code)

    def _is_asked(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            heard = () if self._signals is None else self._signals[0].recv(64)
            if any(number in _REQUESTS for number in heard):
                self._was_signalled = True
                self._stop.ask()
        return self._stop.is_asked

    def _try_to_hand_back(self) -> None:
        with contextlib.suppress(HpsearchError):  # the leases run out by themselves
            self._hand_back()


@contextlib.contextmanager
def stoppable(stop: StopRequest, *, last: Callable[[], None] = do_nothing) -> Iterator[None]:
    """Take signals as requests to stop, until the context is left; the process ends within 10 s of one.

    `last` is called before it is ended from outside, to print a message.
    """
    before = {number: signal.getsignal(number) for number in _REQUESTS}
    stop.listen()
    try:
        with DrainWatch(stop, hand_back=last, within_s=END_WITHIN_S):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
