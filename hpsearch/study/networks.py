"""The rules on fields of [model] that exclude each other, fixed or searched."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hpsearch.errors import Problem
from hpsearch.study.configurations import exact_configurations
from hpsearch.study.rules import violation
from hpsearch.study.spec import Choices, Dimension, ModelSpec, StudySpec


def network_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    """Return the contradictions in the networks of a study that fixes `model` and searches `space`."""
    return [*_skip_problems(model, space), *_dropout_problems(model, space)]


def exact_network_problems(spec: StudySpec) -> list[Problem]:
    """Return the contradictions in each exact configuration of `spec`."""
    return [
        replace(problem, where=f"configurations[{i}].{problem.where}")
        for i, exact in enumerate(exact_configurations(spec))
        for problem in network_problems(exact.model, ())
    ]


def _skip_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    asked = [skips for skips in _values(model, space, "skip_connections") if skips]
    if not asked:
        return []
    networks = _values(model, space, "hidden")
    if any(_can_skip(hidden) for hidden in networks):
        return []
    rule = "needs a hidden layer that is as wide as the hidden layer before it, to which it can be added"
    width = next((hidden[0] for hidden in networks if hidden), 64)
    remedy = f"write model.hidden = [{width}, {width}], or leave it out"
    return violation(_where(space, "skip_connections"), rule, asked[0], remedy)


def _can_skip(hidden: Sequence[int]) -> bool:
    return any(ModelSpec(hidden=tuple(hidden), skip_connections=True).skips)


def _dropout_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    positions, norms = _values(model, space, "dropout_position"), _values(model, space, "batch_norm")
    if "before_normalization" not in positions or False not in norms:
        return []
    rule = "must be after_activation if model.batch_norm is false"
    remedy = "set model.batch_norm = true for every trial"
    return violation(_where(space, "dropout_position"), rule, "before_normalization", remedy)


def _values(model: ModelSpec, space: Sequence[Dimension], key: str) -> Sequence[Any]:
    """Return every value that `model.key` can have in a trial."""
    found = next((d for d in space if d.name == f"model.{key}"), None)
    if not isinstance(found, Choices):
        return (getattr(model, key),)
    return [json.loads(str(choice)) for choice in found.choices] if key == "hidden" else found.choices


def _where(space: Sequence[Dimension], key: str) -> str:
    name = f"model.{key}"
    return f"search.{name}" if any(d.name == name for d in space) else name
