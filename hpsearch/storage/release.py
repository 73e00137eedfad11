"""Trials of which no worker in another database knows: nothing of them runs, and nobody holds a lease."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.leases import HANDED_BACK, NO_TOKEN, epoch_s
from hpsearch.storage.optuna_schema import RUNNING, WAITING
from hpsearch.storage.study_rows import Row, TrialRows

WHY: Final = "copied to another database"

_reports = optuna_schema.trial_intermediate_values.name
_ours = schema.trials.name
_attempts = schema.attempts.name


def at_rest(rows: TrialRows, *, now_s: float) -> TrialRows:
    """Return the trial without a lease, and one that ran as if it had been handed back: see `leases.release`."""
    if rows.trial["state"] != RUNNING:
        kept = {_ours: [{**row, "lease_until": None} for row in rows.ours.get(_ours, ())]}
        return replace(rows, ours={**rows.ours, **kept} if rows.ours else {})
    return TrialRows(
        trial={**rows.trial, "state": WAITING, "datetime_start": None},
        details={**rows.details, _reports: []},
        ours=_handed_back(rows, now_s, rows.trial["datetime_start"]) if rows.ours else {},
    )


def _handed_back(rows: TrialRows, now_s: float, started: datetime | None) -> dict[str, list[Row]]:
    """Return our rows of a trial that ran: the attempt is in its history, and its epochs count as stopped."""
    (row,) = rows.ours[_ours]
    ended: dict[str, Any] = {
        "attempt": row["attempt"],
        "worker": row["worker"],
        "why": WHY,
        "crashed": False,
        "epochs": row["epochs"],
        "ended": now_s,
        "started": epoch_s(started),
        "kind": HANDED_BACK,
    }
    waiting = {
        **row,
        "token": NO_TOKEN,
        "worker": None,
        "lease_until": None,
        "epochs": 0,
        "steps": 0,
        "reported": -1,
        "version": row["version"] + 1,
    }
    return {_ours: [waiting], _attempts: [*rows.ours.get(_attempts, ()), ended]}


def in_whole_seconds(rows: TrialRows) -> TrialRows:
    """Return the trial with Optuna's times cut to seconds, which is how its tables in MySQL and MariaDB keep them."""
    return replace(rows, trial=_cut(rows.trial))


def _cut(row: Mapping[str, Any]) -> Row:
    return {
        name: value.replace(microsecond=0) if isinstance(value, datetime) else value
        for name, value in row.items()
    }
