"""SQLite files: open files from other sources without changing them, and check whether a file is intact.

A file from another source may contain views in place of tables, values of any type in any column, and cyclic pages. It
is read only after `check_file` has accepted it, within a deadline.
"""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, select, text

from hpsearch.errors import StorageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.address import Address
from hpsearch.storage.engine import BUSY_TIMEOUT_S
from hpsearch.storage.stored_studies import is_link
from hpsearch.storage.stored_values import BLOB_MAX, shown_value

_LEAST_S: Final = 20.0
_BYTES_PER_S: Final = 2e6
"""A check of a file may take `_LEAST_S` plus a second per this many bytes: about a tenth of the read rate of disks."""

_PROBLEMS_MAX: Final = 10

REMEDY: Final = "get it again, or restore a backup"

DAMAGED: Final = "the database file is damaged"


@contextmanager
def source_engine(address: Address, path: Path) -> Iterator[Engine]:
    """Yield an engine that only reads the file at `path`, which other processes may use, and does not change it.

    A file that is not writable, or whose folder is not, is read as it is, including its log.
    """
    with tempfile.TemporaryDirectory(prefix="hpsearch-") as folder:
        engine = create_engine(
            address.url, creator=lambda: _connect(_uri(path, Path(folder))), hide_parameters=True
        )
        event.listen(engine, "begin", _begin)
        try:
            yield engine
        finally:
            engine.dispose()


def _uri(path: Path, folder: Path) -> str:
    """Return SQLite's address for reading `path`; `folder` receives a copy of a file that has a log."""
    if _may_write(path) and _may_write(path.parent):
        return f"file:{quote(str(path.absolute()))}?mode=rw"
    log = path.with_name(f"{path.name}-wal")
    if not (log.exists() and log.stat().st_size):
        # No process has it open, and SQLite could not create the files with which it shares one.
        return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    copied = folder / "copy.db"
    if not copied.exists():
        shutil.copyfile(log, folder / "copy.db-wal")
        shutil.copyfile(path, copied)
    return f"file:{quote(str(copied))}?mode=rw"


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False, isolation_level=None
    )
    connection.text_factory = _decoded
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, BLOB_MAX)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _decoded(raw: bytes) -> str | bytes:
    """Return text, or the bytes themselves if they are not UTF-8, for a check of the value to refuse."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def check_stamps(engine: Engine, *, shown: str) -> None:
    """Raise StorageError unless the tables that name a file's revisions, if they exist, can be read safely."""
    stamps = (optuna_schema.studies, optuna_schema.alembic_version, schema.versions)
    with engine.connect() as connection, _deadline(connection, shown=shown):
        kinds = _kinds(connection)
        found = [
            fault for stamp in stamps if stamp.name in kinds for fault in _faults(connection, kinds, stamp)
        ]
        if (studies := schema.studies.name) in kinds:  # read without a stamp, with any columns
            found += _kind_faults(kinds, studies)
        _refuse(shown, found)


def check_file(engine: Engine, *, shown: str) -> None:
    """Raise StorageError for a file that is damaged, or whose tables are not those of Optuna and hpsearch."""
    with engine.connect() as connection, _deadline(connection, shown=shown):
        _refuse(shown, list(_schema_problems(connection)))
        if damages := _integrity_problems(connection):
            raise StorageError(f"{shown}: {DAMAGED} ({damages[0]}): {REMEDY}")


def _integrity_problems(connection: Connection) -> list[str]:
    """Return the problems that SQLite itself finds in a file: its pages, its indexes, missing values."""
    found = connection.execute(text(f"PRAGMA integrity_check({_PROBLEMS_MAX})")).scalars()
    lines = [line for row in found for line in str(row).splitlines() if line != "ok"]
    return [line for line in lines if not line.startswith("*** in database")] or lines


def unlinked_problems(connection: Connection, *, with_leftovers: bool) -> list[str]:
    """Return rows that belong to no trial or study: of Optuna's tables, and of ours.

    `with_leftovers` includes our rows of studies that other Optuna clients deleted, which the next command that writes
    sweeps.
    """
    studies, trials = optuna_schema.studies.name, optuna_schema.trials.name
    links = [(table, "study_id", studies) for table in (*optuna_schema.STUDY_DETAILS, optuna_schema.trials)]
    links += [(table, "trial_id", trials) for table in optuna_schema.TRIAL_DETAILS]
    has_ours = _kinds(connection).get(schema.studies.name) == "table"
    if has_ours:
        links += [(schema.studies, "study_id", studies)] if with_leftovers else []
        links += [(table, "study_key", schema.studies.name) for table in schema.STUDY_TABLES]
    found = [_unlinked_problem(connection, *link) for link in links]
    if has_ours and not any(found):
        found.append(_lost_link_problem(connection))
    return [problem for problem in found if problem is not None]


def _lost_link_problem(connection: Connection) -> str | None:
    """Return the problem if a study of Optuna's lacks our key: it would be treated as a foreign one."""
    ours, theirs = schema.studies, optuna_schema.studies
    attributes = optuna_schema.study_user_attributes
    link = (attributes.c.study_id == ours.c.study_id) & (attributes.c.key == schema.LINK_ATTRIBUTE)
    there = ours.join(theirs, theirs.c.study_id == ours.c.study_id)
    rows = connection.execute(
        select(ours.c.study_key, attributes.c.value_json).select_from(there.outerjoin(attributes, link))
    )
    lost = next((row for row in rows if not is_link(row.value_json, row.study_key)), None)
    if lost is None:
        return None
    rule = f'must hold the key of the study, "{lost.study_key}", under {schema.LINK_ATTRIBUTE}'
    return f"table {attributes.name}, column value_json: {rule} (got {shown_value(lost.value_json)})"


def _unlinked_problem(connection: Connection, table: Table, link: str, owners: str) -> str | None:
    """Return the problem of the first row of `table` whose `link` names none of `owners`, None without one."""
    kind = "text" if link == "study_key" else "integer"
    rows = connection.execute(
        text(  # names of our own; bytes, because text may not be valid UTF-8
            f"SELECT CAST({link} AS BLOB) FROM {table.name} WHERE typeof({link}) != '{kind}' OR {link} NOT IN "  # noqa: S608
            f"(SELECT {link} FROM {owners}) LIMIT 1"
        )
    ).all()
    if not rows:
        return None
    value = None if rows[0][0] is None else bytes(rows[0][0]).decode("utf-8", "backslashreplace")
    return f"table {table.name}, column {link}: must be in table {owners} (got {shown_value(value)})"


@contextmanager
def _deadline(connection: Connection, *, shown: str) -> Iterator[None]:
    """Stop a check that takes longer than an intact file of this size could. Raises StorageError."""
    driver: Any = connection.connection.dbapi_connection
    size_bytes = connection.execute(
        text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
    ).scalar_one()
    limit_s = _LEAST_S + size_bytes / _BYTES_PER_S
    end = time.monotonic() + limit_s
    driver.set_progress_handler(lambda: time.monotonic() > end, 10_000)
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageError(f"{shown}: {DAMAGED} ({error}, after {limit_s:.0f} s): {REMEDY}") from error
    finally:
        driver.set_progress_handler(None, 0)


def _kinds(connection: Connection) -> dict[str, str]:
    """Return the names in the schema and the kind of each: table, view, virtual."""
    rows = connection.execute(text("SELECT lower(name), type FROM pragma_table_list WHERE schema = 'main'"))
    return {str(name): str(kind) for name, kind in rows}


def _schema_problems(connection: Connection) -> Iterator[str]:
    """Yield each required table that is no table, or lacks a column."""
    kinds = _kinds(connection)
    ours = schema.metadata.sorted_tables if schema.versions.name in kinds else []
    stamps = [table for table in (schema.versions, optuna_schema.alembic_version) if table.name in kinds]
    theirs = [
        table for table in optuna_schema.metadata.sorted_tables if table is not optuna_schema.alembic_version
    ]
    for table in (*stamps, *theirs, *ours):
        yield from _faults(connection, kinds, table)


def _faults(connection: Connection, kinds: Mapping[str, str], table: Table) -> Iterator[str]:
    if kinds.get(table.name) == "table":
        yield from _column_problems(connection, table)
    else:
        yield from _kind_faults(kinds, table.name)


def _kind_faults(kinds: Mapping[str, str], name: str) -> Iterator[str]:
    kind = kinds.get(name)
    if kind != "table":
        got = "nothing" if kind is None else "a view" if kind == "view" else f"a {kind} table"
        yield f"{name}: must be a table (got {got})"


def _refuse(shown: str, problems: Sequence[str]) -> None:
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:_PROBLEMS_MAX])
        raise StorageError(
            f"{shown}: must have the tables of Optuna and hpsearch as they make them:\n{listed}"
        )


def _column_problems(connection: Connection, table: Table) -> Iterator[str]:
    rows = connection.execute(text(f"SELECT name, type, pk, hidden FROM pragma_table_xinfo('{table.name}')"))  # noqa: S608
    found = {row.name: row for row in rows}
    for column in table.columns:
        row = found.get(column.name)
        is_id = (
            table.metadata is optuna_schema.metadata and column.primary_key and column.name.endswith("_id")
        )
        if row is None or row.hidden:
            got = "none" if row is None else "a computed one"
            yield f"{table.name}.{column.name}: must be a stored column (got {got})"
        elif is_id and (str(row.type).upper(), row.pk) != ("INTEGER", 1):
            yield f"{table.name}.{column.name}: must be INTEGER PRIMARY KEY (got {row.type})"
