"""The database's clock, the only source of stored times."""

import time
from datetime import UTC, datetime
from typing import Any, final

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


@final
class EpochSeconds(FunctionElement[float]):
    """SQL for the seconds since 1970-01-01 UTC when the statement began, at least to the millisecond."""

    name = "epoch_seconds"
    type = Double()
    inherit_cache = True


@compiles(EpochSeconds, "sqlite")
def _sqlite(_element: EpochSeconds, _compiler: SQLCompiler, **_options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(EpochSeconds, "postgresql")
def _postgresql(_element: EpochSeconds, _compiler: SQLCompiler, **_options: Any) -> str:
    # now() is the start of the transaction, which may be long ago if it waited for a lock.
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(EpochSeconds, "mysql", "mariadb")
def _mysql(_element: EpochSeconds, _compiler: SQLCompiler, **_options: Any) -> str:
    # unix_timestamp() would depend on the session's time zone and its summer time.
    return "(timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6)"


def monotonic_s() -> float:
    """Return seconds by the monotonic clock of this machine, which stops while the machine sleeps."""
    return time.monotonic()


def utc(epoch_s: float) -> datetime:
    """Return the aware time that is `epoch_s` seconds since 1970-01-01 UTC."""
    return datetime.fromtimestamp(epoch_s, UTC)


def naive_utc(epoch_s: float) -> datetime:
    """Return the same time as Optuna stores it: naive, in UTC."""
    return utc(epoch_s).replace(tzinfo=None)
