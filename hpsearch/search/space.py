"""A study's search in Optuna's terms: distributions, and the points of a grid."""

import math
import warnings
from collections.abc import Mapping

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hpsearch.study.spec import Dimension, Range, StudySpec
from hpsearch.trials import ParameterValue


def distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of every searched parameter, in the order of `spec.search`.

    A range whose step does not divide it ends at its last whole step, as in Optuna. Raises ValueError for a range that
    the reader of study files refuses.
    """
    return {dimension.name: distribution_of(dimension) for dimension in spec.search}


def joint_distributions(spec: StudySpec) -> dict[str, BaseDistribution]:
    """Return `distributions` of the parameters that every trial has: those without a condition."""
    return {each.name: distribution_of(each) for each in spec.search if not each.when}


def grid(spec: StudySpec) -> dict[str, list[ParameterValue]]:
    """Return the values of every parameter that `grid` combines, in the order of `spec.search`: those of every trial.

    A range gives at most `spec.sampler.points` values from its low to its high end, even on its own scale (logarithmic
    or not), each of which is a step or a whole number if the range requires that; one point is the low end. A list of
    choices gives all of them.
    """
    return {name: _points(d, spec.sampler.points) for name, d in joint_distributions(spec).items()}


def grid_size(spec: StudySpec) -> int:
    """Return the number of different configurations of `grid`; trials beyond them repeat."""
    return math.prod(len(values) for values in grid(spec).values())


def internal_value(distribution: BaseDistribution, value: object) -> float | None:
    """Return `value` as Optuna stores it, or None if it lies outside `distribution`."""
    try:
        internal = distribution.to_internal_repr(value)
    except (OverflowError, TypeError, ValueError):  # another type, NaN, an unknown choice
        return None
    # Optuna has no public test for one value.
    return internal if distribution._contains(internal) else None  # noqa: SLF001


def values_inside(
    space: Mapping[str, BaseDistribution], params: Mapping[str, ParameterValue]
) -> dict[str, ParameterValue]:
    """Return those of `params` that `space` names and allows, in its order, as Optuna would return them."""
    inside: dict[str, ParameterValue] = {}
    for name, distribution in space.items():
        internal = internal_value(distribution, params[name]) if name in params else None
        if internal is not None:
            inside[name] = distribution.to_external_repr(internal)
    return inside


def sampled_together(sampler: str, space: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Return the part of `space` that Optuna's sampler of that name samples together."""
    if sampler == "random":
        return {}
    together = {name: each for name, each in space.items() if not each.single()}
    if sampler == "cmaes":  # it cannot handle choices, which are then random
        return {k: each for k, each in together.items() if not isinstance(each, CategoricalDistribution)}
    return together


def distribution_of(dimension: Dimension) -> BaseDistribution:
    """Return Optuna's distribution of one dimension."""
    if not isinstance(dimension, Range):
        return CategoricalDistribution(dimension.choices)
    with warnings.catch_warnings():
        # Optuna warns if it ends a range at its last whole step.
        warnings.simplefilter("ignore", UserWarning)
        return _range(dimension)


def _range(dimension: Range) -> FloatDistribution | IntDistribution:
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _points(distribution: BaseDistribution, count: int) -> list[ParameterValue]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if distribution.log:
        values = np.geomspace(low, high, count)
    elif step is None:
        values = np.linspace(low, high, count)
    else:
        steps = np.round(np.linspace(0, round((high - low) / step), count))
        values = np.minimum(low + steps * step, high)  # a product may exceed the range by rounding
    if isinstance(distribution, IntDistribution):
        values = np.round(values).astype(int)
    return list(np.unique(values).tolist())
