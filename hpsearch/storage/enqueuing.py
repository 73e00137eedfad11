"""Trials that wait with parameters of somebody's choice, as Optuna's `enqueue_trial` leaves them.

Workers take waiting trials before new ones; they count against the budget like all others. Each function works inside
its caller's transaction, on a study whose row that holds.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select

from hpsearch.storage import optuna_schema
from hpsearch.storage.bulk import insert_rows
from hpsearch.storage.details import write_attributes
from hpsearch.storage.optuna_schema import WAITING
from hpsearch.storage.records import StoredStudy
from hpsearch.trials import FIXED, ParameterValue

_trials = optuna_schema.trials


def enqueue(
    connection: Connection, study: StoredStudy, asked: Sequence[Mapping[str, ParameterValue]]
) -> list[int]:
    """Write one waiting trial for each of `asked`; what is not given there is sampled. Return their numbers."""
    if not asked:
        return []
    mine = _trials.c.study_id == study.study_id
    last = connection.execute(select(func.max(_trials.c.number)).where(mine)).scalar_one()
    numbers = range(0 if last is None else last + 1, (0 if last is None else last + 1) + len(asked))
    insert_rows(
        connection,
        _trials,
        [{"study_id": study.study_id, "number": number, "state": WAITING} for number in numbers],
    )
    made = connection.execute(
        select(_trials.c.trial_id).where(mine, _trials.c.number >= numbers[0]).order_by(_trials.c.number)
    ).scalars()
    attributes = {trial_id: {FIXED: dict(fixed)} for trial_id, fixed in zip(made, asked, strict=True)}
    write_attributes(connection, optuna_schema.trial_system_attributes, attributes)
    return list(numbers)
