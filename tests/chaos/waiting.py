"""Waiting for what the database, a file or a process shows."""

import time
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.05
GIVE_UP_S: Final = 120.0


def wait_until(is_so: Callable[[], bool], what: str, *, within_s: float = GIVE_UP_S) -> None:
    """Return as soon as `is_so`. Raises TimeoutError, naming `what`, when that takes longer than `within_s`."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(POLL_S)


def let_pass(seconds: float) -> None:
    """Return after so long. For outages, where it is time itself that makes the difference."""
    time.sleep(seconds)
