"""Evaluations of trials' configurations with other seeds, and the opening of the sealed test part.

Each function runs inside its caller's transaction.
"""

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import Connection, Row, delete, select, tuple_, update

from hpsearch.storage import schema
from hpsearch.storage.clock import utc
from hpsearch.storage.records import Evaluation, Part, StoredStudy, Unsealing
from hpsearch.storage.statements import insert_rows
from hpsearch.storage.stored_values import moment, shown_value, whole
from hpsearch.storage.studies import LockedStudy, row_of, study_of, unsealing_of

_table = schema.evaluations
_studies = schema.studies


def evaluations(connection: Connection, study: StoredStudy) -> list[Evaluation]:
    """Return the study's evaluations by number, part and seed."""
    rows = connection.execute(
        select(_table)
        .where(_table.c.study_key == study.key)
        .order_by(_table.c.number, _table.c.part, _table.c.seed)
    )
    found = []
    for row in rows:
        with contextlib.suppress(ValueError):  # skip damaged rows, and parts that only a newer version has
            found.append(_evaluation(row))
    return found


def _evaluation(row: Row[Any]) -> Evaluation:
    """Return the evaluation of a row. Raises ValueError if this version does not write such a row."""
    if row.part not in get_args(Part):
        raise ValueError(f"part: must be one of {', '.join(get_args(Part))} (got {shown_value(row.part)})")
    return Evaluation(
        number=whole(row.number, "number", low=0),
        part=row.part,
        seed=whole(row.seed, "seed"),
        loss=_number(row.loss),
        accuracy=_number(row.accuracy),
        made=moment(row.made, "made"),
    )


def _number(value: object) -> float | None:
    return _finite(float(value)) if isinstance(value, int | float) else None


def write(connection: Connection, locked: LockedStudy, made: Sequence[Evaluation]) -> None:
    """Write evaluations, replacing those of the same number, part and seed. The time is the database's."""
    same = tuple_(_table.c.number, _table.c.part, _table.c.seed)
    wanted = [(one.number, one.part, one.seed) for one in made]
    connection.execute(delete(_table).where(_table.c.study_key == locked.study.key, same.in_(wanted)))
    rows = [
        {
            "study_key": locked.study.key,
            "number": one.number,
            "part": one.part,
            "seed": one.seed,
            "loss": _finite(one.loss),
            "accuracy": _finite(one.accuracy),
            "made": locked.now_s,
        }
        for one in made
    ]
    insert_rows(connection, _table, rows)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def unsealing(connection: Connection, study: StoredStudy) -> Unsealing | None:
    """Return how the study's sealed test part was opened, or None if it never was.

    Raises StudyNotFoundError if the study was deleted, StudyUnreadableError if the stored value is unusable.
    """
    row = row_of(connection, study)
    try:
        return unsealing_of(row.unsealing)
    except ValueError:
        study_of(row)  # raises, with the reason and the remedy
        raise


def unseal(
    connection: Connection, locked: LockedStudy, *, number: int, command: str, seeds: int | None
) -> Unsealing:
    """Record that the sealed test part is opened for trial `number`; return the first record, which is permanent."""
    before = unsealing(connection, locked.study)
    if before is not None:
        return before
    text = json.dumps({"number": number, "command": command, "opened": locked.now_s, "seeds": seeds})
    connection.execute(
        update(_studies).where(_studies.c.study_key == locked.study.key).values(unsealing=text)
    )
    return Unsealing(number=number, command=command, opened=utc(locked.now_s), seeds=seeds)
