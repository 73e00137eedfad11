"""Check whole databases and studies against the invariants of every stored study and trial.

They go beyond the permitted values of columns (`stored_values`). Rows of another database are checked before anything
is written; `storage check --full` checks all rows of a database.
"""

import math
import re
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeAlias, final

from sqlalchemy import Connection, Engine, func, select

from hpsearch.errors import Problem, StorageError, StorageUnavailableError
from hpsearch.storage import optuna_schema, schema, stored_studies
from hpsearch.storage.address import Address, prepare_file
from hpsearch.storage.data_files import data_problems
from hpsearch.storage.driver_errors import attempt
from hpsearch.storage.engine import make_engine, read_transaction
from hpsearch.storage.leases import NO_TOKEN
from hpsearch.storage.migration import check_revisions, revisions, revisions_of
from hpsearch.storage.optuna_schema import COMPLETE, FAIL, PRUNED, RUNNING, WAITING
from hpsearch.storage.payloads import unpack_finding, unpack_series
from hpsearch.storage.records import Place, StoredStudy
from hpsearch.storage.sqlite_file import check_file, check_stamps, source_engine, unlinked_problems
from hpsearch.storage.stored_values import (
    DEEPEST,
    NOT_JSON,
    depth_of,
    holds,
    is_choice,
    is_number,
    is_whole,
    plain_json,
    shown_value,
    stored_distribution,
)
from hpsearch.storage.study_rows import Row, StudyRows, TrialRows, read_study, read_trials
from hpsearch.study.json_form import spec_from_json, spec_problems
from hpsearch.study.messages import format_count, toml_excerpt
from hpsearch.study.metrics import METRICS
from hpsearch.study.schema import MOST_EPOCHS, MOST_TRIALS
from hpsearch.study.spec import StudySpec
from hpsearch.verdicts import Cause

_Problems: TypeAlias = Iterator[Problem]

_KEY: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_LATEST_S: Final = 9e9
"""The latest time in seconds since 1970: the year 2255."""

_FINISHED: Final = (COMPLETE, PRUNED, FAIL)

_system = optuna_schema.study_system_attributes.name
_user = optuna_schema.study_user_attributes.name


@final
@dataclass(kw_only=True, slots=True)
class Facts:
    """Facts about a study, collected while its trials are checked batch by batch.

    `spec` is None for a study of another Optuna client, or one that cannot be read.
    """

    study: StudyRows
    spec: StudySpec | None = None
    numbers: set[int] = field(default_factory=set)
    states: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def study_problems(rows: StudyRows) -> _Problems:
    """Yield the problems of a study, apart from its trials."""
    # Optuna itself allows any name.
    if rows.ours is not None and not (rows.name and rows.name.isprintable()):
        yield _problem("studies", "study_name", "must be printable text", rows.name)
    yield from _direction_problems(rows)
    for table in (_user, _system):
        yield from _attribute_problems(table, "the study", rows.details[table])
    for note in rows.dashboard_notes:
        yield from _json_problems(_system, f'attribute "{note.head}...{note.tail}"', note.value_json)
    if rows.ours is not None:
        yield from _our_study_problems(rows, rows.ours)


def facts(rows: StudyRows) -> Facts:
    """Return the facts about a study that the checks of its trials need."""
    if rows.ours is None or next(_spec_problems(rows.ours["spec"]), None) is not None:
        return Facts(study=rows)
    return Facts(study=rows, spec=spec_from_json(rows.ours["spec"]))


def trial_problems(known: Facts, rows: TrialRows) -> _Problems:
    """Yield the problems of one trial, and record in `known`, in place, that it was seen."""
    number = rows.trial["number"]
    at = f"trial {number}"
    if number < 0:
        yield _problem("trials", "number", "must be at least 0", number, at)
    if number in known.numbers and known.study.ours is not None:
        yield _problem("trials", "number", "must be unique in its study", number, at)
    known.numbers.add(number)
    known.states.append(rows.trial["state"])
    for table, listed in rows.ours.items():
        known.rows[table] = known.rows.get(table, 0) + len(listed)
    yield from _time_problems(rows.trial, at)
    yield from _value_problems(rows, at, objectives=len(known.study.details["study_directions"]))
    yield from _report_problems(rows, at)
    yield from _parameter_problems(rows, at)
    for table in ("trial_user_attributes", "trial_system_attributes"):
        yield from _attribute_problems(table, at, rows.details[table])
    if rows.ours:
        yield from _our_trial_problems(rows, at)
    if known.spec is not None and _is_result(rows):
        yield from _result_problems(known.spec, rows, at)


def sum_problems(known: Facts, format_count: Mapping[str, int]) -> _Problems:
    """Yield the problems of a study as a whole, after all its trials were seen.

    `format_count` is the number of rows that each of our tables has for the study.
    """
    ours = known.study.ours
    if ours is None:
        return
    if known.numbers and (len(known.numbers), 0) != (max(known.numbers) + 1, min(known.numbers)):
        yield _problem("trials", "number", "must run from 0 without gaps", sorted(known.numbers)[:10])
    for table, count in format_count.items():
        if count != known.rows.get(table, 0):
            rule = f"must all belong to trials of the study ({known.rows.get(table, 0)} do)"
            yield _problem(table, "number", rule, count)
    settled = known.states[: known.study.settled]
    for state, column in (
        (COMPLETE, "settled_complete"),
        (PRUNED, "settled_pruned"),
        (FAIL, "settled_failed"),
    ):
        if settled.count(state) != ours[column]:
            rule = f"must be the number of such trials, {settled.count(state)}"
            yield _problem("hpsearch_studies", column, rule, ours[column])


def _problem(table: str, column: str, rule: str, value: object, at: str = "") -> Problem:
    where = f"table {table}, {f'{at}, ' if at else ''}column {column}"
    text = str(value) if isinstance(value, datetime) else shown_value(value)
    return Problem(where=where, message=f"{rule} (got {text})")


def _direction_problems(rows: StudyRows) -> _Problems:
    found = rows.details["study_directions"]
    objectives = sorted(row["objective"] for row in found)
    if not objectives or objectives != list(range(len(objectives))):
        yield _problem("study_directions", "objective", "must run from 0 without gaps", objectives)
    if rows.ours is not None and len(objectives) > 1:
        yield _problem("study_directions", "objective", "must be one", len(objectives))


def _our_study_problems(rows: StudyRows, ours: Row) -> _Problems:
    table = "hpsearch_studies"
    if _KEY.fullmatch(ours["study_key"]) is None:
        yield _problem(table, "study_key", "must be a UUID", ours["study_key"])
    if ours["parent"] is not None and _KEY.fullmatch(ours["parent"]) is None:
        yield _problem(table, "parent", "must be a UUID or null", ours["parent"])
    yield from _bounds(table, "", ours, budget=(0, MOST_TRIALS), created=(0, _LATEST_S))
    counts = dict.fromkeys(("settled_complete", "settled_pruned", "settled_failed"), (0, 2**31))
    yield from _bounds(table, "", ours, **counts)
    yield from _spec_problems(ours["spec"])
    yield from _agreed_problems(rows, ours)
    if ours["unsealing"] is not None:
        yield from _unsealing_problems(ours["unsealing"])


def _spec_problems(text: str) -> _Problems:
    if depth_of(text) > DEEPEST:
        yield _problem("hpsearch_studies", "spec", f"must be nested {DEEPEST} levels deep at most", text)
        return
    for problem in spec_problems(text):
        yield Problem(where=f"table hpsearch_studies, column spec, {problem.where}", message=problem.message)


def _agreed_problems(rows: StudyRows, ours: Row) -> _Problems:
    """Yield differences between the values that other Optuna clients read of a study and ours."""
    if next(_spec_problems(ours["spec"]), None) is not None:
        return
    maximize = spec_from_json(ours["spec"]).maximize
    for row in rows.details["study_directions"]:
        if row["direction"] != ("MAXIMIZE" if maximize else "MINIMIZE"):
            yield _problem(
                "study_directions", "direction", "must be that of the study's metric", row["direction"]
            )


def _unsealing_problems(text: str) -> _Problems:
    found = plain_json(text)
    is_right = (
        isinstance(found, dict)
        and is_whole(found.get("number"))
        and isinstance(found.get("command"), str)
        and is_number(found.get("opened"))
        and 0 <= found["opened"] <= _LATEST_S
        and (found.get("seeds") is None or is_whole(found["seeds"]))
    )
    if not is_right:
        yield _problem(
            "hpsearch_studies", "unsealing", "must be number, command, time and seeds as JSON", text
        )


def _time_problems(trial: Row, at: str) -> _Problems:
    state, start, complete = trial["state"], trial["datetime_start"], trial["datetime_complete"]
    if (state in _FINISHED) != (complete is not None):
        rule = "must be set" if complete is None else "must be null"
        yield _problem("trials", "datetime_complete", f"{rule} in the state {state}", complete, at)
    if state == RUNNING and start is None:
        yield _problem("trials", "datetime_start", f"must be set in the state {state}", start, at)


def _value_problems(rows: TrialRows, at: str, *, objectives: int) -> _Problems:
    table, found = "trial_values", rows.details["trial_values"]
    given = sorted(row["objective"] for row in found)
    state = rows.trial["state"]
    is_missing = state == COMPLETE and len(given) != objectives
    if is_missing or (given and given != list(range(objectives))) or (given and state in (WAITING, RUNNING)):
        rule = f"must be {f'0 to {objectives - 1}' if state in _FINISHED else 'missing'} in the state {state}"
        yield _problem(table, "objective", rule, given, at)
    for row in found:
        yield from _kind_problems(table, "value", row, at)


def _report_problems(rows: TrialRows, at: str) -> _Problems:
    table, seen = "trial_intermediate_values", set()
    for row in rows.details[table]:
        if row["step"] in seen:
            yield _problem(table, "step", "must be unique in its trial", row["step"], at)
        seen.add(row["step"])
        yield from _kind_problems(table, "intermediate_value", row, at)
        if rows.ours and not 0 <= row["step"] <= MOST_EPOCHS:
            yield _problem(table, "step", f"must be from 0 to {MOST_EPOCHS}", row["step"], at)


def _kind_problems(table: str, column: str, row: Row, at: str) -> _Problems:
    kind = row[f"{column}_type"]
    if (kind == "FINITE") != (row[column] is not None):
        yield _problem(
            table,
            column,
            f"must {'not ' if kind == 'FINITE' else ''}be null if the kind is {kind}",
            row[column],
            at,
        )


def _parameter_problems(rows: TrialRows, at: str) -> _Problems:
    table, seen = "trial_params", set()
    for row in rows.details[table]:
        name = row["param_name"]
        here = f"{at}, {toml_excerpt(name)}"
        if name in seen:
            yield _problem(table, "param_name", "must be unique in its trial", name, at)
        seen.add(name)
        held = stored_distribution(row["distribution_json"])
        if held is None:
            rule = "must be a distribution of Optuna as JSON"
            yield _problem(table, "distribution_json", rule, row["distribution_json"], here)
        elif not holds(held, row["param_value"]):
            yield _problem(table, "param_value", f"must lie inside {held}", row["param_value"], here)


def _attribute_problems(table: str, at: str, found: Sequence[Row]) -> _Problems:
    seen = set()
    for row in found:
        if row["key"] in seen:
            yield _problem(table, "key", "must be unique", row["key"], at)
        seen.add(row["key"])
        yield from _json_problems(table, f"{at}, {toml_excerpt(row['key'])}", row["value_json"])
        if table == "trial_system_attributes" and row["key"] == "fixed_params":
            yield from _fixed_problems(row["value_json"], at)


def _fixed_problems(text: str, at: str) -> _Problems:
    fixed = plain_json(text)
    if not isinstance(fixed, dict) or not all(is_choice(value) for value in fixed.values()):
        rule = "must be names of parameters with a value each"
        yield _problem("trial_system_attributes", "value_json", rule, text, f'{at}, "fixed_params"')


def _json_problems(table: str, at: str, text: str | None) -> _Problems:
    if text is None or plain_json(text) is NOT_JSON:
        rule = f"must be JSON, nested {DEEPEST} levels deep at most"
        yield _problem(table, "value_json", rule, text, at)


def _our_trial_problems(rows: TrialRows, at: str) -> _Problems:
    table, listed = "hpsearch_trials", rows.ours.get(schema.trials.name, ())
    if len(listed) != 1:
        yield _problem(table, "number", "must exist once", len(listed), at)
    for row in listed:
        whole, count = (0, 2**31), (0, 2**63)
        yield from _bounds(
            table, at, row, attempt=whole, crashes=whole, epochs=whole, version=whole, steps=count
        )
        yield from _bounds(table, at, row, token=(NO_TOKEN, 2**63), reported=(-1, MOST_EPOCHS))
        yield from _verdict_problems(row, at)
    for row in rows.ours.get(schema.attempts.name, ()):
        bounds = {"epochs": (0, 2**31), "ended": (0, _LATEST_S), "attempt": (0, 2**31)}
        optional = {"started": (0, _LATEST_S), "kept": (0, 2**31)}
        given = {name: ends for name, ends in optional.items() if row[name] is not None}
        yield from _bounds("hpsearch_attempts", at, row, **bounds, **given)
    for row in rows.ours.get(schema.series.name, ()):
        yield from _series_problems(row, at)
    for row in rows.ours.get(schema.evaluations.name, ()):
        yield from _bounds("hpsearch_evaluations", at, row, made=(0, _LATEST_S), seed=(0, 2**63))
        if row["part"] not in ("validation", "test"):
            yield _problem("hpsearch_evaluations", "part", "must be validation or test", row["part"], at)


def _is_result(rows: TrialRows) -> bool:
    """Return True for a trial that a worker of ours trained to its end."""
    own = rows.ours.get(schema.trials.name, ())
    return len(own) == 1 and own[0]["finding"] is not None and rows.trial["state"] in (COMPLETE, PRUNED)


def _result_problems(spec: StudySpec, rows: TrialRows, at: str) -> _Problems:
    """Yield the reasons why a trial of ours does not fit its study."""
    (own,) = rows.ours[schema.trials.name]
    steps = {row["step"] for row in rows.details["trial_intermediate_values"]}
    # Not a set of all epochs: there may be billions, and the first missing one comes soon.
    missing = next((epoch for epoch in range(own["reported"] + 1) if epoch not in steps), None)
    if missing is not None and spec.objective is None:
        rule = f"must exist for every epoch up to {own['reported']}"
        yield _problem("trial_intermediate_values", "step", rule, f"none for {missing}", at)
    if own["epochs"] <= own["reported"]:
        yield _problem("hpsearch_trials", "epochs", f"must be above {own['reported']}", own["epochs"], at)
    searched = {each.name for each in spec.search}
    required = {each.name for each in spec.search if not each.when}
    found = {row["param_name"] for row in rows.details["trial_params"]}
    if not required <= found or (spec.objective is None and not found <= searched):
        rule = f"must be what the study searches, {', '.join(sorted(searched))}"
        yield _problem("trial_params", "param_name", rule, sorted(found), at)
    known = METRICS.get(spec.metric)
    low, high = known.bounds if known is not None else (-math.inf, math.inf)
    for row in rows.details["trial_values"]:
        if row["value"] is not None and not low <= row["value"] <= high:
            rule = f"must be a value of {spec.metric}, {low:g} to {high:g}"
            yield _problem("trial_values", "value", rule, row["value"], at)


def _verdict_problems(row: Row, at: str) -> _Problems:
    table, verdict, finding = "hpsearch_trials", row["verdict"], row["finding"]
    if verdict is not None and verdict not in list(Cause):
        yield _problem(table, "verdict", "must be a verdict of this version", verdict, at)
    if finding is None:
        return
    if depth_of(finding) > DEEPEST:
        yield _problem(table, "finding", f"must be nested {DEEPEST} levels deep at most", finding, at)
        return
    try:
        cause = unpack_finding(finding).cause
    except StorageError as error:
        yield Problem(where=f"table {table}, {at}, column finding", message=str(error))
        return
    if cause != verdict:
        yield _problem(table, "verdict", f"must be the verdict of the finding, {cause}", verdict, at)


def _series_problems(row: Row, at: str) -> _Problems:
    try:
        unpack_series(row["format"], row["payload"])
    except StorageError as error:
        yield Problem(where=f"table hpsearch_series, {at}, column payload", message=str(error))


def _bounds(table: str, at: str, row: Row, **bounds: tuple[float, float]) -> _Problems:
    for column, (low, high) in bounds.items():
        if not low <= row[column] <= high:
            yield _problem(table, column, f"must be from {low:g} to {high:g}", row[column], at)


_PROBLEMS_MAX: Final = 20
"""Most listed problems of one study."""

_FEW: Final = 3
"""Most listed problems of each study if there are several such studies."""


def study_faults(connection: Connection, place: Place) -> list[str]:
    """Return the problems of a study, prefixed with its name; none for a usable one."""
    name = connection.execute(
        select(optuna_schema.studies.c.study_name).where(optuna_schema.studies.c.study_id == place.study_id)
    ).scalar()
    try:
        found = [f"{problem}" for problem in islice(_problems(connection, place), _PROBLEMS_MAX)]
    except StorageError as error:
        found = [str(error)]
    return [f"{_prefix(str(name))}{fault}" for fault in found]


def _prefix(name: str) -> str:
    """Return the beginning of each problem of a study."""
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    return f'study "{shown}": '


def broken_studies(address: Address, broken: Mapping[str, Sequence[str]], *, remedy: str) -> StorageError:
    """Return the error for refused studies (name -> faults), with the remedy at its end."""
    most = _PROBLEMS_MAX if len(broken) == 1 else _FEW
    count = sum(map(len, broken.values()))
    listed = "\n".join(f"  {line}" for faults in broken.values() for line in _first(faults, most))
    return StorageError(
        f"{address.shown}: must hold studies as hpsearch and Optuna store them "
        f"({format_count(count, 'problem')}):\n{listed}\n{remedy}"
    )


def _first(lines: Sequence[str], most: int) -> list[str]:
    """Return the first lines up to the limit, and one more with the number of omitted ones."""
    left = len(lines) - most
    return [*lines[:most], *([f"and {left} more: see `hpsearch storage check --full`"] if left > 0 else [])]


@contextmanager
def reader(address: Address) -> Iterator[Engine]:
    """Yield an engine that only reads a database; an SQLite file is not changed."""
    if address.path is not None:
        with source_engine(address, address.path) as engine:
            yield engine
        return
    engine = make_engine(address, works_long=True)
    try:
        yield engine
    finally:
        engine.dispose()


def examine(address: Address, *, within_s: float = math.inf) -> list[str]:
    """Return all problems in a database, at most `_PROBLEMS_MAX` of each study.

    Studies that are not reached `within_s` are omitted. Raises StorageError if the database is of another version or
    cannot be read at all.
    """
    prepare_file(address, create=False, is_source=True)
    end = time.monotonic() + within_s
    with reader(address) as engine:
        if address.path is not None:
            attempt(lambda: check_stamps(engine, shown=address.shown), address)
        found = attempt(lambda: revisions_of(engine), address)
        check_revisions(found, shown=address.shown)
        if found.optuna is None:
            return []
        if address.path is not None:
            attempt(lambda: check_file(engine, shown=address.shown), address)

        def faults() -> list[str]:
            with read_transaction(engine) as connection:
                return _database_faults(connection, end=end)

        return attempt(faults, address)


def explained(error: Exception, addresses: Iterable[Address], *, within_s: float) -> StorageError | None:
    """Return the problems of a database if they may have caused `error`, or None.

    They may have if the error was raised while rows were read, or while a study with problems was processed. A database
    that does not answer is no reason: its readers report that themselves.
    """
    for address in addresses:
        if address.path is not None and not address.path.exists():  # an unfinished export
            continue
        faults: list[str] = []
        # If the check of the database fails too, the original error is reported.
        with suppress(Exception):
            try:
                faults = examine(address, within_s=within_s)
            except StorageUnavailableError:
                continue
            except StorageError as unreadable:
                return unreadable
        if faults := [fault for fault in faults if _concerns(fault, error)]:
            why = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
            listed = "\n".join(f"  {fault}" for fault in faults[:_PROBLEMS_MAX])
            return StorageError(
                f"{address.shown}: the database is damaged, or another program wrote rows that hpsearch cannot "
                f"read ({why}): restore a backup, or delete these studies:\n{listed}"
            )
    return None


def _concerns(fault: str, error: Exception) -> bool:
    """Return True if a fault may have caused an error; also if the error has no traceback, which shows where it was."""
    if error.__traceback__ is None:
        return True
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(frame.f_globals.get("__name__", "").startswith("hpsearch.storage.") for frame in frames):
        return True
    found = [value for frame in frames for value in frame.f_locals.values() if is_dataclass(value)]
    studies = [study for value in found for study in (value, getattr(value, "study", None))]
    return any(isinstance(study, StoredStudy) and fault.startswith(_prefix(study.name)) for study in studies)


def _database_faults(connection: Connection, *, end: float) -> list[str]:
    is_file = connection.dialect.name == "sqlite"
    faults = unlinked_problems(connection, with_leftovers=False) if is_file else []
    for place in _places(connection):
        if time.monotonic() > end:
            break
        faults += study_faults(connection, place)
    return faults


def _places(connection: Connection) -> list[Place]:
    ours = {}
    if revisions(connection).hpsearch is not None:
        ours = {row.study_id: row.study_key for row in stored_studies.linked(connection)}
    ids = connection.scalars(
        select(optuna_schema.studies.c.study_id).order_by(optuna_schema.studies.c.study_id)
    )
    return [Place(study_id=study_id, key=ours.get(study_id)) for study_id in ids]


def _problems(connection: Connection, place: Place) -> Iterator[Problem]:
    study = read_study(connection, place)
    yield from study_problems(study)
    known = facts(study)
    last: int | None = None
    while trials := read_trials(connection, place, after=last):
        last = max(trials)
        for rows in trials.values():
            yield from trial_problems(known, rows)
    yield from sum_problems(known, _counted(connection, place))
    if place.key is not None:
        yield from data_problems(connection, place.key)


def _counted(connection: Connection, place: Place) -> dict[str, int]:
    """Return the number of rows that a study has in each of our tables."""
    if place.key is None:
        return {}

    def count(table: Any) -> int:
        rows = select(func.count()).select_from(table).where(table.c.study_key == place.key)
        return int(connection.execute(rows).scalar_one())

    return {table.name: count(table) for table in schema.STUDY_DETAILS}
