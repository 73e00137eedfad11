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
from hpsearch.storage.foreign import Place, look
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING
from hpsearch.storage.records import ForeignTrial, Opening, StoredStudy
from hpsearch.storage.studies import linked, row_of, study_of

_ours = schema.studies
_theirs = optuna_schema.trials


def opening(connection: Connection, study: StoredStudy) -> Opening:
    """Return what one study has left. Raises StudyNotFoundError when it was deleted."""
    return _openings(connection, [row_of(connection, study)])[0]


def openings(connection: Connection, *, above: StoredStudy | None) -> list[Opening]:
    """Return all studies, or those whose priority is above that of a study now.

    Those of higher priority are in front, and of equals the older ones. None is above a study that was deleted.
    """
    rows = list(linked(connection))
    if above is not None:
        floor = next((row.priority for row in rows if row.study_key == above.key), math.inf)
        rows = [row for row in rows if row.priority > floor]
    return _openings(connection, sorted(rows, key=lambda row: (-row.priority, row.created)))


def _openings(connection: Connection, rows: list[Row[Any]]) -> list[Opening]:
    counts = {
        row.study_key: Counter(
            {COMPLETE: row.settled_complete, PRUNED: row.settled_pruned, FAIL: row.settled_failed}
        )
        for row in rows
    }
    statement = _UNSETTLED.where(_ours.c.study_key.in_(list(counts)))
    for key, state, trials in connection.execute(statement) if rows else ():
        counts[key][state] += trials
    return [_opening(connection, row, counts[row.study_key]) for row in rows]


_UNSETTLED: Final = (
    select(_ours.c.study_key, _theirs.c.state, func.count())
    .join(
        _theirs, and_(_theirs.c.study_id == _ours.c.study_id, _theirs.c.trial_id > _ours.c.settled_trial_id)
    )
    .group_by(_ours.c.study_key, _theirs.c.state)
)


def _opening(connection: Connection, row: Row[Any], counts: Counter[str]) -> Opening:
    left = row.budget - counts[COMPLETE] - counts[PRUNED]
    is_stopped = row.stopped is not None or counts[FAIL] >= failed_limit(row.budget)
    is_open = left > 0 and not is_stopped
    running = counts[RUNNING]
    seen = _foreign(connection, row) if is_open and running >= left else ()
    counting = tuple(trial for trial in seen if trial.counts)
    room = max(0, left - running + len(seen) - len(counting)) if is_open else 0
    return Opening(
        study=study_of(row),
        room=room,
        is_open=is_open,
        is_stopped=left > 0 and is_stopped,
        waits_for=counting if not room and running == len(seen) else (),
        foreign=seen,
    )


def _foreign(connection: Connection, row: Row[Any]) -> tuple[ForeignTrial, ...]:
    """Return the trials of other Optuna clients, which are looked at only where nothing else is left to claim."""
    now_s: float = connection.execute(select(EpochSeconds())).scalar_one()
    place = Place(study_id=row.study_id, key=row.study_key, settled=row.settled_trial_id, now_s=now_s)
    return look(connection, place)
