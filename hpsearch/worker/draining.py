"""The last resort of a worker that was asked to stop: what it does at that moment may take too long."""

import contextlib
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

from hpsearch.errors import HpsearchError
from hpsearch.worker.stopping import StopRequest

DRAIN_WITHIN_S: Final = 3.6
"""How long a worker may take to end by itself."""

HAND_BACK_WITHIN_S: Final = 0.8
"""How long the database may take to answer then. Together a worker ends within 5 s."""

LOOK_EVERY_S: Final = 0.1


@final
class DrainWatch:
    """Ends the process `within_s` seconds after a request to stop, unless the context was left before.

    One step of a huge network, the reading of data, or a database that does not answer cannot be interrupted from
    within. `hand_back` gives the worker's trials back first, from a thread of its own: what it then still writes
    finds its leases gone.
    """

    def __init__(
        self, stop: StopRequest, *, hand_back: Callable[[], None], within_s: float = DRAIN_WITHIN_S
    ) -> None:
        self._stop = stop
        self._hand_back = hand_back
        self._within_s = within_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drain watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_asked:
            if self._left.wait(LOOK_EVERY_S):
                return
        if self._left.wait(self._within_s):
            return
        helper = threading.Thread(target=self._try_to_hand_back, name="hand back", daemon=True)
        helper.start()
        helper.join(HAND_BACK_WITHIN_S)
        os._exit(self._stop.exit_code)

    def _try_to_hand_back(self) -> None:
        with contextlib.suppress(HpsearchError):  # the leases run out by themselves
            self._hand_back()
