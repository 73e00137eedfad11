"""Where a study stands, from sums that the database makes."""

import shlex
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, desc, func, select

from hpsearch.records import Cause, Fate, Trial, TrialState, fate_of, known_cause
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.claims import enough_for, failed_limit
from hpsearch.storage.optuna_schema import COMPLETE, STATES
from hpsearch.storage.reads import trials
from hpsearch.storage.records import Progress, StoredStudy, Tally
from hpsearch.storage.studies import row_of

_ours = schema.trials
_theirs = optuna_schema.trials
_values = optuna_schema.trial_values


def progress(connection: Connection, study: StoredStudy) -> Progress:
    """Return where the study stands. Its ledger is `records.ledger_of` of its trials and lost attempts.

    Raises StudyNotFoundError when the study was deleted.
    """
    own = row_of(connection, study)
    groups = _groups(connection, study)
    count = {state: sum(row.trials for row in groups if STATES[row.state] is state) for state in TrialState}
    ledger = _ledger(groups, _lost_epochs(connection, study))
    return Progress(
        name=study.spec.name,
        budget=own.budget,
        complete=count[TrialState.COMPLETE],
        pruned=count[TrialState.PRUNED],
        failed=count[TrialState.FAILED],
        running=count[TrialState.RUNNING],
        waiting=count[TrialState.WAITING],
        fates=_fates(groups),
        ledger=ledger,
        epochs=sum(ledger.values()),
        best=_best(connection, study),
        stopped=_paused(study, own.stopped) or _too_many_failures(study, groups, own.budget),
        is_paused=own.stopped is not None,
    )


def _groups(connection: Connection, study: StoredStudy) -> Sequence[Row[Any]]:
    """Return one row per state and verdict: state, verdict, trials, epochs."""
    return connection.execute(
        select(
            _theirs.c.state,
            _ours.c.verdict,
            func.count().label("trials"),
            func.coalesce(func.sum(_ours.c.epochs), 0).label("epochs"),
        )
        .select_from(
            _theirs.outerjoin(_ours, and_(_ours.c.study_key == study.key, _ours.c.number == _theirs.c.number))
        )
        .where(_theirs.c.study_id == study.study_id)
        .group_by(_theirs.c.state, _ours.c.verdict)
    ).all()


def _lost_epochs(connection: Connection, study: StoredStudy) -> int:
    attempts = schema.attempts
    lost = select(func.coalesce(func.sum(attempts.c.epochs), 0)).where(attempts.c.study_key == study.key)
    return int(connection.execute(lost).scalar_one())


def _cause(row: Row[Any]) -> Cause | None:
    return None if row.verdict is None else known_cause(row.verdict)


def _ledger(groups: Sequence[Row[Any]], lost_epochs: int) -> dict[str, int]:
    """Return cause -> epochs, by the rules of `records.ledger_of`."""
    ledger = {Cause.WORKER_LOST.value: lost_epochs}
    for row in groups:
        state = STATES[row.state]
        ended_early = state in (TrialState.PRUNED, TrialState.FAILED)
        key = (_cause(row) or Cause.OUTRANKED).value if ended_early else state.value
        ledger[key] = ledger.get(key, 0) + int(row.epochs)
    return dict(sorted(((k, n) for k, n in ledger.items() if n), key=lambda item: (-item[1], item[0])))


def _fates(groups: Sequence[Row[Any]]) -> dict[Fate, Tally]:
    fates: dict[Fate, Tally] = {}
    for row in groups:
        fate = fate_of(STATES[row.state], _cause(row))
        sofar = fates.get(fate, Tally(trials=0, epochs=0))
        fates[fate] = Tally(trials=sofar.trials + row.trials, epochs=sofar.epochs + int(row.epochs))
    return fates


def _best(connection: Connection, study: StoredStudy) -> Trial | None:
    """Return the best ranked trial, of equals the one with the lower number."""
    order = desc(_values.c.value) if study.maximize else _values.c.value
    trial_id = connection.execute(
        select(_theirs.c.trial_id)
        .join(_values, _values.c.trial_id == _theirs.c.trial_id)
        .where(
            _theirs.c.study_id == study.study_id,
            _theirs.c.state == COMPLETE,
            _values.c.objective == 0,
            _values.c.value_type == "FINITE",
        )
        .order_by(order, _theirs.c.number)
        .limit(1)
    ).scalar_one_or_none()
    return None if trial_id is None else trials(connection, study, ids=[trial_id])[0]


def _paused(study: StoredStudy, why: str | None) -> str | None:
    """Return why the study stopped, with the remedy, when somebody paused it."""
    return why and f"{why}: `hpsearch study resume {shlex.quote(study.spec.name)}` goes on"


def _too_many_failures(study: StoredStudy, groups: Sequence[Row[Any]], budget: int) -> str | None:
    """Return why the study stopped when as many trials failed as may."""
    causes = {
        row.verdict or "no verdict": row.trials for row in groups if STATES[row.state] is TrialState.FAILED
    }
    failed = sum(causes.values())
    if failed < failed_limit(budget):
        return None
    listed = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items(), key=lambda c: -c[1]))
    name = shlex.quote(study.spec.name)
    return (
        f"{failed} of {budget} trials failed: {listed}: see `hpsearch study trials {name} --state failed`; "
        f"`hpsearch study edit {name} --trials {enough_for(failed)}` goes on"
    )
