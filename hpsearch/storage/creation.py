"""How a study comes into being: once, whatever the number of calls at once, with what it begins with.

Each function works inside its caller's transaction.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from hpsearch.storage import enqueuing, studies
from hpsearch.storage.records import StoredStudy
from hpsearch.study.spec import StudySpec
from hpsearch.trials import ParameterValue


def created(
    connection: Connection,
    spec: StudySpec,
    fingerprint: str,
    *,
    parent: StoredStudy | None,
    enqueued: Sequence[Mapping[str, ParameterValue]],
) -> StoredStudy:
    """Return the study, made here unless the same one is there; a new one begins with `enqueued`.

    Raises StudyExistsError, saying what differs, where the name belongs to another study.
    """
    if (stored := _same(connection, spec, fingerprint)) is not None:
        return stored
    try:
        with connection.begin_nested():
            made = studies.create(
                connection, spec, fingerprint, parent=None if parent is None else parent.key
            )
            enqueuing.enqueue(connection, made, enqueued)
            return made
    except IntegrityError:
        # Somebody else created it between our look and our insert.
        stored = _same(connection, spec, fingerprint)
        if stored is None:
            raise
        return stored


def _same(connection: Connection, spec: StudySpec, fingerprint: str) -> StoredStudy | None:
    # In this order: a study that is made meanwhile is then seen by both looks or by the second.
    holder = studies.holder(connection, spec.name)
    stored = studies.named(connection, spec.name)
    if stored is not None:
        studies.check_same(stored, spec, fingerprint)
    elif holder is not None:
        studies.refuse_name(spec.name, holder)
    return stored
