"""SQLite files that somebody replaces or removes while they are open.

An open file goes on without its name: without these checks, a worker would write for ever into a file that nobody
can see any more.
"""

import threading
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

from hpsearch.errors import StorageUnavailableError

_FILE: Final = "hpsearch_file"


def follow_file(engine: Engine, path: Path, *, shown: str) -> None:
    """Let every transaction of `engine` go to the file that is at `path` when it begins.

    Where another file is there than before, its connections are new. Where none is there, a transaction raises
    StorageUnavailableError, so that no empty file takes its place.
    """
    gone = f"{shown}: the file is gone: put it back, or stop what works on it"
    was_there = threading.Event()

    def look(_dialect: Any, _record: Any, _arguments: Any, _options: Any) -> None:
        # The driver makes a file that is missing, which only the first connection may let it.
        if was_there.is_set() and _identity(path) is None:
            raise StorageUnavailableError(gone)

    def note(_connection: Any, record: Any) -> None:
        was_there.set()
        record.info[_FILE] = _identity(path)

    def compare(_connection: Any, record: Any, _proxy: Any) -> None:
        present = _identity(path)
        if present is None:
            raise StorageUnavailableError(gone)
        if present != record.info[_FILE]:
            raise DisconnectionError(f"{path}: another file is there than before")

    event.listen(engine, "do_connect", look)
    event.listen(engine, "connect", note)
    event.listen(engine, "checkout", compare)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return the device and the number of the file, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
