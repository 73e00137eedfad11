"""Figures for Optuna's dashboard, drawn in a separate thread so that a page does not wait long for a picture."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Final, final

from hpsearch.dashboard.figures import figure_texts
from hpsearch.dashboard.live import Seen
from hpsearch.report.figures.catalogue import exhibits

PATIENCE_S: Final = 0.3
"""How long a new page waits for figures; without them it is completed by its next request, some seconds later."""

LONG_PATIENCE_S: Final = 10.0
"""How long a visible page waits for newer figures; until they are ready it shows the previous state."""

WAITING_MOST: Final = 4
"""Maximum number of requests that wait that long: the server's other threads answer all others."""

_log: Final = logging.getLogger(__name__)
_NAME: Final = "figures"

Figures = Mapping[str, str]


def drawn_figures(seen: Seen) -> Figures:
    """Return id -> figure as JSON text."""
    return seen.once(_NAME, lambda _: figure_texts(seen.once("exhibits", exhibits)))


@final
class Drawings:
    """The figures of studies, by id as JSON text. One thread draws them, so they use one core at most.

    Figures are those of the requested state, or none: older ones next to newer numbers would contradict them.
    """

    def __init__(self, draw: Callable[[Seen], Figures] = drawn_figures) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[int, Future[Figures]]] = {}
        self._waiting = threading.BoundedSemaphore(WAITING_MOST)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hpsearch-drawings")

    def of(self, seen: Seen, *, patience_s: float = PATIENCE_S) -> Figures:
        """Return the figures of a study's state, or none if drawing them takes longer than `patience_s`."""
        key = seen.snapshot.study.key
        with self._lock:
            version, drawing = self._newest.get(key, (None, None))
            if drawing is None or version != seen.version:
                if drawing is not None:
                    drawing.cancel()  # it has not begun, or it continues without a waiting request
                drawing = self._pool.submit(self._drawn, seen)
                self._newest[key] = (seen.version, drawing)
        is_patient = patience_s > PATIENCE_S and self._waiting.acquire(blocking=False)
        try:
            return drawing.result(timeout=patience_s if is_patient else min(patience_s, PATIENCE_S))
        except (TimeoutError, CancelledError):
            return {}
        finally:
            if is_patient:
                self._waiting.release()

    def _drawn(self, seen: Seen) -> Figures:
        try:
            return self._draw(seen)
        except Exception:  # noqa: BLE001 # a failed picture must not prevent the page
            _log.exception("study %s: its figures could not be drawn", seen.snapshot.study.spec.name)
            return {}
