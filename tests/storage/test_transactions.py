"""Transactions: whole ones are repeated, also if only their commit fails."""

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


@pytest.mark.parametrize(("moment", "runs"), [("begin", 1), ("commit", 3)])
def test_a_transaction_that_cannot_begin_or_end_is_tried_again(
    transactions: Transactions, moment: str, runs: int
) -> None:
    """The whole transaction runs again, and is there once, also if its caller returns from inside of it."""
    failures = iter([locked(), locked()])
    seen: list[Connection] = []

    def fail(_connection: Connection) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure

    def insert() -> int:
        for one_try, transaction in transactions.write_tries(durable=True):
            with one_try, transaction as connection:
                seen.append(connection)
                connection.execute(text("INSERT INTO t VALUES (1)"))
                return len(seen)
        raise AssertionError

    event.listen(transactions.engine, moment, fail)
    assert insert() == runs
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
