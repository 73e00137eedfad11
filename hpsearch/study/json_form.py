"""A specification as the JSON text in the database, and the rules for reading it in other versions.

A version that adds a key gives it a default with the behaviour of earlier versions. If a study holds no other value of
it, that version may write `oldest_reader`, the oldest version ("0.1") that trains the study to the same numbers. An
older version then ignores unknown keys; without `oldest_reader` it refuses them.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from functools import lru_cache
from typing import Any, Final

import hpsearch
from hpsearch.errors import Problem
from hpsearch.study.conditions import condition_problems
from hpsearch.study.objective import damage_problems, objective_document
from hpsearch.study.reader import document_problems
from hpsearch.study.schema import CONFIGURABLE, SECTIONS, STUDY, Text, is_number, violation
from hpsearch.study.spec import (
    NO_DATA,
    BudgetSpec,
    Choices,
    ColumnRule,
    Conditions,
    DataSpec,
    Dimension,
    ExactConfiguration,
    Fault,
    Initializer,
    Limits,
    ModelSpec,
    ObjectiveSpec,
    PruningSpec,
    Range,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
    column_keys,
    full_name,
)
from hpsearch.verdicts import Cause


def spec_to_json(spec: StudySpec) -> str:
    """Return `spec` as JSON text that `spec_from_json` turns back into an equal record."""
    raw = asdict(spec)
    for key in ("notify", *(("objective",) if spec.objective is None else _NETWORK_ONLY)):
        del raw[key]
    for dimension in raw["search"]:
        if not dimension["when"]:  # which older versions refuse
            del dimension["when"]
    # Versions without limits read a study that has none.
    for key in ("budget", "limits"):
        raw[key] = {name: value for name, value in raw[key].items() if value is not None}
    if spec.objective is not None:
        raw["objective"]["limits"] = raw.pop("limits")
    return json.dumps({key: value for key, value in raw.items() if value != {}}, sort_keys=True)


_NETWORK_ONLY: Final = ("data", "model", "training", "configurations")
"""Keys that a study with an objective lacks."""


def minor_version(text: object) -> tuple[int, int]:
    """Return major and minor of a version such as `0.1.0`; (0, 0) if it is no version."""
    parts = str(text).split(".")[:2]
    is_version = len(parts) == 2 and all(
        part.isascii() and part.isdecimal() and len(part) < 6 for part in parts
    )
    return (int(parts[0]), int(parts[1])) if is_version else (0, 0)


@lru_cache(maxsize=8192)  # a dashboard or a worker reads the same studies again every few seconds
def checked_spec(text: str) -> StudySpec:
    """Return `spec_from_json` of a text from any source. Raises ValueError with the problem.

    It checks only as much as all stages of a study need: stored studies stay readable if the rules of study files
    (`spec_problems`) become stricter.
    """
    spec = _parsed(text)
    if (problem := next(_damage_problems(spec), None)) is not None:
        raise ValueError(f"{problem}")
    return spec


def _parsed(text: str) -> StudySpec:
    """Return `spec_from_json`. Raises ValueError if the text is no specification."""
    try:
        return spec_from_json(text)
    except KeyError as error:
        raise ValueError(f"the key {error} is missing") from error
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def spec_from_json(text: str) -> StudySpec:
    """Read the output of `spec_to_json` of this version, an older one, or a newer one that allows it.

    Raises ValueError for keys of other newer versions, which may change results, and ValueError, KeyError, TypeError or
    AttributeError if the text is no specification.
    """
    try:
        raw: dict[str, Any] = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(raw, dict):
        raise ValueError(f"it must be a JSON object (got {text[:_SHOWN]})")  # noqa: TRY004  # as all damage
    oldest = raw.pop(_OLDEST_READER, None)
    is_readable = oldest is not None and (0, 0) < minor_version(oldest) <= minor_version(hpsearch.__version__)
    return _spec(raw, _known_record if is_readable else _record)


_OLDEST_READER: Final = "oldest_reader"
_OLDER_DATA: Final[Mapping[str, Any]] = {
    "header": "text",
    "drop": (),
    "types": "numbers",
    "target_scale": "none",
}
"""The values of keys that studies stored by earlier versions lack."""
_SHOWN: Final = 40
"""Characters of a text that a message shows."""


def _spec(raw: Mapping[str, Any], record: Callable[[type[Any], Mapping[str, Any]], Any]) -> StudySpec:
    """Return the specification in `raw`, whose tables become records by `record`.

    Studies of older versions have no faults, no configurations, and no lists of causes. They read a first line of
    numbers as an example, dropped no column, took every column for numbers, and trained on targets as they are. Those
    with an objective have no data, model and training.
    """
    objective = raw.get("objective")
    if objective is not None:
        blank = {key: asdict(NO_DATA if key == "data" else kind()) for key, kind in _BLANK.items()}
        limits = objective.get("limits", {})
        raw = {**blank, **raw, "objective": _objective(objective, record), "limits": limits}
    data, model, pruning = _OLDER_DATA | raw["data"], raw["model"], raw["pruning"]
    fault = data.get("fault")
    drop = None if data["drop"] is None else tuple(data["drop"])
    columns = tuple(record(ColumnRule, column) for column in data.get("columns") or ()) or None
    causes = {key: tuple(map(Cause, pruning[key])) for key in ("fatal", "expected") if key in pruning}
    network = {"hidden": tuple(model["hidden"]), "initializer": record(Initializer, model["initializer"])}
    study: StudySpec = record(
        StudySpec,
        {
            **raw,
            "data": record(
                DataSpec,
                {
                    **data,
                    "drop": drop,
                    "columns": columns,
                    "fault": None if fault is None else record(Fault, fault),
                },
            ),
            "model": record(ModelSpec, {**model, **network}),
            "training": record(TrainingSpec, raw["training"]),
            "search": tuple(
                record(Choices, {**one, "choices": tuple(one["choices"]), "when": stored_conditions(one)})
                if "choices" in one
                else record(Range, {**one, "when": stored_conditions(one)})
                for one in raw["search"]
            ),
            "sampler": record(SamplerSpec, raw["sampler"]),
            "pruning": record(PruningSpec, {**pruning, **causes}),
            "budget": record(BudgetSpec, raw.get("budget", {})),
            "limits": record(Limits, raw.get("limits", {})),
            "configurations": tuple(
                record(
                    ExactConfiguration,
                    {**one, "params": tuple((name, value) for name, value in one["params"])},
                )
                for one in raw.get("configurations", ())
            ),
        },
    )
    return study


_BLANK: Final[Mapping[str, type[Any]]] = {"data": DataSpec, "model": ModelSpec, "training": TrainingSpec}


def _objective(raw: Mapping[str, Any], record: Callable[[type[Any], Mapping[str, Any]], Any]) -> Any:
    own = {key: value for key, value in raw.items() if key != "limits"}
    return record(ObjectiveSpec, {**own, "python_path": tuple(raw["python_path"])})


def stored_conditions(dimension: Mapping[str, Any]) -> Conditions:
    """Return the conditions of a dimension as JSON stores it; older versions stored none."""
    return tuple((name, tuple(values)) for name, values in dimension.get("when", ()))


def _record(kind: type[Any], raw: Mapping[str, Any]) -> Any:
    if not isinstance(raw, dict):
        raise TypeError(f"{kind.__name__}: must be a JSON object (got {str(raw)[:_SHOWN]})")
    unknown = set(raw) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__}: unknown keys {sorted(unknown)}")
    return kind(**raw)


def _known_record(kind: type[Any], raw: Mapping[str, Any]) -> Any:
    """Return the record without the keys of `raw` that are unknown to this version."""
    names = {field.name for field in fields(kind)}
    return kind(**{key: value for key, value in raw.items() if key in names})


def spec_problems(text: str) -> list[Problem]:
    """Return the problems of JSON text that should be a specification, by the rules of a study file.

    Use it for text from other sources. Names and budgets are ignored: they are stored elsewhere in a study.
    """
    try:
        return _rule_problems(_parsed(text))
    except ValueError as error:
        return violation("top", f"must be a specification as JSON; {error}", text[:80])


def _rule_problems(spec: StudySpec) -> list[Problem]:
    """Return the problems of a specification. Raises ValueError if no study file could contain it."""
    try:
        document = _document(spec)
    except (AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    problems = document_problems(document)
    if not problems and spec.metric == "auto":
        problems = violation("metric", "must be resolved", spec.metric)
    return problems


def _document(spec: StudySpec) -> dict[str, Any]:
    """Return the study file that `spec` could come from."""
    document: dict[str, Any] = {
        "name": "stored",
        "trials": 1,
        "seed": spec.seed,
        "metric": spec.metric,
        **{
            name: {
                key: _raw(value)
                for key, value in _fields_of(getattr(spec, name)).items()
                if value is not None
            }
            for name in SECTIONS
        },
    }
    if spec.objective is not None:
        own = {key: value for key, value in document.items() if key not in _NETWORK_ONLY}
        search = {each.name: _raw_dimension(each) for each in spec.search}
        return own | objective_document(spec.objective) | {"search": search}
    if spec.data.sealed == "validation" or spec.data.folds:
        del document["data"]["validation_fraction"]
    if spec.configurations:
        document["configurations"] = [
            {"name": exact.name, **{name: _raw_parameter(name, value) for name, value in exact.params}}
            for exact in spec.configurations
        ]
        return document
    return document | {"search": {each.name: _raw_dimension(each) for each in spec.search}}


def _fields_of(record: Any) -> dict[str, Any]:
    """Return the fields of a record; records among the values stay records."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _raw(value: Any) -> Any:
    """Return `value` as a study file writes it."""
    match value:
        case (ColumnRule(), *_):
            return {rule.name: column_keys(rule) for rule in value}
        case tuple():
            return [_raw(item) for item in value]
        case Cause():
            return value.value
        case Initializer(name=name, scale=number) | Fault(name=name, number=number):
            return name if number is None else {name: number}
        case _:
            return value


def _raw_parameter(name: str, value: Any) -> Any:
    """Return a searched or exact value as a study file writes it: lists and tables become JSON text."""
    is_text = name == "model.hidden" or (name == "model.initializer" and str(value).startswith("{"))
    return json.loads(value) if is_text else value


def _raw_dimension(dimension: Dimension) -> dict[str, Any]:
    when = {name: [_raw_parameter(name, one) for one in values] for name, values in dimension.when}
    return _raw_values(dimension) | ({"when": when} if when else {})


def _raw_values(dimension: Dimension) -> dict[str, Any]:
    if isinstance(dimension, Choices):
        return {"choices": [_raw_parameter(dimension.name, choice) for choice in dimension.choices]}
    raw = {"low": dimension.low, "high": dimension.high, "log": dimension.log}
    if dimension.step is not None:
        raw["step"] = dimension.step
    whole = ("low", "high", "step") if dimension.integer is True else ()
    return {key: int(value) if key in whole and value == int(value) else value for key, value in raw.items()}


_OPTIONAL: Final = frozenset(
    {
        "data.examples",
        "data.target",
        "data.drop",
        "data.columns",
        "data.fault",
        "data.group",
        "data.time",
        *(f"{name}.{key}" for name in ("budget", "limits") for key in SECTIONS[name].rules),
    }
)
"""Keys whose missing value is None in the record."""


def _damage_problems(spec: StudySpec) -> Iterator[Problem]:
    """Yield the problems that no study file could cause: damage, or output of another program."""
    for key in ("seed", "trials") if spec.objective else ("seed", "metric", "trials"):
        yield from STUDY[key].problems(key, getattr(spec, key))
    if spec.objective is not None:
        yield from damage_problems(spec.objective, spec.metric)
    for name, section in SECTIONS.items():
        record = getattr(spec, name)
        for key, rule in section.rules.items():
            value = getattr(record, key)
            if value is not None or f"{name}.{key}" not in _OPTIONAL:
                yield from rule.problems(f"{name}.{key}", _raw(value))
    for dimension in spec.search:
        yield from _dimension_problems(dimension, has_objective=spec.objective is not None)
    yield from condition_problems(spec.search, [dimension.name for dimension in spec.search])
    for exact in spec.configurations:
        yield from _exact_problems(exact)


def _dimension_problems(dimension: Dimension, *, has_objective: bool) -> Iterator[Problem]:
    where = f"search.{dimension.name}"
    if not (has_objective or _is_field(dimension.name)):
        yield Problem(where=where, message="must be a field of [model] or [training]")
    elif isinstance(dimension, Choices):
        allowed = int | float | str | None if has_objective else int | float | str
        if not dimension.choices or not all(isinstance(c, allowed) for c in dimension.choices):
            yield Problem(where=where, message="must have choices, each a number, a text or a flag")
    elif not _is_range(dimension):
        shown = f"low {dimension.low!r:.40}, high {dimension.high!r:.40}, step {dimension.step!r:.40}"
        yield Problem(where=where, message=f"must be a range of finite numbers (got {shown})")


def _is_range(dimension: Range) -> bool:
    numbers: tuple[Any, ...] = (
        dimension.low,
        dimension.high,
        1 if dimension.step is None else dimension.step,
    )
    flags: tuple[Any, ...] = (dimension.log, dimension.integer)
    if not all(is_number(n) and math.isfinite(n) and abs(n) < _LARGEST for n in numbers):
        return False
    if not all(isinstance(flag, bool) for flag in flags):
        return False
    low, high, step = numbers
    return bool(low <= high and step > 0 and not (dimension.log and low <= 0))


_LARGEST: Final = 1e300


def _exact_problems(exact: ExactConfiguration) -> Iterator[Problem]:
    yield from Text(longest=1000).problems("configurations.name", exact.name)
    for name, value in exact.params:
        if not _is_field(name) or not isinstance(value, int | float | str):
            yield Problem(where=f"configurations.{exact.name}", message=f"must set fields (got {name!r:.40})")


def _is_field(name: object) -> bool:
    return isinstance(name, str) and full_name(name) in CONFIGURABLE
