"""The database: Optuna's tables and ours, claims, leases, bulk reads and writes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

__all__ = ["open_storage"]


def open_storage(url: str) -> "BaseStorage":
    """Return the database at `url` as a storage for Optuna: `optuna.create_study(storage=open_storage(url))`.

    An SQLite file, its folder and tables that are missing are made. Raises StorageError, and
    StorageUnavailableError where a server does not answer.
    """
    from hpsearch.storage.as_optuna.storage import OptunaStorage  # noqa: PLC0415  # Optuna is slow to import

    return OptunaStorage(url)
