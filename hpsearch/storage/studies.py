"""Create, find, compare, lock and delete studies. Each function runs inside its caller's transaction."""

import json
import shlex
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NoReturn, final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, insert, select, update

import hpsearch
from hpsearch.errors import StudyExistsError, StudyNotFoundError, StudyUnreadableError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds, utc
from hpsearch.storage.drivers import working_long
from hpsearch.storage.foreign_studies import FOREIGN_REMEDY, METRIC_NAMES, refuse
from hpsearch.storage.records import Place, StoredStudy, UnreadableStudy, Unsealing
from hpsearch.storage.statements import DriverStatement
from hpsearch.storage.stored_values import moment, shown_value, text_cell, whole
from hpsearch.study.json_form import checked_spec, minor_version, spec_to_json
from hpsearch.study.messages import did_you_mean
from hpsearch.study.spec import StudySpec

_ours = schema.studies
_theirs = optuna_schema.studies
_links = optuna_schema.study_user_attributes


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LockedStudy:
    """A study whose row this transaction locks, so that no other transaction numbers or counts its trials.

    `now_s` is the database's time; with `has_expired`, some lease has expired. Trials up to `settled_trial_id` have
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
    """Write a new study. Raises IntegrityError if the name is taken, also by a concurrent creation."""
    connection.execute(insert(_theirs).values(study_name=spec.name))
    same_name = select(_theirs.c.study_id).where(_theirs.c.study_name == spec.name)
    study_id = connection.execute(same_name).scalar_one()
    remove_strays(connection, study_id)
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
    """Write the values that other Optuna clients read: the direction, the metric's name, and the study's owner."""
    direction = "MAXIMIZE" if study.maximize else "MINIMIZE"
    connection.execute(
        insert(optuna_schema.study_directions).values(
            study_id=study.study_id, objective=0, direction=direction
        )
    )
    connection.execute(
        insert(optuna_schema.study_system_attributes).values(
            study_id=study.study_id, key=METRIC_NAMES, value_json=json.dumps([study.spec.metric])
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

    Raises StudyUnreadableError if this version cannot read it, and StudyNotFoundError with the nearest names, or with
    the hint that another Optuna client made the study.
    """
    if (study := named(connection, name)) is not None:
        return study
    raise not_found(connection, name)


def not_found(connection: Connection, name: str) -> StudyNotFoundError:
    """Return the error for a name without a study of hpsearch, with the nearest names."""
    names = list(connection.execute(select(_theirs.c.study_name).order_by(_theirs.c.study_id)).scalars())
    if name in names:
        return StudyNotFoundError(
            f'study "{name}": must have been made by hpsearch (it was made by another Optuna client): '
            f"{FOREIGN_REMEDY}"
        )
    hint = did_you_mean(name, names, otherwise="`hpsearch study list` shows what there is")
    return StudyNotFoundError(f'study "{name}": there is no such study: {hint}')


def named(connection: Connection, name: str) -> StoredStudy | None:
    """Return our study of exactly that name, or None. Raises StudyUnreadableError."""
    row = row_named(connection, name)
    return None if row is None else study_of(row)


def row_named(connection: Connection, name: str) -> Row[Any] | None:
    """Return the row of our study of exactly that name, readable or not; None if there is none."""
    # Some databases treat other spellings as the same name.
    rows = linked(connection, _theirs.c.study_name == name)
    return next((row for row in rows if row.study_name == name), None)


def current(connection: Connection, study: StoredStudy) -> StoredStudy:
    """Return the study of the same key, under its present name and id.

    Raises StudyNotFoundError if it was deleted.
    """
    rows = [row for row in linked(connection) if row.study_key == study.key]
    return study_of(_first(rows, study))


def every(connection: Connection) -> list[StoredStudy]:
    """Return all readable studies of ours, in order of creation."""
    return [study for study in listed(connection) if isinstance(study, StoredStudy)]


def listed(connection: Connection) -> list[StoredStudy | UnreadableStudy]:
    """Return all studies of ours, in order of creation."""
    return [read(row) for row in linked(connection)]


def foreign(connection: Connection) -> list[str]:
    """Return the names of the studies that other Optuna clients made, by id."""
    ours = {study_id for study_id, _ in links(connection)}
    rows = connection.execute(select(_theirs).order_by(_theirs.c.study_id))
    return [row.study_name for row in rows if row.study_id not in ours]


def linked(connection: Connection, *conditions: Any) -> Iterator[Row[Any]]:
    """Yield the rows of our studies that still exist in Optuna's tables, with the `study_name` there."""
    for row in connection.execute(_linked().where(*conditions).order_by(_ours.c.study_id)):
        if is_link(row.value_json, row.study_key):
            yield row


def links(connection: Connection) -> list[tuple[int, str]]:
    """Return (study_id, key) of our studies that still exist in Optuna's tables."""
    rows = connection.execute(
        _linked().with_only_columns(_ours.c.study_id, _ours.c.study_key, _links.c.value_json)
    )
    return [(row.study_id, row.study_key) for row in rows if is_link(row.value_json, row.study_key)]


def is_link(value_json: object, key: object) -> bool:
    """Return True if the attribute of Optuna's study holds our key of it, and nothing else."""
    return value_json == json.dumps(key) or link_of(value_json) == key


def link_of(value_json: object) -> str | None:
    """Return the key that an attribute holds, or None if it holds anything else."""
    try:
        key = json.loads(str(value_json))
    except (ValueError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def _linked() -> Select[Any]:
    return (
        select(_ours, _theirs.c.study_name, _links.c.value_json)
        .join(_theirs, _theirs.c.study_id == _ours.c.study_id)
        .join(_links, _links.c.study_id == _ours.c.study_id)
        .where(_links.c.key == schema.LINK_ATTRIBUTE)
    )


def read(row: Row[Any]) -> StoredStudy | UnreadableStudy:
    """Return the study of a row from `linked` or `row_of`, or the reason why it cannot be read."""
    try:
        return _stored(row)
    except (ValueError, RecursionError) as error:
        return UnreadableStudy(
            key=row.study_key,
            study_id=row.study_id,
            name=row.study_name,
            version=str(row.hpsearch_version),
            reason=_why_unreadable(row, error),
        )


def study_of(row: Row[Any]) -> StoredStudy:
    """Return the study of a row from `linked` or `row_of`. Raises StudyUnreadableError."""
    study = read(row)
    if isinstance(study, UnreadableStudy):
        raise unreadable(study)
    return study


def unreadable(study: UnreadableStudy) -> StudyUnreadableError:
    """Return the error with the reason why a study cannot be read, and the remedy."""
    return StudyUnreadableError(f'study "{study.name}": {study.reason}')


def _stored(row: Row[Any]) -> StoredStudy:
    """Return the study of a row. Raises ValueError if this version cannot read it."""
    spec = checked_spec(text_cell(row.spec, "spec"))
    unsealing_of(row.unsealing)
    for name in ("settled_trial_id", "settled_complete", "settled_pruned", "settled_failed"):
        whole(getattr(row, name), name, low=-1)
    return StoredStudy(
        key=row.study_key,
        study_id=row.study_id,
        spec=replace(spec, name=row.study_name, trials=whole(row.budget, "budget", low=1)),
        fingerprint=text_cell(row.fingerprint, "fingerprint"),
        created=moment(row.created, "created"),
        version=text_cell(row.hpsearch_version, "hpsearch_version"),
        priority=whole(row.priority, "priority"),
        parent=None if row.parent is None else text_cell(row.parent, "parent"),
    )


def unsealing_of(stored: object) -> Unsealing | None:
    """Return how a sealed test part was opened, None if it never was. Raises ValueError for any other value."""
    if stored is None:
        return None
    found = json.loads(text_cell(stored, "unsealing"))
    if not isinstance(found, dict):
        raise ValueError(f"unsealing: must be a JSON object (got {shown_value(stored)})")  # noqa: TRY004  # damage, no bug
    seeds = found.get("seeds")
    return Unsealing(
        number=whole(found.get("number"), "unsealing.number", low=0),
        command=text_cell(found.get("command"), "unsealing.command"),
        opened=moment(found.get("opened"), "unsealing.opened"),
        seeds=None if seeds is None else whole(seeds, "unsealing.seeds", low=1),
    )


def _why_unreadable(row: Row[Any], error: Exception) -> str:
    """Return the reason why a study cannot be read, and the remedy."""
    if minor_version(row.hpsearch_version) > minor_version(hpsearch.__version__):
        return (
            f"was made by hpsearch {row.hpsearch_version}, which this one, {hpsearch.__version__}, "
            f"cannot read ({error}): use that version or a newer one"
        )
    name = shlex.quote(row.study_name)
    return (
        f"its row in {_ours.name} cannot be read ({error}): restore it from a backup, "
        f"or remove it with `hpsearch study delete {name}`"
    )


_LOCK: Final = DriverStatement(
    select(_theirs.c.study_id).where(_theirs.c.study_id == bindparam("at_study_id")).with_for_update()
)

_ROW: Final = (
    _linked()
    .add_columns(
        EpochSeconds().label("now_s"),
        # A clock in its own subquery is read once; next to a column it would keep PostgreSQL from using the index.
        exists()
        .where(
            schema.trials.c.study_key == bindparam("at_key"),
            schema.trials.c.lease_until < select(EpochSeconds()).scalar_subquery(),
        )
        .label("has_expired"),
    )
    .where(_ours.c.study_key == bindparam("at_key"))
)

_LOCKED_ROW: Final = DriverStatement(_ROW)


def lock(connection: Connection, study: StoredStudy) -> LockedStudy:
    """Lock the study's row, as every Optuna client does to number trials, and read it.

    Raises StudyNotFoundError if the study was deleted, even if its id was reused for another one.
    """
    refuse(study)
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


def check_there(connection: Connection, study: StoredStudy) -> None:
    """Raise StudyNotFoundError if the study, made by any client, was deleted."""
    if study.foreign is None:
        row_of(connection, study)
        return
    same = select(_theirs.c.study_name).where(_theirs.c.study_id == study.study_id)
    if connection.execute(same).scalar_one_or_none() != study.name:
        raise StudyNotFoundError(f'study "{study.name}": it was deleted: make it again with Optuna')


def row_of(connection: Connection, study: StoredStudy) -> Any:
    """Return our row of the study, with the database's time as `now_s`.

    Raises StudyNotFoundError if the study was deleted, even if its id was reused for another one.
    """
    return _checked(connection.execute(_ROW, {"at_key": study.key}).all(), study)


def _checked(rows: Sequence[Any], study: StoredStudy) -> Any:
    """Return the row if it exists and belongs to the study. Raises StudyNotFoundError otherwise."""
    return _first(
        [row for row in rows if is_link(row.value_json, study.key) and row.study_id == study.study_id],
        study,
    )


def _first(rows: Sequence[Any], study: StoredStudy) -> Any:
    if not rows:
        raise StudyNotFoundError(f'study "{study.spec.name}": it was deleted: create it again')
    return rows[0]


def set_budget(connection: Connection, locked: LockedStudy, trials: int) -> StoredStudy:
    """Write a new budget and return the updated study."""
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(budget=trials))
    return replace(locked.study, spec=replace(locked.study.spec, trials=trials))


def set_priority(connection: Connection, locked: LockedStudy, priority: int) -> StoredStudy:
    """Write a new priority and return the updated study."""
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(priority=priority))
    return replace(locked.study, priority=priority)


def pause(connection: Connection, locked: LockedStudy, by: str) -> str:
    """Make claims return no trials; return who paused the study and when. The first pause is kept."""
    if locked.stopped is not None:
        return locked.stopped
    why = f"paused by {by} at {utc(locked.now_s):%Y-%m-%d %H:%M} UTC"
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=why))
    return why


def resume(connection: Connection, locked: LockedStudy) -> bool:
    """Make claims return trials again; return whether the study was paused."""
    connection.execute(update(_ours).where(_ours.c.study_key == locked.study.key).values(stopped=None))
    return locked.stopped is not None


def remove(connection: Connection, place: Place) -> None:
    """Delete all rows of a study: Optuna's and, if the study is ours, ours."""
    remove_theirs(connection, place.study_id)
    if place.key is not None:
        forget(connection, place.key)


def remove_theirs(connection: Connection, study_id: int) -> None:
    """Delete Optuna's rows of a study."""
    with working_long(connection):
        _remove_details(connection, study_id)
        connection.execute(delete(_theirs).where(_theirs.c.study_id == study_id))


def remove_strays(connection: Connection, study_id: int) -> None:
    """Delete the rows that a deleted study left under the id that a new study received.

    SQLite reuses ids. Other Optuna clients do not enforce foreign keys there, so a trial that a worker started while
    they deleted its study remains, and would count in the new study.
    """
    if connection.dialect.name == "sqlite":
        _remove_details(connection, study_id)


def _remove_details(connection: Connection, study_id: int) -> None:
    trial_ids = select(optuna_schema.trials.c.trial_id).where(optuna_schema.trials.c.study_id == study_id)
    for table in optuna_schema.TRIAL_DETAILS:
        connection.execute(delete(table).where(table.c.trial_id.in_(trial_ids)))
    for table in (optuna_schema.trials, *optuna_schema.STUDY_DETAILS):
        connection.execute(delete(table).where(table.c.study_id == study_id))


def forget(connection: Connection, key: str) -> None:
    """Delete our rows of a study."""
    with working_long(connection):
        for table in (*schema.STUDY_DETAILS, _ours):
            connection.execute(delete(table).where(table.c.study_key == key))


def check_same(stored: StoredStudy, spec: StudySpec, fingerprint: str) -> None:
    """Raise StudyExistsError, naming the differences, unless `spec` and the data equal those of `stored`."""
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
    """Return the name of the study, made by any client, whose name the database treats as equal to this one."""
    taken = select(_theirs.c.study_name).where(_theirs.c.study_name == name)
    return connection.execute(taken).scalars().first()


def place_named(connection: Connection, name: str, *, has_ours: bool = True) -> Place:
    """Return the place of the named study, made by any client, readable or not, and lock it against other writers.

    Raises StudyNotFoundError with the nearest names. Without `has_ours`, the database has no tables of hpsearch.
    """
    same = select(_theirs).where(_theirs.c.study_name == name)
    found = next((row for row in connection.execute(same) if row.study_name == name), None)
    if found is None:
        raise not_found(connection, name)
    _LOCK.rows(connection, {"at_study_id": found.study_id})
    row = row_named(connection, name) if has_ours else None
    return Place(study_id=found.study_id, key=None if row is None else row.study_key)


def refuse_name(name: str, taken_by: str) -> NoReturn:
    """Raise StudyExistsError because the name belongs to a study that is not ours or is spelled differently."""
    why = (
        "another Optuna client made a study of that name"
        if taken_by == name
        else f'this database takes it for "{taken_by}"'
    )
    raise StudyExistsError(f'study "{name}": the name must be free ({why}): choose another name')


def _parts(spec: StudySpec) -> set[str]:
    """Return the names of a study's configurations, or of its searched parameters if it has none."""
    return {part.name for part in spec.configurations or spec.search}


def _described(spec: StudySpec, common: Collection[str]) -> dict[str, Any]:
    """Return a specification by dotted keys: the searched or trained parts, and the values of the `common` ones.

    Omits the search space of configurations, which follows from them.
    """
    # Names of configurations are arbitrary, so they must not be mistaken for keys of the same spelling.
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
    """Return nested tables as one table with dotted keys. A searched parameter is keyed by its name."""
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
