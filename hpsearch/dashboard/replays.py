"""Replays of trials requested on their pages: trained one at a time, in the background."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final, TypeAlias, final

from hpsearch.dashboard.pages import replay_navigation
from hpsearch.report.replay_page import render_replay
from hpsearch.worker.replay import ReplayRequest, StoredTrial
from hpsearch.workflows.trials import replay_trial

MAX_PAGES: Final = 8
"""Maximum number of pages in memory, of several MB each; the oldest request is dropped first."""
MAX_WAITING: Final = 4

_Key: TypeAlias = tuple[str, int]


def replayed_page(stored: StoredTrial) -> str:
    """Return the page of a trial that was trained again. Raises HpsearchError if that is impossible."""
    navigation = replay_navigation(stored.study, stored.trial.number)
    return render_replay(
        replay_trial(stored, ReplayRequest()), taken=datetime.now(UTC), navigation=navigation
    )


@final
class ReplayQueue:
    """The requested replays: finished, running, or queued. Threads may share them."""

    def __init__(self, make: Callable[[StoredTrial], str] = replayed_page) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pages: OrderedDict[_Key, Future[str]] = OrderedDict()
        self._waiting: SimpleQueue[tuple[StoredTrial, Future[str]]] = SimpleQueue()
        # A daemon: a server that is stopping does not wait for a training that may take long.
        threading.Thread(target=self._train_all, name="hpsearch-replays", daemon=True).start()

    def submit(self, stored: StoredTrial) -> bool:
        """Queue a replay of a trial unless it has one; return False if the queue is full.

        A failed replay is tried again.
        """
        key = stored.study.key, stored.trial.number
        with self._lock:
            page = self._pages.get(key)
            if page is not None and not (page.done() and page.exception()):
                return True
            if sum(not one.done() for one in self._pages.values()) >= MAX_WAITING:
                return False
            self._pages[key] = Future()
            self._waiting.put((stored, self._pages[key]))
            self._pages.move_to_end(key)
            while len(self._pages) > MAX_PAGES:
                self._pages.popitem(last=False)
            return True

    def get(self, study_key: str, number: int) -> Future[str] | None:
        """Return the replay of a trial, done or not; None if it was not requested."""
        return self._pages.get((study_key, number))

    def _train_all(self) -> None:
        """Train the queued trials one after the other, without end."""
        while True:
            stored, page = self._waiting.get()
            try:
                page.set_result(self._make(stored))
            except BaseException as error:  # noqa: BLE001 # requests for the page report it
                page.set_exception(error)
