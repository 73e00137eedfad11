"""Asking the user before something that cannot be taken back."""

import sys
from collections.abc import Sequence

import typer

from hpsearch.cli.output import say
from hpsearch.errors import UsageError


def ask(question: str, *, refusal: str, lines: Sequence[str] = ()) -> None:
    """Return after a yes, asked for on stderr below `lines`.

    Raises UsageError, with `refusal`, if there is no terminal, and Abort after a no.
    """
    if not sys.stdin.isatty():
        raise UsageError(f"{refusal}: there is no terminal to confirm. Add --yes.")
    for line in lines:
        say(line)
    typer.confirm(question, abort=True, err=True)
