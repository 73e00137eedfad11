"""How a worker is asked to stop: once to drain, twice to stop now."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, final

from hpsearch.errors import HpsearchError

INTERRUPTED: Final = 130
"""The exit code after a signal that asked to stop: 128 and the number of SIGINT."""


@final
class StopNowError(HpsearchError):
    """The second request to stop: nothing more is written, and what is in training goes back at once."""


@final
class StopRequest:
    """Remembers requests to stop. The first lets the worker finish its turn; the second raises StopNowError.

    Later ones are ignored: what the second one ends has trials to hand back, which no other may interrupt. A worker
    that was started by another process also drains when that process is gone.
    """

    def __init__(self, *, parent: int | None = None) -> None:
        self._parent = parent
        self._asked = threading.Event()
        self._is_ending = False
        self.signal: int | None = None

    @property
    def exit_code(self) -> int:
        """What a worker ends with: 130 after a signal, 0 where it was asked in another way."""
        return INTERRUPTED if self.signal is not None else 0

    @property
    def is_asked(self) -> bool:
        """True when the worker should drain."""
        if self._parent is not None and os.getppid() != self._parent:
            self._asked.set()
        return self._asked.is_set()

    def ask(self) -> None:
        """Ask the worker to drain."""
        self._asked.set()

    def wait(self, seconds: float) -> bool:
        """Wait for a request, at most so long; return `is_asked`."""
        self._asked.wait(seconds)
        return self.is_asked

    def listen(self) -> None:
        """Take SIGINT and SIGTERM as requests, from now on. Only a program's main thread may call this.

        A terminal that goes away (SIGHUP) asks as well, unless the signal is ignored, as under `nohup`.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hang_up)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let no signal interrupt what is done in this context, such as handing trials back; all count as requests."""
        before, self._is_ending = self._is_ending, True
        try:
            yield
        finally:
            self._is_ending = before

    def _receive(self, number: int, frame: FrameType | None) -> None:
        is_second, self.signal = self.signal is not None, number
        self._asked.set()
        if is_second and not self._is_ending:
            self._is_ending = True
            raise StopNowError("stopped at once by the second signal")

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """Take the loss of the terminal as one request, however often it is announced."""
        if self.signal is None:
            self._receive(number, frame)
