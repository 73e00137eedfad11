"""Statements that SQLAlchemy compiles and the driver runs.

SQLAlchemy's own execution doubles the time of a small statement on a near server. Statements that run many times for
every trial use this module instead; no others do. Listeners to `before_cursor_execute` receive them too.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from sqlalchemy import Connection, DateTime, Dialect, Engine
from sqlalchemy.exc import DBAPIError

from hpsearch.storage import fork_safety
from hpsearch.storage.error_codes import SESSION_ENDED, code_of

RawRow: TypeAlias = Sequence[Any]
"""A row as the driver returns it; times are `datetime` with every driver."""

_Convert: TypeAlias = Callable[[Any], Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
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
        self._texts: dict[tuple[str, str, tuple[int, ...]], _Text] = {}
        self._row: Any = None

    def alone(self, engine: Engine, values: Mapping[str, Any]) -> list[RawRow]:
        """Return the rows of a query, on a connection without a transaction."""
        with fork_safety.connected():
            return self._alone(engine, values)

    def _alone(self, engine: Engine, values: Mapping[str, Any]) -> list[RawRow]:
        text = self._text(engine.dialect, values)
        error_class = engine.dialect.loaded_dbapi.Error
        try:
            connection = engine.raw_connection()
        except error_class as error:
            raise _failed(engine.dialect, None, error) from error
        with closing(connection):
            try:
                cursor = connection.cursor()
                _tell(engine, cursor, text.text, values, many=False)
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
        text = self._text(connection.dialect, values)
        rows: list[RawRow] = run(connection, text.text, text.arguments(values)).fetchall()
        return [text.converted(row) for row in rows] if text.converts else rows

    def named(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Return the statement's rows as tuples whose fields have the columns' names."""
        if self._row is None:
            names = [column.key for column in self._statement.selected_columns]
            row: Any = namedtuple("row", names)  # type: ignore[misc]  # noqa: PYI024  # names that are known now
            self._row = row
        return [self._row._make(row) for row in self.rows(connection, values)]

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Run the statement and return the driver's cursor."""
        text = self._text(connection.dialect, values)
        return run(connection, text.text, text.arguments(values))

    def count(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """Run the statement and return the number of matched rows."""
        changed: int = self.run(connection, values).rowcount
        return changed

    def _text(self, dialect: Dialect, values: Mapping[str, Any]) -> _Text:
        lengths = tuple(len(value) for value in values.values() if isinstance(value, list))
        key = dialect.name, dialect.driver, lengths
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._written(dialect, values)
        return text

    def _written(self, dialect: Dialect, values: Mapping[str, Any]) -> _Text:
        state = self._statement.compile(dialect=dialect).construct_expanded_state(values)
        expanded = {name: names for name, names in state.parameter_expansion.items() if name in values}
        given = {*values, *(name for names in expanded.values() for name in names)}
        converts = [
            (index, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for index, column in enumerate(getattr(self._statement, "selected_columns", ()))
            if isinstance(column.type, DateTime)
        ]
        return _Text(
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
    _tell(connection, cursor, text, arguments, many=many)
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


def _tell(teller: Connection | Engine, cursor: Any, text: str, arguments: Any, *, many: bool) -> None:
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
