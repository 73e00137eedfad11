"""Progress of long calls: a live display in terminals, a bar in notebooks, a callback, or none."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeAlias

from hpsearch.api.border import LOGGER
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.worker.shutdown import StopRequest, do_nothing
from hpsearch.workflows.listener import SILENT, Listener, Notify, Show

ProgressOption: TypeAlias = bool | Callable[[Progress], None]
"""True shows progress if there is a terminal or a notebook; a function gets the progress about twice a second."""

Watch: TypeAlias = Callable[[StoredStudy, StopRequest, Sequence[str]], AbstractContextManager[Show]]
"""The type of a renderer: see `Listener.watch`."""

_WARNING = "Warning: "


def listener_of(progress: ProgressOption) -> Listener:
    """Return the listener of a call with this option. Its sentences are logged."""
    return Listener(notify=log, stage=SILENT.stage, watch=_logged(_renderer(progress)))


@contextmanager
def sentence_listener(name: str, *, progress: bool) -> Iterator[Listener]:
    """Yield the listener of a call on the study `name` that reports in sentences. The last ones are shown."""
    with _sentence_renderer(name) if progress else nullcontext(do_nothing) as show:

        def log_and_show(line: str) -> None:
            log(line)
            show(line)

        yield Listener(notify=log_and_show)


def _sentence_renderer(name: str) -> AbstractContextManager[Notify]:
    if is_notebook():
        from hpsearch.api.notebook_progress import sentences_in_notebook

        return sentences_in_notebook(name)
    if _is_terminal():
        from hpsearch.api.terminal_progress import sentences_in_terminal

        return sentences_in_terminal(name)
    return nullcontext(do_nothing)


def log(line: str) -> None:
    """Log a sentence under `hpsearch`: warnings as such, all others at level INFO."""
    is_warning = line.startswith(_WARNING)
    LOGGER.log(logging.WARNING if is_warning else logging.INFO, "%s", without_mark(line))


def without_mark(line: str) -> str:
    """Return a sentence without the word that marks it as a warning."""
    return line.removeprefix(_WARNING)


def _renderer(progress: ProgressOption) -> Watch:
    if callable(progress):
        return _calls(progress)
    if progress and is_notebook():
        from hpsearch.api.notebook_progress import watch_in_notebook

        return watch_in_notebook
    if progress and _is_terminal():
        from hpsearch.api.terminal_progress import watch_in_terminal

        return watch_in_terminal
    return SILENT.watch


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def is_notebook() -> bool:
    """Return True in a kernel of Jupyter, whose output area shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # Colab and Spyder have a class of their own, derived from Jupyter's.
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)


def _calls(callback: Callable[[Progress], None]) -> Watch:
    @contextmanager
    def watch(*_: object) -> Iterator[Show]:
        yield callback

    return watch


def _logged(watch: Watch) -> Watch:
    """Return `watch` with the notes of workers logged as they arrive."""

    @contextmanager
    def logged(study: StoredStudy, stop: StopRequest, notes: Sequence[str]) -> Iterator[Show]:
        logged_notes = 0

        def log_notes() -> None:
            nonlocal logged_notes
            for note in notes[logged_notes:]:
                LOGGER.warning("%s", note)
                logged_notes += 1

        with watch(study, stop, notes) as show:

            def show_and_log(progress: Progress) -> None:
                log_notes()
                show(progress)

            try:
                yield show_and_log
            finally:
                log_notes()

    return logged
