"""Failures of training functions as records: exceptions, exit codes, signals and limits."""

import json
import re
import signal
import sysconfig
import traceback
from collections.abc import Iterable
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Final

import hpsearch
from hpsearch.trials import Failure
from hpsearch.verdicts import Cause

LONGEST_TEXT: Final = 28_000
"""Most bytes of a traceback and of an output as JSON: MySQL's column has 65,535 bytes for both together."""

_LONGEST_WORDS: Final = 2000
"""Most bytes of the other texts."""

MOST_LINES: Final = 100
"""Lines of output that are stored."""

_FRAME: Final = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
"""A line of a traceback of Python or of faulthandler."""

_NOT_THE_USERS: Final = tuple(
    str(Path(folder).resolve())
    for folder in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(hpsearch.__file__).parent),
    )
)


def of_exception(error: BaseException) -> Failure:
    """Return the failure of a function that raised `error`."""
    began = error.__traceback__
    while began is not None and not _is_the_users(began.tb_frame.f_code.co_filename):
        began = began.tb_next  # the frames that call the function are ours
    shown = error.__traceback__ if began is None else began
    frames = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(shown)]
    text = "".join(traceback.format_exception(type(error), error, shown))
    return Failure(
        cause=Cause.OUT_OF_MEMORY if _is_memory(error) else Cause.CODE_ERROR,
        kind=_last_part(type(error).__name__, _LONGEST_WORDS),
        message=_last_part(str(error), _LONGEST_WORDS),
        place=_place(reversed(frames)),
        traceback=_last_part(text, LONGEST_TEXT),
    )


def of_exit(exit_code: int, output: str) -> Failure:
    """Return the failure of a process that ended without a result; a negative code is a signal's."""
    if exit_code >= 0:
        return Failure(
            cause=Cause.CODE_ERROR,
            kind=f"exit code {exit_code}",
            message="the process ended before the function returned",
            output=output_end(output),
            exit_code=exit_code,
        )
    # faulthandler writes the frames, the innermost first, to the output.
    frames = [(found["file"], int(found["line"])) for found in _FRAME.finditer(output)]
    name = signal_name(-exit_code)
    is_kill = -exit_code == getattr(signal, "SIGKILL", 0)
    return Failure(
        cause=Cause.CODE_ERROR,
        kind=name,
        message="the system killed the process, perhaps for lack of memory"
        if is_kill
        else "the process crashed",
        place=_place(frames),
        output=output_end(output),
        signal=-exit_code,
    )


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGSEGV."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def output_end(output: str) -> str:
    """Return the last lines of an output."""
    return _last_part("\n".join(output.splitlines()[-MOST_LINES:]), LONGEST_TEXT)


def _last_part(text: str, longest: int) -> str:
    """Return the end of a text, so long that its JSON has at most `longest` bytes."""
    if len(json.dumps(text)) <= longest:
        return text
    sizes = accumulate(len(json.dumps(character)) - 2 for character in reversed(text))
    kept = sum(1 for _ in takewhile(lambda size: size <= longest - len('"..."'), sizes))
    return f"...{text[len(text) - kept :]}"


def _is_memory(error: BaseException) -> bool:
    """Return True for a lack of memory; frameworks have classes of their own for that of their devices."""
    return isinstance(error, MemoryError) or type(error).__name__ in (
        "OutOfMemoryError",
        "ResourceExhaustedError",
    )


def _place(frames: Iterable[tuple[str, int]]) -> str:
    """Return the first of `frames`, innermost first, in the user's own code, else the first of all: `train.py:41`."""
    known = list(frames)
    own = [frame for frame in known if _is_the_users(frame[0])]
    return next((f"{Path(file).name}:{line}" for file, line in own or known), "")


def _is_the_users(file: str) -> bool:
    return not file.startswith("<") and not str(Path(file).resolve()).startswith(_NOT_THE_USERS)
