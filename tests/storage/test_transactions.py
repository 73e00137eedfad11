"""Transactions: whole ones are repeated, also if only their commit fails."""

import ast
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from hpsearch.errors import StorageUnavailableError
from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import Transactions, make_engine


@pytest.fixture
def transactions(tmp_path: Path) -> Iterator[Transactions]:
    """Provide the transactions of a file with one empty table."""
    address = parse_address(f"sqlite:///{tmp_path / 'some.db'}")
    made = Transactions(make_engine(address), address, has_theirs=False, has_ours=False)
    made.write(lambda connection: connection.execute(text("CREATE TABLE t (x)")))
    yield made
    made.engine.dispose()


def locked() -> OperationalError:
    """Return the error of a file that another process has locked."""
    return OperationalError("COMMIT", None, sqlite3.OperationalError("database is locked"))


def test_a_commit_that_fails_is_tried_again(transactions: Transactions) -> None:
    """The whole transaction runs again, and is there once."""
    failures = iter([locked(), locked()])
    runs = 0

    def fail(_connection: Connection) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure

    event.listen(transactions.engine, "commit", fail)
    for transaction in transactions.writing(durable=True):
        with transaction as connection:
            runs += 1
            connection.execute(text("INSERT INTO t VALUES (1)"))
    assert runs == 3
    counted = transactions.read(
        lambda connection: connection.execute(text("SELECT count(*) FROM t")).scalar()
    )
    assert counted == 1


@pytest.mark.parametrize(
    ("failure", "raised", "fewest_runs"),
    [(ZeroDivisionError(), ZeroDivisionError, 1), (locked(), StorageUnavailableError, 3)],
)
def test_other_errors_end_the_loop(
    transactions: Transactions, failure: Exception, raised: type[Exception], fewest_runs: int
) -> None:
    """An error of the caller's own is raised at once, and the last of many that may pass as an absent database."""
    runs: list[Connection] = []

    def fail(connection: Connection) -> None:
        runs.append(connection)
        raise failure

    with pytest.raises(raised):
        transactions.write(fail)
    assert len(runs) == fewest_runs or len(runs) > fewest_runs > 1


def test_no_code_returns_from_inside_a_transaction(repository: Path) -> None:
    """A `return` there would hide that the commit failed: it would end the loop that tries again."""
    loops = 0
    for path in (repository / "hpsearch/storage").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.For) and ast.unparse(node.target) == "transaction":
                loops += 1
                assert not any(isinstance(inner, ast.Return | ast.Break) for inner in ast.walk(node)), path
    assert loops > 8
