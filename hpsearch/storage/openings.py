"""What the studies have left to do, from a look that costs little however long they are.

Each function reads in its caller's transaction.
"""

import math
from collections import Counter
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, func, select

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.claims import failed_limit
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.details import IDS_MAX
from hpsearch.storage.foreign_trials import look as look_at_trials
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING
from hpsearch.storage.records import ForeignTrial, Opening, StoredStudy, UnreadableStudy
from hpsearch.storage.studies import linked, read, row_of, study_of

_ours = schema.studies
_theirs = optuna_schema.trials


def opening(connection: Connection, study: StoredStudy) -> Opening:
    """Return what one study has left. Raises StudyNotFoundError when it was deleted, and StudyUnreadableError."""
    row = row_of(connection, study)
    return _openings(connection, [(row, study_of(row))])[0]


def openings(connection: Connection, *, above: StoredStudy | None) -> list[Opening]:
    """Return all studies, or those whose priority is above that of a study now; without those that cannot be read.

    Those of higher priority are in front, and of equals the older ones. None is above a study that was deleted.
    """
    return look(connection, above=above)[0]


def look(
    connection: Connection, *, above: StoredStudy | None = None
) -> tuple[list[Opening], list[UnreadableStudy]]:
    """Return what `openings` does, and the studies that cannot be read."""
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
    counts = {
        study.key: Counter(
            {COMPLETE: row.settled_complete, PRUNED: row.settled_pruned, FAIL: row.settled_failed}
        )
        for row, study in rows
    }
    keys = list(counts)
    for start in range(0, len(keys), IDS_MAX):
        statement = _UNSETTLED.where(_ours.c.study_key.in_(keys[start : start + IDS_MAX]))
        for key, state, trials in connection.execute(statement):
            counts[key][state] += trials
    return [_opening(connection, row, study, counts[study.key]) for row, study in rows]


_UNSETTLED: Final = (
    select(_ours.c.study_key, _theirs.c.state, func.count())
    .join(
        _theirs, and_(_theirs.c.study_id == _ours.c.study_id, _theirs.c.trial_id > _ours.c.settled_trial_id)
    )
    .group_by(_ours.c.study_key, _theirs.c.state)
)


def _opening(connection: Connection, row: Row[Any], study: StoredStudy, counts: Counter[str]) -> Opening:
    left = row.budget - counts[COMPLETE] - counts[PRUNED]
    is_stopped = row.stopped is not None or counts[FAIL] >= failed_limit(row.budget)
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
    """Return the trials of other Optuna clients, which are looked at only if nothing else is left to claim."""
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    return look_at_trials(connection, study.key, now_s)
