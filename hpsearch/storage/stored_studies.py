"""Studies as stored: find, read, lock and remove them. `Studies` is their class for callers outside this package.

For studies of other Optuna clients, only Optuna's tables are read. Each function runs inside its caller's transaction,
except `change`.
"""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast, final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, func, select

import hpsearch
from hpsearch.errors import ForeignStudyError, StudyNotFoundError, StudyUnreadableError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.details import as_value
from hpsearch.storage.drivers import working_long
from hpsearch.storage.engine import Transactions, locks
from hpsearch.storage.records import EditedRange, Foreign, Place, StoredStudy, UnreadableStudy, Unsealing
from hpsearch.storage.statements import DriverStatement
from hpsearch.storage.stored_values import is_number, moment, plain_json, shown_value, text_cell, whole
from hpsearch.study.json_form import checked_spec, minor_version, stored_conditions
from hpsearch.study.messages import did_you_mean
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import BudgetSpec, Choices, DataSpec, Dimension, Range, SamplerSpec, StudySpec

_T = TypeVar("_T")
_P = ParamSpec("_P")


METRIC_NAMES: Final = "study:metric_names"
"""The system attribute in which Optuna stores the metric names that its plots and dashboards show."""


_ours = schema.studies
_theirs = optuna_schema.studies
_links = optuna_schema.study_user_attributes
_directions = optuna_schema.study_directions
_attributes = optuna_schema.study_system_attributes
_trials = optuna_schema.trials
_params = optuna_schema.trial_params


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LockedStudy:
    """A study whose row this transaction locks, so that no other transaction numbers or counts its trials.

    `limits` are those of `[budget]` now. `now_s` is the database's time; with `has_expired`, some lease has expired.
    Trials up to `settled_trial_id` have ended; `settled` counts them by Optuna's name of their state.
    """

    study: StoredStudy
    now_s: float
    budget: int
    limits: BudgetSpec
    stopped: str | None
    has_expired: bool
    settled_trial_id: int
    settled: Mapping[str, int]


def not_found(connection: Connection, name: str) -> StudyNotFoundError:
    """Return the error for a name without a study of hpsearch, with the nearest names."""
    names = list(connection.execute(select(_theirs.c.study_name).order_by(_theirs.c.study_id)).scalars())
    if name in names:
        return StudyNotFoundError(
            f'study "{name}": must have been made by hpsearch (it was made by another Optuna client): '
            f"{FOREIGN_REMEDY}"
        )
    hint = did_you_mean(name, names, otherwise="`hpsearch study list` lists the studies")
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


def readable_studies(connection: Connection) -> list[StoredStudy]:
    """Return all readable studies of ours, in order of creation."""
    return [study for study in listed(connection) if isinstance(study, StoredStudy)]


def listed(connection: Connection) -> list[StoredStudy | UnreadableStudy]:
    """Return all studies of ours, in order of creation."""
    return [read(row) for row in linked(connection)]


def foreign_names(connection: Connection) -> list[str]:
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
            reason=_unreadable_reason(row, error),
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
        edits=_edits_of(row.edits),
    )


def _range_of(raw: Mapping[str, Any]) -> Range:
    return Range(**{**raw, "when": stored_conditions(raw)})


def _edits_of(stored: object) -> tuple[EditedRange, ...]:
    """Return the edits of a study's ranges. Raises ValueError for a value that hpsearch did not write."""
    if stored is None:
        return ()
    try:
        return tuple(
            EditedRange(
                before=_range_of(edit["before"]),
                after=_range_of(edit["after"]),
                trials=whole(edit["trials"], "edits.trials"),
                made=moment(edit["made"], "edits.made"),
            )
            for edit in plain_json(text_cell(stored, "edits"))
        )
    except (LookupError, TypeError):
        raise ValueError(f"edits: must be edited ranges (got {shown_value(stored)})") from None


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


def _unreadable_reason(row: Row[Any], error: Exception) -> str:
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


_STUDY_ROW: Final = DriverStatement(_ROW)


def lock(connection: Connection, study: StoredStudy) -> LockedStudy:
    """Lock the study's row, as every Optuna client does to number trials, and read it.

    Raises StudyNotFoundError if the study was deleted, even if its id was reused for another one.
    """
    refuse(study)
    if not locks(connection, study.study_id):
        _LOCK.rows(connection, {"at_study_id": study.study_id})
    row = _checked(_STUDY_ROW.named(connection, {"at_key": study.key}), study)
    return LockedStudy(
        study=study,
        now_s=row.now_s,
        budget=row.budget,
        limits=limits_of(row),
        stopped=row.stopped,
        has_expired=bool(row.has_expired),
        settled_trial_id=row.settled_trial_id,
        settled={
            optuna_schema.COMPLETE: row.settled_complete,
            optuna_schema.PRUNED: row.settled_pruned,
            optuna_schema.FAIL: row.settled_failed,
        },
    )


def limits_of(row: Any) -> BudgetSpec:
    """Return the limits of a study from its row; none if this version cannot read it."""
    try:
        return checked_spec(text_cell(row.spec, "spec")).budget
    except (ValueError, RecursionError):
        return BudgetSpec()


def change(
    transactions: Transactions,
    study: StoredStudy,
    work: Callable[Concatenate[Connection, LockedStudy, _P], _T],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T:
    """Return the result of `work`, a function of this package, on the locked study in one durable transaction."""
    refuse(study)
    for one_try, transaction in transactions.write_tries(durable=True, study_id=study.study_id):
        with one_try, transaction as connection:
            result = work(connection, lock(connection, study), *args, **kwargs)
    return result


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
    return _checked(_STUDY_ROW.named(connection, {"at_key": study.key}), study)


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


def remove(connection: Connection, place: Place) -> None:
    """Delete all rows of a study: Optuna's and, if the study is ours, ours."""
    remove_optuna_rows(connection, place.study_id)
    if place.key is not None:
        forget(connection, place.key)


def remove_optuna_rows(connection: Connection, study_id: int) -> None:
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
    """Delete our rows of a study, and the contents of its files that no other study has."""
    with working_long(connection):
        files = select(schema.data.c.file).where(schema.data.c.study_key == key).limit(1)
        has_files = connection.execute(files).first() is not None
        if has_files:
            lock_blobs(connection)
        for table in (*schema.STUDY_TABLES, _ours):
            connection.execute(delete(table).where(table.c.study_key == key))
        if has_files:
            remove_unused_blobs(connection)


def lock_blobs(connection: Connection) -> None:
    """Lock the contents of all files: none may be deleted while another transaction refers to it."""
    connection.execute(select(schema.versions).with_for_update())


def remove_unused_blobs(connection: Connection) -> None:
    """Delete contents that are part of no study's files. The caller has locked them."""
    used = exists().where(schema.data.c.digest == schema.blobs.c.digest)
    connection.execute(delete(schema.blobs).where(~used))


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


def foreign_named(connection: Connection, name: str) -> StoredStudy | None:
    """Return Optuna's study of exactly that name, with the search space of its trials, or None."""
    rows = connection.execute(select(_theirs).where(_theirs.c.study_name == name))
    study_id = next((row.study_id for row in rows if row.study_name == name), None)
    if study_id is None:
        return None
    made = foreign_by_id(connection, {study_id: name})[study_id]
    return _with_search(made, searched(connection, study_id))


def foreign_by_id(connection: Connection, names: Mapping[int, str]) -> dict[int, StoredStudy]:
    """Return study_id -> study for the ids in `names`, without search spaces."""
    directions: dict[int, list[bool]] = {}
    for row in connection.execute(select(_directions).order_by(_directions.c.objective)):
        directions.setdefault(row.study_id, []).append(row.direction == "MAXIMIZE")
    named = connection.execute(
        select(_attributes.c.study_id, _attributes.c.value_json).where(_attributes.c.key == METRIC_NAMES)
    )
    metrics = {row.study_id: row.value_json for row in named}
    began = connection.execute(
        select(_trials.c.study_id, func.min(_trials.c.datetime_start).label("began")).group_by(
            _trials.c.study_id
        )
    )
    starts = {row.study_id: row.began for row in began}
    return {
        study_id: _foreign_study(
            study_id,
            name,
            maximize=tuple(directions.get(study_id, ())) or (False,),
            names=metrics.get(study_id),
            began=starts.get(study_id),
        )
        for study_id, name in names.items()
    }


def searched(connection: Connection, study_id: int) -> tuple[Dimension, ...]:
    """Return the search space of a study's trials, in order of the first use of each name.

    A range spans the ranges of all trials, and choices those of all. Damaged distributions are omitted.
    """
    rows = connection.execute(
        select(_params.c.param_name, _params.c.distribution_json, func.min(_params.c.param_id).label("first"))
        .join(_trials, _trials.c.trial_id == _params.c.trial_id)
        .where(_trials.c.study_id == study_id)
        .group_by(_params.c.param_name, _params.c.distribution_json)
        .order_by(func.min(_params.c.param_id))
    )
    held: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if (distribution := _distribution(row.distribution_json)) is not None:
            held.setdefault(str(row.param_name), []).append(distribution)
    return tuple(_dimension(name, found) for name, found in held.items())


def _distribution(text: object) -> Mapping[str, Any] | None:
    """Return the JSON content of an Optuna distribution, its class as "name"; None for a damaged one."""
    found: Any = plain_json(text) if isinstance(text, str) else None
    held = found.get("attributes") if isinstance(found, dict) else None
    if not isinstance(held, dict) or not isinstance(found.get("name"), str):
        return None
    is_right = (
        isinstance(held["choices"], list)
        if "choices" in held
        else is_number(held.get("low")) and is_number(held.get("high"))
    )
    return {**held, "name": found["name"]} if is_right else None


FOREIGN_REMEDY: Final = (
    "its own program chooses and trains its trials, so hpsearch cannot run, pause, resume, stop, edit, confirm, "
    "narrow, test, enqueue, fail, retry or replay them, unless `hpsearch run SCRIPT.py` runs that program; study "
    "show, best, trials, report, rename, copy, export and delete work"
)


def refuse(study: StoredStudy) -> None:
    """Raise ForeignStudyError if another Optuna client made the study; hpsearch does not change such studies."""
    if study.foreign is not None:
        raise ForeignStudyError(
            f'study "{study.name}": must have been made by hpsearch (it was made by another Optuna client): '
            f"{FOREIGN_REMEDY}"
        )


def _foreign_study(
    study_id: int, name: str, *, maximize: tuple[bool, ...], names: str | None, began: datetime | None
) -> StoredStudy:
    metrics = _metrics(names, len(maximize))
    return StoredStudy(
        key="",
        study_id=study_id,
        # Optuna allows any name for the metric, and has no data, network or budget.
        spec=StudySpec(
            name=name,
            data=DataSpec(source="unknown"),
            metric=cast(Metric, metrics[0]),
            search=(),
            sampler=SamplerSpec(name="none"),
        ),
        fingerprint="",
        created=None if began is None else began.replace(tzinfo=UTC),
        version="",
        foreign=Foreign(metrics=metrics, maximize=maximize),
    )


def _metrics(names: str | None, count: int) -> tuple[str, ...]:
    """Return the study's names of its objectives, or default names."""
    given: Any = plain_json(names) if isinstance(names, str) else None  # a damaged value is no name
    if isinstance(given, list) and len(given) == count and all(given):
        return tuple(map(str, given))
    return ("value",) if count == 1 else tuple(f"value {number}" for number in range(count))


def _with_search(study: StoredStudy, search: tuple[Dimension, ...]) -> StoredStudy:
    return replace(study, spec=replace(study.spec, search=search))


def _dimension(name: str, raw: Sequence[Mapping[str, Any]]) -> Dimension:
    """Return the dimension that spans all distributions of a parameter."""
    if any("choices" in one for one in raw):
        listed = [as_value(choice) for one in raw for choice in one.get("choices", ())]
        return Choices(name=name, choices=tuple(dict.fromkeys(listed)))
    low, high = min(one["low"] for one in raw), max(one["high"] for one in raw)
    if low == high:
        return Choices(name=name, choices=(low,))
    return Range(
        name=name,
        low=float(low),
        high=float(high),
        log=all(one.get("log", "Log" in one["name"]) for one in raw),
        step=None,
        integer=all(one["name"].startswith("Int") for one in raw),
    )
