"""How a worker is asked to stop: once to drain, twice to stop now."""

import os
import signal
import threading
from types import FrameType
from typing import Final, final

from hpsearch.errors import HpsearchError

INTERRUPTED: Final = 130


@final
class StopNowError(HpsearchError):
    """The second request to stop: nothing more is written, and what is in training goes back at once."""


@final
class StopRequest:
    """Remembers requests to stop. The first lets the worker finish its turn; the second raises StopNowError.

    A worker that was started by another process also drains when that process is gone.
    """

    def __init__(self, *, parent: int | None = None) -> None:
        self._parent = parent
        self._asked = threading.Event()
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

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise StopNowError("stopped at once by the second signal")
        self.signal = number
        self._asked.set()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        """Take the loss of the terminal as one request, however often it is announced."""
        if self.signal is None:
            self._receive(number, frame)
