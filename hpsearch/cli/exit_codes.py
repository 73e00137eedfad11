"""Exit codes of commands."""

from typing import Final

from hpsearch.worker import shutdown

DONE: Final = 0
USER_ERROR: Final = 1
"""An error that the user can fix."""
WRONG_USAGE: Final = 2
OUR_FAULT: Final = 3
"""A bug in hpsearch, with a crash file."""
INTERRUPTED: Final = shutdown.INTERRUPTED
"""Ctrl-C, or another signal that requests a stop: 130."""
