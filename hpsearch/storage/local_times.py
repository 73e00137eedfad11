"""Trials whose times Optuna before 5.0 may have written, in the local time of the machine that ran them.

Since 5.0 Optuna writes them in UTC and takes all for UTC (optuna 5.0, _rdb/models.py), so old ones are shown off by
the time zone. Nothing in a trial shows which Optuna wrote it. The database names the Optuna that made or upgraded its
tables, and an upgrade from before 3.2 leaves an index of another name than new tables have.
"""

import re
from dataclasses import dataclass
from typing import Final, final

from sqlalchemy import Connection, Engine, func, inspect, select

from hpsearch.storage import optuna_schema
from hpsearch.storage.engine import reading
from hpsearch.storage.migration import Revisions
from hpsearch.storage.schema import LINK_ATTRIBUTE

_UTC_SINCE: Final = 5
"""The major version of Optuna that writes times in UTC."""

_UPGRADED_INDEX: Final = "trials_study_id_key"
"""The index that the revision v3.2.0.a adds; new tables have `ix_trials_study_id` instead."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LocalTimes:
    """The trials, of studies that hpsearch did not make, whose times may be local.

    `optuna` is the version that made the tables, or "before 3.2".
    """

    optuna: str
    trials: int


def local_times(engine: Engine, found: Revisions) -> LocalTimes | None:
    """Return what `local_times_in` does, in a transaction of its own."""
    with reading(engine) as connection:
        return local_times_in(connection, found)


def local_times_in(connection: Connection, found: Revisions) -> LocalTimes | None:
    """Return which trials may have times of Optuna before 5.0, None if none can. Tables of any revision will do."""
    version = None if found.optuna is None else _maker(connection)
    if version is None:
        return None
    trials, links = optuna_schema.trials, optuna_schema.study_user_attributes
    # Trials of our own studies have never had other times than UTC.
    ours = select(links.c.study_id).where(links.c.key == LINK_ATTRIBUTE)
    count = connection.execute(
        select(func.count())
        .select_from(trials)
        .where(trials.c.datetime_start.is_not(None), trials.c.study_id.not_in(ours))
    ).scalar_one()
    return LocalTimes(optuna=version, trials=count) if count else None


def _maker(connection: Connection) -> str | None:
    """Return the version before 5.0 of the Optuna that made the tables, None for a newer or unknown one."""
    inspector, info = inspect(connection), optuna_schema.version_info
    if not inspector.has_table(info.name):
        return None
    version: str | None = connection.execute(select(info.c.library_version)).scalars().first()
    if version is not None and _major(version) < _UTC_SINCE:
        return version
    indexes = {index["name"] for index in inspector.get_indexes(optuna_schema.trials.name)}
    return "before 3.2" if _UPGRADED_INDEX in indexes else None


def _major(version: str) -> int:
    """Return the major version; what does not look like a version is taken for a new one."""
    match = re.match(r"(\d+)\.", version)
    return _UTC_SINCE if match is None else int(match[1])
