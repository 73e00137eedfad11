"""The database: Optuna's tables and ours, claims, leases, bulk reads and writes."""

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from hpsearch.storage.optuna.writes import StaleTrialCallback

__all__ = ["open_storage"]


def open_storage(
    url: str,
    *,
    heartbeat_interval: float | None = None,
    grace_period: float | None = None,
    heartbeat_stale_trial_callback: "StaleTrialCallback | None" = None,
    failed_trial_callback: "StaleTrialCallback | None" = None,
) -> "BaseStorage":
    """Return the database at `url` as a storage for Optuna, in place of `optuna.storages.RDBStorage`.

    >>> study = optuna.create_study(storage=hpsearch.open_storage("sqlite:///study.db"), study_name="mine")
    >>> study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=3)

    The tables are Optuna's, so other Optuna clients can work on the same studies at the same time. An SQLite file, its
    folder and missing tables are created.

    Values set on a running trial are written within half a second, and always before the trial ends; the process that
    set them reads them immediately. A trial then takes two transactions, regardless of its number of reports. Threads
    and forked processes may share the storage. `storage/README.md` lists the costs and the differences from
    `RDBStorage`.

    With a `heartbeat_interval` in seconds, `Study.optimize` stores a heartbeat of its trial that often. At the start of
    each trial it fails trials whose last heartbeat is more than `grace_period` seconds old (default: two intervals).
    `heartbeat_stale_trial_callback` is then called with the study and the failed trial; `failed_trial_callback` is its
    old name. `RDBStorage` has the same arguments, and both see each other's heartbeats.

    Raises StorageError, StorageUnavailableError if a server does not answer, and ValueError for a bad argument.
    """
    from hpsearch.storage.optuna.storage import OptunaStorage  # noqa: PLC0415  # Optuna is slow to import

    if heartbeat_stale_trial_callback is not None and failed_trial_callback is not None:
        raise ValueError(
            "open_storage: heartbeat_stale_trial_callback and failed_trial_callback are two names of one argument "
            "(got both): leave the second one out"
        )
    _warn_as_optuna(heartbeat_interval, failed_trial_callback)
    callback = heartbeat_stale_trial_callback or failed_trial_callback
    return OptunaStorage(url, heartbeat_interval, grace_period, callback)


def _warn_as_optuna(heartbeat_interval: object, failed_trial_callback: object) -> None:
    """Issue the same warnings as Optuna's own `RDBStorage`."""
    from optuna.exceptions import ExperimentalWarning  # noqa: PLC0415  # Optuna is slow to import

    if heartbeat_interval is not None:
        message = "open_storage: heartbeat_interval is experimental in Optuna: its interface can change"
        warnings.warn(message, ExperimentalWarning, stacklevel=3)
    if failed_trial_callback is not None:
        message = "open_storage: failed_trial_callback is deprecated since Optuna 4.9: "
        message += "use heartbeat_stale_trial_callback"
        warnings.warn(message, FutureWarning, stacklevel=3)
