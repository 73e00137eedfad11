"""Studies of a training function: the table [objective], and a search with any names."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast, final

from hpsearch.errors import Problem
from hpsearch.study import spec
from hpsearch.study.conditions import condition_problems
from hpsearch.study.messages import key_path, nearest, toml_excerpt, unknown_key
from hpsearch.study.metrics import Metric
from hpsearch.study.schema import (
    MOST_INTEGER,
    SEARCHABLE,
    SECTIONS,
    STUDY,
    Names,
    Number,
    Rule,
    Section,
    Text,
    WholeNumber,
    Word,
    is_number,
    violation,
    words,
)
from hpsearch.study.search_space import dimension, dimension_problems
from hpsearch.study.spec import (
    NO_DATA,
    Choices,
    Dimension,
    ObjectiveSpec,
    StudySpec,
    full_name,
)
from hpsearch.trials import ParameterValue

_Document: TypeAlias = Mapping[str, Any]

_LARGEST: Final = 1e300
"""The largest magnitude of a searched number."""

_WHOLE: Final = WholeNumber(low=-MOST_INTEGER, high=MOST_INTEGER)
_NUMBER: Final = Number(low=-_LARGEST, high=_LARGEST)

_NAME: Final = r"[^\W\d]\w*"
_FUNCTION: Final = re.compile(rf"{_NAME}(\.{_NAME})*:{_NAME}(\.{_NAME})*")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionName:
    """The name of a function that Python can import: `package.module:name`."""

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        is_file = isinstance(raw, str) and raw.partition(":")[0].endswith(".py")
        if isinstance(raw, str) and len(raw) <= 1000 and _FUNCTION.fullmatch(raw) and not is_file:
            return []
        remedy = 'write "train:objective" for the function objective in train.py'
        return violation(where, 'must be a function by name, "package.module:function"', raw, remedy)

    def value(self, raw: str) -> str:
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Scalar:
    """A choice of a training function's parameter: a number, a text, a flag, or in a program None."""

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        if isinstance(raw, bool | str | None) or (is_number(raw) and abs(raw) < _LARGEST):
            return []
        return violation(where, "must be a number, a text, or true or false", raw)

    def value(self, raw: ParameterValue) -> ParameterValue:
        """Return `raw`."""
        return raw


_OBJECTIVE: Final = Section(
    kind=ObjectiveSpec,
    rules={
        "function": FunctionName(),
        "python_path": Names(name=Text(longest=4096), most=100),
        "direction": Word(words=words(spec.Direction)),
    },
)
_TABLES: Final[Mapping[str, Section]] = {
    "objective": _OBJECTIVE,
    **{name: SECTIONS[name] for name in ("limits", "budget", "sampler", "pruning", "notify")},
}
OBJECTIVE_KEYS: Final = ("name", "trials", "seed", "metric", *_TABLES, "search")
"""All keys at the top of the file of a study with an objective."""

_METRIC: Final = Text(longest=100)
_DEFAULT_METRIC: Final = "value"

_NETWORK_ONLY: Final = ("data", "model", "training", "configurations", "seeds")


def is_objective(document: _Document) -> bool:
    """Return True if the document describes a study of a training function."""
    return "objective" in document


def objective_problems(document: _Document, options: _Document) -> Iterator[Problem]:
    """Yield all problems of a study with an objective; keys in `options` are options of the command line."""
    for key in document:
        if key in _NETWORK_ONLY:
            remedy = "the function reads its own data and makes its own model: leave it out"
            yield Problem(where=key, message=f"must not be set together with [objective]: {remedy}")
        elif key not in OBJECTIVE_KEYS:
            near = nearest(key, OBJECTIVE_KEYS)
            yield unknown_key(
                key_path(key), OBJECTIVE_KEYS, near=None if near is None else toml_excerpt(near)
            )
    if "name" not in document:
        yield Problem(where="name", message='must be given: name = "..." at the top')
    for key, rule in {**STUDY, "metric": _METRIC}.items():
        if key in document:
            yield from rule.problems(f"--{key}" if key in options else key, document[key])
    for name, section in _TABLES.items():
        yield from _table_problems(name, section, document.get(name, {}))
    if isinstance(document["objective"], Mapping) and "function" not in document["objective"]:
        yield Problem(where="objective.function", message='must be given, for example "train:objective"')
    yield from _search_problems(document.get("search", {}))
    yield from _sampling_problems(document)


def objective_study(document: _Document, *, locate: Callable[[str], str | None]) -> StudySpec:
    """Return the study of a document without problems.

    `locate` finds the folders of `python_path`; without any, it is the folder of the study file.
    """
    values = {name: _values(section, document.get(name, {})) for name, section in _TABLES.items()}
    folders = values["objective"].get("python_path") or (".",)
    found = tuple(place for folder in folders if (place := locate(folder) or _named(folder)) is not None)
    return StudySpec(
        **{
            key: rule.value(document[key])
            for key, rule in STUDY.items()
            if key in document and key != "metric"
        },
        data=NO_DATA,
        metric=cast(Metric, document.get("metric", _DEFAULT_METRIC)),
        search=tuple(_dimension(name, raw) for name, raw in document.get("search", {}).items()),
        objective=ObjectiveSpec(**{**values["objective"], "python_path": found}),
        **{name: _TABLES[name].kind(**values[name]) for name in values if name != "objective"},
    )


def objective_document(objective: ObjectiveSpec) -> dict[str, Any]:
    """Return the table [objective] of a study file."""
    return {
        "objective": {
            "function": objective.function,
            "python_path": list(objective.python_path),
            "direction": objective.direction,
        }
    }


def damage_problems(objective: ObjectiveSpec, metric: object) -> Iterator[Problem]:
    """Yield the problems of a stored objective that no program of ours could write."""
    yield from _METRIC.problems("metric", metric)
    yield from Text(longest=1000).problems("objective.function", objective.function)
    yield from _OBJECTIVE.rules["python_path"].problems("objective.python_path", list(objective.python_path))
    yield from _OBJECTIVE.rules["direction"].problems("objective.direction", objective.direction)


def _named(folder: str) -> str | None:
    """Return a folder that does not exist here as it was named; the folder of a text without a file is None."""
    return None if folder == "." else folder


def _values(section: Section, table: _Document) -> dict[str, Any]:
    return {key: section.rules[key].value(raw) for key, raw in table.items()}


def _table_problems(name: str, section: Section, table: object) -> Iterator[Problem]:
    if not isinstance(table, dict):
        yield from violation(name, f"must be a table, [{name}]", table)
        return
    for key, raw in table.items():
        where = key_path(name, key)
        if key in section.rules:
            yield from section.rules[key].problems(where, raw)
        else:
            near = nearest(key, section.rules)
            yield unknown_key(where, tuple(section.rules), near=None if near is None else toml_excerpt(near))


def _search_problems(raw: object) -> Iterator[Problem]:
    if not isinstance(raw, dict):
        yield from violation("search", "must be a table, [search]", raw)
        return
    for name, value in raw.items():
        where = key_path("search", name)
        if wrong := Text(longest=190).problems(where, name):
            yield from wrong
        else:
            yield from dimension_problems(where, dimension_rule(value), value)
    right = {name: one for name, one in raw.items() if not dimension_problems("", dimension_rule(one), one)}
    yield from condition_problems([_dimension(name, one) for name, one in right.items()], raw)


def dimension_rule(raw: object) -> Rule:
    """Return the rule of a dimension's values: whole numbers if all numbers of its range are whole, or any choices."""
    if isinstance(raw, Mapping) and "choices" in raw:
        return Scalar()
    numbers = [raw[key] for key in ("low", "high", "step") if key in raw] if isinstance(raw, Mapping) else []
    if numbers and all(isinstance(number, int) for number in numbers):
        return _WHOLE
    return _NUMBER


def parameter_rule(study: StudySpec, name: str) -> Rule:
    """Return the rule of the parameter `name`: of its searched field, or of a training function's parameter.

    A function may ask for any value of a parameter that is not searched.
    """
    if study.objective is None:
        return SEARCHABLE[full_name(name)]
    found = next((one for one in study.search if one.name == name), None)
    if found is None or isinstance(found, Choices):
        return Scalar()
    return _WHOLE if found.integer else _NUMBER


def _dimension(name: str, raw: _Document) -> Dimension:
    return dimension(name, dimension_rule(raw), raw, raw.get("when", {}))


def _sampling_problems(document: _Document) -> Iterator[Problem]:
    sampler, pruning = document.get("sampler", {}), document.get("pruning", {})
    if isinstance(sampler, Mapping) and sampler.get("name") == "none":
        yield from violation("sampler.name", "must choose parameters", "none", "choose another")
    if isinstance(pruning, Mapping) and pruning.get("rank") == "hyperband":
        rule = "must not be hyperband with [objective], as it needs the number of epochs in advance"
        yield from violation("pruning.rank", rule, "hyperband", "choose asha")
