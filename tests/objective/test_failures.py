"""Failures of training functions: their kinds, places and texts."""

import json
import signal
from collections.abc import Callable

import pytest

from hpsearch.objective.failures import LONGEST_TEXT, MOST_LINES, of_exception, of_exit, output_end
from hpsearch.verdicts import Cause


class OutOfMemoryError(RuntimeError):
    """An error of that name, as torch has one."""


def raised(function: Callable[[], object]) -> BaseException:
    """Return the exception that `function` raises."""
    with pytest.raises(BaseException) as found:  # noqa: PT011 # any
        function()
    return found.value


def read_number() -> int:
    """Raise an exception in the standard library's or Python's own code."""
    return int("seven")


def test_an_exception_has_its_kind_place_and_traceback() -> None:
    """The place is the innermost line of the user's code, also if a library raised."""
    failure = of_exception(raised(read_number))
    line = read_number.__code__.co_firstlineno + 2
    assert (failure.cause, failure.kind) == (Cause.CODE_ERROR, "ValueError")
    assert failure.words == f"ValueError in test_failures.py:{line}"
    assert 'int("seven")' in failure.traceback
    assert "seven" in failure.message


@pytest.mark.parametrize("error", [MemoryError, OutOfMemoryError])
def test_a_lack_of_memory_is_its_own_cause(error: type[Exception]) -> None:
    """Python's error counts, and those of frameworks, which have classes of their own."""

    def fill() -> None:
        raise error("no room")

    assert of_exception(raised(fill)).cause is Cause.OUT_OF_MEMORY


def test_an_exit_code_is_kept() -> None:
    """A process that ends by itself fails with its exit code and its last output."""
    failure = of_exit(3, "first\nlast\n")
    assert (failure.words, failure.exit_code, failure.signal) == ("exit code 3", 3, None)
    assert failure.output == "first\nlast"


def test_a_crash_has_the_line_that_faulthandler_wrote() -> None:
    """A signal's failure names it, and the innermost line of the user's code in the output."""
    output = 'Fatal Python error\n  File "/home/ann/train.py", line 41 in train\n'
    failure = of_exit(-signal.SIGSEGV, output)
    assert failure.words == "SIGSEGV in train.py:41"
    assert failure.signal == signal.SIGSEGV


def test_the_end_of_a_long_output_is_kept() -> None:
    """At most the last lines and characters are stored."""
    lines = [f"line {number}" for number in range(MOST_LINES + 50)]
    assert output_end("\n".join(lines)).splitlines() == lines[-MOST_LINES:]
    for character in ("x", "\U0001f984", "\n"):
        kept = output_end(f"first {character * (2 * LONGEST_TEXT)} last")
        assert LONGEST_TEXT - 20 < len(json.dumps(kept)) <= LONGEST_TEXT or character == "\n"
        assert kept.endswith("last")
