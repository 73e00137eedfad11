"""The way to the database: transactions that are tried again while it is away."""

import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.storage import migration
from hpsearch.storage.address import Address, parse_address, prepare_file
from hpsearch.storage.driver_errors import attempt, translated
from hpsearch.storage.driver_statements import DriverStatement, RawRow
from hpsearch.storage.engine import (
    UncertainCommitError,
    close_connections,
    glancing,
    make_engine,
    reading,
    writing,
)

_T = TypeVar("_T")

_PATIENCE_S: Final = 60.0
"""A database that does not answer is asked again for so long: about a restart."""

_LONGEST_PAUSE_S: Final = 2.0


@final
class Database:
    """A database of studies. Threads may share it, and so may the child of a fork.

    Every method raises StorageUnavailableError when the database does not come back in time, and StorageError
    for the rest.
    """

    def __init__(self, url: str) -> None:
        """Open the database at `url`; tables that are missing are made. Raises StorageError."""
        self.address: Address = parse_address(url)
        prepare_file(self.address, create=True)
        self._engine = make_engine(self.address)
        weakref.finalize(self, self._engine.dispose)
        try:
            attempt(lambda: migration.ensure(self._engine, self.address, create=True), self.address)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections: those in use by other threads when they come back. The next call opens new ones."""
        close_connections(self._engine)

    def glance(self, work: Callable[[Connection], _T]) -> _T:
        """Return what `work` reads; each of its statements sees what is committed when it begins."""

        def look() -> _T:
            with glancing(self._engine) as connection:
                return work(connection)

        return self._patiently(look)

    def rows(self, query: DriverStatement, values: Mapping[str, Any]) -> list[RawRow]:
        """Return what one query yields, with the least effort."""
        return self._patiently(lambda: query.alone(self._engine, values))

    def read(self, work: Callable[[Connection], _T]) -> _T:
        """Return what `work` reads, all of it as of one moment."""

        def transaction() -> _T:
            with reading(self._engine) as connection:
                return work(connection)

        return self._patiently(transaction)

    def write(self, work: Callable[[Connection], _T], *, durable: bool = True) -> _T:
        """Return what `work` returns, once. Raises StorageError when nobody knows whether it was written."""

        def transaction() -> _T:
            try:
                with writing(self._engine, durable=durable) as connection:
                    return work(connection)
            except UncertainCommitError:
                raise StorageError(
                    f"{self.address.shown}: the connection was lost in the middle of a commit: "
                    "check whether the study or trial exists, and if not, try again"
                ) from None

        return self._patiently(transaction)

    def rewrite(self, work: Callable[[Connection, bool], _T], *, durable: bool = True) -> _T:
        """Return what `work` returns, which may be done twice: its second argument says that it may have been."""
        uncertain = False

        def transaction() -> _T:
            nonlocal uncertain
            try:
                with writing(self._engine, durable=durable) as connection:
                    return work(connection, uncertain)
            except UncertainCommitError:
                uncertain = True
                raise

        return self._patiently(transaction)

    def translated(self, error: Exception) -> Exception:
        """Return a driver's error in the user's words."""
        return translated(error, self.address) if isinstance(error, SQLAlchemyError) else error

    def _patiently(self, work: Callable[[], _T]) -> _T:
        """Return what `work`, one whole transaction, returns; wait while the database is away."""
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
