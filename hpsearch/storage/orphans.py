"""Rows left by other Optuna clients that deleted or renamed a study.

Each function runs inside its caller's transaction, except `sweep_orphans`.
"""

import contextlib
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, and_, case, delete, or_, select, update

from hpsearch.errors import StorageReadOnlyError
from hpsearch.storage import leases, optuna_schema, schema, stored_studies
from hpsearch.storage.engine import Transactions
from hpsearch.storage.leases import SUPERSEDED, Ending
from hpsearch.storage.optuna_schema import RUNNING, WAITING
from hpsearch.storage.records import StoredStudy, UnreadableStudy

RENAMED: Final = Ending(why="another Optuna client renamed the study", kind=SUPERSEDED, crashed=False)
"""The reason of attempts that were running, or ended, while another client copied their study."""

_links = optuna_schema.study_user_attributes
_ours = schema.studies
_our_trials = schema.trials
_their_trials = optuna_schema.trials
_their_studies = optuna_schema.studies


def renamed_sentence(before: StoredStudy, now: StoredStudy) -> str:
    """Return the sentence with a study's new name."""
    return f'study "{before.spec.name}": was renamed to "{now.spec.name}"'


def sweep_orphans(transactions: Transactions) -> bool:
    """If the database may be written, follow studies that other clients renamed and forget those they deleted.

    Return whether there was anything to sweep.
    """
    found = transactions.has_ours and transactions.read(has_orphans)
    if found:
        with contextlib.suppress(StorageReadOnlyError):
            transactions.write(sweep)
    return found


def has_orphans(connection: Connection) -> bool:
    """Return True if a study of ours is no longer Optuna's under the same id."""
    return bool(_orphans(connection))


def sweep(connection: Connection) -> None:
    """Follow studies that were renamed by copying and deleting them, and forget deleted ones."""
    orphans = _orphans(connection)
    copies = _copies(connection) if orphans else {}
    for key in orphans:
        if (study_id := copies.get(key)) is None:
            stored_studies.forget(connection, key)
        elif (study := _unfollowed(connection, key, study_id)) is not None:
            _follow(connection, study)


def _orphans(connection: Connection) -> set[str]:
    """Return the keys of our studies that are no longer Optuna's under the same id.

    One statement, which reads as of one moment: a study that is being created must not be mistaken for an orphan.
    """
    link = and_(_links.c.study_id == _their_studies.c.study_id, _links.c.key == schema.LINK_ATTRIBUTE)
    rows = connection.execute(
        select(_ours.c.study_key, _links.c.value_json).select_from(
            _ours.outerjoin(_their_studies, _their_studies.c.study_id == _ours.c.study_id).outerjoin(
                _links, link
            )
        )
    ).all()
    return {row.study_key for row in rows if not stored_studies.is_link(row.value_json, row.study_key)}


def _copies(connection: Connection) -> dict[str, int]:
    """Return study key -> the id of the newest of Optuna's studies that names it."""
    rows = connection.execute(
        select(_links.c.study_id, _links.c.value_json)
        .where(_links.c.key == schema.LINK_ATTRIBUTE)
        .order_by(_links.c.study_id)
    )
    keys = ((stored_studies.link_of(row.value_json), row.study_id) for row in rows)
    return {key: study_id for key, study_id in keys if key is not None}


def _unfollowed(connection: Connection, key: str, study_id: int) -> StoredStudy | None:
    """Lock Optuna's copy of a study and return the study as copied.

    None if another process followed it in the meantime, if the copy is gone too, or if this version cannot read the
    study: a newer one will follow it.
    """
    locked = select(_their_studies.c.study_name).where(_their_studies.c.study_id == study_id)
    name = connection.execute(locked.with_for_update()).scalar_one_or_none()
    row = connection.execute(
        select(_ours, _their_studies.c.study_name)
        .join(_their_studies, _their_studies.c.study_id == study_id)
        .where(_ours.c.study_key == key)
    ).one_or_none()
    if name is None or row is None or row.study_id == study_id:
        return None
    study = stored_studies.read(row)
    return None if isinstance(study, UnreadableStudy) else replace(study, study_id=study_id)


def _follow(connection: Connection, study: StoredStudy) -> None:
    """Point our rows at Optuna's copy of a study, and set all trials waiting that have not ended in the copy.

    A copy keeps the numbers of its trials, but copying takes time, and workers continue meanwhile. Trials claimed after
    the copy was made are missing there and forgotten. Trials that ended after it was made return to waiting, like those
    still held: the copy has their parameters, so they end in the same way.
    """
    connection.execute(
        update(_ours)
        .where(_ours.c.study_key == study.key)
        .values(
            study_id=study.study_id,
            name=study.spec.name,
            settled_trial_id=-1,
            settled_complete=0,
            settled_pruned=0,
            settled_failed=0,
        )
    )
    _forget_unknown_trials(connection, study)
    _point_at_copies(connection, study)
    # Workers write under the old id, in vain; their trials are taken from them immediately.
    leases.release_all(connection, stored_studies.lock(connection, study), numbers=None, ending=RENAMED)
    _let_strays_wait(connection, study)


def _forget_unknown_trials(connection: Connection, study: StoredStudy) -> None:
    """Delete our rows of the trials that the copy lacks, so that their numbers can be reused."""
    there = select(_their_trials.c.number).where(_their_trials.c.study_id == study.study_id)
    for table in schema.STUDY_DETAILS:
        connection.execute(delete(table).where(table.c.study_key == study.key, table.c.number.not_in(there)))


def _point_at_copies(connection: Connection, study: StoredStudy) -> None:
    """Write the ids of the copies to our rows, and forget the ends of trials that have not ended there.

    Those get an expired lease, as if their worker still held them.
    """
    theirs, ours = _their_trials, _our_trials
    mine = ours.c.study_key == study.key
    unfinished = select(theirs.c.number).where(
        theirs.c.study_id == study.study_id, theirs.c.state.in_((WAITING, RUNNING))
    )
    copied = (
        select(theirs.c.trial_id)
        .where(theirs.c.study_id == study.study_id, theirs.c.number == ours.c.number)
        .scalar_subquery()
    )
    is_undone = and_(ours.c.verdict.is_not(None), ours.c.number.in_(unfinished))
    run_out = case((or_(ours.c.lease_until.is_not(None), is_undone), 0.0))
    connection.execute(
        update(ours).where(mine).values(trial_id=copied, lease_until=run_out, version=ours.c.version + 1)
    )
    connection.execute(update(ours).where(mine, is_undone).values(verdict=None, finding=None))
    series = schema.series
    connection.execute(delete(series).where(series.c.study_key == study.key, series.c.number.in_(unfinished)))


def _let_strays_wait(connection: Connection, study: StoredStudy) -> None:
    """Set trials waiting that a worker handed back after the copy, which shows them as running, was made."""
    theirs, reports = _their_trials, optuna_schema.trial_intermediate_values
    known = select(_our_trials.c.number).where(_our_trials.c.study_key == study.key)
    running = (
        select(theirs.c.trial_id)
        .where(theirs.c.study_id == study.study_id, theirs.c.state == RUNNING, theirs.c.number.in_(known))
        .with_for_update()
    )
    strays = list(connection.execute(running).scalars())
    if strays:
        connection.execute(delete(reports).where(reports.c.trial_id.in_(strays)))
        connection.execute(
            update(theirs).where(theirs.c.trial_id.in_(strays)).values(state=WAITING, datetime_start=None)
        )
