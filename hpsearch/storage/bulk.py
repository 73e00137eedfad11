"""Many rows in one statement, in the way that each database takes them fastest.

PostgreSQL gets one JSON document and unfolds it; SQLite prepares one statement and steps through the rows;
PyMySQL joins the rows into one statement.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

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
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from hpsearch.storage.direct import Direct, run

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""Rows by column name; all of one call have the same columns."""


def insert_rows(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert `rows`, if there are any."""
    upsert_rows(connection, table, rows, key=())


def upsert_rows(connection: Connection, table: Table, rows: Rows, *, key: tuple[str, ...]) -> None:
    """Insert `rows`, if there are any; a row there with an equal `key` gets their values instead."""
    if not rows:
        return
    columns = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        document = json.dumps(rows, default=_json, allow_nan=False)
        _unfold(table, columns, key).count(connection, {"document": document})
        return
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


def _json(value: object) -> str:
    """Return what PostgreSQL reads where JSON has no word for `value`."""
    if isinstance(value, datetime):
        return value.isoformat()
    assert isinstance(value, bytes)
    return value.hex()


@lru_cache(maxsize=64)
def _unfold(table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> Direct:
    """Return PostgreSQL's insert of the rows in the parameter `document`."""
    binary = {name for name in columns if isinstance(table.c[name].type, LargeBinary)}
    typed = [column(name, String() if name in binary else table.c[name].type) for name in columns]
    document = cast(bindparam("document", type_=String()), JSON)
    rows = func.json_to_recordset(document).table_valued(*typed, name="rows").render_derived(with_types=True)
    values = [
        func.decode(rows.c[name], literal_column("'hex'")) if name in binary else rows.c[name]
        for name in columns
    ]
    statement = postgresql_insert(table).from_select(columns, select(*values), include_defaults=False)
    if not key:
        return Direct(statement)
    replaced = {name: statement.excluded[name] for name in columns if name not in key}
    return Direct(statement.on_conflict_do_update(index_elements=key, set_=replaced))


@lru_cache(maxsize=256)
def _placeholders(
    dialect: Dialect, table: Table, columns: tuple[str, ...], key: tuple[str, ...]
) -> tuple[str, tuple[tuple[str, Callable[[Any], Any] | None], ...], bool]:
    """Return the insert of one row as the driver's text, and how to give it a row.

    That is: its columns in their order with what turns each into the driver's value, and whether the driver
    wants them by position (SQLite) or by name (PyMySQL).
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
