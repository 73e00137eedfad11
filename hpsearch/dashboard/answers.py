"""A cache of answers: pages request updates every few seconds, and mostly nothing has changed."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, final

KEPT: Final = 8
"""Maximum number of answers in memory; one about a large study takes 10 MB."""


@final
class Answers:
    """The last answers, by all their sources. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def once(self, sources: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the answer from these sources: from the cache, or made now.

        Two simultaneous requests may both make it.
        """
        with self._lock:
            if (kept := self._kept.get(sources)) is not None:
                self._kept.move_to_end(sources)
                return kept
        made = make()
        with self._lock:
            self._kept[sources] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made
