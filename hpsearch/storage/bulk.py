"""Many rows in one statement, in the fastest way for each database.

PostgreSQL gets a JSON document for each table and unfolds it; SQLite prepares one statement and steps through the rows;
PyMySQL joins the rows into one statement.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias, final

from sqlalchemy import (
    Connection,
    Dialect,
    Insert,
    LargeBinary,
    String,
    Table,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy import insert as any_insert
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from hpsearch.errors import ValueRefusedError
from hpsearch.storage.driver_statements import DriverStatement, RawRow, run

_LARGE: Final = 2**19
"""Characters or bytes of a row from which a server may refuse it. The smallest limit in use is 1 MiB."""

_MARGIN: Final = 2**12
"""Bytes of a statement in addition to the large values of a row, with a margin."""

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""Rows by column name; all rows of one call have the same columns."""


@final
@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of one table, in an order of columns, and the key by which they replace existing rows."""

    table: Table
    columns: tuple[str, ...]
    key: tuple[str, ...]


@final
class Together:
    """Rows of several tables, to be written with one statement if the database supports it. See `together`."""

    def __init__(self) -> None:
        self._rows: dict[_Part, list[Mapping[str, Any]]] = {}

    def add(self, part: _Part, rows: Rows) -> None:
        """Add rows. Of those with an equal key the last one wins."""
        there = self._rows.setdefault(part, [])
        there.extend(rows)
        if part.key:
            latest = {tuple(row[name] for name in part.key): row for row in there}
            there[:] = latest.values()

    def write(self, connection: Connection) -> None:
        """Write all rows."""
        if connection.dialect.name != "postgresql":
            for part, rows in self._rows.items():
                _run_each(connection, part, rows)
        elif self._rows:
            documents = {f"document_{i}": _document(rows) for i, rows in enumerate(self._rows.values())}
            _unfold(tuple(self._rows)).run(connection, documents)


Target: TypeAlias = Connection | Together
"""The destination of rows: the database immediately, or one statement with others."""


@contextmanager
def together(connection: Connection) -> Iterator[Together]:
    """Yield a collector for rows of several tables, which are written at the end of the context.

    They must not depend on each other's order.
    """
    rows = Together()
    yield rows
    rows.write(connection)


def insert_rows(target: Target, table: Table, rows: Rows) -> None:
    """Insert `rows`, if there are any."""
    upsert_rows(target, table, rows, key=())


def upsert_rows(target: Target, table: Table, rows: Rows, *, key: tuple[str, ...]) -> None:
    """Insert `rows`, if there are any; an existing row with an equal `key` is updated instead."""
    if not rows:
        return
    part = _Part(table, tuple(rows[0]), key)
    if isinstance(target, Together):
        target.add(part, rows)
    elif target.dialect.name == "postgresql":
        _unfold((part,)).run(target, {"document_0": _document(rows)})
    else:
        _run_each(target, part, rows)


def insert_returning(
    connection: Connection, table: Table, rows: Rows, *, columns: tuple[str, ...]
) -> list[RawRow] | None:
    """Insert `rows` and return these `columns` of each, or None if the database does not return them."""
    if connection.dialect.name != "postgresql":
        insert_rows(connection, table, rows)
        return None
    statement = _returning(_Part(table, tuple(rows[0]), ()), columns)
    return statement.rows(connection, {"document_0": _document(rows)})


def _document(rows: Rows) -> str:
    return json.dumps(rows, default=_json, allow_nan=False)


def _run_each(connection: Connection, part: _Part, rows: Rows) -> None:
    """Prepare the statement for one row, and run it for each."""
    table, columns, key = part.table, part.columns, part.key
    if connection.dialect.name in ("mysql", "mariadb"):
        check_message(connection, table.name, rows)
    statement, places, positional = _placeholders(connection.dialect, table, columns, key)
    given: Iterable[Any] = (
        (row[n] if convert is None else convert(row[n]) for n, convert in places) for row in rows
    )
    if positional:
        run(connection, statement, [tuple(values) for values in given], many=True)
    else:
        names = [name for name, _ in places]
        named = [dict(zip(names, values, strict=True)) for values in given]
        run(connection, statement, named, many=True)


def check_message(connection: Connection, what: str, rows: Rows) -> None:
    """Raise ValueRefusedError for a row that is too large for a message to MariaDB or MySQL.

    The server would close the connection, which looks like an absent server.
    """
    for row in rows:
        large = [v for v in row.values() if isinstance(v, str | bytes) and len(v) > _LARGE]
        if not large:
            continue
        limit: int = run(connection, "SELECT @@max_allowed_packet", ()).fetchone()[0]
        size = _MARGIN + sum(map(_escaped_bytes, large))
        if size > limit:
            raise ValueRefusedError(
                f"{what}: a row must fit into a message of the server, {limit:,} bytes "
                f"(got {size:,}): store less, or raise max_allowed_packet"
            )


def _escaped_bytes(value: str | bytes) -> int:
    """Return the length of a value in a statement of MariaDB or MySQL, with escaping backslashes."""
    data = value.encode() if isinstance(value, str) else value
    return len(data) + sum(data.count(escaped) for escaped in b"\0\n\r\x1a\\'\"")


def _json(value: object) -> str:
    """Return the text that PostgreSQL reads for a `value` that JSON cannot represent."""
    if isinstance(value, datetime):
        return value.isoformat()
    assert isinstance(value, bytes)
    return value.hex()


@lru_cache(maxsize=64)
def _unfold(parts: tuple[_Part, ...]) -> DriverStatement:
    """Return PostgreSQL's insert of the rows in the parameters `document_0`, `document_1`, ..., one for each part."""
    inserts = [_insert_of_document(part, f"document_{i}") for i, part in enumerate(parts)]
    if len(inserts) == 1:
        return DriverStatement(inserts[0])
    return DriverStatement(
        select(literal_column("1")).add_cte(*(each.cte(f"part_{i}") for i, each in enumerate(inserts)))
    )


@lru_cache(maxsize=64)
def _returning(part: _Part, columns: tuple[str, ...]) -> DriverStatement:
    """Return PostgreSQL's insert of the rows in the parameter `document_0`, which yields their `columns`."""
    insert = _insert_of_document(part, "document_0")
    return DriverStatement(insert.returning(*(part.table.c[name] for name in columns)))


def _insert_of_document(part: _Part, parameter: str) -> PostgresqlInsert:
    table, columns, key = part.table, part.columns, part.key
    binary = {name for name in columns if isinstance(table.c[name].type, LargeBinary)}
    typed = [column(name, String() if name in binary else table.c[name].type) for name in columns]
    document = cast(bindparam(parameter, type_=String()), JSON)
    rows = func.json_to_recordset(document).table_valued(*typed, name="rows").render_derived(with_types=True)
    values = [
        func.decode(rows.c[name], literal_column("'hex'")) if name in binary else rows.c[name]
        for name in columns
    ]
    statement = postgresql_insert(table).from_select(columns, select(*values), include_defaults=False)
    if not key:
        return statement
    replaced = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=replaced)


@lru_cache(maxsize=256)
def _placeholders(
    dialect: Dialect, table: Table, columns: tuple[str, ...], key: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, Callable[[Any], Any] | None], ...], bool]:
    """Return the insert of one row as the driver's text, and the conversion of a row for it.

    The conversion is its columns in order, each with its converter to the driver's value, and whether the driver takes
    them by position (SQLite) or by name (PyMySQL).
    """
    statement = _insert(dialect.name, table, columns, key)
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
    places = tuple(
        (name, table.c[name].type.dialect_impl(dialect).bind_processor(dialect))
        for name in compiled.positiontup or columns
    )
    return str(compiled), places, compiled.positional


def _insert(dialect: str, table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> Insert:
    replaced = [name for name in columns if name not in key]
    if not key:
        return any_insert(table)
    if dialect == "sqlite":
        rows = sqlite_insert(table)
        changes = {name: rows.excluded[name] for name in replaced}
        return rows.on_conflict_do_update(index_elements=key, set_=changes)
    into = mysql_insert(table)
    return into.on_duplicate_key_update({name: into.inserted[name] for name in replaced})
