"""A specification as the JSON text that the database keeps."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from hpsearch.records import Cause
from hpsearch.study.spec import (
    Choices,
    DataSpec,
    Dimension,
    ExactConfiguration,
    Fault,
    Initializer,
    ModelSpec,
    PruningSpec,
    Range,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
)


def spec_to_json(spec: StudySpec) -> str:
    """Return `spec` as JSON text that `spec_from_json` turns back into an equal record."""
    return json.dumps(asdict(spec), sort_keys=True)


def spec_from_json(text: str) -> StudySpec:
    """Read what `spec_to_json` wrote, in this version or an older one.

    Keys of a newer version raise ValueError: they may change results.
    """
    raw: dict[str, Any] = json.loads(text)
    read = {
        "data": _data(raw.pop("data")),
        "model": _model(raw.pop("model")),
        "training": _record(TrainingSpec, raw.pop("training")),
        "search": tuple(_dimension(dimension) for dimension in raw.pop("search")),
        "sampler": _record(SamplerSpec, raw.pop("sampler")),
        "pruning": _pruning(raw.pop("pruning")),
        "configurations": tuple(_exact(exact) for exact in raw.pop("configurations", ())),
    }
    study: StudySpec = _record(StudySpec, {**raw, **read})
    return study


def _record(kind: type[Any], raw: Mapping[str, Any]) -> Any:
    unknown = set(raw) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"{kind.__name__}: unknown keys {sorted(unknown)}")
    return kind(**raw)


def _data(raw: Mapping[str, Any]) -> DataSpec:
    """Read the data's record; studies of older versions have no faults."""
    fault = raw.get("fault")
    data: DataSpec = _record(DataSpec, {**raw, "fault": None if fault is None else _record(Fault, fault)})
    return data


def _model(raw: Mapping[str, Any]) -> ModelSpec:
    initializer = _record(Initializer, raw["initializer"])
    model: ModelSpec = _record(ModelSpec, {**raw, "hidden": tuple(raw["hidden"]), "initializer": initializer})
    return model


def _pruning(raw: Mapping[str, Any]) -> PruningSpec:
    """Read the pruning's record; studies of older versions have no lists of causes."""
    listed = {key: tuple(map(Cause, raw[key])) for key in ("fatal", "expected") if key in raw}
    pruning: PruningSpec = _record(PruningSpec, {**raw, **listed})
    return pruning


def _exact(raw: Mapping[str, Any]) -> ExactConfiguration:
    params = tuple((name, value) for name, value in raw["params"])
    exact: ExactConfiguration = _record(ExactConfiguration, {**raw, "params": params})
    return exact


def _dimension(raw: Mapping[str, Any]) -> Dimension:
    if "choices" in raw:
        choices: Choices = _record(Choices, {**raw, "choices": tuple(raw["choices"])})
        return choices
    dimension: Range = _record(Range, raw)
    return dimension
