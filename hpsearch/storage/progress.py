"""Progress and remaining work of studies, from sums computed by the database: of one, or of all at once.

Each function reads in its caller's transaction. The remaining work comes from queries that stay cheap for any number of
trials.
"""

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, and_, bindparam, func, literal, null, or_, select

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.details import IDS_MAX
from hpsearch.storage.foreign_trials import all_running_trials, running_trials
from hpsearch.storage.leases import kind_of
from hpsearch.storage.limits import LOST_EPOCHS, standings
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING, STATES
from hpsearch.storage.records import (
    ForeignTrial,
    LimitStanding,
    Listed,
    Opening,
    Progress,
    StoredStudy,
    Tally,
    UnreadableStudy,
    attempt_cause,
)
from hpsearch.storage.statements import DriverStatement
from hpsearch.storage.stored_studies import (
    check_there,
    foreign_by_id,
    limits_of,
    linked,
    not_found,
    read,
    row_of,
    study_of,
)
from hpsearch.storage.trials import by_id, trials_of
from hpsearch.trials import Fate, Trial, TrialState, best_trials, fate_of, ledger_key, ledger_of
from hpsearch.verdicts import Cause, known_cause

_studies = schema.studies
_ours = schema.trials
_theirs = optuna_schema.trials
_values = optuna_schema.trial_values

FAILED_SHARE: Final = 10
FAILED_LEAST: Final = 3
"""A study stops once a tenth of its budget has failed, or three trials if the budget is small."""

FAILED_LEAST_OF_FUNCTIONS: Final = 10
"""A study of a user's function, which may fail for some parameters, stops once as many trials failed as its budget."""

_Entry: TypeAlias = tuple[str, int]
"""A ledger key and its epochs."""


def failed_limit(budget: int, *, has_objective: bool = False) -> int:
    """Return the number of failed trials that stop a study of that budget."""
    if has_objective:
        return max(FAILED_LEAST_OF_FUNCTIONS, budget)
    return max(FAILED_LEAST, budget // FAILED_SHARE)


def smallest_budget(failed: int, *, has_objective: bool = False) -> int:
    """Return the smallest budget that this number of failed trials, as many as stop a study, does not stop."""
    return failed + 1 if has_objective else FAILED_SHARE * (failed + 1)


def progress(connection: Connection, study: StoredStudy) -> Progress:
    """Return the study's progress. Its ledger is `trials.ledger_of` of its trials and attempts.

    Raises StudyNotFoundError if the study was deleted.
    """
    if study.foreign is not None:
        check_there(connection, study)
        groups = _groups(connection, has_ours=False, study_id=study.study_id)
        best = _best_trials(connection, {study.study_id: study}, has_ours=False)
        return _progress(study, groups, best=best.get(study.study_id))
    own = row_of(connection, study)
    groups = _groups(connection, has_ours=True, study_id=study.study_id)
    mine = [row for row in groups if row.study_key == study.key]
    best = _best_trials(connection, {study.study_id: study}, has_ours=True)
    stands = _progress(
        replace(study, spec=replace(study.spec, trials=own.budget)),
        mine,
        attempts=_attempt_epochs(connection, study.key).get(study.key, ()),
        best=best.get(study.study_id),
        paused=own.stopped,
    )
    return replace(
        stands,
        foreign=running_trials(connection, study.key, own.now_s) if stands.running else (),
        limits=standings(connection, study, limits_of(own)),
    )


def limits(connection: Connection, study: StoredStudy) -> tuple[LimitStanding, ...]:
    """Return how a study stands against its present limits. Raises StudyNotFoundError if it was deleted."""
    return standings(connection, study, limits_of(row_of(connection, study)))


def listing(connection: Connection, *, has_ours: bool) -> list[Listed]:
    """Return all studies of a database, made by any client, oldest first, with a constant number of queries.

    Without `has_ours`, the database has no tables of hpsearch.
    """
    names: dict[int, str] = {
        row.study_id: row.study_name for row in connection.execute(select(optuna_schema.studies))
    }
    rows = {row.study_id: row for row in linked(connection)} if has_ours else {}
    ours = {study_id: read(row) for study_id, row in rows.items()}
    foreign = foreign_by_id(connection, {i: name for i, name in names.items() if i not in ours})
    groups: dict[int, list[Row[Any]]] = {}
    for row in _groups(connection, has_ours=has_ours):
        groups.setdefault(row.study_id, []).append(row)
    found = {i: study for i, study in (ours | foreign).items() if isinstance(study, StoredStudy)}
    best = _best_trials(connection, found, has_ours=has_ours)
    attempts = _attempt_epochs(connection) if has_ours else {}
    others = _others(connection) if any(map(_has_running, groups.values())) and has_ours else {}
    whole = [
        _listed(
            (ours | foreign)[study_id],
            groups.get(study_id, []),
            attempts=attempts,
            best=best.get(study_id),
            paused=rows[study_id].stopped if study_id in rows else None,
        )
        for study_id in sorted(names)
    ]
    return [_with_limits(connection, _with_foreign_trials(one, others)) for one in whole]


def _with_limits(connection: Connection, listed: Listed) -> Listed:
    """Return the study with its limits, which few studies have: each is read with queries of its own."""
    if listed.study is None or listed.progress is None or not listed.study.spec.budget:
        return listed
    limits = standings(connection, listed.study, listed.study.spec.budget)
    return replace(listed, progress=replace(listed.progress, limits=limits))


def _others(connection: Connection) -> dict[str, tuple[ForeignTrial, ...]]:
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    return all_running_trials(connection, now_s)


def _has_running(groups: Sequence[Row[Any]]) -> bool:
    return _counts(groups)[TrialState.RUNNING] > 0


def _with_foreign_trials(listed: Listed, others: Mapping[str, tuple[ForeignTrial, ...]]) -> Listed:
    """Return the study with its running trials of other Optuna clients."""
    if listed.study is None or listed.progress is None or listed.study.key not in others:
        return listed
    return replace(listed, progress=replace(listed.progress, foreign=others[listed.study.key]))


def count_trials(connection: Connection, name: str) -> dict[TrialState, int]:
    """Return the number of trials in each state of the named study, of any client. Raises StudyNotFoundError."""
    names = connection.execute(
        select(optuna_schema.studies).where(optuna_schema.studies.c.study_name == name)
    )
    study_id = next((row.study_id for row in names if row.study_name == name), None)
    if study_id is None:
        raise not_found(connection, name)
    return _counts(_groups(connection, has_ours=False, study_id=study_id))


def _listed(
    study: StoredStudy | UnreadableStudy,
    groups: Sequence[Row[Any]],
    *,
    attempts: Mapping[str, Sequence[_Entry]],
    best: Trial | None,
    paused: object,
) -> Listed:
    # Leftovers of a deleted study may have the same id: each group counts once.
    key = study.key or next((row.study_key for row in groups), None)
    own = [row for row in groups if row.study_key == key]
    counts = _counts(own)
    if isinstance(study, UnreadableStudy):
        return Listed(name=study.name, study_id=study.study_id, trials=counts, unreadable=study.reason)
    try:
        stands = _progress(study, own, attempts=attempts.get(study.key, ()), best=best, paused=paused)
    except (OverflowError, TypeError, ValueError) as error:
        reason = f"its rows in {_ours.name} cannot be read ({error}): restore them from a backup"
        return Listed(name=study.name, study_id=study.study_id, trials=counts, unreadable=reason)
    return Listed(name=study.name, study_id=study.study_id, trials=counts, study=study, progress=stands)


def _counts(groups: Sequence[Row[Any]]) -> dict[TrialState, int]:
    counts = dict.fromkeys(TrialState, 0)
    for row in groups:
        counts[STATES[row.state]] += row.trials
    return counts


def _progress(
    study: StoredStudy,
    groups: Sequence[Row[Any]],
    *,
    best: Trial | None,
    attempts: Sequence[_Entry] = (),
    paused: object = None,
) -> Progress:
    """Return a study's progress from rows of `_groups`."""
    count = _counts(groups)
    ledger = {} if study.foreign is not None else ledger_of([*_trial_epochs(groups), *attempts])
    why = None if paused is None else str(paused)
    stopped = None if study.foreign is not None else _too_many_failures(study, groups, study.spec.trials)
    return Progress(
        name=study.spec.name,
        budget=sum(count.values()) if study.foreign is not None else study.spec.trials,
        complete=count[TrialState.COMPLETE],
        pruned=count[TrialState.PRUNED],
        failed=count[TrialState.FAILED],
        running=count[TrialState.RUNNING],
        waiting=count[TrialState.WAITING],
        fates=_fates(groups),
        ledger=ledger,
        epochs=sum(ledger.values()),
        best=best,
        stopped=_paused(study, why) or stopped,
        is_paused=why is not None,
        is_foreign=study.foreign is not None,
    )


def _groups(connection: Connection, *, has_ours: bool, study_id: int | None = None) -> Sequence[Row[Any]]:
    """Return one row per study, state and verdict: study_id, study_key, state, verdict, trials, epochs.

    Only of one study if `study_id` is given.
    """
    # A sum of floats does not overflow, whatever values an SQLite file contains.
    epochs = func.coalesce(func.sum(_ours.c.epochs * literal(1.0)), 0.0) if has_ours else literal(0.0)
    key, verdict = (_studies.c.study_key, _ours.c.verdict) if has_ours else (null(), null())
    source: Any = _theirs
    if has_ours:
        source = source.outerjoin(_studies, _studies.c.study_id == _theirs.c.study_id).outerjoin(
            _ours, and_(_ours.c.study_key == _studies.c.study_key, _ours.c.number == _theirs.c.number)
        )
    grouped = [_theirs.c.study_id, _theirs.c.state, *((key, verdict) if has_ours else ())]
    statement = (
        select(
            _theirs.c.study_id,
            key.label("study_key"),
            _theirs.c.state,
            verdict.label("verdict"),
            func.count().label("trials"),
            epochs.label("epochs"),
        )
        .select_from(source)
        .group_by(*grouped)
    )
    if study_id is not None:
        statement = statement.where(_theirs.c.study_id == study_id)
    return connection.execute(statement).all()


def _attempt_epochs(connection: Connection, key: str | None = None) -> dict[str, list[_Entry]]:
    """Return study key -> (cause, epochs) of the unsuccessful attempts: of all studies, or of one."""
    attempts = schema.attempts
    how = (attempts.c.study_key, attempts.c.kind, attempts.c.crashed)
    sums = select(*how, func.sum(LOST_EPOCHS).label("epochs")).group_by(*how)
    found: dict[str, list[_Entry]] = {}
    for row in connection.execute(sums if key is None else sums.where(attempts.c.study_key == key)):
        cause = attempt_cause(kind_of(row.kind, crashed=bool(row.crashed), why=""))
        found.setdefault(row.study_key, []).append((cause, int(min(row.epochs or 0, _MOST_EPOCHS))))
    return found


_MOST_EPOCHS: Final = 2**53
"""Larger values are damage."""


def _cause(row: Row[Any]) -> Cause | None:
    return None if row.verdict is None else known_cause(row.verdict)


def _trial_epochs(groups: Sequence[Row[Any]]) -> list[_Entry]:
    """Return (ledger key, epochs) of trials from rows of `_groups`."""
    return [(ledger_key(STATES[row.state], _cause(row)), int(row.epochs)) for row in groups]


def _fates(groups: Sequence[Row[Any]]) -> dict[Fate, Tally]:
    fates: dict[Fate, Tally] = {}
    for row in groups:
        fate = fate_of(STATES[row.state], _cause(row))
        sofar = fates.get(fate, Tally(trials=0, epochs=0))
        fates[fate] = Tally(trials=sofar.trials + row.trials, epochs=sofar.epochs + int(row.epochs))
    return fates


def _best_trials(
    connection: Connection, studies: Mapping[int, StoredStudy], *, has_ours: bool
) -> dict[int, Trial | None]:
    """Return study_id -> best ranked trial, the first of equals; none for studies with several objectives."""
    single = {
        i: study for i, study in studies.items() if study.foreign is None or len(study.foreign.metrics) == 1
    }
    if not single:
        return {}
    ranked = (
        _theirs.c.state == COMPLETE,
        _values.c.objective == 0,
        _values.c.value_type == "FINITE",
        *((_theirs.c.study_id == next(iter(single)),) if len(studies) == 1 else ()),
    )
    joined = _theirs.join(_values, _values.c.trial_id == _theirs.c.trial_id)
    ends = (
        select(
            _theirs.c.study_id,
            func.min(_values.c.value).label("least"),
            func.max(_values.c.value).label("greatest"),
        )
        .select_from(joined)
        .where(*ranked)
        .group_by(_theirs.c.study_id)
        .subquery()
    )
    at_end = or_(_values.c.value == ends.c.least, _values.c.value == ends.c.greatest)
    # Trials get their ids in order of their numbers.
    rows = connection.execute(
        select(_theirs.c.study_id, _values.c.value, func.min(_theirs.c.trial_id).label("first"))
        .select_from(joined.join(ends, ends.c.study_id == _theirs.c.study_id))
        .where(*ranked, at_end)
        .group_by(_theirs.c.study_id, _values.c.value)
    )
    chosen: dict[int, tuple[float, int]] = {}
    for study_id, value, first in rows:
        if (study := single.get(study_id)) is not None:
            rank = (-value if study.maximize else value, first)
            chosen[study_id] = min(rank, chosen.get(study_id, rank))
    found = by_id(connection, [first for _, first in chosen.values()], has_ours=has_ours)
    best = {study_id: found[first] for study_id, (_, first) in chosen.items() if first in found}
    return best | {
        study_id: next(
            iter(best_trials(trials_of(connection, study), maximize=study.maximize, count=1)), None
        )
        for study_id, study in _constrained(connection, single).items()
    }


def _constrained(connection: Connection, studies: Mapping[int, StoredStudy]) -> dict[int, StoredStudy]:
    """Return those studies of other Optuna clients whose trials have constraints, which no sum of values includes."""
    if all(study.foreign is None for study in studies.values()):
        return {}
    attributes = optuna_schema.trial_system_attributes
    ids = connection.execute(
        select(_theirs.c.study_id)
        .join(attributes, attributes.c.trial_id == _theirs.c.trial_id)
        .where(attributes.c.key == "constraints")
        .distinct()
    ).scalars()
    found = {i: studies[i] for i in ids if i in studies}
    return {i: study for i, study in found.items() if study.foreign is not None}


def _paused(study: StoredStudy, why: str | None) -> str | None:
    """Return why the study stopped, with the remedy, if it was paused."""
    return why and f"{why}: `hpsearch study resume {shlex.quote(study.spec.name)}` continues it"


def _too_many_failures(study: StoredStudy, groups: Sequence[Row[Any]], budget: int) -> str | None:
    """Return why the study stopped if the permitted number of trials failed."""
    causes = {
        row.verdict or "no verdict": row.trials for row in groups if STATES[row.state] is TrialState.FAILED
    }
    failed = sum(causes.values())
    has_objective = study.spec.objective is not None
    if failed < failed_limit(budget, has_objective=has_objective):
        return None
    listed = ", ".join(f"{cause} {count}" for cause, count in sorted(causes.items(), key=lambda c: -c[1]))
    name = shlex.quote(study.spec.name)
    return (
        f"{failed} of {budget} trials failed: {listed}: see `hpsearch study trials {name} --state failed`; "
        f"`hpsearch study edit {name} --trials {smallest_budget(failed, has_objective=has_objective)}` continues it"
    )


def opening(connection: Connection, study: StoredStudy) -> Opening:
    """Return the remaining work of one study. Raises StudyNotFoundError if it was deleted, and StudyUnreadableError."""
    row = row_of(connection, study)
    counts = Counter(_settled(row))
    at = {"at_study_id": study.study_id, "settled": row.settled_trial_id}
    for state, count in _UNSETTLED_OF_STUDY.rows(connection, at):
        counts[state] += count
    return _opening(connection, row, study_of(row), counts)


def _settled(row: Any) -> dict[str, int]:
    return {COMPLETE: row.settled_complete, PRUNED: row.settled_pruned, FAIL: row.settled_failed}


def openings(connection: Connection, *, above: StoredStudy | None) -> list[Opening]:
    """Return the remaining work of all readable studies, or of those with a higher priority than `above` has now.

    Those of higher priority come first, and of equals the older ones. None is above a deleted study.
    """
    return openings_and_unreadable(connection, above=above)[0]


def openings_and_unreadable(
    connection: Connection, *, above: StoredStudy | None = None
) -> tuple[list[Opening], list[UnreadableStudy]]:
    """Return the result of `openings`, and the studies that cannot be read."""
    rows: list[tuple[Row[Any], StoredStudy]] = []
    unreadable: list[UnreadableStudy] = []
    for row in linked(connection):
        if isinstance(study := read(row), UnreadableStudy):
            unreadable.append(study)
        else:
            rows.append((row, study))
    if above is not None:
        floor = next((study.priority for _, study in rows if study.key == above.key), math.inf)
        rows = [(row, study) for row, study in rows if study.priority > floor]
    rows.sort(key=lambda pair: (-pair[1].priority, pair[1].created))
    return _openings(connection, rows), unreadable


def _openings(connection: Connection, rows: list[tuple[Row[Any], StoredStudy]]) -> list[Opening]:
    counts = {study.key: Counter(_settled(row)) for row, study in rows}
    keys = list(counts)
    for start in range(0, len(keys), IDS_MAX):
        statement = _UNSETTLED.where(_studies.c.study_key.in_(keys[start : start + IDS_MAX]))
        for key, state, count in connection.execute(statement):
            counts[key][state] += count
    return [_opening(connection, row, study, counts[study.key]) for row, study in rows]


_UNSETTLED: Final = (
    select(_studies.c.study_key, _theirs.c.state, func.count())
    .join(
        _theirs,
        and_(
            _theirs.c.study_id == _studies.c.study_id,
            _theirs.c.trial_id > _studies.c.settled_trial_id,
        ),
    )
    .group_by(_studies.c.study_key, _theirs.c.state)
)


_UNSETTLED_OF_STUDY: Final = DriverStatement(
    select(_theirs.c.state, func.count().label("trials"))
    .where(_theirs.c.study_id == bindparam("at_study_id"), _theirs.c.trial_id > bindparam("settled"))
    .group_by(_theirs.c.state)
)


def _opening(connection: Connection, row: Any, study: StoredStudy, counts: Counter[str]) -> Opening:
    left = row.budget - counts[COMPLETE] - counts[PRUNED]
    most = failed_limit(row.budget, has_objective=study.spec.objective is not None)
    is_stopped = row.stopped is not None or counts[FAIL] >= most
    if left > 0 and not is_stopped and study.spec.budget:
        is_stopped = any(limit.is_reached for limit in standings(connection, study, study.spec.budget))
    is_open = left > 0 and not is_stopped
    running = counts[RUNNING]
    seen = _foreign(connection, study) if is_open and running >= left else ()
    counting = tuple(trial for trial in seen if trial.counts)
    room = max(0, left - running + len(seen) - len(counting)) if is_open else 0
    return Opening(
        study=study,
        room=room,
        is_open=is_open,
        is_stopped=left > 0 and is_stopped,
        waits_for=counting if not room and running == len(seen) else (),
        foreign=seen,
    )


def _foreign(connection: Connection, study: StoredStudy) -> tuple[ForeignTrial, ...]:
    """Return the trials of other Optuna clients, which are read only if nothing else is left to claim."""
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    return running_trials(connection, study.key, now_s)
