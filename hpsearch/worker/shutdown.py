"""Requests to stop a process: one to drain, two to stop now; and the last resort if that takes too long."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Protocol, Self, final

from hpsearch.errors import HpsearchError

INTERRUPTED: Final = 130
"""The exit code after a signal that requested a stop: 128 plus the number of SIGINT."""


@final
class StopNowError(HpsearchError):
    """The second request to stop: nothing more is written, and trials in training are handed back immediately."""


@final
class StopRequest:
    """Records requests to stop. The first lets the worker finish its turn; the second raises StopNowError.

    Later ones are ignored: after the second, trials are handed back, which must not be interrupted. A worker that was
    started by another process also drains if that process ends.
    """

    def __init__(self, *, parent: int | None = None) -> None:
        self._parent = parent
        self._requested = threading.Event()
        self._is_ending = False
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a worker: 130 after a signal, 0 after any other request."""
        return INTERRUPTED if self.signal is not None else 0

    @property
    def is_requested(self) -> bool:
        """True if the worker should drain."""
        if self._parent is not None and os.getppid() != self._parent:
            self._requested.set()
        return self._requested.is_set()

    def request(self) -> None:
        """Ask the worker to drain."""
        self._requested.set()

    def wait(self, seconds: float) -> bool:
        """Wait for a request, at most until the timeout; return `is_requested`."""
        self._requested.wait(seconds)
        return self.is_requested

    def listen(self) -> None:
        """Treat SIGINT and SIGTERM as requests from now on. Only a program's main thread may call this.

        A closed terminal (SIGHUP) is a request too, unless the signal is ignored, as under `nohup`.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.receive)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hang_up)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Keep signals from interrupting this context, such as handing trials back; all count as requests."""
        before, self._is_ending = self._is_ending, True
        try:
            yield
        finally:
            self._is_ending = before

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Treat a signal as a request. It is a signal handler."""
        is_second, self.signal = self.signal is not None, number
        self._requested.set()
        if is_second and not self._is_ending:
            self._is_ending = True
            raise StopNowError("stopped at once by the second signal")

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """Treat the loss of the terminal as one request, even if it is signalled repeatedly."""
        if self.signal is None:
            self.receive(number, frame)


DRAIN_WITHIN_S: Final = 3.6
"""Time for a worker to end by itself."""

END_WITHIN_S: Final = 8.4
"""Time for any other command: `study run` waits for its workers, which end first, and writes a report."""

HAND_BACK_WITHIN_S: Final = 0.8
"""Additional time for the database to answer. In total a worker ends within 5 s, and any command within 10 s."""

POLL_EVERY_S: Final = 0.1

_REQUESTS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stoppable(Protocol):
    """A record that a process was asked to stop, by which signal, and its exit code."""

    signal: int | None

    @property
    def is_requested(self) -> bool:
        """True if the process should end."""

    @property
    def exit_code(self) -> int:
        """The exit code of the process."""

    def request(self) -> None:
        """Ask the process to end."""


def do_nothing(*_: object) -> None:
    """Do nothing."""


@final
class DrainWatch:
    """Ends the process `within_s` seconds after a request to stop, unless the context was left earlier.

    Without `ends_process`, in a program that is not ours, it only calls `hand_back` then.

    One step of a huge network, reading data, or a database that does not answer cannot be interrupted from within.
    `on_request` is called immediately, and `hand_back` shortly before the end, each from a separate thread: later
    writes of the main thread find its leases gone. Signals count from their arrival, even while the main thread is in
    a driver that runs no Python, like SQLite's while it waits for a lock.
    """

    def __init__(
        self,
        stop: Stoppable,
        *,
        hand_back: Callable[[], None] = do_nothing,
        on_request: Callable[[], None] = do_nothing,
        within_s: float = DRAIN_WITHIN_S,
        ends_process: bool = True,
    ) -> None:
        self._stop = stop
        self._hand_back = hand_back
        self._on_request = on_request
        self._within_s = within_s
        self._ends_process = ends_process
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
        while not self._is_stopping():
            if self._left.wait(POLL_EVERY_S):
                return
        self._on_request()
        if self._left.wait(self._within_s):
            return
        helper = threading.Thread(target=self._try_to_hand_back, name="hand back", daemon=True)
        helper.start()
        helper.join(HAND_BACK_WITHIN_S)
        if not self._ends_process:
            return
        # The main thread was blocked if the signal was not handled.
        is_unhandled = self._was_signalled and self._stop.signal is None
        os._exit(INTERRUPTED if is_unhandled else self._stop.exit_code)

    def _is_stopping(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            received = () if self._signals is None else self._signals[0].recv(64)
            if any(number in _REQUESTS for number in received):
                self._was_signalled = True
                self._stop.request()
        return self._stop.is_requested

    def _try_to_hand_back(self) -> None:
        with contextlib.suppress(HpsearchError):  # the leases expire by themselves
            self._hand_back()


@contextlib.contextmanager
def stop_on_signals(stop: StopRequest, *, last: Callable[[], None] = do_nothing) -> Iterator[None]:
    """Treat signals as requests to stop, until the context is left; the process ends within 10 s of one.

    `last` is called before a forced end, to print a message.
    """
    before = {number: signal.getsignal(number) for number in _REQUESTS}
    stop.listen()
    try:
        with DrainWatch(stop, hand_back=last, within_s=END_WITHIN_S):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
