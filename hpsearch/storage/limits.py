"""Limits that end a study before its budget of trials is spent: how it stands against each.

Each function reads in its caller's transaction, and reads nothing that the study's limits do not need.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, func, literal, or_, select

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.leases import epoch_s
from hpsearch.storage.optuna_schema import COMPLETE, PRUNED
from hpsearch.storage.records import LimitStanding, StoredStudy
from hpsearch.storage.stored_values import is_number
from hpsearch.study.spec import BudgetSpec

_ours = schema.trials
_theirs = optuna_schema.trials
_values = optuna_schema.trial_values
_attempts = schema.attempts

_HOUR_S: Final = 3600.0


def standings(connection: Connection, study: StoredStudy, budget: BudgetSpec) -> tuple[LimitStanding, ...]:
    """Return how the study stands against each limit of `budget`, in the order of its keys; none if it has none."""
    found = []
    if budget.hours is not None:
        hours = _busy_s(connection, study) / _HOUR_S
        found.append(
            LimitStanding(name="hours", limit=budget.hours, used=hours, is_reached=hours >= budget.hours)
        )
    if budget.epochs is not None:
        epochs = _epochs(connection, study)
        found.append(
            LimitStanding(name="epochs", limit=budget.epochs, used=epochs, is_reached=epochs >= budget.epochs)
        )
    if budget.until is not None:
        best = _best_value(connection, study)
        is_reached = best is not None and (best >= budget.until if study.maximize else best <= budget.until)
        found.append(LimitStanding(name="until", limit=budget.until, used=best, is_reached=is_reached))
    if budget.patience is not None:
        count = _finished_since_best(connection, study)
        found.append(
            LimitStanding(
                name="patience", limit=budget.patience, used=count, is_reached=count >= budget.patience
            )
        )
    return tuple(found)


def _epochs(connection: Connection, study: StoredStudy) -> int:
    """Return the epochs that the study's trials and attempts began: the sum of its ledger."""
    trials = select(func.coalesce(func.sum(_ours.c.epochs * literal(1.0)), 0.0)).where(
        _ours.c.study_key == study.key
    )
    attempts = select(func.coalesce(func.sum(LOST_EPOCHS), 0.0)).where(_attempts.c.study_key == study.key)
    return int(sum(connection.execute(one).scalar_one() for one in (trials, attempts)))


LOST_EPOCHS: Final[ColumnElement[float]] = (
    _attempts.c.epochs - func.coalesce(_attempts.c.kept, 0)
) * literal(1.0)
"""The epochs of an unsuccessful attempt with which no later attempt went on."""


def _busy_s(connection: Connection, study: StoredStudy) -> float:
    """Return the seconds in which at least one trial of the study was in training, by the database's clock."""
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    trials = connection.execute(
        select(_theirs.c.datetime_start, _theirs.c.datetime_complete, _ours.c.lease_until)
        .join(_ours, and_(_ours.c.study_key == study.key, _ours.c.number == _theirs.c.number))
        .where(_theirs.c.study_id == study.study_id, _theirs.c.datetime_start.is_not(None))
    )
    spans: list[tuple[Any, Any]] = [
        (
            epoch_s(row.datetime_start),
            epoch_s(row.datetime_complete) or min(now_s, row.lease_until or -math.inf),
        )
        for row in trials
    ]
    attempts = select(_attempts.c.started, _attempts.c.ended).where(_attempts.c.study_key == study.key)
    spans += [(row.started, row.ended) for row in connection.execute(attempts)]
    return length(span for span in spans if all(map(is_number, span)))


def length(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of spans (start, end)."""
    total, reached = 0.0, -math.inf
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def _ranked(study: StoredStudy) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on complete trials with a finite value, joined with their values."""
    return (
        _theirs.c.study_id == study.study_id,
        _theirs.c.state == COMPLETE,
        _values.c.objective == 0,
        _values.c.value_type == "FINITE",
    )


_WITH_VALUES: Final = _theirs.join(_values, _values.c.trial_id == _theirs.c.trial_id)


def _best_value(connection: Connection, study: StoredStudy) -> float | None:
    """Return the best value of a complete trial, None if there is none."""
    end = func.max(_values.c.value) if study.maximize else func.min(_values.c.value)
    best: float | None = connection.execute(
        select(end).select_from(_WITH_VALUES).where(*_ranked(study))
    ).scalar_one()
    return best


def _finished_since_best(connection: Connection, study: StoredStudy) -> int:
    """Return the number of finished trials after the first with the best value; all if no trial is complete."""
    value = _values.c.value.desc() if study.maximize else _values.c.value.asc()
    ended = _theirs.c.datetime_complete
    best = connection.execute(
        select(ended, _theirs.c.number)
        .select_from(_WITH_VALUES)
        .where(*_ranked(study))
        .order_by(value, ended, _theirs.c.number)
        .limit(1)
    ).one_or_none()
    finished = select(func.count()).where(
        _theirs.c.study_id == study.study_id, _theirs.c.state.in_((COMPLETE, PRUNED))
    )
    if best is not None:
        at, number = best
        finished = finished.where(or_(ended > at, and_(ended == at, _theirs.c.number > number)))
    return int(connection.execute(finished).scalar_one())
