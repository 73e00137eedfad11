"""The table [search] of a study file: the searched fields and their ranges or choices, and the networks they allow."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from hpsearch.errors import Problem
from hpsearch.study.conditions import condition_problems
from hpsearch.study.messages import key_path, nearest, toml_excerpt, unknown_key
from hpsearch.study.schema import (
    SEARCHABLE,
    SECTIONS,
    UNSEARCHABLE,
    Flag,
    Number,
    Rule,
    WholeNumber,
    is_number,
    violation,
)
from hpsearch.study.spec import (
    DEFAULT_SEARCH,
    Choices,
    Dimension,
    Initializer,
    ModelSpec,
    Range,
    When,
    conditions_of,
    full_name,
    short_name,
)
from hpsearch.trials import ParameterValue

DIMENSION_KEYS: Final = ("low", "high", "log", "step", "choices", "when")

_Table: TypeAlias = Mapping[str, Any]

_FORMS: Final = "{ low = ..., high = ... } or { choices = [...] }"


def dimension_problems(where: str, rule: Rule, raw: object) -> list[Problem]:
    """Return the problems of `raw`, the value at `where`, for a field with the rule `rule`."""
    if not isinstance(raw, dict) or not raw:
        remedy = f"write {{ choices = {toml_excerpt(raw)} }}" if isinstance(raw, list) and raw else ""
        return violation(where, f"must be {_FORMS}", raw, remedy)
    unknown = [key for key in raw if key not in DIMENSION_KEYS]
    problems = [_unknown(where, key) for key in unknown]
    if "when" in raw:
        problems += _when_problems(f"{where}.when", raw["when"])
    if "choices" in raw:
        return problems + _choices_problems(where, rule, raw)
    if len(unknown) == len(raw):
        return problems
    if not isinstance(rule, Number | WholeNumber):
        return problems + violation(where, "must be { choices = [...] }, as its values are no numbers", raw)
    return problems + _range_problems(where, rule, raw)


def dimension(name: str, rule: Rule, raw: _Table, when: When = ()) -> Dimension:
    """Return the dimension `name` that `raw`, which has no problems, describes, with the condition `when`."""
    if "choices" in raw:
        choices = tuple(parameter_of(rule, item) for item in raw["choices"])
        return Choices(name=name, choices=choices, when=when)
    return Range(
        name=name,
        low=float(raw["low"]),
        high=float(raw["high"]),
        log=raw.get("log", False),
        step=None if "step" not in raw else float(raw["step"]),
        integer=isinstance(rule, WholeNumber),
        when=conditions_of(when),
    )


def _when_problems(where: str, raw: object) -> list[Problem]:
    """Return the problems of the form of a condition; `conditions` checks what it names."""
    if not isinstance(raw, Mapping) or not raw:
        return violation(where, 'must be a table of conditions, such as { optimizer = "sgd" }', raw)
    return [
        problem
        for name, value in entries(raw)
        if value == [] or not isinstance(value, bool | int | float | str | list | dict | None)
        for problem in violation(f"{where}.{key_path(name)}", "must be a value, or a list of values", value)
    ]


def _unknown(where: str, key: str) -> Problem:
    near = nearest(key, DIMENSION_KEYS)
    return unknown_key(
        key_path(where, key), DIMENSION_KEYS, near=None if near is None else toml_excerpt(near)
    )


def _choices_problems(where: str, rule: Rule, raw: _Table) -> list[Problem]:
    choices = raw["choices"]
    if any(key in raw for key in ("low", "high", "log", "step")):
        return violation(where, f"must be either {_FORMS}", raw, "keep one of them")
    if not isinstance(choices, list) or not choices:
        return violation(f"{where}.choices", "must be a list of at least one value", choices)
    problems: list[Problem] = []
    seen: list[ParameterValue] = []
    for i, item in enumerate(choices):
        place = f"{where}.choices[{i}]"
        wrong = rule.problems(place, item)
        if not wrong and (parameter := parameter_of(rule, item)) in seen:
            wrong = violation(place, "must not be repeated", item, "keep one")
        elif not wrong:
            seen.append(parameter)
        problems += wrong
    return problems


def _range_problems(where: str, rule: Number | WholeNumber, raw: _Table) -> list[Problem]:
    log = raw.get("log", False)
    problems = Flag().problems(f"{where}.log", log)
    for key in ("low", "high"):
        problems += _bound_problems(f"{where}.{key}", rule, raw.get(key), log=log is True)
    if problems:
        return problems
    if raw["low"] >= raw["high"]:
        return _order_problems(where, raw)
    return _step_problems(where, rule, raw) if "step" in raw else []


def _bound_problems(where: str, rule: Rule, raw: object, *, log: bool) -> list[Problem]:
    if raw is None:
        return [Problem(where=where, message="must be given: a range has low and high")]
    if log and where.endswith(".low") and is_number(raw) and raw <= 0:
        return violation(where, "must be above 0 on a log scale", raw)
    return rule.problems(where, raw)


def _order_problems(where: str, raw: _Table) -> list[Problem]:
    low, high = raw["low"], raw["high"]
    remedy = "swap them" if low > high else "for one fixed value take it out of [search]"
    return violation(f"{where}.low", f"must be below high, which is {toml_excerpt(high)}", low, remedy)


def _step_problems(where: str, rule: Number | WholeNumber, raw: _Table) -> list[Problem]:
    step, low, high, place = raw["step"], raw["low"], raw["high"], f"{where}.step"
    if raw.get("log"):
        return violation(place, "must not be given on a log scale", step, "leave out step or log")
    # Decimals as they are written: in binary 0.3 is no whole number of steps of 0.1.
    span = Decimal(str(high)) - Decimal(str(low))
    if isinstance(rule, WholeNumber):
        wrong = WholeNumber(low=1, high=high - low).problems(place, step)
    else:
        wrong = Number(low=0.0, high=float(span), above=True).problems(place, step)
    if wrong or not (rest := span % Decimal(str(step))):
        return wrong
    nearest_high = type(high)(Decimal(str(high)) - rest)
    return violation(f"{where}.high", "must be low plus a whole number of steps", high, f"use {nearest_high}")


def parameter_of(rule: Rule, raw: Any) -> ParameterValue:
    """Return the choice `raw` as a trial stores it: lists and tables as their JSON text."""
    return as_parameter(rule.value(raw))


def as_parameter(value: Any) -> ParameterValue:
    """Return `value`, a field's value in the specification, as a trial stores it."""
    match value:
        case tuple() as widths:
            return json.dumps(widths)
        case Initializer(name=name, scale=scale):
            return name if scale is None else json.dumps({name: scale})
        case _:
            parameter: ParameterValue = value
            return parameter


_NAMES: Final = tuple(short_name(name) for name in SEARCHABLE)
"""The searchable fields, by their names in trials."""


def search_problems(raw: object) -> list[Problem]:
    """Return all problems of `raw`, the value of `search`."""
    if not isinstance(raw, dict):
        return violation("search", "must be a table, [search]", raw)
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name, value in entries(raw):
        problems += _entry_problems(name, value)
        first = seen.get(full_name(name))
        if first is not None:
            message = f"must be given once (got {first} too): keep one"
            problems.append(Problem(where=_where(name), message=message))
        seen[full_name(name)] = name
    right = [(name, value) for name, value in entries(raw) if not _entry_problems(name, value)]
    names = [short_name(full_name(name)) for name, _ in entries(raw)]
    return [*problems, *condition_problems(_dimensions(right), names)]


def search_space(raw: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Return the dimensions of `raw`, which has no problems, in its order; the default ones if it has none."""
    return _dimensions(entries(raw)) or DEFAULT_SEARCH


def _dimensions(named: Iterable[tuple[str, Any]]) -> tuple[Dimension, ...]:
    """Return the dimensions of pairs of a name and a table without problems."""
    return tuple(
        dimension(short_name(full), SEARCHABLE[full], value, _conditions(value.get("when", {})))
        for full, value in ((full_name(name), value) for name, value in named)
    )


def _conditions(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    return {short_name(full_name(name)): value for name, value in entries(raw)}


def entries(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every dimension with its name: TOML reads an unquoted `model.activation` as a table in a table."""
    for name, value in raw.items():
        if name in SECTIONS and isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _entry_problems(name: str, raw: object) -> list[Problem]:
    rule = SEARCHABLE.get(full_name(name))
    if rule is not None:
        return dimension_problems(_where(name), rule, raw)
    if reason := _unsearchable_reason(name):
        return violation(_where(name), "cannot be searched", raw, reason)
    return [unknown_key(_where(name), _NAMES, near=_near(name))]


def _unsearchable_reason(name: str) -> str | None:
    section, _, key = name.partition(".")
    if section == "data" and key in SECTIONS["data"].rules:
        return "all trials of a study share their data"
    return UNSEARCHABLE.get(name)


def _near(name: str) -> str | None:
    """Return the quoted name that `name` resembles, with or without its section."""
    by_word = {word: full for full in _NAMES for word in (full, full.rpartition(".")[2])}
    near = nearest(name, by_word)
    return None if near is None else toml_excerpt(by_word[near])


def _where(name: str) -> str:
    return key_path("search", name)


def network_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    """Return the contradictions in the networks of a study that fixes `model` and searches `space`."""
    return [*_skip_problems(model, space), *_dropout_problems(model, space)]


def _skip_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    enabled = [skips for skips in _field_values(model, space, "skip_connections") if skips]
    if not enabled:
        return []
    networks = _field_values(model, space, "hidden")
    if any(_can_skip(hidden) for hidden in networks):
        return []
    rule = "needs a hidden layer that is as wide as the hidden layer before it, to which it can be added"
    width = next((hidden[0] for hidden in networks if hidden), 64)
    remedy = f"write model.hidden = [{width}, {width}], or leave it out"
    return violation(_field_path(space, "skip_connections"), rule, enabled[0], remedy)


def _can_skip(hidden: Sequence[int]) -> bool:
    return any(ModelSpec(hidden=tuple(hidden), skip_connections=True).skips)


def _dropout_problems(model: ModelSpec, space: Sequence[Dimension]) -> list[Problem]:
    positions, norms = (
        _field_values(model, space, "dropout_position"),
        _field_values(model, space, "batch_norm"),
    )
    if "before_normalization" not in positions or False not in norms:
        return []
    rule = "must be after_activation if model.batch_norm is false"
    remedy = "set model.batch_norm = true for every trial"
    return violation(_field_path(space, "dropout_position"), rule, "before_normalization", remedy)


def _field_values(model: ModelSpec, space: Sequence[Dimension], key: str) -> Sequence[Any]:
    """Return every value that `model.key` can have in a trial."""
    found = next((d for d in space if d.name == f"model.{key}"), None)
    if not isinstance(found, Choices):
        return (getattr(model, key),)
    return [json.loads(str(choice)) for choice in found.choices] if key == "hidden" else found.choices


def _field_path(space: Sequence[Dimension], key: str) -> str:
    name = f"model.{key}"
    return f"search.{name}" if any(d.name == name for d in space) else name
