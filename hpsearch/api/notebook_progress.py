"""Progress in notebooks."""

from collections.abc import Iterator
from contextlib import contextmanager

from hpsearch.workflows.listener import Show, ignore


@contextmanager
def watch_in_notebook(*_: object) -> Iterator[Show]:
    """Show the progress of a study in the output of the cell that runs, until the context exits."""
    yield ignore
