"""The rules of the values, and the table of keys against the records that it fills."""

from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.sources import CATALOGUE
from hpsearch.study.schema import (
    BUILTIN_SOURCES,
    INITIAL_WEIGHTS,
    SEARCHABLE,
    SECTIONS,
    STUDY,
    TOP_LEVEL,
    UNSEARCHABLE,
    Causes,
    words,
)
from hpsearch.study.spec import DIAGNOSED_CAUSES, Initializer, Output, StudySpec
from hpsearch.verdicts import Cause

_INITIALIZERS = "must be one of he, xavier, lecun, { normal = 0.01 }, { uniform = 0.05 }"
_FAULTS = (
    "must be one of labels_shuffled, validation_labels_shuffled, constant_inputs, { integer_division = 255 }, "
    "{ byte_product = 255 }"
)

WRONG: list[tuple[str, object, str]] = [
    ("trials", 0, "must be a whole number from 1 to 10000000 (got 0)"),
    ("trials", 10_000_001, "must be a whole number from 1 to 10000000 (got 10000001)"),
    ("trials", 1.0, "must be a whole number from 1 to 10000000 (got 1.0)"),
    ("trials", True, "must be a whole number from 1 to 10000000 (got true)"),
    ("trials", "10", 'must be a whole number from 1 to 10000000 (got "10")'),
    ("seed", -1, "must be a whole number from 0 to 9223372036854775807 (got -1)"),
    ("seed", 2**63, "must be a whole number from 0 to 9223372036854775807 (got 9223372036854775808)"),
    ("training.learning_rate", 0, "must be a number above 0 and at most 1e+12 (got 0)"),
    ("training.learning_rate", float("nan"), "must be a number above 0 and at most 1e+12 (got nan)"),
    ("training.learning_rate", float("inf"), "must be a number above 0 and at most 1e+12 (got inf)"),
    ("training.learning_rate", False, "must be a number above 0 and at most 1e+12 (got false)"),
    ("training.weight_decay", -1e-9, "must be a number from 0 to 1e+12 (got -1e-09)"),
    ("training.momentum", 1.0, "must be a number at least 0 and below 1 (got 1.0)"),
    ("model.dropout", 1, "must be a number at least 0 and below 1 (got 1)"),
    ("data.validation_fraction", 0.0, "must be a number above 0 and below 1 (got 0.0)"),
    ("data.validation_fraction", 1.0, "must be a number above 0 and below 1 (got 1.0)"),
    ("data.test_fraction", 1.0, "must be a number at least 0 and below 1 (got 1.0)"),
    ("data.stratify", 1, "must be true or false (got 1)"),
    (
        "data.target",
        "",
        'must be 1 to 1000 characters of text, no control characters, no spaces around it (got "")',
    ),
    (
        "data.fault",
        "label_shuffled",
        f'{_FAULTS} (got "label_shuffled"): did you mean "labels_shuffled"?',
    ),
    (
        "data.fault",
        "integer_division",
        f'{_FAULTS} (got "integer_division"): give it a number, such as {{ integer_division = 255 }}',
    ),
    ("data.fault", {"labels_shuffled": 3}, f"{_FAULTS} (got {{ labels_shuffled = 3 }})"),
    ("training.reduction", "sums", 'must be one of mean, sum (got "sums"): did you mean "sum"?'),
    ("training.reduction", 3, "must be one of mean, sum (got 3)"),
    ("training.epochs", 0, "must be a whole number from 1 to 1000000 (got 0)"),
    ("model.hidden", 64, "must be a list of at most 50 whole numbers (got 64): write [64]"),
    ("model.hidden", "64", 'must be a list of at most 50 whole numbers (got "64")'),
    (
        "model.initializer",
        "normal",
        f'{_INITIALIZERS} (got "normal"): give it a scale, such as {{ normal = 0.05 }}',
    ),
    (
        "model.initializer",
        "xavjer",
        f'{_INITIALIZERS} (got "xavjer"): did you mean "xavier"?',
    ),
    (
        "model.initializer",
        {"normal": 1, "uniform": 1},
        f"{_INITIALIZERS} (got {{ normal = 1, uniform = 1 }})",
    ),
    ("pruning.percentile", 0, "must be a number above 0 and at most 100 (got 0)"),
    ("pruning.reduction_factor", 1, "must be a whole number from 2 to 1000 (got 1)"),
    ("pruning.audit", 1.5, "must be a number from 0 to 1 (got 1.5)"),
    ("pruning.fatal", "overfit", 'must be a list of verdicts (got "overfit"): write ["overfit"]'),
    ("pruning.fatal", "all", 'must be a list of verdicts (got "all")'),
    ("pruning.expected", {"overfit": True}, "must be a list of verdicts (got { overfit = true })"),
    ("sampler.points", 1, "must be a whole number from 2 to 10000 (got 1)"),
]

RIGHT: list[tuple[str, object, object]] = [
    ("trials", 10_000_000, 10_000_000),
    ("seed", 2**63 - 1, 2**63 - 1),
    ("training.learning_rate", 1, 1.0),
    ("training.learning_rate", 1e12, 1e12),
    ("training.weight_decay", 0, 0.0),
    ("training.momentum", 0, 0.0),
    ("data.test_fraction", 0, 0.0),
    ("model.hidden", [], ()),
    ("model.hidden", [100_000] * 50, (100_000,) * 50),
    ("model.initializer", {"uniform": 1}, Initializer(name="uniform", scale=1.0)),
    ("model.initializer", "lecun", Initializer(name="lecun")),
    ("pruning.percentile", 100, 100.0),
    ("pruning.audit", 1, 1.0),
    ("pruning.fatal", [], ()),
    ("pruning.fatal", ["overfit", "log_zero"], (Cause.LOG_ZERO, Cause.OVERFIT)),
    ("pruning.expected", list(DIAGNOSED_CAUSES), DIAGNOSED_CAUSES),
    ("name", "x" * 200, "x" * 200),
    ("name", "Größe 🙂", "Größe 🙂"),
]


def rule_of(path: str) -> Any:
    """Return the rule of a key by its path."""
    section, _, key = path.rpartition(".")
    return SECTIONS[section].rules[key] if section else STUDY[key]


@pytest.mark.parametrize(("path", "raw", "message"), WRONG)
def test_a_wrong_value_has_one_problem(path: str, raw: object, message: str) -> None:
    """The problem has the rule, the value, and the remedy if there is one."""
    assert [str(problem) for problem in rule_of(path).problems(path, raw)] == [f"{path}: {message}"]


@pytest.mark.parametrize(("path", "raw", "value"), RIGHT)
def test_values_at_the_edge_are_valid(path: str, raw: object, value: object) -> None:
    """The ends of a closed range are allowed, and integers become floats in fields of floats."""
    assert rule_of(path).problems(path, raw) == []
    assert rule_of(path).value(raw) == value
    assert type(rule_of(path).value(raw)) is type(value)


@pytest.mark.parametrize("name", ["", " ", " x", "x ", "a\nb", "a\x00b", "a\u2028b", "x" * 201, 3, None])
def test_a_name_is_one_printable_line(name: object) -> None:
    """A study's name is text on one line, neither empty nor too long, without surrounding spaces."""
    assert len(STUDY["name"].problems("name", name)) == 1


def test_wrong_items_are_reported_one_by_one() -> None:
    """Each wrong item of a list has its own place."""
    assert [str(problem) for problem in rule_of("model.hidden").problems("hidden", [0, 3, 2.0])] == [
        "hidden[0]: must be a whole number from 1 to 100000 (got 0)",
        "hidden[2]: must be a whole number from 1 to 100000 (got 2.0)",
    ]


def test_a_wrong_scale_has_its_own_place() -> None:
    """The scale of an initializer is checked as a number, at its own path."""
    assert [str(problem) for problem in INITIAL_WEIGHTS.problems("initializer", {"normal": "big"})] == [
        'initializer.normal: must be a number from 0 to 1e+06 (got "big")'
    ]


@given(
    st.sampled_from([f"{name}.{key}" for name, section in SECTIONS.items() for key in section.rules]),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers())
    | st.dictionaries(st.text(), st.floats(), max_size=2),
)
def test_every_value_is_valid_or_has_a_problem(path: str, raw: Any) -> None:
    """A rule returns a problem or a value for any input, and never fails."""
    rule = rule_of(path)
    assert rule.problems(path, raw) or rule.value(raw) is not None


@pytest.mark.parametrize(
    ("raw", "messages"),
    [
        (["diverged"], ['x[0]: {rule} (got "diverged"): did you mean "diverged_lr"?']),
        (["overfit", "plateau", "overfit"], ['x[2]: must not be repeated (got "overfit"): keep one']),
        (["outranked", 3], ['x[0]: {rule} (got "outranked"): {known}', "x[1]: {rule} (got 3): {known}"]),
        (["healthy"], ['x[0]: {rule} (got "healthy"): {known}']),
    ],
)
def test_only_diagnosed_causes_are_allowed(raw: list[object], messages: list[str]) -> None:
    """A wrong cause is reported at its place, with a similar one; causes from outside a network are refused."""
    words = {
        "rule": "must be a verdict that diagnosis can find in a network",
        "known": f"known are {', '.join(DIAGNOSED_CAUSES)}",
    }
    assert [str(p) for p in Causes().problems("x", raw)] == [text.format(**words) for text in messages]


FIELDS = [(name, key) for name, section in SECTIONS.items() for key in section.rules]


def test_keys_are_the_fields_of_the_records() -> None:
    """The keys of a study file are the fields of the records, and `seeds`, which sets the budget."""
    assert set(TOP_LEVEL) == {field.name for field in fields(StudySpec)} | {"seeds"}
    assert set(TOP_LEVEL) == {*STUDY, *SECTIONS, "search", "configurations", "seeds", "objective"}
    for section in SECTIONS.values():
        assert list(section.rules) == [field.name for field in fields(section.kind)]


@pytest.mark.parametrize(("name", "key"), FIELDS)
def test_a_default_obeys_its_own_rule(name: str, key: str) -> None:
    """The default of a key is a valid value of it."""
    section = SECTIONS[name]
    default: Any = next(field.default for field in fields(section.kind) if field.name == key)
    if default is MISSING or default is None:
        return
    raw = _written(default)
    assert section.rules[key].problems(key, raw) == []
    assert section.rules[key].value(raw) == default


def test_every_field_is_searchable_or_has_a_reason() -> None:
    """Every field of [model] and [training] can be searched, or has a reason why not."""
    dotted = {f"{name}.{key}" for name, key in FIELDS if name in ("model", "training")}
    assert set(SEARCHABLE) | set(UNSEARCHABLE) == dotted
    assert not set(SEARCHABLE) & set(UNSEARCHABLE)


def test_the_words_of_a_union_are_all_words() -> None:
    """A union of literals has the words of all its parts, in order."""
    assert words(Output)[:4] == ("auto", "softmax", "relu", "leaky_relu")


def test_built_in_sources_are_those_of_the_data() -> None:
    """The names that a study file may use are exactly those of the data's catalogue."""
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
