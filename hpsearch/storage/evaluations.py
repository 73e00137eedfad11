"""Evaluations of trials' configurations with other seeds, and the opening of the sealed test part.

Functions run inside their caller's transaction.
"""

import contextlib
import json
import math
from collections.abc import Sequence
from typing import Any, final, get_args

from sqlalchemy import Connection, Row, delete, select, tuple_, update

from hpsearch.storage import schema
from hpsearch.storage.clock import utc
from hpsearch.storage.engine import Transactions
from hpsearch.storage.records import Evaluation, Part, StoredStudy, Unsealing
from hpsearch.storage.statements import write_rows
from hpsearch.storage.stored_studies import LockedStudy, change, row_of, study_of, unsealing_of
from hpsearch.storage.stored_values import moment, shown_value, whole

_table = schema.evaluations
_studies = schema.studies


@final
class Evaluations:
    """Evaluations of all studies, and the openings of their sealed test parts. Threads may share it.

    Methods raise StudyNotFoundError if the study was deleted; those that write raise ForeignStudyError for a study of
    another Optuna client.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def all(self, study: StoredStudy) -> list[Evaluation]:
        """Return the evaluations of trials' configurations with other seeds, by number, part and seed."""
        return [] if study.foreign is not None else self._transactions.read(_every, study)

    def write(self, study: StoredStudy, made: Sequence[Evaluation]) -> None:
        """Store evaluations, replacing those of the same number, part and seed; their times are the database's."""
        change(self._transactions, study, _write, made)

    def unsealing(self, study: StoredStudy) -> Unsealing | None:
        """Return how the study's sealed test part was opened, or None if it never was.

        Raises StudyUnreadableError if the stored value is unusable.
        """
        return None if study.foreign is not None else self._transactions.read(_unsealing, study)

    def unseal(self, study: StoredStudy, *, number: int, command: str, seeds: int | None = None) -> Unsealing:
        """Record permanently that the sealed test part is opened for trial `number`; return the first call's record."""
        return change(self._transactions, study, _unseal, number=number, command=command, seeds=seeds)


def _every(connection: Connection, study: StoredStudy) -> list[Evaluation]:
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
        score=_number(row.score),
        made=moment(row.made, "made"),
    )


def _number(value: object) -> float | None:
    return _finite(float(value)) if isinstance(value, int | float) else None


def _write(connection: Connection, locked: LockedStudy, made: Sequence[Evaluation]) -> None:
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
            "score": _finite(one.score),
            "made": locked.now_s,
        }
        for one in made
    ]
    write_rows(connection, _table, rows)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _unsealing(connection: Connection, study: StoredStudy) -> Unsealing | None:
    row = row_of(connection, study)
    try:
        return unsealing_of(row.unsealing)
    except ValueError:
        study_of(row)  # raises, with the reason and the remedy
        raise


def _unseal(
    connection: Connection, locked: LockedStudy, *, number: int, command: str, seeds: int | None
) -> Unsealing:
    before = _unsealing(connection, locked.study)
    if before is not None:
        return before
    text = json.dumps({"number": number, "command": command, "opened": locked.now_s, "seeds": seeds})
    connection.execute(
        update(_studies).where(_studies.c.study_key == locked.study.key).values(unsealing=text)
    )
    return Unsealing(number=number, command=command, opened=utc(locked.now_s), seeds=seeds)
