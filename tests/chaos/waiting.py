"""Wait for a state of the database, a file or a process."""

import time
from collections.abc import Callable
from typing import Final

POLL_S: Final = 0.05
GIVE_UP_S: Final = 120.0


def wait_until(is_so: Callable[[], bool], what: str, *, within_s: float = GIVE_UP_S) -> None:
    """Return as soon as `is_so`. Raises TimeoutError, naming `what`, if that takes longer than `within_s`."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        time.sleep(POLL_S)


def let_pass(seconds: float) -> None:
    """Return after so long. For outages, in which time itself makes the difference."""
    time.sleep(seconds)
