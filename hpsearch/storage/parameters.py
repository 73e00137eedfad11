"""Parameters as Optuna stores them: one float each, and the distribution that gives it its meaning."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from hpsearch.study.spec import StudySpec
from hpsearch.trials import ParameterValue

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

StoredParameter: TypeAlias = tuple[str, float, str]
"""A parameter's name, its float, and its distribution as JSON text."""


def stored_parameters(spec: StudySpec, params: Mapping[str, ParameterValue]) -> list[StoredParameter]:
    """Return what Optuna would store for `params` of a trial of `spec`.

    Raises ValueError for a name that is not searched and for a value that its dimension cannot hold.
    """
    dimensions = _stored_dimensions(spec)
    rows = []
    for name, value in params.items():
        if name not in dimensions:
            raise ValueError(f"{name}: not a searched parameter (got {value!r})")
        distribution, text = dimensions[name]
        rows.append((name, float(distribution.to_internal_repr(value)), text))
    return rows


@lru_cache(maxsize=16)
def _stored_dimensions(spec: StudySpec) -> "dict[str, tuple[BaseDistribution, str]]":
    from optuna.distributions import distribution_to_json  # noqa: PLC0415  # reading needs no Optuna

    from hpsearch.search.space import distributions  # noqa: PLC0415  # nor this, which imports it

    return {name: (made, distribution_to_json(made)) for name, made in distributions(spec).items()}


def parameter(stored: float, distribution: str) -> Any:
    """Return the value that `stored` stands for under the JSON text `distribution`."""
    kind, choices = _meaning(distribution)
    if choices is not None:
        return choices[int(stored)]
    return int(stored) if kind.startswith("Int") else float(stored)


def as_value(choice: Any) -> ParameterValue:
    """Return a choice of another client's as our records hold it: what is no number, flag or text as its JSON text."""
    return choice if isinstance(choice, float | int | str) else json.dumps(choice)


@lru_cache(maxsize=1024)
def _meaning(distribution: str) -> tuple[str, tuple[Any, ...] | None]:
    """Return the class of Optuna's distribution and, where it has them, its choices."""
    raw = json.loads(distribution)
    choices = raw["attributes"].get("choices")
    return raw["name"], None if choices is None else tuple(choices)
