"""Studies: made, found, compared, locked, deleted. Each function works inside its caller's transaction."""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NoReturn, final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, insert, select, update

import hpsearch
from hpsearch.errors import StorageError, StudyExistsError, StudyNotFoundError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds, utc
from hpsearch.storage.direct import Direct
from hpsearch.storage.drivers import working_long
from hpsearch.storage.records import StoredStudy
from hpsearch.study.json_form import spec_from_json, spec_to_json
from hpsearch.study.nearest import did_you_mean
from hpsearch.study.spec import StudySpec

_METRIC_NAMES: Final = "study:metric_names"
"""Where Optuna keeps what its plots and dashboards call a study's value."""

_ours = schema.studies
_theirs = optuna_schema.studies
_links = optuna_schema.study_user_attributes


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LockedStudy:
    """A study whose row this transaction holds, so that nobody else numbers or counts its trials.

    `now_s` is the database's time; with `has_expired` some lease has run out. Trials up to `settled_trial_id` have
    ended; `settled` counts them by Optuna's name of their state.
    """

    study: StoredStudy
    now_s: float
    budget: int
    stopped: str | None
    has_expired: bool
    settled_trial_id: int
    settled: Mapping[str, int]


def create(
    connection: Connection, spec: StudySpec, fingerprint: str, *, parent: str | None = None
) -> StoredStudy:
    """Write a new study. Raises IntegrityError when the name is taken, also by one just being made."""
    connection.execute(insert(_theirs).values(study_name=spec.name))
    same_name = select(_theirs.c.study_id).where(_theirs.c.study_name == spec.name)
    study_id = connection.execute(same_name).scalar_one()
    key = str(uuid.uuid4())
    created_s = connection.execute(select(EpochSeconds())).scalar_one()
    connection.execute(
        insert(_ours).values(
            study_key=key,
            study_id=study_id,
            name=spec.name,
            spec=spec_to_json(spec),
            fingerprint=fingerprint,
            budget=spec.trials,
            created=created_s,
            hpsearch_version=hpsearch.__version__,
            parent=parent,
        )
    )
    study = StoredStudy(
        key=key,
        study_id=study_id,
        spec=spec,
        fingerprint=fingerprint,
        created=utc(created_s),
        version=hpsearch.__version__,
        parent=parent,
    )
    _describe_to_optuna(connection, study)
    return study


def _describe_to_optuna(connection: Connection, study: StoredStudy) -> None:
    """Write what other Optuna clients look at: the direction, the metric's name, and whose study it is."""
    direction = "MAXIMIZE" if study.maximize else "MINIMIZE"
    connection.execute(
        insert(optuna_schema.study_directions).values(
            study_id=study.study_id, objective=0, direction=direction
        )
    )
    connection.execute(
        insert(optuna_schema.study_system_attributes).values(
            study_id=study.study_id, key=_METRIC_NAMES, value_json=json.dumps([study.spec.metric])
        )
    )
    attributes = {
        schema.LINK_ATTRIBUTE: study.key,
        "hpsearch:fingerprint": study.fingerprint,
        "hpsearch:version": hpsearch.__version__,
    }
    connection.execute(
        insert(_links),
        [
            {"study_id": study.study_id, "key": key, "value_json": json.dumps(value)}
            for key, value in attributes.items()
        ],
    )


def find(connection: Connection, name: str) -> StoredStudy:
    """Return the study of that name.

    Raises StudyNotFoundError with the nearest names, or saying that another Optuna client made the study.
    """
    if (study := named(connection, name)) is not None:
        return study
    known, others = [study.spec.name for study in every(connection)], foreign(connection)
    if name in others:
        raise StudyNotFoundError(
            f'study "{name}": must have been made by hpsearch (it was made by another Optuna client): '
            "choose another study"
        )
    hint = did_you_mean(name, [*known, *others], otherwise="`hpsearch study list` shows what there is")
    raise StudyNotFoundError(f'study "{name}": there is no such study: {hint}')


def named(connection: Connection, name: str) -> StoredStudy | None:
    """Return our study of exactly that name, or None."""
    rows = [row for row in linked(connection) if row.study_name == name]
    return study_of(rows[0]) if rows else None


def current(connection: Connection, study: StoredStudy) -> StoredStudy:
    """Return the study of the same key, whatever its name and its id are now.

    Raises StudyNotFoundError when it was deleted.
    """
    rows = [row for row in linked(connection) if row.study_key == study.key]
    return study_of(_first(rows, study))


def every(connection: Connection) -> list[StoredStudy]:
    """Return all studies of ours, in the order in which they were made."""
    return [study_of(row) for row in linked(connection)]


def foreign(connection: Connection) -> list[str]:
    """Return the names of the studies that other Optuna clients made, by id."""
    ours = {row.study_id for row in linked(connection)}
    rows = connection.execute(select(_theirs).order_by(_theirs.c.study_id))
    return [row.study_name for row in rows if row.study_id not in ours]


def linked(connection: Connection) -> Iterator[Row[Any]]:
    """Yield the rows of our studies that still are studies of Optuna's, under its `study_name`."""
    for row in connection.execute(_linked().order_by(_ours.c.study_id)):
        if row.value_json == json.dumps(str(row.study_key)):
            yield row


def _linked() -> Select[Any]:
    return (
        select(_ours, _theirs.c.study_name, _links.c.value_json)
        .join(_theirs, _theirs.c.study_id == _ours.c.study_id)
        .join(_links, _links.c.study_id == _ours.c.study_id)
        .where(_links.c.key == schema.LINK_ATTRIBUTE)
    )


def study_of(row: Row[Any]) -> StoredStudy:
    """Return the study of a row that `linked` or `row_of` gave. Raises StorageError for one that we cannot read."""
    try:
        spec = spec_from_json(row.spec)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(
            f'study "{row.study_name}": was made by hpsearch {row.hpsearch_version}, '
            f"which this one, {hpsearch.__version__}, cannot read ({error}): use that version or a newer one"
        ) from error
    return StoredStudy(
        key=row.study_key,
        study_id=row.study_id,
        spec=replace(spec, name=row.study_name, trials=row.budget),
        fingerprint=row.fingerprint,
        created=utc(row.created),
        version=row.hpsearch_version,
        priority=row.priority,
        parent=row.parent,
    )


_LOCK: Final = Direct(
    select(_theirs.c.study_id).where(_theirs.c.study_id == bindparam("at_study_id")).with_for_update()
)

_ROW: Final = (
    _linked()
    .add_columns(
        EpochSeconds().label("now_s"),
        # A clock in a query of its own is read once; beside a column it would keep PostgreSQL from the index.
        exists()
        .where(
            schema.trials.c.study_key == bindparam("at_key"),
            schema.trials.c.lease_until < select(EpochSeconds()).scalar_subquery(),
        )
        .label("has_expired"),
    )
    .where(_ours.c.study_key == bindparam("at_key"))
)

_LOCKED_ROW: Final = Direct(_ROW)


def lock(connection: Connection, study: StoredStudy) -> LockedStudy:
    """Wait for the study's row, the lock that every Optuna client takes to number trials, and read it.

    Raises StudyNotFoundError when the study was deleted, even if its id was given to another one.
    """
    _LOCK.rows(connection, {"at_study_id": study.study_id})
    row = _checked(_LOCKED_ROW.named(connection, {"at_key": study.key}), study)
    return LockedStudy(
        study=study,
        now_s=row.now_s,
        budget=row.budget,
        stopped=row.stopped,
        has_expired=bool(row.has_expired),
        settled_trial_id=row.settled_trial_id,
        settled={
            optuna_schema.COMPLETE: row.settled_complete,
            optuna_schema.PRUNED: row.settled_pruned,
            optuna_schema.FAIL: row.settled_failed,
        },
    )


def row_of(connection: Connection, study: StoredStudy) -> Any:
    """Return our row of the study, with the database's time as `now_s`.

    Raises StudyNotFoundError when the study was deleted, even if its id was given to another one.
    """
    return _checked(connection.execute(_ROW, {"at_key": study.key}).all(), study)


def _checked(rows: Sequence[Any], study: StoredStudy) -> Any:
    """Return the row, if there is one and it is the study's. Raises StudyNotFoundError."""
    return _first(
        [row for row in rows if json.loads(row.value_json) == study.key and row.study_id == study.study_id],
        study,
    )


def _first(rows: Sequence[Any], study: StoredStudy) -> Any:
    if not rows:
        raise StudyNotFoundError(f'study "{study.spec.name}": it was deleted: create it again')
    return rows[0]


def set_budget(connection: Connection, locked: LockedStudy, trials: int) -> StoredStudy:
    """Write a new budget and return the study with it."""
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(budget=trials))
    return replace(locked.study, spec=replace(locked.study.spec, trials=trials))


def set_priority(connection: Connection, study: StoredStudy, priority: int) -> StoredStudy:
    """Write a new priority and return the study with it."""
    connection.execute(update(_ours).where(_ours.c.study_key == study.key).values(priority=priority))
    return replace(study, priority=priority)


def pause(connection: Connection, locked: LockedStudy, by: str) -> str:
    """Let claims give nothing, and return why: paused by whom, and when. Who paused first is kept."""
    if locked.stopped is not None:
        return locked.stopped
    why = f"paused by {by} at {utc(locked.now_s):%Y-%m-%d %H:%M} UTC"
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=why))
    return why


def resume(connection: Connection, locked: LockedStudy) -> bool:
    """Let claims give trials again; return whether the study was paused."""
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=None))
    return locked.stopped is not None


def remove(connection: Connection, study: StoredStudy) -> None:
    """Delete everything of a study, Optuna's rows and ours."""
    remove_theirs(connection, study.study_id)
    forget(connection, study.key)


def remove_theirs(connection: Connection, study_id: int) -> None:
    """Delete Optuna's rows of a study."""
    trial_ids = select(optuna_schema.trials.c.trial_id).where(optuna_schema.trials.c.study_id == study_id)
    with working_long(connection):
        for table in optuna_schema.TRIAL_DETAILS:
            connection.execute(delete(table).where(table.c.trial_id.in_(trial_ids)))
        for table in (optuna_schema.trials, *optuna_schema.STUDY_DETAILS, _theirs):
            connection.execute(delete(table).where(table.c.study_id == study_id))


def forget(connection: Connection, key: str) -> None:
    """Delete our rows of a study."""
    with working_long(connection):
        for table in (*schema.STUDY_DETAILS, _ours):
            connection.execute(delete(table).where(table.c.study_key == key))


def check_same(stored: StoredStudy, spec: StudySpec, fingerprint: str) -> None:
    """Raise StudyExistsError, saying what differs, unless `spec` and the data are those of `stored`."""
    common = _parts(stored.spec) & _parts(spec)
    there, here = _described(stored.spec, common), _described(spec, common)
    differences = [
        f"{key} is {_text(there, key)} there (got {_text(here, key)})"
        for key in dict.fromkeys([*there, *here])
        if key != "trials" and (key not in there or key not in here or there[key] != here[key])
    ]
    if stored.fingerprint != fingerprint:
        differences.append(f"the data's fingerprint is {stored.fingerprint} there (got {fingerprint})")
    if differences:
        raise StudyExistsError(
            f'study "{spec.name}": exists with another specification: {"; ".join(differences)}: '
            "choose another name, or delete that study"
        )


def holder(connection: Connection, name: str) -> str | None:
    """Return the name of the study, anybody's, whose name the database takes for this one."""
    taken = select(_theirs.c.study_name).where(_theirs.c.study_name == name)
    return connection.execute(taken).scalars().first()


def refuse_name(name: str, taken_by: str) -> NoReturn:
    """Raise StudyExistsError: the name belongs to a study that is not ours, or is spelled otherwise."""
    why = (
        "another Optuna client made a study of that name"
        if taken_by == name
        else f'this database takes it for "{taken_by}"'
    )
    raise StudyExistsError(f'study "{name}": the name must be free ({why}): choose another name')


def _parts(spec: StudySpec) -> set[str]:
    """Return the names of what a study has a list of: its configurations, or else the parameters that it searches."""
    return {part.name for part in spec.configurations or spec.search}


def _described(spec: StudySpec, common: Collection[str]) -> dict[str, Any]:
    """Return a specification by dotted keys: what is searched or trained, and how the `common` ones are.

    What configurations span follows from them, and is left out.
    """
    # Names of configurations are free, so they must not be taken for the keys that they look like.
    exact = {
        f"configurations.{json.dumps(each.name, ensure_ascii=False)}": dict(each.params)
        for each in spec.configurations
        if each.name in common
    }
    search = () if spec.configurations else tuple(d for d in spec.search if d.name in common)
    return {
        **_flat(asdict(replace(spec, search=search, configurations=()))),
        **exact,
        "search": [] if spec.configurations else [dimension.name for dimension in spec.search],
        "configurations": [each.name for each in spec.configurations],
    }


def _flat(raw: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one with dotted keys. A searched parameter goes by its name."""
    if isinstance(raw, tuple) and raw and all(isinstance(item, dict) for item in raw):
        raw = {item["name"]: {k: v for k, v in item.items() if k != "name"} for item in raw}
    if not isinstance(raw, dict):
        return {prefix: raw}
    flat: dict[str, Any] = {}
    for key, value in raw.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _text(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key]) if key in values else "nothing"
