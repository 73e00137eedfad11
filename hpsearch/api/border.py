"""The border between the caller's code and the package: short tracebacks, and requests to stop."""

import functools
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from hpsearch.errors import HpsearchError
from hpsearch.worker.shutdown import StopNowError, StopRequest

_T = TypeVar("_T")
_P = ParamSpec("_P")

LOGGER: Final = logging.getLogger("hpsearch")
LOGGER.addHandler(logging.NullHandler())  # a library does not print, not even warnings


def public(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return `function` with errors of this package raised at the caller, without the frames of inner layers.

    The whole traceback is logged at level DEBUG.
    """

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except HpsearchError as error:
            LOGGER.debug("%s", error, exc_info=True)
            raise error.with_traceback(None) from None

    return call


@contextmanager
def drained_on_interrupt(what: str) -> Iterator[StopRequest]:
    """Yield a request to stop that Ctrl-C makes, and raise KeyboardInterrupt once `what` has stored its results.

    A second Ctrl-C stops at once. Signals reach a program's main thread only: in any other thread, and if Ctrl-C is
    ignored, nothing is changed.
    """
    stop = StopRequest()
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(before):
        yield stop
        return
    signal.signal(signal.SIGINT, stop.receive)
    try:
        yield stop
    except StopNowError:
        raise KeyboardInterrupt(f"{what} was stopped at once") from None
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_requested:
        raise KeyboardInterrupt(
            f"{what} was stopped; its results so far are stored: call it again to continue"
        )
