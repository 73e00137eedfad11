"""Exact configurations: a trial's choice of one, its values, and the dimensions that cover all of them.

Trial n trains configuration n modulo their number, so a study that is stopped early has trained each of them equally
often. Configurations share the study's split and its order of the data in each epoch. As in every study, initial
weights and dropout depend on the trial's number, so each trial has a seed of its own.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpsearch.errors import UsageError
from hpsearch.study.messages import toml_excerpt
from hpsearch.study.rules import WholeNumber
from hpsearch.study.schema import SET_EXACTLY
from hpsearch.study.search_space import as_parameter
from hpsearch.study.spec import (
    SHORT_NAMES,
    Choices,
    Configuration,
    Dimension,
    ExactConfiguration,
    Range,
    StudySpec,
    configure,
)
from hpsearch.trials import ParameterValue


def exact_params(spec: StudySpec, exact: ExactConfiguration) -> dict[str, ParameterValue]:
    """Return the parameters of a trial of `exact`: every name that some configuration sets, in one order for all."""
    given = dict(exact.params)
    return {name: given[name] if name in given else _fixed(spec, name) for name in _names(spec)}


def params_of_trial(spec: StudySpec, number: int) -> dict[str, ParameterValue]:
    """Return the parameters of trial `number` of a study that has configurations."""
    return exact_params(spec, spec.configurations[number % len(spec.configurations)])


def configuration_of(spec: StudySpec, params: Mapping[str, ParameterValue]) -> ExactConfiguration | None:
    """Return the configuration that a trial with `params` trains; None if it is none of the study's.

    The parameters decide, not the number: another client of the database may have chosen others.
    """
    return next((exact for exact in spec.configurations if exact_params(spec, exact) == dict(params)), None)


def why_untrainable(spec: StudySpec, params: Mapping[str, Any]) -> str | None:
    """Return why no trial of `spec` can be trained with exactly these parameters; None if one can.

    Another Optuna client may add any trial to a study.
    """
    problems = [f"{dimension.name} is missing" for dimension in spec.search if dimension.name not in params]
    for name, value in params.items():
        if (rule := SET_EXACTLY.get(SHORT_NAMES.get(name, name))) is None:
            problems.append(f"{name} is no field of [model] or [training]")
        else:
            problems += [str(problem) for problem in rule.problems(name, _as_in_file(name, value))]
    return "; ".join(problems) or None


def _as_in_file(name: str, value: Any) -> Any:
    """Return a trial's value as a study file writes it: JSON text becomes a list or a table."""
    if name not in ("model.hidden", "model.initializer") or not str(value).startswith(("[", "{")):
        return value
    try:
        return json.loads(str(value))
    except (ValueError, RecursionError):
        return value


def fixed_spec(spec: StudySpec, chosen: str | None, settings: Collection[str]) -> StudySpec:
    """Return `spec` with the values of the configuration `chosen`, a name or a place from 0, as fixed values.

    Names in `settings` (dotted) keep their values. Raises UsageError if there is no such configuration, or if there are
    several and none was chosen.
    """
    if chosen is None and not spec.configurations:
        return spec
    exact = _chosen_configuration(spec, chosen)
    params = {name: value for name, value in exact.params if SHORT_NAMES.get(name, name) not in settings}
    configuration = configure(spec, params)
    return replace(spec, model=configuration.model, training=configuration.training)


def _chosen_configuration(spec: StudySpec, chosen: str | None) -> ExactConfiguration:
    if chosen is None and len(spec.configurations) == 1:
        return spec.configurations[0]
    named = {exact.name: exact for exact in spec.configurations}
    # A name has priority over a place that reads the same.
    placed = {str(place): exact for place, exact in enumerate(spec.configurations)}
    if (found := (placed | named).get(chosen or "")) is not None:
        return found
    listed = "".join(f"\n  {place}  {exact.name}" for place, exact in placed.items())
    if not spec.configurations:
        got = f"{toml_excerpt(chosen)}, and the file has none"
        raise UsageError(f"--configuration: must name one of [[configurations]] (got {got}): leave it out")
    got = "nothing" if chosen is None else toml_excerpt(chosen)
    raise UsageError(f"--configuration: must be the name or the number of one of these (got {got}):{listed}")


def exact_configurations(spec: StudySpec) -> Iterator[Configuration]:
    """Yield the settings of each configuration, in the order of the study file."""
    for exact in spec.configurations:
        yield configure(spec, dict(exact.params))


def spanned_dimensions(spec: StudySpec) -> tuple[Dimension, ...]:
    """Return a dimension for every name that some configuration sets, with the values of all of them.

    Numbers give a range from the least to the greatest, logarithmic if they are all above 0 and a decade or more apart.
    Any other values, and a value that is the same in all of them, give choices.
    """
    held = [exact_params(spec, exact) for exact in spec.configurations]
    return tuple(
        _spanned_dimension(name, tuple(dict.fromkeys(params[name] for params in held)))
        for name in _names(spec)
    )


def _names(spec: StudySpec) -> list[str]:
    """Return every name that some configuration sets, in order of first occurrence."""
    return list(dict.fromkeys(name for exact in spec.configurations for name, _ in exact.params))


def _fixed(spec: StudySpec, name: str) -> ParameterValue:
    section, _, key = SHORT_NAMES.get(name, name).partition(".")
    record: Any = spec.model if section == "model" else spec.training
    return as_parameter(getattr(record, key))


def _spanned_dimension(name: str, values: tuple[ParameterValue, ...]) -> Dimension:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) == 1 or len(numbers) < len(values):
        return Choices(name=name, choices=values)
    low, high = min(numbers), max(numbers)
    is_whole = isinstance(SET_EXACTLY[SHORT_NAMES.get(name, name)], WholeNumber)
    is_log = low > 0 and high >= 10 * low
    return Range(name=name, low=float(low), high=float(high), log=is_log, integer=is_whole)
