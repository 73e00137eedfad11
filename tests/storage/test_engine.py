"""Connections: opened when they are needed, and closed with their owner."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event, text

from hpsearch.errors import StorageError
from hpsearch.storage.address import parse_address
from hpsearch.storage.drivers import CONNECT_WITHIN_S, check_options, connect_within_s
from hpsearch.storage.engine import close_connections, make_engine, read_transaction, write_transaction
from hpsearch.worker.shutdown import StopNowError


def test_connections_in_use_are_closed_when_they_come_back(tmp_path: Path) -> None:
    """Threads in a transaction continue, and closed connections are not left to the garbage collector.

    Optuna calls `remove_session` at the end of each thread of `optimize(n_jobs=...)`, beside those that continue.
    """
    (tmp_path / "x.db").touch()
    engine = make_engine(parse_address(f"sqlite:///{tmp_path / 'x.db'}"))
    with read_transaction(engine) as connection:
        in_use = connection.connection.driver_connection
        close_connections(engine)
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert in_use is not None
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        in_use.execute("SELECT 1")
    for _ in range(2):
        with read_transaction(engine) as connection:
            kept = connection.connection.driver_connection
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
    assert kept is not None
    assert kept.execute("SELECT 1").fetchone() == (1,)
    close_connections(engine)


def test_a_commit_that_is_interrupted_holds_no_lock(tmp_path: Path) -> None:
    """A signal, or a full disk, in the middle of a commit undoes it, and the next transaction begins at once."""
    (tmp_path / "x.db").touch()
    engine = make_engine(parse_address(f"sqlite:///{tmp_path / 'x.db'}"))
    with write_transaction(engine, durable=False) as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
    interruptions = [StopNowError("the second signal")]

    def interrupt(_: object) -> None:
        if interruptions:
            raise interruptions.pop()

    event.listen(engine, "commit", interrupt)
    with pytest.raises(StopNowError), write_transaction(engine, durable=False) as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    with write_transaction(engine, durable=False) as connection:
        connection.execute(text("INSERT INTO t VALUES (2)"))
        assert connection.execute(text("SELECT n FROM t")).scalars().all() == [2]
    close_connections(engine)


def test_an_option_of_libpq_is_of_its_drivers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGCONNECT_TIMEOUT bounds connections to PostgreSQL, and none to MySQL; the URL has the last word."""
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "60")
    for driver in ("psycopg", "psycopg2"):
        assert connect_within_s(driver, {}) == 60
        assert connect_within_s(driver, {"connect_timeout": "3"}) == 3
    for driver in ("pymysql", "mysqldb"):
        assert connect_within_s(driver, {}) == CONNECT_WITHIN_S


def test_an_option_that_a_driver_lacks_is_refused_with_one_that_has_it() -> None:
    """`read_timeout` bounds a silence with psycopg, PyMySQL and mysqlclient; psycopg2 has nothing like it."""
    for driver in ("psycopg", "pymysql", "mysqldb"):
        check_options(driver, {"read_timeout": "300"}, "x")
    with pytest.raises(StorageError) as caught:
        check_options("psycopg2", {"read_timeout": "300"}, "postgresql+psycopg2://h/d?read_timeout=300")
    assert str(caught.value) == (
        'postgresql+psycopg2://h/d?read_timeout=300: the driver psycopg2 has no option "read_timeout": '
        "leave it out, or take the driver psycopg, as in postgresql+psycopg://..."
    )
