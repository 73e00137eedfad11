"""Heartbeats of trials, in Optuna's own table: every Optuna client that uses them sees those of all others.

A heartbeat is `CURRENT_TIMESTAMP` of the client's session, as `RDBStorage` writes it: UTC on SQLite, the session's time
zone on servers. What our workers run has a lease instead, which `leases` sweeps.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from optuna.study import Study
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, and_, exists, func, select
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.optuna_schema import RUNNING

StaleTrialCallback: TypeAlias = Callable[[Study, FrozenTrial], None]
"""What is called with a study and a trial of it that was failed because its heartbeats stopped."""

_trials = optuna_schema.trials
_heartbeats = optuna_schema.trial_heartbeats


def check_periods(**periods_s: float | None) -> None:
    """Raise ValueError, naming all of them, for seconds that are not positive and finite. None passes."""
    wrong = [
        f"{name}: must be a positive number of seconds (got {value!r})"
        for name, value in periods_s.items()
        if value is not None and not _is_period(value)
    ]
    if wrong:
        raise ValueError("; ".join(wrong) + ": give one such as 60, or leave it out")


def _is_period(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def record(connection: Connection, trial_id: int) -> None:
    """Note that the trial is being run at this moment. Raises KeyError when there is no such trial."""
    now = func.current_timestamp()
    rows = select(_trials.c.trial_id, now).where(_trials.c.trial_id == trial_id)
    columns = ["trial_id", "heartbeat"]
    statement: Any
    if connection.dialect.name in ("mysql", "mariadb"):
        statement = (
            mysql_insert(_heartbeats).from_select(columns, rows).on_duplicate_key_update(heartbeat=now)
        )
    else:
        insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
        statement = (
            insert(_heartbeats)
            .from_select(columns, rows)
            .on_conflict_do_update(index_elements=["trial_id"], set_={"heartbeat": now})
        )
    # An insert of what a query yields has no count unless it is asked for.
    if connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 0:
        raise KeyError(f"trial_id {trial_id}: there is no such trial")


_LEASED: Final = exists().where(
    schema.studies.c.study_id == _trials.c.study_id,
    schema.trials.c.study_key == schema.studies.c.study_key,
    schema.trials.c.trial_id == _trials.c.trial_id,
    schema.trials.c.lease_until.is_not(None),
)


def stale(connection: Connection, study_id: int, *, grace_s: float) -> list[int]:
    """Return the ids of the study's running trials whose last heartbeat is more than `grace_s` seconds ago.

    A trial that never gave one is none of them, and neither is one that a worker of ours holds.
    """
    rows = connection.execute(
        select(_trials.c.trial_id, _heartbeats.c.heartbeat, func.now().label("now"))
        .join(_heartbeats, and_(_heartbeats.c.trial_id == _trials.c.trial_id))
        .where(_trials.c.study_id == study_id, _trials.c.state == RUNNING, ~_LEASED)
        .order_by(_trials.c.trial_id)
    )
    grace = timedelta(seconds=grace_s)
    return [row.trial_id for row in rows if _naive(row.now) - row.heartbeat > grace]


def _naive(now: datetime) -> datetime:
    """Return the time as the column has it; PostgreSQL adds the session's zone."""
    return now.replace(tzinfo=None)
