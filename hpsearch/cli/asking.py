"""Asking the user before something that cannot be taken back."""

import sys
from collections.abc import Sequence

import typer

from hpsearch.cli.output import say
from hpsearch.errors import UsageError


def ask(question: str, *, rule: str, lines: Sequence[str] = ()) -> None:
    """Return after a yes, asked for on stderr below `lines`.

    Raises UsageError, with what the command must be told, where nobody can be asked, and Abort after a no.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{rule} (got no terminal to ask): add --yes")
    for line in lines:
        say(line)
    typer.confirm(question, abort=True, err=True)
