"""Access to the database: transactions that are retried while it is away, and reads of trials.

The heads of a study, and whole trials, are read with one statement each. One statement sees one state of the database,
so a trial is read consistently without a transaction.
"""

import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar, final

from optuna.trial import TrialState
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import migration, optuna_schema
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.driver_errors import UncertainCommitError, attempt, translated
from hpsearch.storage.engine import (
    autocommit,
    close_connections,
    make_engine,
    read_transaction,
    write_transaction,
)
from hpsearch.storage.optuna.records import Details, Head, local
from hpsearch.storage.optuna_schema import RUNNING, WAITING, number_of
from hpsearch.storage.statements import DriverStatement, RawRow

_T = TypeVar("_T")

_PATIENCE_S: Final = 60.0
"""How long calls to a database that does not answer are retried: about the time of a restart."""

_LONGEST_PAUSE_S: Final = 2.0

FEW: Final = 256
"""Most trials that are read by their ids; more are read as a range of the study."""

_RANGE: Final = 5000
"""Number of trials that are read with one statement."""

Whole: TypeAlias = tuple[Head, Details]
"""A trial and all rows that belong to it."""


@final
class Database:
    """A database of studies. Threads may share it, and so may the child of a fork.

    Every method raises StorageUnavailableError if the database does not return in time, and StorageError for other
    errors.
    """

    def __init__(self, url: str) -> None:
        """Open the database at `url` and create missing tables. Raises StorageError."""
        self.address: Address = parse_address(url)
        prepare_file(self.address, create=True)
        self._engine = make_engine(self.address)
        weakref.finalize(self, self._engine.dispose)
        try:
            attempt(lambda: migration.create_missing(self._engine, self.address, create=True), self.address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections, those in use by other threads on their return. The next call opens new ones."""
        close_connections(self._engine)

    def read_autocommit(self, work: Callable[[Connection], _T]) -> _T:
        """Return the result of `work`, a read; each of its statements sees the data committed at its start."""

        def look() -> _T:
            with autocommit(self._engine) as connection:
                return work(connection)

        return self._with_retries(look)

    def rows(self, query: DriverStatement, values: Mapping[str, Any]) -> list[RawRow]:
        """Return the rows of one query, with the least overhead."""
        return self._with_retries(lambda: query.alone(self._engine, values))

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Return the result of `work`, a read as of one moment."""

        def transaction() -> _T:
            with read_transaction(self._engine) as connection:
                return work(connection)

        return self._with_retries(transaction)

    def write(self, work: Callable[[Connection], _T], *, durable: bool = True) -> _T:
        """Return the result of `work`, run once. Raises StorageError if it is unknown whether it was written."""

        def transaction() -> _T:
            try:
                with write_transaction(self._engine, durable=durable) as connection:
                    return work(connection)
            except UncertainCommitError:
                raise StorageError(
                    f"{self.address.shown}: the connection was lost in the middle of a commit: "
                    "check whether the study or trial exists, and if not, try again"
                ) from None

        return self._with_retries(transaction)

    def rewrite(self, work: Callable[[Connection, bool], _T], *, durable: bool = True) -> _T:
        """Return the result of `work`, which may run twice: its second argument is true if it may have run already."""
        uncertain = False

        def transaction() -> _T:
            nonlocal uncertain
            try:
                with write_transaction(self._engine, durable=durable) as connection:
                    return work(connection, uncertain)
            except UncertainCommitError:
                uncertain = True
                raise

        return self._with_retries(transaction)

    def heads(self, study_id: int, *, last_trial_id: int, ids: Sequence[int]) -> tuple[str, list[Head]]:
        """Return a study's name, the heads of its trials after the last id, and those of the trials with these ids.

        Raises KeyError if there is no such study.
        """
        at = {"at_study_id": study_id, "last_trial_id": last_trial_id, "ids": _padded(ids)}
        rows = self.rows(_HEADS, at)
        if not rows:
            raise KeyError(f"study_id {study_id}: there is no such study")
        found = [
            Head(
                trial_id=trial_id,
                study_id=study_id,
                number=number,
                state=TrialState[state],
                start=local(start),
                complete=local(complete),
            )
            for _, trial_id, number, state, start, complete in rows
            if trial_id is not None
        ]
        return rows[0][0], found

    def trials(self, ids: Sequence[int]) -> list[Whole]:
        """Return the trials with these ids, of any study, at most `FEW`; omits those that do not exist."""
        return _assembled(self.rows(_BY_ID, {"ids": _padded(ids)}))

    def trials_of(self, study_id: int, ids: Sequence[int]) -> Iterator[Whole]:
        """Yield the trials of a study with these ids, any number of them."""
        if len(ids) <= FEW:
            yield from self.trials(ids)
            return
        wanted = sorted(ids)
        for start in range(0, len(wanted), _RANGE):
            chunk = wanted[start : start + _RANGE]
            there = {"at_study_id": study_id, "low": chunk[0], "high": chunk[-1]}
            asked = set(chunk)
            for head, details in _assembled(self.rows(_BY_RANGE, there)):
                if head.trial_id in asked:
                    yield head, details

    def is_open(self, head: Head) -> bool:
        """Return True if that trial exists and has not ended."""
        rows = self.rows(_STATE, {"at_trial_id": head.trial_id})
        if not rows:
            return False
        study_id, number, state = rows[0]
        return (study_id, number) == (head.study_id, head.number) and state in (RUNNING, WAITING)

    def distribution(self, study_id: int, name: str) -> str | None:
        """Return the distribution, as JSON text, that any trial of the study has for a parameter of that name."""
        params = optuna_schema.trial_params
        query = (
            select(params.c.distribution_json)
            .join(_trials, _trials.c.trial_id == params.c.trial_id)
            .where(_trials.c.study_id == study_id, params.c.param_name == name)
            .limit(1)
        )
        return self.read_autocommit(lambda connection: connection.execute(query).scalar())

    def translated(self, error: Exception) -> Exception:
        """Return a driver's error as an error with a message for users."""
        return translated(error, self.address) if isinstance(error, SQLAlchemyError) else error

    def _with_retries(self, work: Callable[[], _T]) -> _T:
        """Return the result of `work`, one whole transaction; wait while the database is away."""
        began = time.monotonic()
        pause_s = 0.1
        while True:
            try:
                return attempt(work, self.address)
            except StorageUnavailableError:
                if time.monotonic() - began > _PATIENCE_S:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


_studies = optuna_schema.studies
_trials = optuna_schema.trials

_HEADS: Final = DriverStatement(
    select(
        _studies.c.study_name,
        _trials.c.trial_id,
        _trials.c.number,
        cast(_trials.c.state, String(16)),
        _trials.c.datetime_start,
        _trials.c.datetime_complete,
    )
    .select_from(
        _studies.outerjoin(
            _trials,
            and_(
                _trials.c.study_id == _studies.c.study_id,
                or_(
                    _trials.c.trial_id > bindparam("last_trial_id"),
                    _trials.c.trial_id.in_(bindparam("ids", expanding=True)),
                ),
            ),
        )
    )
    .where(_studies.c.study_id == bindparam("at_study_id"))
)


_STATE: Final = DriverStatement(
    select(_trials.c.study_id, _trials.c.number, cast(_trials.c.state, String(16))).where(
        _trials.c.trial_id == bindparam("at_trial_id")
    )
)


def _padded(ids: Sequence[int]) -> list[int]:
    """Return `ids`, at least one, with the last repeated up to a power of two, for few texts per statement."""
    some = [*ids] or [-1]
    return some + some[-1:] * ((1 << (len(some) - 1).bit_length()) - len(some))


_HEAD, _PARAM, _REPORT, _USER_ATTRIBUTE, _SYSTEM_ATTRIBUTE, _VALUE = range(6)


def _whole(among: Any) -> Any:
    """Return the statement for whole trials, `among(column)` being the condition on a column `trial_id`.

    It yields a row per stored row: its part, trial, own id, name, place, number, text, start, end.
    """
    params, reports = optuna_schema.trial_params, optuna_schema.trial_intermediate_values
    values = optuna_schema.trial_values

    def part(kind: int, table: Table, own_id: str, **columns: Any) -> Select[Any]:
        return select(
            literal_column(str(kind), Integer).label("part"),
            table.c.trial_id,
            table.c[own_id].label("own_id"),
            _or_null(columns, "name", String()),
            _or_null(columns, "place", Integer()),
            _or_null(columns, "number", Float(53)),
            _or_null(columns, "text", String()),
            _or_null(columns, "start", DateTime()),
            _or_null(columns, "complete", DateTime()),
        ).where(among(table.c.trial_id))

    def attributes(kind: int, table: Table, own_id: str) -> Select[Any]:
        return part(kind, table, own_id, name=table.c.key, text=table.c.value_json)

    # PostgreSQL derives a column's type from the first two parts: a head and a parameter have all types.
    return union_all(
        part(
            _HEAD,
            _trials,
            "study_id",
            name=cast(_trials.c.state, String(16)),
            place=_trials.c.number,
            start=_trials.c.datetime_start,
            complete=_trials.c.datetime_complete,
        ),
        part(
            _PARAM,
            params,
            "param_id",
            name=params.c.param_name,
            number=params.c.param_value,
            text=params.c.distribution_json,
        ),
        part(
            _REPORT,
            reports,
            "trial_intermediate_value_id",
            place=reports.c.step,
            number=reports.c.intermediate_value,
            text=cast(reports.c.intermediate_value_type, String(16)),
        ),
        attributes(_USER_ATTRIBUTE, optuna_schema.trial_user_attributes, "trial_user_attribute_id"),
        attributes(_SYSTEM_ATTRIBUTE, optuna_schema.trial_system_attributes, "trial_system_attribute_id"),
        part(
            _VALUE,
            values,
            "trial_value_id",
            place=values.c.objective,
            number=values.c.value,
            text=cast(values.c.value_type, String(16)),
        ),
    )


def _or_null(columns: dict[str, Any], name: str, of_type: Any) -> Any:
    return type_coerce(columns.get(name, null()), of_type).label(name)


def _in_range(column: Column[Any]) -> Any:
    ids = select(_trials.c.trial_id).where(
        _trials.c.study_id == bindparam("at_study_id"),
        _trials.c.trial_id.between(bindparam("low"), bindparam("high")),
    )
    return and_(column.between(bindparam("low"), bindparam("high")), column.in_(ids))


_BY_ID: Final = DriverStatement(_whole(lambda column: column.in_(bindparam("ids", expanding=True))))
_BY_RANGE: Final = DriverStatement(_whole(_in_range))


def _assembled(rows: Sequence[RawRow]) -> list[Whole]:
    """Return trials from their rows, in any order."""
    found: dict[int, Head] = {}
    parts: dict[int, list[RawRow]] = {}
    for row in rows:
        if row[0] == _HEAD:
            found[row[1]] = _head(row)
        else:
            parts.setdefault(row[1], []).append(row)
    return [(head, _details(parts.get(trial_id, ()))) for trial_id, head in found.items()]


def _head(row: RawRow) -> Head:
    _, trial_id, study_id, name, number, _, _, start, complete = row
    return Head(
        trial_id=trial_id,
        study_id=study_id,
        number=number,
        state=TrialState[name],
        start=local(start),
        complete=local(complete),
    )


def _details(rows: Sequence[RawRow]) -> Details:
    """Return the rows of one trial in the order of storage."""
    details = Details()
    for part, _, _, name, place, number, text, _, _ in sorted(rows, key=lambda row: row[2]):
        if part == _PARAM:
            details.params[name] = number, text
        elif part == _REPORT:
            details.reports[place] = number_of(number, text)
        elif part == _USER_ATTRIBUTE:
            details.user_attributes[name] = text
        elif part == _SYSTEM_ATTRIBUTE:
            details.system_attributes[name] = text
        else:
            details.values[place] = number_of(number, text)
    return details
