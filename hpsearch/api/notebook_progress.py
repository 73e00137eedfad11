"""Progress in notebooks: HTML that is updated in place, without widgets.

IPython is used only if the program runs in it, so it is never imported here, and not a dependency.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Self, final

from hpsearch.analysis.formats import format_duration
from hpsearch.api.notebook import progress_card
from hpsearch.api.pace import Pace, best_words, count_words, speed_words
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.listener import Notify, Show

_STOPPING: Final = "finishing; interrupt the kernel again to stop at once"
_MOST_NOTES: Final = 5


@contextmanager
def watch_in_notebook(study: StoredStudy, stop: StopRequest, notes: Sequence[str]) -> Iterator[Show]:
    """Show the progress of a study in the output of the cell that runs, until the context exits."""
    with NotebookProgress(study, stop, notes) as shown:
        yield shown.show


@contextmanager
def sentences_in_notebook(name: str) -> Iterator[Notify]:
    """Show the first and the last sentence of a call in one output of its cell."""
    lines: list[str] = []
    shown: Any = None

    def show(line: str) -> None:
        nonlocal shown
        lines[1:] = [line]  # the first line stays: it has the amount of work
        card = ProgressCard(progress_card(name, lines=lines), "; ".join((f"{name}: {lines[0]}", *lines[1:])))
        if shown is None:
            shown = _displayed(card)
        else:
            shown.update(card)

    yield show


def _displayed(card: "ProgressCard") -> Any:
    """Display the card, and return the handle that replaces it."""
    return import_module("IPython.display").display(card, display_id=True)


@final
@dataclass(frozen=True, slots=True)
class ProgressCard:
    """A card for IPython: HTML, or text in front ends without HTML."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


@final
@dataclass(slots=True)
class NotebookProgress:
    """Shows a study's progress, and the pool's notes, in one output until its context exits.

    After a request to stop, it shows the consequences at once, while the main thread waits for the workers.
    """

    study: StoredStudy
    stop: StopRequest
    notes: Sequence[str] = ()
    _display: Any = None
    _pace: Pace = field(default_factory=Pace)
    _began_s: float = field(default_factory=time.monotonic)
    _progress: Progress | None = None
    _shown: ProgressCard | None = None
    _left: threading.Event = field(default_factory=threading.Event)
    _showing: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._shown = self._card()
        self._display = _displayed(self._shown)
        # The context has the cell whose output this is: ipykernel keeps it in a context variable.
        context = copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._announce,), name="announce", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        if self._thread is not None:
            self._thread.join()
        self._update()

    def show(self, progress: Progress) -> None:
        """Show the current progress of the study."""
        self._progress = progress
        self._pace.see(progress, time.monotonic())
        self._update()

    def _announce(self) -> None:
        """Show that a request to stop has arrived, which the main thread may do much later."""
        while not self._left.wait(0.05):
            if self.stop.is_requested:
                self._update()
                return

    def _update(self) -> None:
        """Replace the output, if it has changed."""
        with self._showing:
            card = self._card()
            if card != self._shown and self._display is not None:
                self._shown = card
                self._display.update(card)

    def _card(self) -> ProgressCard:
        progress, name = self._progress, self.study.name
        stopping = self._stopping_words(progress)
        if progress is None:
            words = stopping or "starting workers"
            return ProgressCard(progress_card(name, lines=[words]), f"{name}: {words}")
        lines = [self._speed(progress), best_words(self.study, progress), stopping]
        shown = [line for line in lines if line]
        html = progress_card(name, lines=shown, progress=progress, notes=self.notes[-_MOST_NOTES:])
        return ProgressCard(html, "; ".join((f"{name}: {count_words(progress)}", *shown)))

    def _stopping_words(self, progress: Progress | None) -> str:
        if not self.stop.is_requested or (progress is not None and progress.is_done):
            return ""
        return "stopped; the same call continues from here" if self._left.is_set() else _STOPPING

    def _speed(self, progress: Progress) -> str:
        now_s = time.monotonic()
        if self._left.is_set():
            return f"after {format_duration(now_s - self._began_s)}"
        return speed_words(progress, self._pace, now_s=now_s, is_stopping=self.stop.is_requested)
