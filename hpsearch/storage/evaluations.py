"""What became of trials' configurations with other seeds, and the opening of the sealed test part.

Each function works inside its caller's transaction.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select, tuple_, update

from hpsearch.storage import schema
from hpsearch.storage.bulk import insert_rows
from hpsearch.storage.clock import utc
from hpsearch.storage.records import Evaluation, StoredStudy, Unsealing
from hpsearch.storage.studies import LockedStudy, row_of

_table = schema.evaluations
_studies = schema.studies


def evaluations(connection: Connection, study: StoredStudy) -> list[Evaluation]:
    """Return the study's evaluations by number, part and seed."""
    rows = connection.execute(
        select(_table)
        .where(_table.c.study_key == study.key)
        .order_by(_table.c.number, _table.c.part, _table.c.seed)
    )
    return [_evaluation(row) for row in rows]


def _evaluation(row: Row[Any]) -> Evaluation:
    return Evaluation(
        number=row.number,
        part=row.part,
        seed=row.seed,
        loss=row.loss,
        accuracy=row.accuracy,
        made=utc(row.made),
    )


def write(connection: Connection, locked: LockedStudy, made: Sequence[Evaluation]) -> None:
    """Write evaluations, each in place of one of the same number, part and seed. The time is the database's."""
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
    """Return how the study's sealed test part was opened, None where it never was.

    Raises StudyNotFoundError when the study was deleted.
    """
    stored = row_of(connection, study).unsealing
    if stored is None:
        return None
    found = json.loads(stored)
    return Unsealing(
        number=found["number"],
        command=found["command"],
        opened=utc(found["opened"]),
        seeds=found.get("seeds"),
    )


def unseal(
    connection: Connection, locked: LockedStudy, *, number: int, command: str, seeds: int | None
) -> Unsealing:
    """Write that the sealed test part is opened for trial `number`, and return it; the first time counts for ever."""
    before = unsealing(connection, locked.study)
    if before is not None:
        return before
    text = json.dumps({"number": number, "command": command, "opened": locked.now_s, "seeds": seeds})
    connection.execute(
        update(_studies).where(_studies.c.study_key == locked.study.key).values(unsealing=text)
    )
    return Unsealing(number=number, command=command, opened=utc(locked.now_s), seeds=seeds)
