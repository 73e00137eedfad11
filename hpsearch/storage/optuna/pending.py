"""What is set on running trials, until it is written: at the next change of a state, or soon."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Final, final

from hpsearch.storage.optuna.record import Details

FLUSH_AFTER_S: Final = 0.5
"""What is set on a running trial is written after so long, if no change of a state wrote it before."""

ROWS_MAX: Final = 5000
"""When so many rows wait, they wait no longer."""

CHARACTERS_MAX: Final = 2**22
"""When so much JSON text waits, it waits no longer."""

_TICK_S: Final = 0.05
"""How long an interpreter that ends may have to wait for the clock."""


@final
class Pending:
    """Rows of trials, by trial id, that wait to be written. Its owner's lock guards it.

    `write` writes what waits, and is called by a clock in a thread of its own while there is something to write.
    The thread is no daemon: the interpreter does not end before it has written.
    """

    def __init__(self, write: Callable[[], bool]) -> None:
        """Let `write` be called every now and then, until it returns False."""
        self.details: dict[int, Details] = {}
        self._write = write
        self._rows = self._characters = 0
        self._clock: threading.Thread | None = None

    @property
    def is_urgent(self) -> bool:
        """True when what waits should be written at once."""
        is_much = self._rows >= ROWS_MAX or self._characters >= CHARACTERS_MAX
        return bool(self.details) and (is_much or self._clock is None)

    def add(self, trial_id: int, details: Details) -> None:
        """Let `details` of a trial wait, over what waits for it already."""
        there = self.details.setdefault(trial_id, Details())
        there.params.update(details.params)
        there.reports.update(details.reports)
        there.user_attributes.update(details.user_attributes)
        there.system_attributes.update(details.system_attributes)
        self._rows += len(details)
        self._characters += sum(map(len, details.texts))
        if self._clock is None:
            self._start_clock()

    def remove(self, trial_ids: Collection[int]) -> None:
        """Forget what waits for these trials: it was written, or nobody wants it any more."""
        for trial_id in trial_ids:
            self.details.pop(trial_id, None)
        if not self.details:
            self._rows = self._characters = 0

    def clock_stopped(self) -> None:
        """Take note that the clock stops: the next row starts another one."""
        self._clock = None

    def _start_clock(self) -> None:
        # Starting a thread costs as much as a query, so one serves many trials.
        clock = threading.Thread(target=self._run, name="hpsearch-optuna-storage", daemon=False)
        try:
            clock.start()
        except RuntimeError:
            # The interpreter is ending and starts no more threads: `is_urgent` says so.
            return
        self._clock = clock

    def _run(self) -> None:
        going_on = True
        while going_on:
            began = time.monotonic()
            while threading.main_thread().is_alive() and time.monotonic() - began < FLUSH_AFTER_S:
                time.sleep(_TICK_S)
            going_on = self._write()
