"""Conditional dimensions of a search: those that only trials with certain values of other parameters have.

`momentum = { low = 0.5, high = 0.99, when = { optimizer = "sgd" } }` applies to the trials whose `optimizer` is `sgd`.
A trial does not have the parameters of dimensions that do not apply to it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Final

from hpsearch.errors import Problem
from hpsearch.study.messages import key_path, nearest, toml_excerpt
from hpsearch.study.schema import violation
from hpsearch.study.spec import Choices, Dimension
from hpsearch.trials import ParameterValue

MOST_SHOWN: Final = 8
"""Values of a parent that a message lists."""


def applies(dimension: Dimension, params: Mapping[str, ParameterValue]) -> bool:
    """Return True if a trial with `params` has the dimension: each of its parents has a value of the condition."""
    return all(
        name in params and any(is_same(params[name], value) for value in values)
        for name, values in dimension.when
    )


def missing_names(space: Sequence[Dimension], params: Mapping[str, ParameterValue]) -> list[str]:
    """Return the names of the dimensions that a trial with `params` should have and does not."""
    return [each.name for each in space if each.name not in params and applies(each, params)]


def parents_first(space: Sequence[Dimension]) -> list[Dimension]:
    """Return the dimensions in an order in which each follows those that it depends on."""
    parents = {each.name: [name for name, _ in each.when] for each in space}
    order = {name: place for place, name in enumerate(TopologicalSorter(parents).static_order())}
    return sorted(space, key=lambda each: order[each.name])


def reachable(space: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """Return the dimensions that can apply, without the values in their conditions that no parent can have."""
    kept: dict[str, Dimension] = {}
    for each in parents_first(space):
        when = tuple(
            (name, tuple(value for value in values if name in kept and allows(kept[name], value)))
            for name, values in each.when
        )
        if all(values for _, values in when):
            kept[each.name] = replace(each, when=when)
    possible = _possible_values(list(kept.values()))
    return tuple(kept[each.name] for each in space if each.name in kept and all(possible[each.name].values()))


def allows(dimension: Dimension, value: ParameterValue) -> bool:
    """Return True if the dimension can have that value: one of the choices, or a number in the range."""
    if isinstance(dimension, Choices):
        return any(is_same(value, choice) for choice in dimension.choices)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and dimension.low <= float(value) <= dimension.high


def is_same(one: ParameterValue, other: ParameterValue) -> bool:
    """Return True for equal values; True and 1 are different ones."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def condition_problems(space: Sequence[Dimension], names: Collection[str]) -> Iterator[Problem]:
    """Yield all problems of the conditions in `space`. `names` are those of all dimensions, also of wrong ones."""
    known = {each.name: each for each in space}
    problems = [problem for each in space for problem in _parent_problems(each, known, names)]
    yield from problems
    try:
        parents_first(space)
    except CycleError as error:
        chain = list(reversed(error.args[1]))
        where = f"{key_path('search', chain[0])}.when"
        rule = "must not depend on itself"
        yield Problem(where=where, message=f"{rule} (got {' -> '.join(chain)}): leave one condition out")
        return
    if not problems:
        yield from _never_problems(space)


def _parent_problems(
    dimension: Dimension, known: Mapping[str, Dimension], names: Collection[str]
) -> Iterator[Problem]:
    for name, values in dimension.when:
        where = f"{key_path('search', dimension.name)}.when.{key_path(name)}"
        if name not in names:
            near = nearest(name, names)
            remedy = (
                "search it too, or leave it out" if near is None else f"did you mean {toml_excerpt(near)}?"
            )
            yield from violation(where, "must be a dimension of [search]", _plain(values), remedy)
        elif name in known:
            yield from _value_problems(where, known[name], values)


def _value_problems(where: str, parent: Dimension, values: Sequence[ParameterValue]) -> Iterator[Problem]:
    if not isinstance(parent, Choices) and not parent.integer:
        rule = f"must be a dimension with choices or whole numbers, since {parent.name} hardly ever is one number"
        yield from violation(where, rule, _plain(values), "search it as choices")
        return
    for value in values:
        if not allows(parent, value):
            yield from violation(where, f"must be a value of {parent.name}, {_values_words(parent)}", value)


def _values_words(parent: Dimension) -> str:
    if not isinstance(parent, Choices):
        return f"{int(parent.low)} to {int(parent.high)}"
    more = ", ..." if len(parent.choices) > MOST_SHOWN else ""
    return f"one of {', '.join(map(toml_excerpt, parent.choices[:MOST_SHOWN]))}{more}"


def _never_problems(space: Sequence[Dimension]) -> Iterator[Problem]:
    """Yield the dimensions that never apply, since they need one value and their parents another."""
    possible = _possible_values(space)
    for each in space:
        for name, values in possible[each.name].items():
            if not values:
                where = f"{key_path('search', each.name)}.when"
                rule = f"must be possible: its parents need other values of {name}"
                yield from violation(where, rule, {key: _plain(v) for key, v in each.when}, "leave one out")


def _possible_values(space: Sequence[Dimension]) -> dict[str, dict[str, list[ParameterValue]]]:
    """Return by dimension the values that each of its ancestors has if the dimension applies."""
    found: dict[str, dict[str, list[ParameterValue]]] = {}
    for each in parents_first(space):
        mine: dict[str, list[ParameterValue]] = {}
        inherited = [pair for name, _ in each.when for pair in found.get(name, {}).items()]
        for name, values in [*each.when, *inherited]:
            mine[name] = [
                one for one in mine.get(name, values) if any(is_same(one, value) for value in values)
            ]
        found[each.name] = mine
    return found


def _plain(values: Sequence[ParameterValue]) -> object:
    return values[0] if len(values) == 1 else list(values)
