"""How many statements and commits something needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final
from unittest.mock import patch

from sqlalchemy import Engine, event

from hpsearch.storage import bulk, direct

_NO_WORK: Final = ("BEGIN", "SET ", "PRAGMA", "SAVEPOINT", "RELEASE")


@final
@dataclass
class Counts:
    """Statements that read or write rows, each once however many rows it has, and commits."""

    statements: int = 0
    commits: int = 0

    def statement(self, text: str) -> None:
        """Count a statement unless it only says how to go on."""
        self.statements += not text.startswith(_NO_WORK)


@contextmanager
def counted() -> Iterator[Counts]:
    """Give the counts of what is run meanwhile by any engine of SQLAlchemy, and past SQLAlchemy by `direct`."""
    counts = Counts()
    run, alone = direct.run, direct.Direct.alone

    def on_statement(*arguments: Any) -> None:
        counts.statement(arguments[2])

    def on_commit(_connection: Any) -> None:
        counts.commits += 1

    def counting_run(connection: Any, text: str, *arguments: Any, **options: Any) -> Any:
        counts.statement(text)
        return run(connection, text, *arguments, **options)

    def counting_alone(statement: direct.Direct, *arguments: Any) -> Any:
        counts.statements += 1
        return alone(statement, *arguments)

    event.listen(Engine, "before_cursor_execute", on_statement)
    event.listen(Engine, "commit", on_commit)
    try:
        with (
            patch.object(direct, "run", counting_run),
            patch.object(bulk, "run", counting_run),
            patch.object(direct.Direct, "alone", counting_alone),
        ):
            yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)
        event.remove(Engine, "commit", on_commit)
