"""The database of studies, for workers, reports and commands. One public method of its parts is one transaction."""

from pathlib import Path
from types import TracebackType
from typing import Self, final

from hpsearch.storage import migration
from hpsearch.storage.address import parse_address, prepare_file
from hpsearch.storage.data_files import DataFiles
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.engine import Transactions, close_connections, make_engine
from hpsearch.storage.evaluations import Evaluations
from hpsearch.storage.notifications import Notifications
from hpsearch.storage.queue import Queue
from hpsearch.storage.studies import Studies
from hpsearch.storage.trials import Trials
from hpsearch.storage.workers import WorkerRegistry


def open_store(url: str, *, create: bool = True, foreign: bool = False) -> "Store":
    """Return the database at `url`, after checking that it is reachable and its schemas have fitting versions.

    With `create`, create whatever is missing: an SQLite file and its folder, Optuna's tables and ours. With `foreign`,
    tables may be missing and stay missing: the studies of other Optuna clients can be read. Raises StorageError, and
    StorageUnavailableError if a server does not answer.
    """
    address = parse_address(url)
    create = create and not foreign
    prepare_file(address, create=create)
    engine = make_engine(address)
    try:
        if foreign:
            found = attempt(lambda: migration.check_existing(engine, address), address)
            has_theirs = found.optuna is not None
            has_ours, is_new = has_theirs and found.hpsearch is not None, False
        else:
            is_new = attempt(lambda: migration.create_missing(engine, address, create=create), address)
            has_theirs = has_ours = True
        transactions = Transactions(engine, address, has_theirs=has_theirs, has_ours=has_ours)
        store = Store(transactions, is_new=is_new)
        store.studies.sweep_orphans()
    except BaseException:
        engine.dispose()
        raise
    return store


@final
class Store:
    """The database of studies, in parts. Threads may share it, and so may the child of a fork.

    Every method of its parts raises StorageUnavailableError if the database does not answer; the same call may succeed
    later. A database that `is_new` had no tables before it was opened.
    """

    def __init__(self, transactions: Transactions, *, is_new: bool) -> None:
        self._transactions = transactions
        self.is_new = is_new
        self.queue = Queue(transactions)
        self.studies = Studies(transactions, self.queue)
        self.trials = Trials(transactions)
        self.evaluations = Evaluations(transactions)
        self.data = DataFiles(transactions)
        self.notifications = Notifications(transactions)
        self.workers = WorkerRegistry(transactions, self.queue.sweep_all)

    @property
    def url_shown(self) -> str:
        """The URL as the user gave it, with its password masked."""
        return self._transactions.address.shown

    @property
    def worker_url(self) -> str:
        """The URL for processes with another current folder, with its password if it has one: never for people."""
        address = self._transactions.address
        path = None if address.path is None else str(address.path.absolute())
        url = address.url if path is None or "uri" in address.url.query else address.url.set(database=path)
        return url.render_as_string(hide_password=False)

    @property
    def is_local(self) -> bool:
        """True for a file, which only processes of this machine may share."""
        return self._transactions.address.path is not None

    @property
    def folder(self) -> Path:
        """The folder of files that belong to the database: that of an SQLite file, else `storage` below this one."""
        path = self._transactions.address.path
        return (Path("storage") if path is None else path.parent).absolute()

    @property
    def has_studies(self) -> bool:
        """True if there are tables that may hold studies, made by any client."""
        return self._transactions.has_theirs

    @property
    def has_ours(self) -> bool:
        """True if there are tables of hpsearch."""
        return self._transactions.has_ours

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Leases stay until they expire."""
        close_connections(self._transactions.engine)
