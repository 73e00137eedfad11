"""Tables in Markdown."""

import sys
from collections.abc import Sequence


def say(line: str = "") -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; all columns but the first are numbers."""
    say("| " + " | ".join(heads) + " |")
    say("| --- |" + " ---: |" * (len(heads) - 1))
    for row in rows:
        say("| " + " | ".join(row) + " |")
    say()
