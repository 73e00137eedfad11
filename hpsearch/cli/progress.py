"""Progress of commands on stderr."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

from hpsearch.api.terminal_progress import Display, stderr
from hpsearch.cli.output import write_message
from hpsearch.storage.records import StoredStudy
from hpsearch.worker.shutdown import StopRequest, do_nothing, stop_on_signals
from hpsearch.workflows.listener import Listener, Show


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show that work takes a moment, in a terminal only."""
    console = stderr()
    if console.is_terminal:
        with console.status(f"{what} ..."):
            yield
    else:
        yield


@contextmanager
def _watch(study: StoredStudy, stop: StopRequest, notes: Sequence[str]) -> Iterator[Show]:
    with Display(study, stop, notes=notes, write=write_message) as display:
        yield display.show


TERMINAL: Final = Listener(notify=write_message, stage=busy, watch=_watch)
"""Progress on stderr."""


@contextmanager
def until_stopped(*, last: Callable[[], None] = do_nothing) -> Iterator[Listener]:
    """Yield a listener that treats signals as requests to stop, from its `begin` until the context exits."""
    with ExitStack() as stack:
        yield replace(TERMINAL, begin=lambda stop: stack.enter_context(stop_on_signals(stop, last=last)))
