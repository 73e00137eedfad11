"""What other Optuna clients leave behind when they delete or rename a study."""

from sqlalchemy import Connection, case, select, update

from hpsearch.storage import optuna_schema, schema, studies

_links = optuna_schema.study_user_attributes
_ours = schema.studies


def has_orphans(connection: Connection) -> bool:
    """True when a study of ours is no longer Optuna's under the same id."""
    return bool(_orphans(connection))


def sweep(connection: Connection) -> None:
    """Follow studies that were renamed by copying and deleting them, and forget those that are gone."""
    copies = _copies(connection)
    for key in _orphans(connection):
        if (study_id := copies.get(key)) is None:
            studies.forget(connection, key)
        else:
            _follow(connection, key, study_id)


def _orphans(connection: Connection) -> set[str]:
    """Return the keys of our studies that are no longer Optuna's under the same id."""
    linked = {key for _, key in studies.links(connection)}
    return set(connection.execute(select(_ours.c.study_key)).scalars()) - linked


def _copies(connection: Connection) -> dict[str, int]:
    """Return study key -> the id of the newest of Optuna's studies that names it."""
    rows = connection.execute(
        select(_links.c.study_id, _links.c.value_json)
        .where(_links.c.key == schema.LINK_ATTRIBUTE)
        .order_by(_links.c.study_id)
    )
    keys = ((studies.link_of(row.value_json), row.study_id) for row in rows)
    return {key: study_id for key, study_id in keys if key is not None}


def _follow(connection: Connection, key: str, study_id: int) -> None:
    """Point our rows at Optuna's copy of the study. A copy keeps the numbers of its trials."""
    theirs, ours = optuna_schema.trials, schema.trials
    connection.execute(
        update(_ours)
        .where(_ours.c.study_key == key)
        .values(
            study_id=study_id,
            settled_trial_id=-1,
            settled_complete=0,
            settled_pruned=0,
            settled_failed=0,
        )
    )
    copied = (
        select(theirs.c.trial_id)
        .where(theirs.c.study_id == study_id, theirs.c.number == ours.c.number)
        .scalar_subquery()
    )
    there = select(theirs.c.number).where(theirs.c.study_id == study_id)
    # A worker writes under the old id, in vain: what it had runs again.
    run_out = case((ours.c.lease_until.is_not(None), 0.0))
    connection.execute(
        update(ours)
        .where(ours.c.study_key == key, ours.c.number.in_(there))
        .values(trial_id=copied, lease_until=run_out, version=ours.c.version + 1)
    )
