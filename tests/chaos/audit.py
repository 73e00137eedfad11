"""Triggers that note every write to a trial: who writes, and who holds the trial at that moment, on what lease."""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from sqlalchemy import Connection, Engine, event, text

OURSELVES: Final = ""
"""The writer's name for connections that do not belong to a worker."""

TABLE: Final = "chaos_audit"

_TABLE: Final = """
CREATE TABLE chaos_audit (
    entry {serial}, work TEXT, writer TEXT, place TEXT, trial_id INTEGER, state TEXT, holder TEXT,
    lease_left_s DOUBLE PRECISION
)
"""

_INDEX: Final = "CREATE INDEX chaos_holder ON hpsearch_trials (trial_id)"

_ENTRY: Final = """
INSERT INTO chaos_audit (work, writer, place, trial_id, state, holder, lease_left_s)
SELECT {work}, {writer}, '{place}', {trial_id}, {state}, {holder}, {lease_until} - {now_s}
FROM trials AS t LEFT JOIN hpsearch_trials AS o ON o.trial_id = t.trial_id
WHERE t.trial_id = {trial_id}
"""

_DETAILS: Final = (
    "trial_params",
    "trial_values",
    "trial_intermediate_values",
    "trial_user_attributes",
    "trial_system_attributes",
)
_SERIES: Final = "hpsearch_series"
_STATES: Final = "trials"
_OURS: Final = "hpsearch_trials"

_HOLDERS: Final = (
    "attempt",
    "token",
    "worker",
    "lease_until",
    "epochs",
    "steps",
    "reported",
    "verdict",
    "finding",
)
"""Columns of our row of a trial that only its holder may write, if it has one."""

_BY_NUMBER: Final = (
    "(SELECT trial_id FROM hpsearch_trials WHERE study_key = NEW.study_key AND number = NEW.number)"
)

_SQLITE: Final = {
    "work": "chaos_work()",
    "writer": "chaos_writer()",
    "now_s": "(julianday('now') - 2440587.5) * 86400.0",
}
_POSTGRESQL: Final = {
    "work": "CAST(txid_current() AS TEXT)",
    "writer": "current_setting('application_name')",
    "now_s": "extract(epoch FROM clock_timestamp())",
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One write: in which transaction (`work`), by whom, into which table, to which trial, and who held it then.

    `state` is Optuna's; of an update of the state itself it is old and new as `RUNNING>COMPLETE`. `holder` and
    `lease_left_s` are None if there was none; of an update of our own row they are those before it.
    """

    work: str
    writer: str
    place: str
    trial_id: int
    state: str
    holder: str | None
    lease_left_s: float | None

    @property
    def is_holders(self) -> bool:
        """Return True if the writer held the trial's lease."""
        return self.holder == self.writer and self.lease_left_s is not None

    @property
    def is_anybodys(self) -> bool:
        """Return True if any client may make the write: to claim a free trial, or to take an expired one."""
        if self.place == _STATES:
            return self.state in ("WAITING>RUNNING", "RUNNING>WAITING", "RUNNING>FAIL")
        if self.place == _OURS:
            is_free = self.holder is None and self.lease_left_s is None
            return is_free or (self.lease_left_s is not None and self.lease_left_s <= 0)
        # The process that takes a trial back for the last time records that in its attributes.
        return self.place == "trial_user_attributes" and self.state == "FAIL"

    def __str__(self) -> str:
        left = "no lease" if self.lease_left_s is None else f"a lease for {self.lease_left_s:.3f} s more"
        return f"{self.writer or 'we'} wrote {self.place} of {self.trial_id} ({self.state}; {self.holder}, {left})"


def wrongful(noted: Sequence[Entry]) -> list[Entry]:
    """Return the writes to trials that their writer did not hold.

    A transaction that ends a trial ends its lease too, so what it writes belongs together.
    """
    rightful = {(entry.work, entry.trial_id) for entry in noted if entry.is_holders}
    return [e for e in noted if (e.work, e.trial_id) not in rightful and not e.is_anybodys]


@contextmanager
def named_connections(name: str) -> Iterator[None]:
    """Record the name and the transaction number of this process's new SQLite connections."""
    transactions: Counter[int] = Counter()

    def prepare(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.create_function("chaos_writer", 0, lambda: name)
            connection.create_function(
                "chaos_work", 0, lambda: f"{os.getpid()}-{id(connection)}-{transactions[id(connection)]}"
            )

    def count(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            # Triggers may call no function of a program's own in a file that is not trusted, as ours are not.
            driver.execute("PRAGMA trusted_schema = ON")
        transactions[id(driver)] += 1

    event.listen(Engine, "connect", prepare)
    event.listen(Engine, "begin", count)
    try:
        yield
    finally:
        event.remove(Engine, "connect", prepare)
        event.remove(Engine, "begin", count)


def install(connection: Connection) -> None:
    """Make the table and the triggers."""
    is_sqlite = connection.dialect.name == "sqlite"
    serial = "INTEGER PRIMARY KEY" if is_sqlite else "SERIAL PRIMARY KEY"
    connection.execute(text(_TABLE.format(serial=serial)))
    connection.execute(text(_INDEX))
    for index, (place, operation, entry) in enumerate(_entries(is_sqlite=is_sqlite)):
        when = f"AFTER {operation} ON {place}"
        for statement in _trigger(f"chaos_{index}", when, entry, is_sqlite=is_sqlite):
            connection.exec_driver_sql(statement)


def entries(connection: Connection) -> Sequence[Entry]:
    """Return all recorded entries, in order."""
    rows = connection.execute(text("SELECT * FROM chaos_audit ORDER BY entry"))
    return [
        Entry(
            work=row.work,
            writer=row.writer,
            place=row.place,
            trial_id=row.trial_id,
            state=row.state,
            holder=row.holder,
            lease_left_s=row.lease_left_s,
        )
        for row in rows
    ]


def _entries(*, is_sqlite: bool) -> Iterator[tuple[str, str, str]]:
    """Yield table, operation, and the statement that notes it."""
    values = {
        **(_SQLITE if is_sqlite else _POSTGRESQL),
        "trial_id": "NEW.trial_id",
        "state": "CAST(t.state AS TEXT)",
        "holder": "o.worker",
        "lease_until": "o.lease_until",
    }
    for place in _DETAILS:
        for operation in ("INSERT", "UPDATE"):
            yield place, operation, _ENTRY.format(place=place, **values)
    yield _SERIES, "INSERT", _ENTRY.format(place=_SERIES, **{**values, "trial_id": _BY_NUMBER})
    change = "CAST(OLD.state AS TEXT) || '>' || CAST(NEW.state AS TEXT)"
    yield _STATES, "UPDATE", _ENTRY.format(place=_STATES, **{**values, "state": change})
    before = {"holder": "OLD.worker", "lease_until": "OLD.lease_until"}
    # A worker that comes back takes the blame off its trials, whoever holds them: only `crashes` and `version` change.
    old, new = (", ".join(f"{row}.{column}" for column in _HOLDERS) for row in ("OLD", "NEW"))
    differs = f"AND ({old}) {'IS NOT' if is_sqlite else 'IS DISTINCT FROM'} ({new})"
    yield _OURS, "UPDATE", _ENTRY.format(place=_OURS, **{**values, **before}) + differs


def _trigger(name: str, when: str, entry: str, *, is_sqlite: bool) -> Iterator[str]:
    """Yield the statements that make a trigger."""
    if is_sqlite:
        yield f"CREATE TRIGGER {name} {when} BEGIN {entry}; END"
        return
    yield f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {entry}; RETURN NULL; END $$"
    yield f"CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}()"
