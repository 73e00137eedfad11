"""The database: Optuna's tables and ours, claims, leases, bulk reads and writes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["open_storage"]


def open_storage(url: str) -> "BaseStorage":
    """Return the database at `url` as a storage for Optuna, in place of `optuna.storages.RDBStorage`.

        study = optuna.create_study(storage=open_storage("sqlite:///study.db"), study_name="mine")

    The tables are Optuna's, so other Optuna clients can work on the same studies at the same time. An SQLite file, its
    folder and missing tables are made.

    What is set on a running trial is written half a second later at most, and always before the trial ends; the
    process that set it reads it at once. A trial then takes two transactions, however many reports it has. Threads and
    forked processes may share the storage. `storage/README.md` has what it costs and how it differs from `RDBStorage`.

    Raises StorageError, and StorageUnavailableError if a server does not answer.
    """
    from hpsearch.storage.as_optuna.storage import OptunaStorage  # noqa: PLC0415  # Optuna is slow to import

    return OptunaStorage(url)
