"""The table [search] of a study file: which fields are searched, and over what."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hpsearch.errors import Problem
from hpsearch.study.dimensions import dimension, dimension_problems
from hpsearch.study.nearest import nearest
from hpsearch.study.rules import broken, unknown_key
from hpsearch.study.schema import SEARCHED, SECTIONS, UNSEARCHED
from hpsearch.study.shown import key_path, shown
from hpsearch.study.spec import DEFAULT_SEARCH, SHORT_NAMES, Dimension

_SHORT_OF: Final = {full: short for short, full in SHORT_NAMES.items()}

_NAMES: Final = tuple(_SHORT_OF.get(name, name) for name in SEARCHED)
"""What can be searched, by the names that trials carry."""


def search_problems(raw: object) -> list[Problem]:
    """Return everything that is wrong with `raw`, the value of `search`."""
    if not isinstance(raw, dict):
        return broken("search", "must be a table, [search]", raw)
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name, value in entries(raw):
        problems += _entry_problems(name, value)
        first = seen.get(full_name(name))
        if first is not None:
            message = f"must be given once (got {first} too): keep one"
            problems.append(Problem(where=_where(name), message=message))
        seen[full_name(name)] = name
    return problems


def search_space(raw: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Return the dimensions of `raw`, which has no problems, in its order; the default ones for none."""
    space = tuple(
        dimension(short_name(full), SEARCHED[full], value)
        for full, value in ((full_name(name), value) for name, value in entries(raw))
    )
    return space or DEFAULT_SEARCH


def entries(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every dimension with its name: an unquoted `model.activation` is a table in a table to TOML."""
    for name, value in raw.items():
        if name in SECTIONS and isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _entry_problems(name: str, raw: object) -> list[Problem]:
    rule = SEARCHED.get(full_name(name))
    if rule is not None:
        return dimension_problems(_where(name), rule, raw)
    if reason := _why_never(name):
        return broken(_where(name), "cannot be searched", raw, reason)
    return [unknown_key(_where(name), _NAMES, near=_near(name))]


def _why_never(name: str) -> str | None:
    section, _, key = name.partition(".")
    if section == "data" and key in SECTIONS["data"].rules:
        return "all trials of a study share their data"
    return UNSEARCHED.get(name)


def _near(name: str) -> str | None:
    """Return the quoted name that `name` is near to, with or without its section."""
    by_word = {word: full for full in _NAMES for word in (full, full.rpartition(".")[2])}
    near = nearest(name, by_word)
    return None if near is None else shown(by_word[near])


def full_name(name: str) -> str:
    """Return the dotted name that a name means: `training.learning_rate` for `learning_rate`."""
    return SHORT_NAMES.get(name, name)


def short_name(full: str) -> str:
    """Return the name that trials carry: `learning_rate` for `training.learning_rate`."""
    return _SHORT_OF.get(full, full)


def _where(name: str) -> str:
    return key_path("search", name)
