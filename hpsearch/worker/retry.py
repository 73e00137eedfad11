"""Retries while a database is temporarily gone: restarts, lost connections, a network that is down."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, final

from hpsearch.errors import StorageUnavailableError
from hpsearch.worker.shutdown import StopRequest

_T = TypeVar("_T")

LONGEST_OUTAGE_S = 900.0
TRY_EVERY_S = 1.0


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnect:
    """Repeats calls to the database while it does not answer.

    It tries every `every_s` seconds, and gives up, with the database's StorageUnavailableError, after `longest_s`
    seconds or if the worker is asked to stop. `notify` is called at the start of an outage.
    """

    stop: StopRequest
    notify: Callable[[str], None]
    longest_s: float = LONGEST_OUTAGE_S
    every_s: float = TRY_EVERY_S

    def call(self, work: Callable[[], _T], *, between: Callable[[], None] | None = None) -> _T:
        """Return the result of `work`. `between` runs at the start of every retry, and counts as part of it."""
        try:
            return work()
        except StorageUnavailableError as error:
            self.notify(str(error))
        deadline = time.monotonic() + self.longest_s
        while True:
            is_last = self.stop.wait(self.every_s) or time.monotonic() > deadline
            try:
                if between is not None:
                    between()
                return work()
            except StorageUnavailableError:
                if is_last:
                    raise
