"""How a command ends: its exit code, the message of its error, and the crash file for a fault of ours."""

import os
import platform
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Final

import hpsearch
from hpsearch.cli.output import discard_stdout, output_error, write_message
from hpsearch.errors import HpsearchError, UsageError, mask
from hpsearch.worker import shutdown
from hpsearch.worker.shutdown import StopNowError

DONE: Final = 0
USER_ERROR: Final = 1
"""An error that the user can fix."""
WRONG_USAGE: Final = 2
OUR_FAULT: Final = 3
"""A bug in hpsearch, with a crash file."""
INTERRUPTED: Final = shutdown.INTERRUPTED
"""Ctrl-C, or another signal that requests a stop: 130."""

DIAGNOSE_WITHIN_S: Final = 20.0
"""Time limit for the search for damage in the database, after a command failed for an unknown reason."""


def exit_code_of(error: BaseException) -> int:
    """Report the exception that ended a command on stderr, and return the exit code."""
    match error:
        case SystemExit():
            return error.code if isinstance(error.code, int) else DONE
        case KeyboardInterrupt():
            return INTERRUPTED
        case StopNowError():
            write_message(str(error))
            return INTERRUPTED
        case HpsearchError():
            write_message(f"Error: {error}")
            return WRONG_USAGE if isinstance(error, UsageError) else USER_ERROR
        case Exception():
            return _failed(error)
        case _:
            raise error


def forget_databases() -> None:
    """Forget the databases that an earlier command of this process used: they do not concern the next one."""
    if (faults := _loaded_faults()) is not None:
        faults.used.clear()


def flush_stdout(code: int) -> int:
    """Flush stdout, and ignore that it is no longer read (`| head`)."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_stdout()
        if not isinstance(error, BrokenPipeError):
            write_message(f"Error: {output_error(error)}")
            return code or USER_ERROR
    return code


def _failed(error: Exception) -> int:
    """Report an unforeseen error, and return the exit code."""
    if (damage := _damage(error)) is None:
        return _crashed(error)
    write_message(f"Error: {damage}")
    return USER_ERROR


def _damage(error: Exception) -> HpsearchError | None:
    """Return the faults of the databases that this command used, if they may be the reason for its failure."""
    faults = _loaded_faults()
    if faults is None:
        return None
    from hpsearch.storage.integrity import explained

    return explained(error, tuple(faults.used.values()), within_s=DIAGNOSE_WITHIN_S)


def _loaded_faults() -> ModuleType | None:
    """Return `hpsearch.storage.driver_errors` if a command has loaded it: help does not need it."""
    return sys.modules.get("hpsearch.storage.driver_errors")


def _crashed(error: Exception) -> int:
    try:
        where = f"see {write_crash_file(error, sys.argv)}"
    except OSError as unwritable:
        where = f"the crash file could not be written ({unwritable.strerror})"
    what = mask(f"{type(error).__name__}: {error}".partition("\n")[0])
    write_message(f"Error: this is a bug in hpsearch ({what}): {where}")
    return OUR_FAULT


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
