"""What is set on running trials, until it is written: at the next change of a state, or soon."""

import threading
from collections.abc import Callable, Collection
from typing import Final, final

from hpsearch.storage.as_optuna.record import Details

FLUSH_AFTER_S: Final = 0.5
"""What is set on a running trial is written after so long, if no change of a state wrote it before."""

ROWS_MAX: Final = 5000
"""When so many rows wait, they wait no longer."""


@final
class Pending:
    """Rows of trials, by trial id, that wait to be written, and the clock that says when. Its owner's lock guards it.

    `write` is called by a thread of its own, which is no daemon: the interpreter does not exit before it.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self.details: dict[int, Details] = {}
        self._write = write
        self._rows = 0
        self._timer: threading.Timer | None = None

    @property
    def is_urgent(self) -> bool:
        """True when what waits should be written at once."""
        return bool(self.details) and (self._rows >= ROWS_MAX or self._timer is None)

    def add(self, trial_id: int, details: Details) -> None:
        """Let `details` of a trial wait, over what waits for it already."""
        there = self.details.setdefault(trial_id, Details())
        there.params.update(details.params)
        there.reports.update(details.reports)
        there.user_attributes.update(details.user_attributes)
        there.system_attributes.update(details.system_attributes)
        self._rows += len(details)
        self.start_clock()

    def remove(self, trial_ids: Collection[int]) -> None:
        """Forget what waits for these trials: it was written, or nobody wants it any more."""
        for trial_id in trial_ids:
            self.details.pop(trial_id, None)
        if not self.details:
            self._rows = 0
            self.stop_clock()

    def start_clock(self) -> None:
        """Let `write` be called after `FLUSH_AFTER_S`, unless that is to happen already."""
        if self._timer is not None:
            return
        timer = threading.Timer(FLUSH_AFTER_S, self._write)
        timer.daemon = False
        try:
            timer.start()
        except RuntimeError:
            # The interpreter is ending and starts no more threads: `is_urgent` says so.
            return
        self._timer = timer

    def stop_clock(self) -> None:
        """Let `write` not be called, or take note that it is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
