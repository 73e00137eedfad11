"""Statements that go to the driver without SQLAlchemy's execution."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import make_engine, write_transaction
from hpsearch.storage.statements import DriverStatement

TIME = datetime(2024, 2, 29, 12, 30, 1, 5, UTC).replace(tzinfo=None)

rows = Table(
    "rows",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(10)),
    Column("time", DateTime),
)

ALL = DriverStatement(select(rows).where(rows.c.id.in_(bindparam("ids", expanding=True))).order_by(rows.c.id))
INSERT = DriverStatement(
    insert(rows).values(name=bindparam("new_name"), time=bindparam("new_time", type_=DateTime()))
)
RENAME = DriverStatement(update(rows).where(rows.c.name == bindparam("old")).values(name=bindparam("new")))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Provide a database with the rows 1 to 3."""
    path = tmp_path / "direct.db"
    path.touch()
    made = make_engine(parse_address(f"sqlite:///{path}"))
    with write_transaction(made, durable=False) as connection:
        rows.metadata.create_all(connection)
        for name in "abc":
            INSERT.run(connection, {"new_name": name, "new_time": TIME})
    yield made
    made.dispose()


@pytest.mark.parametrize("ids", [[1], [1, 2], [3, 2, 1, 1], [9]])
def test_rows_are_those_that_sqlalchemy_gives(engine: Engine, ids: list[int]) -> None:
    """A query with a list of any length yields what SQLAlchemy would, times included, alone and in a transaction."""
    expected = [[number, name, TIME] for number, name in ((1, "a"), (2, "b"), (3, "c")) if number in ids]
    assert [list(row) for row in ALL.alone(engine, {"ids": ids})] == expected
    with write_transaction(engine, durable=False) as connection:
        assert [list(row) for row in ALL.rows(connection, {"ids": ids})] == expected
        plain = connection.execute(select(rows).where(rows.c.id.in_(ids)).order_by(rows.c.id)).all()
    assert [list(row) for row in plain] == expected


def test_changes_are_counted_and_undone_with_their_transaction(engine: Engine) -> None:
    """A statement returns how many rows it changed, and belongs to the transaction of its connection."""
    with pytest.raises(RuntimeError), write_transaction(engine, durable=False) as connection:  # noqa: PT012
        assert RENAME.count(connection, {"old": "a", "new": "z"}) == 1
        assert RENAME.count(connection, {"old": "a", "new": "z"}) == 0
        raise RuntimeError
    assert [row[1] for row in ALL.alone(engine, {"ids": [1, 2, 3]})] == ["a", "b", "c"]


def test_errors_are_sqlalchemys(engine: Engine) -> None:
    """What the driver refuses is the exception that SQLAlchemy raises, and the connection stays of use."""
    double = DriverStatement(insert(rows).values(id=bindparam("new_id")))
    with pytest.raises(IntegrityError), write_transaction(engine, durable=False) as connection:
        double.run(connection, {"new_id": 1})
    missing = DriverStatement(select(Table("missing", MetaData(), Column("id", Integer))))
    with pytest.raises(DBAPIError, match="no such table") as refused:
        missing.alone(engine, {})
    assert not refused.value.connection_invalidated
    assert len(ALL.alone(engine, {"ids": [1, 2, 3]})) == 3
