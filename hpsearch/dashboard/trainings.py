"""Trainings requested on pages: replays and confirmations, one at a time, in the background."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Final, TypeAlias, final

from hpsearch.dashboard.pages import replay_navigation
from hpsearch.errors import HpsearchError
from hpsearch.report.replay_page import render_replay
from hpsearch.storage.store import Store
from hpsearch.worker.replay import ReplayRequest, StoredTrial
from hpsearch.workflows.confirmation import confirm
from hpsearch.workflows.listener import Listener, Notify
from hpsearch.workflows.trials import replay_trial

MAX_RESULTS: Final = 8
"""Maximum number of results in memory, of several MB each; the oldest request is dropped first."""
MAX_WAITING: Final = 4

Key: TypeAlias = tuple[str, str, int]
"""What is trained: the use case, the key of the study, and the number of the trial (0 for a whole study)."""

Make: TypeAlias = Callable[[Notify], str]
"""Trains, reports its progress in sentences, and returns the result."""


class QueueFullError(HpsearchError):
    """Too many trainings wait already."""


@final
@dataclass(kw_only=True, slots=True)
class Training:
    """A requested training: its result, and the last sentence about its progress."""

    result: Future[str] = field(default_factory=Future)
    words: str = ""

    def notify(self, words: str) -> None:
        """Replace the sentence about the progress."""
        self.words = words


def replay_key(stored: StoredTrial) -> Key:
    """Return the key of a trial's replay."""
    return "replay", stored.study.key, stored.trial.number


def replay_page(stored: StoredTrial) -> str:
    """Train a trial again, and return its page. Raises HpsearchError if that is impossible."""
    navigation = replay_navigation(stored.study, stored.trial.number)
    return render_replay(
        replay_trial(stored, ReplayRequest()), taken=datetime.now(UTC), navigation=navigation
    )


def confirm_best(store: Store, name: str, notify: Notify, *, best: int, seeds: int) -> str:
    """Train the best configurations of a study with fresh seeds; return the study's name. Raises HpsearchError."""
    confirm(store, name, best=best, seeds=seeds, listener=Listener(notify=notify))
    return name


@final
class TrainingQueue:
    """The requested trainings: finished, running, or queued. Threads may share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trainings: OrderedDict[Key, Training] = OrderedDict()
        self._waiting: SimpleQueue[tuple[Make, Training]] = SimpleQueue()
        # A daemon: a server that is stopping does not wait for a training that may take long.
        threading.Thread(target=self._train_all, name="hpsearch-trainings", daemon=True).start()

    def submit(self, key: Key, make: Make, *, again: bool = False) -> bool:
        """Queue a training unless it is there already; return False if the queue is full.

        A failed training is tried again; with `again` so is one that has a result.
        """
        with self._lock:
            known = self._trainings.get(key)
            if known is not None and not (known.result.done() and (again or known.result.exception())):
                return True
            if sum(not one.result.done() for one in self._trainings.values()) >= MAX_WAITING:
                return False
            self._trainings[key] = Training()
            self._waiting.put((make, self._trainings[key]))
            self._trainings.move_to_end(key)
            while len(self._trainings) > MAX_RESULTS:
                self._trainings.popitem(last=False)
            return True

    def get(self, key: Key) -> Training | None:
        """Return a training, done or not; None if it was not requested."""
        return self._trainings.get(key)

    def _train_all(self) -> None:
        """Train what is queued, one after the other, without end."""
        while True:
            make, training = self._waiting.get()
            try:
                training.result.set_result(make(training.notify))
            except BaseException as error:  # noqa: BLE001 # requests for the result report it
                training.result.set_exception(error)
