"""A study as plain rows without ids, to read from one database, compare, and write into another.

Rows are mappings from columns' names to values. They omit links between rows: ids, which are specific to one database,
and the study's key and the trial's number if the context gives them. They also omit heartbeats of other Optuna clients,
which concern running trials. In a copy no trial runs, and no worker holds a lease: see `without_lease`.

A trial's data of Optuna's dashboard, its note and old artifacts, is among the attributes of its study. Their keys
contain the trial's id: `dashboard:17:note_ver`, `dashboard:17:note_str:0`, `dashboard:artifacts:17:...`. In a copy
these ids would refer to other trials, so such attributes are read as dashboard notes, by the trial's place in its
study.

Each function runs inside its caller's transaction.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias, final

from sqlalchemy import ColumnElement, Connection, Table, and_, func, insert, select, update

from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.leases import HANDED_BACK, NO_TOKEN, epoch_s
from hpsearch.storage.optuna_schema import RUNNING, WAITING
from hpsearch.storage.records import Place
from hpsearch.storage.statements import write_rows
from hpsearch.storage.stored_studies import remove_strays
from hpsearch.storage.stored_values import broken_row, checked_row, raw_columns

Row: TypeAlias = Mapping[str, Any]

BATCH: Final = 100
"""Number of trials that are read or written at once."""

_trials = optuna_schema.trials
_TRIAL_DETAILS: Final = tuple(
    table for table in optuna_schema.TRIAL_DETAILS if table is not optuna_schema.trial_heartbeats
)
_LINKS: Final = frozenset({"study_id", "study_key", "trial_id", "number"})


@final
@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class DashboardNote:
    """One attribute that refers to a trial: the one at `place` among all of its study, by id and from 0.

    Its key is `head`, the trial's id, and `tail`.
    """

    place: int
    head: str
    tail: str
    value_json: str | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRows:
    """A study without its trials. `details` are Optuna's rows by table; `ours` is None for one that is not ours.

    `dashboard_notes` are the attributes that concern single trials, and are not in `details`. `settled` is the number
    of its trials in the cached counts (`schema`).
    """

    name: str
    details: Mapping[str, Sequence[Row]]
    dashboard_notes: Sequence[DashboardNote]
    ours: Row | None
    settled: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRows:
    """A trial: Optuna's row with its number, Optuna's details by table, and ours, which are empty if there are none."""

    trial: Row
    details: Mapping[str, Sequence[Row]]
    ours: Mapping[str, Sequence[Row]]


def read_study(connection: Connection, place: Place) -> StudyRows:
    """Return the study without its trials."""
    named = _one(connection, optuna_schema.studies, optuna_schema.studies.c.study_id == place.study_id)
    details: dict[str, Sequence[Row]] = {}
    for table in optuna_schema.STUDY_DETAILS:
        rows = _checked(connection, table, table.c.study_id == place.study_id)
        details[table.name] = [_unlinked(table, row) for row in rows]
    attributes = optuna_schema.study_system_attributes.name
    details[attributes] = [row for row in details[attributes] if not is_dashboard_note(row["key"])]
    dashboard_notes = read_dashboard_notes(connection, place.study_id)
    ours, settled = None, 0
    if place.key is not None:
        table = schema.studies
        found = _one(connection, table, table.c.study_key == place.key)
        ours = {name: value for name, value in found.items() if name not in ("study_id", "settled_trial_id")}
        counted = (_trials.c.study_id == place.study_id, _trials.c.trial_id <= found["settled_trial_id"])
        settled = connection.execute(select(func.count()).where(*counted)).scalar_one()
    return StudyRows(
        name=named["study_name"], details=details, dashboard_notes=dashboard_notes, ours=ours, settled=settled
    )


def read_trials(connection: Connection, place: Place, *, after: int | None) -> dict[int, TrialRows]:
    """Return trial_id -> rows of the next `BATCH` trials with ids above `after`, by id; None is the start.

    Raises StorageError for a value that its column does not permit.
    """
    of_study = _trials.c.study_id == place.study_id
    later = of_study if after is None else and_(of_study, _trials.c.trial_id > after)
    rows = _checked(connection, _trials, later, limit=BATCH)
    trials = {row["trial_id"]: _without(row, "trial_id", "study_id") for row in rows}
    details = {table.name: _details(connection, table, list(trials)) for table in _TRIAL_DETAILS}
    ours = {} if place.key is None else _ours(connection, place.key, trials)
    return {
        trial_id: TrialRows(
            trial=trial,
            details={name: rows.get(trial_id, []) for name, rows in details.items()},
            ours=ours.get(trial_id, {}),
        )
        for trial_id, trial in trials.items()
    }


def write_study(connection: Connection, rows: StudyRows) -> Place:
    """Write a study without its trials; return its place. Raises IntegrityError if the name or key is taken."""
    studies = optuna_schema.studies
    connection.execute(insert(studies).values(study_name=rows.name))
    same_name = select(studies.c.study_id).where(studies.c.study_name == rows.name)
    study_id = connection.execute(same_name).scalar_one()
    remove_strays(connection, study_id)
    for table in optuna_schema.STUDY_DETAILS:
        write_rows(connection, table, [{**row, "study_id": study_id} for row in rows.details[table.name]])
    if rows.ours is None:
        return Place(study_id=study_id, key=None)
    connection.execute(insert(schema.studies).values(**rows.ours, study_id=study_id, settled_trial_id=-1))
    return Place(study_id=study_id, key=rows.ours["study_key"])


def write_trials(
    connection: Connection, place: Place, trials: Sequence[TrialRows], *, after: int
) -> list[int]:
    """Append trials, at most a few hundred; return their ids, which are greater than `after`."""
    ids: list[int] = []
    for chunk in _unique_number_groups(trials):
        write_rows(connection, _trials, [{**rows.trial, "study_id": place.study_id} for rows in chunk])
        made = connection.execute(
            select(_trials.c.number, _trials.c.trial_id).where(
                _trials.c.study_id == place.study_id, _trials.c.trial_id > max(ids, default=after)
            )
        )
        id_of = {row.number: row.trial_id for row in made}
        ids += [id_of[rows.trial["number"]] for rows in chunk]
    for table in _TRIAL_DETAILS:
        _insert_details(connection, table, [rows.details[table.name] for rows in trials], ids)
    if place.key is not None:
        _insert_ours(connection, place.key, trials, ids)
    return ids


def finish_study(connection: Connection, place: Place, rows: StudyRows, *, ids: Sequence[int]) -> None:
    """Write a study's dashboard notes, which name its trials by id, and the number of trials in the cached counts.

    `ids` are those of all its trials, in reading order.
    """
    write_dashboard_notes(connection, place.study_id, rows.dashboard_notes, ids=ids)
    if place.key is None:
        return
    ours, last = schema.studies, max(ids[: rows.settled], default=-1)
    connection.execute(update(ours).where(ours.c.study_key == place.key).values(settled_trial_id=last))


def _without(row: Mapping[Any, Any], *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _checked(
    connection: Connection, table: Table, condition: ColumnElement[bool], *, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the rows of a table by primary key. Raises StorageError for a value that its column does not permit."""
    keys = list(table.primary_key.columns)
    rows = connection.execute(
        select(*raw_columns(connection, list(table.columns))).where(condition).order_by(*keys).limit(limit)
    ).mappings()
    return [
        checked_row(table, row, where=f"row {', '.join(str(row[key.name]) for key in keys)[:100]}")
        for row in rows
    ]


def _one(connection: Connection, table: Table, condition: ColumnElement[bool]) -> dict[str, Any]:
    """Return the single row. Raises StorageError if there are none or several."""
    rows = _checked(connection, table, condition, limit=2)
    if len(rows) != 1:
        (key,) = table.primary_key.columns
        rule, got = "must be there once", "none" if not rows else "several rows"
        raise broken_row(table.name, "the study", key.name, rule=rule, value=got)
    return rows[0]


def _unlinked(table: Table, row: Row) -> Row:
    """Return a row of details without its links to the database."""
    own_id = next((key.name for key in table.primary_key.columns if key.name.endswith("_id")), "")
    return _without(row, own_id, *_LINKS)


def _details(connection: Connection, table: Table, ids: Sequence[int]) -> dict[int, list[Row]]:
    """Return trial_id -> rows of one of Optuna's tables, in order of insertion."""
    grouped: dict[int, list[Row]] = {}
    for row in _checked(connection, table, table.c.trial_id.in_(ids)):
        grouped.setdefault(row["trial_id"], []).append(_unlinked(table, row))
    return grouped


def _ours(connection: Connection, key: str, trials: Mapping[int, Row]) -> dict[int, dict[str, list[Row]]]:
    """Return trial_id -> rows of each of our tables."""
    table = schema.trials
    known: dict[int, int] = {}
    found: dict[int, dict[str, list[Row]]] = {}
    for row in _checked(
        connection, table, and_(table.c.study_key == key, table.c.trial_id.in_(list(trials)))
    ):
        trial_id, number = row["trial_id"], row["number"]
        if number != trials[trial_id]["number"]:
            where, rule = f"trial_id {trial_id}", f"must be that of the trial, {trials[trial_id]['number']}"
            raise broken_row(table.name, where, "number", rule=rule, value=number)
        known[number] = trial_id
        found.setdefault(trial_id, {}).setdefault(table.name, []).append(_without(row, *_LINKS))
    for table in (schema.attempts, schema.series, schema.evaluations):
        condition = and_(table.c.study_key == key, table.c.number.in_(list(known)))
        for row in _checked(connection, table, condition):
            listed = found[known[row["number"]]].setdefault(table.name, [])
            listed.append(_without(row, *_LINKS))
    return found


def _unique_number_groups(trials: Sequence[TrialRows]) -> list[list[TrialRows]]:
    """Return the trials in groups in which every number occurs once, so that a number identifies its new id.

    Optuna's own storage can give two trials of a study in SQLite the same number.
    """
    runs: list[list[TrialRows]] = []
    seen: set[int] = set()
    for rows in trials:
        if not runs or rows.trial["number"] in seen:
            runs.append([])
            seen = set()
        runs[-1].append(rows)
        seen.add(rows.trial["number"])
    return runs


def _insert_details(
    connection: Connection, table: Table, details: Sequence[Sequence[Row]], ids: Sequence[int]
) -> None:
    rows = [{**row, "trial_id": trial_id} for trial_id, own in zip(ids, details, strict=True) for row in own]
    write_rows(connection, table, rows)


def _insert_ours(connection: Connection, key: str, trials: Sequence[TrialRows], ids: Sequence[int]) -> None:
    for table in schema.STUDY_DETAILS:
        rows = []
        for trial_id, own in zip(ids, trials, strict=True):
            links = {"study_key": key, "number": own.trial["number"], "trial_id": trial_id}
            links = {name: value for name, value in links.items() if name in table.c}
            rows += [{**row, **links} for row in own.ours.get(table.name, ())]
        write_rows(connection, table, rows)


WHY: Final = "copied to another database"

_report_rows = optuna_schema.trial_intermediate_values.name
_our_trials = schema.trials.name
_attempt_rows = schema.attempts.name


def without_lease(rows: TrialRows, *, now_s: float) -> TrialRows:
    """Return the trial without a lease; a running one as if it had been handed back: see `Queue.release`."""
    if rows.trial["state"] != RUNNING:
        kept = {_our_trials: [{**row, "lease_until": None} for row in rows.ours.get(_our_trials, ())]}
        return replace(rows, ours={**rows.ours, **kept} if rows.ours else {})
    return TrialRows(
        trial={**rows.trial, "state": WAITING, "datetime_start": None},
        details={**rows.details, _report_rows: []},
        ours=_handed_back(rows, now_s, rows.trial["datetime_start"]) if rows.ours else {},
    )


def _handed_back(rows: TrialRows, now_s: float, started: datetime | None) -> dict[str, list[Row]]:
    """Return our rows of a running trial: the attempt moves to its history, and its epochs count as stopped."""
    (row,) = rows.ours[_our_trials]
    ended: dict[str, Any] = {
        "attempt": row["attempt"],
        "worker": row["worker"],
        "why": WHY,
        "crashed": False,
        "epochs": row["epochs"],
        "ended": now_s,
        "started": epoch_s(started),
        "kind": HANDED_BACK,
        "kept": None,
    }
    waiting = {
        **row,
        "token": NO_TOKEN,
        "worker": None,
        "lease_until": None,
        "epochs": 0,
        "steps": 0,
        "reported": -1,
        "version": row["version"] + 1,
    }
    return {_our_trials: [waiting], _attempt_rows: [*rows.ours.get(_attempt_rows, ()), ended]}


def in_whole_seconds(rows: TrialRows) -> TrialRows:
    """Return the trial with Optuna's times truncated to seconds, as its tables in MySQL and MariaDB store them."""
    return replace(rows, trial=_cut(rows.trial))


def _cut(row: Mapping[str, Any]) -> Row:
    return {
        name: value.replace(microsecond=0) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


_attributes = optuna_schema.study_system_attributes
_trials = optuna_schema.trials

_KEY: Final = re.compile(r"(dashboard:(?:artifacts:)?)([0-9]{1,18})(:.*)", re.DOTALL)


def is_dashboard_note(key: str) -> bool:
    """Return True for the key of a study's attribute that refers to one trial by its id."""
    return _KEY.fullmatch(key) is not None


def read_dashboard_notes(connection: Connection, study_id: int) -> list[DashboardNote]:
    """Return all notes of a study, sorted. Omits those that refer to a trial that the study does not have."""
    rows = connection.execute(
        select(_attributes.c.key, _attributes.c.value_json).where(
            _attributes.c.study_id == study_id, _attributes.c.key.startswith("dashboard:")
        )
    )
    found = [(match, row.value_json) for row in rows if (match := _KEY.fullmatch(row.key))]
    places = _places(connection, study_id) if found else {}
    return sorted(
        DashboardNote(place=places[trial_id], head=match[1], tail=match[3], value_json=value)
        for match, value in found
        if (trial_id := int(match[2])) in places
    )


def write_dashboard_notes(
    connection: Connection, study_id: int, dashboard_notes: Iterable[DashboardNote], *, ids: Sequence[int]
) -> None:
    """Write notes of the trials with these ids, which are in order of their places."""
    rows = [
        {
            "study_id": study_id,
            "key": f"{one.head}{ids[one.place]}{one.tail}",
            "value_json": one.value_json,
        }
        for one in dashboard_notes
    ]
    write_rows(connection, _attributes, rows)


def _places(connection: Connection, study_id: int) -> dict[int, int]:
    """Return trial_id -> place of all trials of a study."""
    ids = select(_trials.c.trial_id).where(_trials.c.study_id == study_id).order_by(_trials.c.trial_id)
    return {trial_id: place for place, trial_id in enumerate(connection.scalars(ids))}
