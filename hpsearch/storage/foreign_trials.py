"""Trials that other Optuna clients run: their start, their signs of life, and how to end or take over one.

Optuna stores no time of a trial's last report, and a client that was killed leaves its trial running permanently. So a
system attribute of the trial stores how much of it existed at the last check, and since when by the database's clock. A
trial without a recent sign of life no longer counts against the budget. If it ends after all, it counts.

Each function runs inside its caller's transaction, except `store_all_marks`.
"""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Row,
    and_,
    column,
    delete,
    func,
    literal,
    select,
    table,
    update,
)

from hpsearch.errors import HpsearchError, StorageReadOnlyError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import naive_utc, utc
from hpsearch.storage.details import system_attributes_of, write_attributes
from hpsearch.storage.engine import Transactions
from hpsearch.storage.leases import NO_TOKEN, epoch_s
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING, WAITING
from hpsearch.storage.payloads import pack_finding
from hpsearch.storage.records import ForeignTrial
from hpsearch.storage.stored_studies import LockedStudy
from hpsearch.storage.stored_values import is_number, plain_json
from hpsearch.storage.trials import no_such_trial
from hpsearch.trials import FIXED, OTHERS
from hpsearch.verdicts import Cause, Finding

SILENT_AFTER_S: Final = 3600.0
"""How long a trial counts after its last sign of life: the start, a report, a parameter, an attribute."""

SILENT_AFTER_BEAT_S: Final = 600.0
"""The same if its client sends Optuna's heartbeats, about every minute: ten missed heartbeats."""

LISTED: Final = 3
"""Most trials that a sentence names."""

NOTE_EVERY_S: Final = 30.0
"""Shortest time between two stored signs of life, so that checks of a busy trial cost few writes."""

_HISTORY: Final = "retry_history"
"""The system attribute in which Optuna stores the numbers of the failed trials that a trial retries, oldest first."""

_studies = schema.studies
_theirs = optuna_schema.trials
_ours = schema.trials
_reports = optuna_schema.trial_intermediate_values
_params = optuna_schema.trial_params
_user = optuna_schema.trial_user_attributes
_system = optuna_schema.trial_system_attributes
_beats = table("trial_heartbeats", column("trial_id"), column("heartbeat", DateTime))


def running_trials(connection: Connection, key: str, now_s: float) -> tuple[ForeignTrial, ...]:
    """Return the running trials of a study of ours that no worker of ours holds, by number.

    `now_s` is the database's time.
    """
    return all_running_trials(connection, now_s, _studies.c.study_key == key).get(key, ())


def all_running_trials(
    connection: Connection, now_s: float, *conditions: ColumnElement[bool]
) -> dict[str, tuple[ForeignTrial, ...]]:
    """Return study key -> result of `running_trials`, for all studies of ours that have such trials."""

    def count(of: Any, *conditions: Any) -> Any:
        return select(func.count()).where(of.c.trial_id == _theirs.c.trial_id, *conditions).scalar_subquery()

    rows = connection.execute(
        select(
            _studies.c.study_key,
            _theirs.c.trial_id,
            _theirs.c.number,
            _theirs.c.datetime_start,
            _beats.c.heartbeat,
            count(_reports).label("reports"),
            (count(_params) + count(_user) + count(_system, _system.c.key != schema.SEEN_ATTRIBUTE)).label(
                "others"
            ),
            select(_system.c.value_json)
            .where(_system.c.trial_id == _theirs.c.trial_id, _system.c.key == schema.SEEN_ATTRIBUTE)
            .scalar_subquery()
            .label("note"),
        )
        .select_from(
            _studies.join(
                _theirs,
                and_(
                    _theirs.c.study_id == _studies.c.study_id,
                    _theirs.c.trial_id > _studies.c.settled_trial_id,
                ),
            )
            .outerjoin(
                _ours, and_(_ours.c.study_key == _studies.c.study_key, _ours.c.number == _theirs.c.number)
            )
            .outerjoin(_beats, _beats.c.trial_id == _theirs.c.trial_id)
        )
        .where(_theirs.c.state == RUNNING, _ours.c.lease_until.is_(None), *conditions)
        .order_by(_theirs.c.number)
    )
    found: dict[str, list[ForeignTrial]] = {}
    for row in rows:
        found.setdefault(row.study_key, []).append(_trial(row, now_s))
    return {key: tuple(trials) for key, trials in found.items()}


def _trial(row: Any, now_s: float) -> ForeignTrial:
    traces = f"{row.reports} {row.others} {row.heartbeat or ''}"
    noted = _stored_mark(row.note, now_s)
    started_s = epoch_s(row.datetime_start)
    if noted is not None:
        seen_s = noted[0] if noted[1] == traces else now_s
    elif row.reports or row.heartbeat or started_s is None or started_s > now_s:
        seen_s = now_s  # it changed at an unknown time
    else:
        seen_s = started_s
    is_due = seen_s == now_s and (noted is None or now_s - noted[0] >= NOTE_EVERY_S)
    silent_s = seen_s + (SILENT_AFTER_S if row.heartbeat is None else SILENT_AFTER_BEAT_S)
    return ForeignTrial(
        number=row.number,
        trial_id=row.trial_id,
        started=None if started_s is None else utc(started_s),
        seen=utc(seen_s),
        counts_until=utc(silent_s),
        counts=now_s < silent_s,
        note={"at": now_s, "was": traces} if is_due else None,
    )


def _stored_mark(text: str | None, now_s: float) -> tuple[float, str] | None:
    """Return the stored time of a trial's last change, and its content then; None if no time up to now is stored."""
    note = plain_json(text) if isinstance(text, str) else None
    if not isinstance(note, dict):
        return None
    at: Any = note.get("at")
    was: Any = note.get("was")
    if not is_number(at) or not isinstance(was, str) or not 0 <= at <= now_s + NOTE_EVERY_S:
        return None
    return float(at), was


def store_marks(connection: Connection, trials: Sequence[ForeignTrial]) -> None:
    """Store the new signs of life of the trials that still run."""
    due: Mapping[int, Any] = {trial.trial_id: trial.note for trial in trials if trial.note is not None}
    if not due:
        return
    running = select(_theirs.c.trial_id).where(_theirs.c.trial_id.in_(due), _theirs.c.state == RUNNING)
    ids = connection.execute(running.order_by(_theirs.c.trial_id).with_for_update()).scalars()
    write_attributes(
        connection, _system, {trial_id: {schema.SEEN_ATTRIBUTE: due[trial_id]} for trial_id in ids}
    )


def store_all_marks(transactions: Transactions, trials: Sequence[ForeignTrial]) -> None:
    """Store new signs of life, if there are any and the database may be written."""
    if any(trial.note is not None for trial in trials):
        with contextlib.suppress(StorageReadOnlyError):
            for one_try, transaction in transactions.write_tries(durable=False):
                with one_try, transaction as connection:
                    store_marks(connection, trials)


def count_silent(connection: Connection, locked: LockedStudy) -> int:
    """Return the number of running trials of other clients that do not count because they were silent for too long."""
    trials = running_trials(connection, locked.study.key, locked.now_s)
    store_marks(connection, trials)
    return sum(not trial.counts for trial in trials)


def waiting_sentence(name: str, trials: Sequence[ForeignTrial]) -> str:
    """Describe which trials of other clients a study waits for, since when, until when, and the remedy."""
    listed = "; ".join(description(trial) for trial in trials[:LISTED])
    more = f"; and {len(trials) - LISTED} more" if len(trials) > LISTED else ""
    return f'study "{name}": waits for {listed}{more}: {remedy(name, trials[0])}'


def description(trial: ForeignTrial) -> str:
    """Describe a foreign trial: who runs it, since when, and whether it counts."""
    began = "" if trial.started is None else f" since {_moment(trial.started)}"
    counts = (
        f"counts until {_moment(trial.counts_until)}"
        if trial.counts
        else f"does not count since {_moment(trial.counts_until)}"
    )
    return (
        f"trial {trial.number}, which {OTHERS} runs{began} "
        f"(last sign of life {_moment(trial.seen)}; {counts})"
    )


def remedy(name: str, trial: ForeignTrial) -> str:
    """Return instructions to end a trial that another client runs, or to train it here."""
    at = f"{shlex.quote(name)} {trial.number}"
    return f"`hpsearch trial retry {at}` trains it here, `hpsearch trial fail {at}` gives it up"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def fail(connection: Connection, locked: LockedStudy, number: int) -> bool:
    """Fail a trial that another client runs, or that waits; return whether this changed it: it may already have failed.

    Raises HpsearchError if a worker of ours trains it or it has finished, and TrialNotFoundError.
    """
    row = _lock_unleased(connection, locked, number)
    if row.state == FAIL:
        return False
    _refuse_finished(locked, row, "to be given up")
    connection.execute(
        update(_theirs)
        .where(_theirs.c.trial_id == row.trial_id)
        .values(state=FAIL, datetime_complete=naive_utc(locked.now_s))
    )
    _write_verdict(connection, locked, row)
    return True


_GIVEN_UP: Final = Finding(
    cause=Cause.STOPPED,
    confidence=1.0,
    first_step=0,
    evidence={},
    remedy="Given up by `hpsearch trial fail`; `hpsearch trial retry` trains its parameters as a new trial.",
)


def _write_verdict(connection: Connection, locked: LockedStudy, row: Row[Any]) -> None:
    """Write the verdict of an abandoned trial into our row of it, which is created if it does not exist yet."""
    key, verdict = locked.study.key, _GIVEN_UP.cause.value
    values = {"verdict": verdict, "finding": pack_finding(_GIVEN_UP)}
    changed = connection.execute(
        update(_ours)
        .where(_ours.c.study_key == key, _ours.c.number == row.number)
        .values(version=_ours.c.version + 1, **values)
    ).rowcount
    if not changed:
        connection.execute(
            _ours.insert().values(
                study_key=key,
                number=row.number,
                trial_id=row.trial_id,
                attempt=0,
                crashes=0,
                token=NO_TOKEN,
                epochs=0,
                steps=0,
                reported=-1,
                version=1,
                **values,
            )
        )
    write_attributes(connection, _user, {row.trial_id: {"verdict": verdict}})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Retried:
    """The number of a trial that waits to be retried, and whether it was already waiting."""

    number: int
    waited: bool = False


def retry(connection: Connection, locked: LockedStudy, number: int) -> Retried:
    """Let our workers retry another client's running trial; for a failed one, create a trial with its parameters.

    Return the waiting trial. Ended trials are unchanged: Optuna's own retries create new trials too. A trial that
    waits, also in place of a failed one, is not retried twice. Raises HpsearchError if a worker of ours trains it or it
    has finished, and TrialNotFoundError.
    """
    row = _lock_unleased(connection, locked, number)
    _refuse_finished(locked, row, "to be tried again")
    if row.state == FAIL:
        waiting = _waiting_retry(connection, locked, number)
        if waiting is not None:
            return Retried(number=waiting, waited=True)
        return Retried(number=_write_retry(connection, locked, row))
    if row.state == RUNNING:
        for details in (_reports, optuna_schema.trial_values):
            connection.execute(delete(details).where(details.c.trial_id == row.trial_id))
        connection.execute(delete(_beats).where(_beats.c.trial_id == row.trial_id))
        noted = and_(_system.c.trial_id == row.trial_id, _system.c.key == schema.SEEN_ATTRIBUTE)
        connection.execute(delete(_system).where(noted))
        connection.execute(
            update(_theirs)
            .where(_theirs.c.trial_id == row.trial_id)
            .values(state=WAITING, datetime_start=None)
        )
        _bump_version(connection, locked, number)
    return Retried(number=number, waited=row.state == WAITING)


def _waiting_retry(connection: Connection, locked: LockedStudy, number: int) -> int | None:
    """Return the number of the trial that waits in place of a failed one, or None."""
    rows = connection.execute(
        select(_theirs.c.number, _system.c.value_json)
        .join(_system, _system.c.trial_id == _theirs.c.trial_id)
        .where(
            _theirs.c.study_id == locked.study.study_id,
            _theirs.c.state == WAITING,
            _system.c.key == _HISTORY,
        )
        .order_by(_theirs.c.number)
    )
    histories = {row.number: plain_json(row.value_json) for row in rows}
    return next((n for n, h in histories.items() if isinstance(h, list) and h[-1:] == [number]), None)


def _lock_unleased(connection: Connection, locked: LockedStudy, number: int) -> Any:
    """Lock a trial and return its id, number and state. Raises HpsearchError if a worker of ours holds it."""
    study = locked.study
    row = connection.execute(
        select(_theirs.c.trial_id, _theirs.c.number, _theirs.c.state)
        .where(_theirs.c.study_id == study.study_id, _theirs.c.number == number)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise no_such_trial(connection, study, number)
    holder = connection.execute(
        select(_ours.c.worker).where(
            _ours.c.study_key == study.key, _ours.c.number == number, _ours.c.lease_until.is_not(None)
        )
    ).scalar_one_or_none()
    if row.state == RUNNING and holder is not None:
        raise HpsearchError(
            f'study "{study.spec.name}": trial {number} must not be in training (worker {holder} holds it): '
            f"let it end, or stop that worker with `hpsearch worker stop {shlex.quote(holder)}`"
        )
    return row


def _refuse_finished(locked: LockedStudy, row: Row[Any], purpose: str) -> None:
    if row.state in (COMPLETE, PRUNED):
        raise HpsearchError(
            f'study "{locked.study.spec.name}": trial {row.number} must not have finished {purpose} '
            f"(got {row.state.lower()}): finished trials are never changed"
        )


def _bump_version(connection: Connection, locked: LockedStudy, number: int) -> None:
    """Mark the trial as changed for readers of our row, if there is one."""
    connection.execute(
        update(_ours)
        .where(_ours.c.study_key == locked.study.key, _ours.c.number == number)
        .values(version=_ours.c.version + 1)
    )


def _write_retry(connection: Connection, locked: LockedStudy, row: Row[Any]) -> int:
    """Write a new waiting trial with the values of a failed one, under Optuna's own names for such a retry."""
    study_id = locked.study.study_id
    last: int = connection.execute(
        select(func.max(_theirs.c.number)).where(_theirs.c.study_id == study_id)
    ).scalar_one()
    connection.execute(_theirs.insert().values(study_id=study_id, number=last + 1, state=WAITING))
    made: int = connection.execute(
        select(_theirs.c.trial_id).where(_theirs.c.study_id == study_id, _theirs.c.number == last + 1)
    ).scalar_one()
    connection.execute(
        _params.insert().from_select(
            ["trial_id", "param_name", "param_value", "distribution_json"],
            select(
                literal(made), _params.c.param_name, _params.c.param_value, _params.c.distribution_json
            ).where(_params.c.trial_id == row.trial_id),
        )
    )
    kept = system_attributes_of(connection, study_id, [row.trial_id]).get(row.trial_id, {})
    history = kept.get(_HISTORY)
    known = history if isinstance(history, list) else []
    fixed = {key: kept[key] for key in ("failed_trial", FIXED) if key in kept}
    attributes = {"failed_trial": row.number, **fixed, _HISTORY: [*known, row.number]}
    write_attributes(connection, _system, {made: attributes})
    return last + 1
