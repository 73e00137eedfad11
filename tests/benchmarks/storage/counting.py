"""How many statements and commits something needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import Engine, event

_NO_WORK: Final = ("BEGIN", "SET ", "PRAGMA", "SAVEPOINT", "RELEASE")


@final
@dataclass
class Counts:
    """Statements that read or write rows, each once however many rows it has, and commits."""

    statements: int = 0
    commits: int = 0

    def statement(self, text: str) -> None:
        """Count a statement unless it only says how to continue."""
        self.statements += not text.startswith(_NO_WORK)


@contextmanager
def counted() -> Iterator[Counts]:
    """Provide the counts of what any engine of SQLAlchemy's runs meanwhile."""
    counts = Counts()

    def on_statement(*arguments: Any) -> None:
        counts.statement(arguments[2])

    def on_commit(_connection: Any) -> None:
        counts.commits += 1

    event.listen(Engine, "before_cursor_execute", on_statement)
    event.listen(Engine, "commit", on_commit)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)
        event.remove(Engine, "commit", on_commit)
