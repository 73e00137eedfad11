"""Create a study and its initial trials, exactly once for any number of concurrent calls.

Trials may wait with parameters of the caller's choice, as Optuna's `enqueue_trial` leaves them: workers take waiting
trials first, and they count against the budget like all others. Each function runs inside its caller's transaction.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from hpsearch.storage import optuna_schema, studies
from hpsearch.storage.details import write_attributes
from hpsearch.storage.optuna_schema import WAITING
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.statements import insert_rows
from hpsearch.study.spec import StudySpec
from hpsearch.trials import FIXED, ParameterValue

_trials = optuna_schema.trials


def enqueue(
    connection: Connection, study: StoredStudy, asked: Sequence[Mapping[str, ParameterValue]]
) -> list[int]:
    """Write one waiting trial for each of `asked`; missing parameters are sampled. Return their numbers."""
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


def created(
    connection: Connection,
    spec: StudySpec,
    fingerprint: str,
    *,
    parent: StoredStudy | None,
    enqueued: Sequence[Mapping[str, ParameterValue]],
) -> StoredStudy:
    """Return the study, created unless it already exists; a new one starts with `enqueued`.

    Raises StudyExistsError, naming the differences, if the name belongs to another study.
    """
    if (stored := _same(connection, spec, fingerprint)) is not None:
        return stored
    try:
        with connection.begin_nested():
            made = studies.create(
                connection, spec, fingerprint, parent=None if parent is None else parent.key
            )
            enqueue(connection, made, enqueued)
            return made
    except IntegrityError:
        # Another process created it between our read and our insert.
        stored = _same(connection, spec, fingerprint)
        if stored is None:
            raise
        return stored


def _same(connection: Connection, spec: StudySpec, fingerprint: str) -> StoredStudy | None:
    # In this order: a study created in the meantime is then seen by both reads or by the second.
    holder = studies.holder(connection, spec.name)
    stored = studies.named(connection, spec.name)
    if stored is not None:
        studies.check_same(stored, spec, fingerprint)
    elif holder is not None:
        studies.refuse_name(spec.name, holder)
    return stored
