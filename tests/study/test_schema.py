"""The table of keys against the records that it fills."""

from dataclasses import MISSING, fields
from typing import Any

import pytest

from hpsearch.data.sources import CATALOGUE
from hpsearch.study.schema import BUILTIN_SOURCES, SEARCHED, SECTIONS, STUDY, TOP_LEVEL, UNSEARCHED, words
from hpsearch.study.spec import Initializer, Output, StudySpec

FIELDS = [(name, key) for name, section in SECTIONS.items() for key in section.rules]


def test_keys_are_the_fields_of_the_records() -> None:
    """A study file has exactly the fields of the records as its keys, and seeds, which set the budget."""
    assert set(TOP_LEVEL) == {field.name for field in fields(StudySpec)} | {"seeds"}
    assert set(TOP_LEVEL) == {*STUDY, *SECTIONS, "search", "configurations", "seeds"}
    for section in SECTIONS.values():
        assert list(section.rules) == [field.name for field in fields(section.kind)]


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_default_obeys_its_own_rule(name: str, key: str) -> None:
    """A key that is left out has a value that could have been written."""
    section = SECTIONS[name]
    default: Any = next(field.default for field in fields(section.kind) if field.name == key)
    if default is MISSING or default is None:
        return
    raw = _written(default)
    assert section.rules[key].problems(key, raw) == []
    assert section.rules[key].value(raw) == default


def test_the_search_knows_every_field_once() -> None:
    """Every field of [model] and [training] can be searched, or says why not."""
    dotted = {f"{name}.{key}" for name, key in FIELDS if name in ("model", "training")}
    assert set(SEARCHED) | set(UNSEARCHED) == dotted
    assert not set(SEARCHED) & set(UNSEARCHED)


def test_the_words_of_a_union_are_all_words() -> None:
    """A union of literals has the words of all its parts, in order."""
    assert words(Output)[:4] == ("auto", "softmax", "relu", "leaky_relu")


def test_built_in_sources_are_those_of_the_data() -> None:
    """A name that a study file may use is one that data can be loaded by, and the other way round."""
    assert set(BUILTIN_SOURCES) == {source.name for source in CATALOGUE}


def _written(value: Any) -> Any:
    """Return `value` as tomllib would have read it."""
    match value:
        case tuple():
            return list(value)
        case Initializer(name=name, scale=scale):
            return name if scale is None else {name: scale}
        case _:
            return value
