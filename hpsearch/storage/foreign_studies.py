"""Studies that other Optuna clients made, from Optuna's tables. No table of ours is read for them.

Each function reads in its caller's transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, func, select

from hpsearch.errors import ForeignStudyError
from hpsearch.storage import optuna_schema
from hpsearch.storage.details import as_value
from hpsearch.storage.records import Foreign, StoredStudy
from hpsearch.storage.stored_values import is_number, plain_json
from hpsearch.study.spec import Choices, DataSpec, Dimension, Metric, Range, SamplerSpec, StudySpec

METRIC_NAMES: Final = "study:metric_names"
"""The system attribute in which Optuna stores the metric names that its plots and dashboards show."""

_studies = optuna_schema.studies
_directions = optuna_schema.study_directions
_attributes = optuna_schema.study_system_attributes
_trials = optuna_schema.trials
_params = optuna_schema.trial_params


def find(connection: Connection, name: str) -> StoredStudy | None:
    """Return Optuna's study of exactly that name, with the search space of its trials, or None."""
    rows = connection.execute(select(_studies).where(_studies.c.study_name == name))
    study_id = next((row.study_id for row in rows if row.study_name == name), None)
    if study_id is None:
        return None
    made = every(connection, {study_id: name})[study_id]
    return _with_search(made, searched(connection, study_id))


def every(connection: Connection, names: Mapping[int, str]) -> dict[int, StoredStudy]:
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
        study_id: _study(
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
    "narrow, test, enqueue, fail, retry or replay them; study show, best, trials, report, rename, copy, export and "
    "delete work"
)


def refuse(study: StoredStudy) -> None:
    """Raise ForeignStudyError if another Optuna client made the study; hpsearch does not change such studies."""
    if study.foreign is not None:
        raise ForeignStudyError(
            f'study "{study.name}": must have been made by hpsearch (it was made by another Optuna client): '
            f"{FOREIGN_REMEDY}"
        )


def _study(
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
