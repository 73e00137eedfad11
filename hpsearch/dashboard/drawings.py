"""Figures for Optuna's dashboard, drawn behind the back of requests: a page does not wait long for a picture."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, final

from hpsearch.dashboard.figures import figure_texts
from hpsearch.dashboard.live import Seen
from hpsearch.report.figures.catalogue import exhibits

PATIENCE_S: Final = 0.3
"""So long a page waits for figures; without them it is completed when it looks again, some seconds later."""

_log: Final = logging.getLogger(__name__)
_NAME: Final = "figures"

Figures = Mapping[str, str]


def drawn_figures(seen: Seen) -> Figures:
    """Return id -> figure as JSON text."""
    return seen.once(_NAME, lambda _: figure_texts(seen.once("exhibits", exhibits)))


@final
class Drawings:
    """The newest figures of each study, by id as JSON text. One thread draws them, so they take one core at most."""

    def __init__(
        self, draw: Callable[[Seen], Figures] = drawn_figures, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._draw = draw
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._newest: dict[str, Figures] = {}
        self._under_way: dict[str, Future[Figures]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hpsearch-drawings")

    def of(self, seen: Seen) -> Figures:
        """Return the figures of a study as it was seen, or older ones, or none, where drawing takes longer."""
        key = seen.snapshot.study.key
        with self._lock:
            under_way = self._under_way.get(key)
            if under_way is None:
                under_way = self._under_way[key] = self._pool.submit(self._drawn, key, seen)
        try:
            return under_way.result(timeout=self._patience_s)
        except TimeoutError:
            return self._newest.get(key, {})

    def _drawn(self, key: str, seen: Seen) -> Figures:
        try:
            self._newest[key] = self._draw(seen)
        except Exception:  # noqa: BLE001 # a picture never stands in the way of a page
            _log.exception("study %s: its figures could not be drawn", seen.snapshot.study.spec.name)
        with self._lock:
            del self._under_way[key]
        return self._newest.get(key, {})
