"""The crash file: the data that we need about a fault of ours, without the user's passwords."""

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import hpsearch
from hpsearch.errors import mask


def write_crash_file(error: BaseException, command: Sequence[str]) -> Path:
    """Write the error and its circumstances to a new file and return its path.

    The file is in the current folder's `storage/` if that exists, else in the folder for temporary files.
    """
    now = datetime.now(UTC)
    name = f"hpsearch-crash-{now:%Y%m%dT%H%M%S.%fZ}.txt"
    path = _folder() / name
    unfinished = path.with_name(f".{name}")
    unfinished.write_text(crash_text(error, command, now), encoding="utf-8", errors="backslashreplace")
    unfinished.rename(path)
    return path.absolute()


def crash_text(error: BaseException, command: Sequence[str], now: datetime) -> str:
    """Return the text of a crash file, with passwords masked."""
    lines = [
        f"hpsearch {hpsearch.__version__}",
        f"time      {now.isoformat(timespec='seconds')}",
        f"command   {shlex.join(command)}",
        f"python    {sys.version.splitlines()[0]}",
        f"platform  {platform.platform()}",
        "",
        *traceback.format_exception(error),
    ]
    return mask("\n".join(line.rstrip("\n") for line in lines)) + "\n"


def _folder() -> Path:
    ours = Path("storage")
    return ours if ours.is_dir() and os.access(ours, os.W_OK) else Path(tempfile.gettempdir())
