"""Statements that run many times for every trial, and many rows in one statement.

SQLAlchemy compiles these statements and the driver runs them, because SQLAlchemy's own execution doubles the time of a
small statement on a near server. No other statements use this module. Listeners to `before_cursor_execute` receive them
too.

Many rows are written in the fastest way for each database: PostgreSQL gets a JSON document for each table and unfolds
it; SQLite prepares one statement and steps through the rows; PyMySQL joins the rows into one statement.
"""

import json
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias, final

from sqlalchemy import (
    Connection,
    DateTime,
    Dialect,
    Engine,
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
from sqlalchemy.exc import DBAPIError

from hpsearch.errors import ValueRefusedError
from hpsearch.storage import fork_safety
from hpsearch.storage.driver_errors import SESSION_ENDED, code_of

RawRow: TypeAlias = Sequence[Any]
"""A row as the driver returns it; times are `datetime` with every driver."""

_Convert: TypeAlias = Callable[[Any], Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DriverText:
    """A statement as text for one driver.

    `names` are the parameters in the driver's order, None if it takes them by name. `expanded` maps a parameter that is
    a list to the names of its elements. `constants` are parameters that the statement contains. `binds` turn
    parameters, by name, into the driver's values, and `converts` columns, by index, into SQLAlchemy's.
    """

    text: str
    names: tuple[str, ...] | None
    expanded: Mapping[str, Sequence[str]]
    constants: Mapping[str, Any]
    binds: Mapping[str, _Convert]
    converts: tuple[tuple[int, _Convert], ...]

    def arguments(self, values: Mapping[str, Any]) -> Any:
        """Return the driver's arguments."""
        flat = dict(self.constants)
        for name, value in values.items():
            if name in self.expanded:
                flat.update(zip(self.expanded[name], value, strict=True))
            else:
                flat[name] = value
        for name, bind in self.binds.items():
            flat[name] = bind(flat[name])
        return flat if self.names is None else [flat[name] for name in self.names]

    def converted(self, row: RawRow) -> RawRow:
        """Return a row with its columns converted."""
        columns = list(row)
        for index, convert in self.converts:
            columns[index] = convert(columns[index])
        return columns


@final
class DriverStatement:
    """A statement of SQLAlchemy's. Each length of a list parameter has its own text.

    Every method raises DBAPIError.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._texts: dict[tuple[str, str, tuple[int, ...]], DriverText] = {}
        self._row: Any = None

    def alone(self, engine: Engine, values: Mapping[str, Any]) -> list[RawRow]:
        """Return the rows of a query, on a connection without a transaction."""
        with fork_safety.connected():
            return self._alone(engine, values)

    def _alone(self, engine: Engine, values: Mapping[str, Any]) -> list[RawRow]:
        text = self.text(engine.dialect, values)
        error_class = engine.dialect.loaded_dbapi.Error
        try:
            connection = engine.raw_connection()
        except error_class as error:
            raise _failed(engine.dialect, None, error) from error
        with closing(connection):
            try:
                cursor = connection.cursor()
                _notify_listeners(engine, cursor, text.text, values, many=False)
                cursor.execute(text.text, text.arguments(values))
                rows: list[RawRow] = list(cursor.fetchall())
                cursor.close()
            except error_class as error:
                failed = _failed(engine.dialect, connection.dbapi_connection, error)
                if failed.connection_invalidated:
                    connection.invalidate(error)
                raise failed from error
            except (KeyboardInterrupt, SystemExit):
                connection.invalidate()  # an answer may be partly read
                raise
        return [text.converted(row) for row in rows] if text.converts else rows

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> list[RawRow]:
        """Return the statement's rows."""
        text = self.text(connection.dialect, values)
        rows: list[RawRow] = run(connection, text.text, text.arguments(values)).fetchall()
        return [text.converted(row) for row in rows] if text.converts else rows

    def named(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return the statement's rows as tuples whose fields have the columns' names."""
        if self._row is None:
            names = [column.key for column in self._statement.selected_columns]
            row: Any = namedtuple("row", names)  # type: ignore[misc]  # noqa: PYI024  # names that are known now
            self._row = row
        text = self.text(connection.dialect, values)
        rows = run(connection, text.text, text.arguments(values)).fetchall()
        return [self._row._make(text.converted(row) if text.converts else row) for row in rows]

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run the statement and return the driver's cursor."""
        text = self.text(connection.dialect, values)
        return run(connection, text.text, text.arguments(values))

    def count(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement and return the number of matched rows."""
        text = self.text(connection.dialect, values)
        changed: int = run(connection, text.text, text.arguments(values)).rowcount
        return changed

    def text(self, dialect: Dialect, values: Mapping[str, Any]) -> DriverText:
        """Return the statement for the driver of a dialect, with `values` in its lists."""
        lengths = tuple(len(value) for value in values.values() if isinstance(value, list))
        key = dialect.name, dialect.driver, lengths
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._written(dialect, values)
        return text

    def _written(self, dialect: Dialect, values: Mapping[str, Any]) -> DriverText:
        state = self._statement.compile(dialect=dialect).construct_expanded_state(values)
        expanded = {name: names for name, names in state.parameter_expansion.items() if name in values}
        given = {*values, *(name for names in expanded.values() for name in names)}
        converts = [
            (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for index, column in enumerate(getattr(self._statement, "selected_columns", ()))
            if isinstance(column.type, DateTime)
        ]
        return DriverText(
            text=state.statement,
            names=None if state.positiontup is None else tuple(state.positiontup),
            expanded=expanded,
            constants={name: value for name, value in state.parameters.items() if name not in given},
            binds={name: bind for name, bind in state.processors.items() if callable(bind)},
            converts=tuple((index, convert) for index, convert in converts if convert is not None),
        )


def run(connection: Connection, text: str, arguments: Any, *, many: bool = False) -> Any:
    """Run a statement, as text for the driver, once or, with `many`, for each of `arguments`; return its cursor.

    Raises DBAPIError.
    """
    cursor = connection.connection.cursor()
    _notify_listeners(connection, cursor, text, arguments, many=many)
    try:
        if many:
            cursor.executemany(text, arguments)
        else:
            cursor.execute(text, arguments)
    except connection.dialect.loaded_dbapi.Error as error:
        failed = _failed(connection.dialect, connection.connection.dbapi_connection, error)
        if failed.connection_invalidated:
            connection.invalidate(error)
        raise failed from error
    except (KeyboardInterrupt, SystemExit):
        connection.invalidate()  # an answer may be partly read
        raise
    return cursor


def is_lost(dialect: Dialect, connection: Any, error: Any) -> bool:
    """Return True if `error` means that its connection (None if it was still being made) has ended.

    SQLAlchemy checks whether psycopg's connection is closed. A connection that the server ends before its first
    statement is not available for that check, so the server's message counts too.
    """
    return code_of(error) in SESSION_ENDED or dialect.is_disconnect(error, connection, None)


def _notify_listeners(
    teller: Connection | Engine, cursor: Any, text: str, arguments: Any, *, many: bool
) -> None:
    """Notify SQLAlchemy's listeners of a statement; without a transaction there is no Connection to pass to them."""
    listeners: Any = teller.dispatch.before_cursor_execute
    if listeners:
        listeners(teller if isinstance(teller, Connection) else None, cursor, text, arguments, None, many)


def _failed(dialect: Dialect, connection: Any, error: Any) -> DBAPIError:
    """Return the error that SQLAlchemy would raise."""
    failed = DBAPIError.instance(
        None,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=is_lost(dialect, connection, error),
        dialect=dialect,
    )
    assert isinstance(failed, DBAPIError)
    return failed


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
    """Rows of several tables, to be written with one statement if the database supports it.

    They must not depend on each other's order.
    """

    def __init__(self) -> None:
        self._rows: dict[_Part, list[Mapping[str, Any]]] = {}

    def add(self, part: _Part, rows: Rows) -> None:
        """Add rows, whose keys differ. Of those with the key of an earlier call's row the last one wins."""
        there = self._rows.get(part)
        if there is None:
            self._rows[part] = list(rows)
            return
        there.extend(rows)
        if part.key:
            latest = {tuple(row[name] for name in part.key): row for row in there}
            there[:] = latest.values()

    def write(self, connection: Connection) -> None:
        """Write all rows."""
        if connection.dialect.name != "postgresql":
            for part, rows in self._rows.items():
                text, arguments = _one_by_one(connection, part, rows)
                run(connection, text, arguments, many=True)
        elif self._rows:
            text, arguments = _unfolded(connection, self._rows)
            run(connection, text, arguments)


Target: TypeAlias = Connection | Together
"""The destination of rows: the database immediately, or one statement with others."""


def write_rows(target: Target, table: Table, rows: Rows, *, key: tuple[str, ...] = ()) -> None:
    """Insert `rows`, if there are any. With a `key`, an existing row with an equal key is updated instead."""
    if not rows:
        return
    part = _Part(table, tuple(rows[0]), key)
    if isinstance(target, Together):
        target.add(part, rows)
    elif target.dialect.name == "postgresql":
        text, arguments = _unfolded(target, {part: rows})
        run(target, text, arguments)
    else:
        text, arguments = _one_by_one(target, part, rows)
        run(target, text, arguments, many=True)


def _document(rows: Rows) -> str:
    return json.dumps(rows, default=_json, allow_nan=False)


def _unfolded(connection: Connection, parts: Mapping[_Part, Rows]) -> tuple[str, Any]:
    """Return PostgreSQL's statement for rows of several tables, and its arguments."""
    values = {f"document_{i}": _document(rows) for i, rows in enumerate(parts.values())}
    text = _unfold(tuple(parts)).text(connection.dialect, values)
    return text.text, text.arguments(values)


def _one_by_one(connection: Connection, part: _Part, rows: Rows) -> tuple[str, Any]:
    """Return the statement for one row, and its arguments for each."""
    table, columns, key = part.table, part.columns, part.key
    if connection.dialect.name in ("mysql", "mariadb"):
        check_message(connection, table.name, rows)
    statement, places, positional = _placeholders(connection.dialect, table, columns, key)
    given: Iterable[Any] = (
        (row[n] if convert is None else convert(row[n]) for n, convert in places) for row in rows
    )
    if positional:
        return statement, [tuple(values) for values in given]
    names = [name for name, _ in places]
    return statement, [dict(zip(names, values, strict=True)) for values in given]


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
