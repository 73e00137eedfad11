"""A specification as the text of a study file that defines the same study."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Final

from hpsearch.study.objective import objective_document
from hpsearch.study.spec import (
    Choices,
    ColumnRule,
    DataSpec,
    Dimension,
    Fault,
    Initializer,
    Range,
    StudySpec,
    column_keys,
)

_WRITTEN_AS_JSON = frozenset({"model.hidden", "model.initializer"})
"""Fields whose choices are lists or tables, which trials store as their JSON text."""


_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML reads without quotes as one key."""


def specification_text(spec: StudySpec) -> str:
    """Return `spec` as TOML, with every key. A choice that is None becomes the text "None", and a comment says so."""
    top = [f"{key} = {_value(getattr(spec, key))}" for key in ("name", "trials", "seed", "metric")]
    if spec.objective is not None:
        return _objective_text(spec, "\n".join(top), objective_document(spec.objective))
    blocks = [
        "\n".join(top),
        _section("data", _data(spec.data)),
        _section("model", _pairs(spec.model)),
        _section("training", _pairs(spec.training)),
        *(_exact(spec) or [_search(spec)]),
        _section("sampler", _pairs(spec.sampler)),
        _section("pruning", _pairs(spec.pruning)),
        *_limits(spec),
    ]
    return "\n\n".join(blocks) + "\n"


def _limits(spec: StudySpec) -> list[str]:
    """Return the tables of limits that are not empty."""
    tables = {"budget": _pairs(spec.budget), "limits": _pairs(spec.limits)}
    return [_section(name, pairs) for name, pairs in tables.items() if pairs]


def _objective_text(spec: StudySpec, top: str, tables: Mapping[str, Mapping[str, Any]]) -> str:
    blocks = [
        top,
        *(_section(name, [(key, _value(one)) for key, one in t.items()]) for name, t in tables.items()),
        *_limits(spec),
        f"{_NO_NULL}{_search(spec)}" if _has_none(spec) else _search(spec),
        _section("sampler", _pairs(spec.sampler)),
        _section("pruning", _pairs(spec.pruning)),
    ]
    return "\n\n".join(blocks) + "\n"


_NO_NULL: Final = '# TOML has no null: "None" below is the None of Python, which no study file can search.\n'


def _has_none(spec: StudySpec) -> bool:
    return any(None in dimension.choices for dimension in spec.search if isinstance(dimension, Choices))


def value_text(name: str, value: Any) -> str:
    """Return a trial's value of the parameter `name` as TOML, in which the JSON text of a list or table is valid."""
    return _choice(name, value)


def _data(data: DataSpec) -> list[tuple[str, str]]:
    """Return the fields of `data` that are allowed in a study file: sealed parts and folds allow no fraction."""
    omitted = {"validation_fraction"} if data.sealed == "validation" or data.folds else set()
    return [(key, value) for key, value in _pairs(data) if key not in omitted]


def _search(spec: StudySpec) -> str:
    return _section("search", [(_key(dimension.name), _dimension(dimension)) for dimension in spec.search])


def _exact(spec: StudySpec) -> list[str]:
    """Return a block for each configuration; the space they span follows from them."""
    return [
        _section(
            "[configurations]",
            [
                ("name", _value(exact.name)),
                *((_key(name), _choice(name, value)) for name, value in exact.params),
            ],
        )
        for exact in spec.configurations
    ]


def _section(name: str, pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in pairs)])


def _pairs(record: Any) -> list[tuple[str, str]]:
    """Return the fields of a record of the specification, without those that are None, as in a study file."""
    values = [(field.name, getattr(record, field.name)) for field in fields(record)]
    return [(name, _value(value)) for name, value in values if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _dimension(dimension: Dimension) -> str:
    pairs = ", ".join(
        f"{_key(name)} = [{', '.join(_choice(name, value) for value in values)}]"
        for name, values in dimension.when
    )
    when = f", when = {{ {pairs} }}" if pairs else ""
    if isinstance(dimension, Choices):
        return f"{{ choices = [{', '.join(_choice(dimension.name, c) for c in dimension.choices)}]{when} }}"
    low, high = (_bound(dimension, bound) for bound in (dimension.low, dimension.high))
    log = ", log = true" if dimension.log else ""
    step = "" if dimension.step is None else f", step = {_bound(dimension, dimension.step)}"
    return f"{{ low = {low}, high = {high}{log}{step}{when} }}"


def _bound(dimension: Range, bound: float) -> str:
    return str(int(bound)) if dimension.integer else repr(bound)


def _choice(name: str, choice: Any) -> str:
    is_json = name in _WRITTEN_AS_JSON and str(choice).startswith(("[", "{"))
    return _value(json.loads(choice) if is_json else "None" if choice is None else choice)


def _value(value: Any) -> str:
    match value:
        case Initializer(name=name, scale=number) | Fault(name=name, number=number):
            return _value(name if number is None else {name: number})
        case (ColumnRule(), *_):
            return _value({json.dumps(rule.name, ensure_ascii=False): column_keys(rule) for rule in value})
        case Mapping():
            return f"{{ {', '.join(f'{key} = {_value(item)}' for key, item in value.items())} }}"
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case bool() | str():
            # Flags and strings of JSON are also valid TOML.
            return json.dumps(value, ensure_ascii=False)
        case _:
            return repr(value)
