"""Read a study file into a specification: check the TOML once, here, and report every problem together.

Settings, `KEY=VALUE`, replace values of the file before it is checked.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from hpsearch.errors import Problem, StudyFileError, UsageError
from hpsearch.study.configurations import (
    configuration_problems,
    duplicate_problems,
    exact_network_problems,
    with_configurations,
)
from hpsearch.study.files import parse_document, read_text
from hpsearch.study.messages import key_path, nearest, suggestion, toml_excerpt, unknown_key
from hpsearch.study.objective import is_objective, objective_problems, objective_study
from hpsearch.study.schema import BUILTIN_SOURCES, PATH_SUFFIXES, SECTIONS, STUDY, TOP_LEVEL, violation
from hpsearch.study.search_space import (
    network_problems,
    search_problems,
    search_space,
)
from hpsearch.study.spec import (
    Configuration,
    DataSpec,
    Dimension,
    ModelSpec,
    StudySpec,
    TrainingSpec,
    full_name,
    task_problems,
)

Locate: TypeAlias = Callable[[str], str | None]
"""Return the place of the file or folder that a source names, or None if there is none."""

_Document: TypeAlias = Mapping[str, Any]

_DEFAULT_DATA: Final = DataSpec(source="digits")

_TRAINED: Final = ("model", "training")
"""The tables that a trial's configuration comes from."""

_EMPTY: Final[_Document] = MappingProxyType({})

_LAST_STEP: Final = re.compile(r"(\[\d+\]|\.[^.]*|^[^.\[]+)$")
"""The last step of a key path: an index, or a key."""


def find_nothing(_: str) -> str | None:
    """Return None: a text without a folder has no paths to resolve."""
    return None


def read_study(
    path: Path,
    *,
    name: str | None = None,
    trials: int | None = None,
    settings: Mapping[str, Any] = _EMPTY,
) -> StudySpec:
    """Return the study that the file `path` describes, with `name`, `trials` and `settings` replacing its own.

    `settings` are key paths with raw values, as `parse_settings` returns them. A `data.source` that is a
    relative path and exists next to the file becomes an absolute one. Raises StudyFileError, with every problem, if
    there is no such study.
    """
    options = {key: value for key, value in (("name", name), ("trials", trials)) if value is not None}
    document = with_settings(parse_document(read_text(path), source=str(path)), settings)
    return _study({**document, **options}, source=str(path), locate=_next_to(path), options=options)


def parse_study(text: str, *, source: str, locate: Locate = find_nothing) -> StudySpec:
    """Return the study that the TOML `text` describes; `source` names it in messages.

    Raises StudyFileError with every problem.
    """
    return _study(parse_document(text, source=source), source=source, locate=locate, options={})


def study_from_document(
    document: _Document, *, source: str, folder: Path | None = None, options: _Document = _EMPTY
) -> StudySpec:
    """Return the study that a parsed document describes; `source` names it in messages.

    Relative paths are looked up in `folder` first. Keys in `options` are named as options of the command line are.
    Raises StudyFileError with every problem.
    """
    locate = _next_to((folder or Path()) / "study.toml")
    return _study({**document, **options}, source=source, locate=locate, options=options)


def changed_configuration(
    configuration: Configuration, settings: Mapping[str, Any], *, source: str
) -> Configuration:
    """Return `configuration` with `settings` replacing its own values; `source` names it in messages.

    `settings` are key paths with raw values, as `parse_settings` returns them. Raises StudyFileError, with
    every problem, also for a key that is no field of [model] or [training].
    """
    tables = {name: table for name, table in with_settings({}, settings).items() if name in _TRAINED}
    problems = [problem for name, table in tables.items() for problem in _section_problems(name, table)]
    problems += [
        problem
        for key, raw in settings.items()
        if key.partition(".")[0] not in _TRAINED
        for problem in _unknown_setting(key, raw)
    ]
    if problems:
        raise StudyFileError(source, problems)
    own = {name: getattr(configuration, name) for name in _TRAINED}
    changed = Configuration(
        **{name: replace(own[name], **_values(name, tables.get(name, {}))) for name in own}
    )
    # A search may contain networks that no fixed study allows: report only problems that the settings cause.
    if not network_problems(configuration.model, ()) and (problems := network_problems(changed.model, ())):
        raise StudyFileError(source, problems)
    return changed


def _unknown_setting(key: str, raw: object) -> list[Problem]:
    """Return the problem of a setting that is in no table of a trial's configuration: it may be misspelt."""
    fields = {field: f"{name}.{field}" for name in _TRAINED for field in SECTIONS[name].rules}
    section, dot, field = key.partition(".")
    near = nearest(field if dot and section not in TOP_LEVEL else key, fields)
    remedy = (
        f"choose one of {', '.join(fields.values())}" if near is None else f"did you mean {fields[near]}?"
    )
    return violation(key_path(*key.split(".", 1)), "must be a field of [model] or [training]", raw, remedy)


def document_problems(document: _Document) -> list[Problem]:
    """Return all problems of a parsed study file, except the path of its source."""
    return _problems(document, locate=lambda source: source, options={})


def _study(document: _Document, *, source: str, locate: Locate, options: _Document) -> StudySpec:
    if problems := _problems(document, locate=locate, options=options):
        raise StudyFileError(source, _in_file_order(problems, document))
    spec = _specification(document, locate)
    if problems := [*duplicate_problems(spec), *exact_network_problems(spec)]:
        raise StudyFileError(source, problems)
    return spec


def _problems(document: _Document, *, locate: Locate, options: _Document) -> list[Problem]:
    if is_objective(document):
        return list(objective_problems(document, options))
    return [
        *_unknown_keys(document),
        *_top_problems(document, options),
        *(problem for name in SECTIONS for problem in _section_problems(name, document.get(name, {}))),
        *_source_problems(document, locate),
        *search_problems(document.get("search", {})),
        *configuration_problems(document, options),
        *_act_problems(document),
        *_limit_problems(document),
        *_cross_problems(document),
    ]


def _specification(document: _Document, locate: Locate) -> StudySpec:
    """Return the study of a document without problems."""
    if is_objective(document):
        return objective_study(document, locate=locate)
    sections = {name: _record(name, document.get(name, {})) for name in SECTIONS if name != "data"}
    data = {**document["data"], "source": _resolved_source(document["data"]["source"], locate)}
    spec = StudySpec(
        **{key: rule.value(document[key]) for key, rule in STUDY.items() if key in document},
        **sections,
        data=_record("data", data),
        search=search_space(document.get("search", {})),
    )
    return with_configurations(spec, document)


def _record(name: str, table: _Document) -> Any:
    return SECTIONS[name].kind(**_values(name, table))


def _values(name: str, table: _Document) -> dict[str, Any]:
    return {key: SECTIONS[name].rules[key].value(raw) for key, raw in table.items()}


def _unknown_keys(document: _Document) -> Iterator[Problem]:
    for key in document:
        if key not in TOP_LEVEL:
            yield unknown_key(key_path(key), TOP_LEVEL, near=_near(key, TOP_LEVEL))


def _top_problems(document: _Document, options: _Document) -> Iterator[Problem]:
    """Yield the problems at the top level of the file; keys in `options` are set by command-line options."""
    if "name" not in document:
        yield Problem(where="name", message='must be given: name = "..." at the top')
    for key, rule in STUDY.items():
        if key in document:
            yield from rule.problems(f"--{key}" if key in options else key, document[key])


def _act_problems(document: _Document) -> Iterator[Problem]:
    """Yield the problem of `pruning.diagnosis = "act"` for the built-in network, which it is not for."""
    pruning = document.get("pruning", {})
    if isinstance(pruning, Mapping) and pruning.get("diagnosis") == "act":
        rule, remedy = "must be true or false without [objective]", "write true, which stops trials here"
        yield from violation("pruning.diagnosis", rule, "act", remedy)


_OF_FUNCTIONS: Final = ("trial_seconds", "trial_memory_mb")
"""Limits of the process that runs a training function."""


def _limit_problems(document: _Document) -> Iterator[Problem]:
    """Yield the limits that the built-in network does not have."""
    limits = document.get("limits", {})
    for key in _OF_FUNCTIONS if isinstance(limits, Mapping) else ():
        if key in limits:
            remedy = "the built-in network has no such limit: leave it out"
            yield Problem(where=f"limits.{key}", message=f"is only valid with [objective]: {remedy}")
    name = "trial_epochs_without_improvement"
    training = document.get("training", {})
    keep = training.get("keep", "last") if isinstance(training, Mapping) else "best"
    if isinstance(limits, Mapping) and name in limits and keep != "best":
        rule = 'must come with training.keep = "best", as a trial that it ends has its best value'
        yield from violation(f"limits.{name}", rule, limits[name], 'set keep = "best" under [training]')


def _section_problems(name: str, table: object) -> Iterator[Problem]:
    if not isinstance(table, dict):
        yield from violation(name, f"must be a table, [{name}]", table)
        return
    rules = SECTIONS[name].rules
    for key, raw in table.items():
        where = key_path(name, key)
        if key in rules:
            yield from rules[key].problems(where, raw)
        else:
            yield unknown_key(where, tuple(rules), near=_near(key, rules))


def _near(key: str, known: Iterable[str]) -> str | None:
    """Return in words the likely meaning of the unknown `key`: a key of another table, or one of `known`."""
    if key in TOP_LEVEL:
        is_value = key in STUDY or key == "seeds"
        place = "at the top of the file, before the first table" if is_value else "as a table of its own"
        return f"{toml_excerpt(key)} {place}"
    homes = [name for name, section in SECTIONS.items() if key in section.rules]
    if homes:
        return f"{toml_excerpt(key)} under [{homes[0]}]"
    if (near := nearest(key, known)) is not None:
        return toml_excerpt(near)
    fields = {field: name for name, section in SECTIONS.items() for field in section.rules}
    if known is not TOP_LEVEL or (near := nearest(key, fields)) is None:
        return None
    return f"{toml_excerpt(near)} under [{fields[near]}]"


def _source_problems(document: _Document, locate: Locate) -> list[Problem]:
    """Return the problems of `data.source` beyond its rule: it must be given, and be known or a path."""
    data = document.get("data", {})
    if not isinstance(data, dict):
        return []
    if "source" not in data:
        sources = ", ".join(BUILTIN_SOURCES)
        return [Problem(where="data.source", message=f"must be given: one of {sources}, or a path")]
    source = data["source"]
    if SECTIONS["data"].rules["source"].problems("data.source", source):
        return []
    if source in BUILTIN_SOURCES or _looks_like_a_path(source) or locate(source) is not None:
        return []
    rule = f"must be one of {', '.join(BUILTIN_SOURCES)}, or a path"
    return violation("data.source", rule, source, suggestion(source, BUILTIN_SOURCES))


def _looks_like_a_path(source: str) -> bool:
    return "/" in source or "\\" in source or source.lower().endswith(PATH_SUFFIXES)


def _resolved_source(source: str, locate: Locate) -> str:
    return source if source in BUILTIN_SOURCES else locate(source) or source


def _next_to(path: Path) -> Locate:
    """Return a function that finds sources next to the study file `path`, or else below the current folder."""

    def locate(source: str) -> str | None:
        # The data's reader handles a source too long for a path, or in a folder without access.
        try:
            beside = path.resolve().parent / source
            return str(beside) if beside.exists() else source if Path(source).exists() else None
        except OSError:
            return None

    return locate


def _cross_problems(document: _Document) -> list[Problem]:
    """Return the contradictions among values that are each valid alone."""
    task = _valid_value(document, "data", "task", _DEFAULT_DATA.task)
    model = _valid_model(document)
    training = TrainingSpec(
        class_weight=_valid_value(document, "training", "class_weight", TrainingSpec().class_weight)
    )
    metric = document.get("metric", "auto")
    is_known = not STUDY["metric"].problems("metric", metric)
    problems = task_problems(task=task, metric=metric if is_known else "auto", model=model, training=training)
    problems += _sealed_problems(document)
    problems += _split_problems(document)
    validation = _valid_value(document, "data", "validation_fraction", _DEFAULT_DATA.validation_fraction)
    test = _valid_value(document, "data", "test_fraction", _DEFAULT_DATA.test_fraction)
    is_sealed = _valid_value(document, "data", "sealed", _DEFAULT_DATA.sealed) == "validation"
    if validation + test >= 1 and not is_sealed:
        rule = f"must leave examples to train on after the validation fraction {validation}"
        problems += violation("data.test_fraction", rule, test, "lower one of them")
    if "configurations" in document:  # whose networks are checked if there is no other problem
        return problems
    return problems + network_problems(model, _valid_search(document))


def _valid_model(document: _Document) -> ModelSpec:
    """Return the fixed network, with the default of every key that is missing or wrong."""
    default = ModelSpec()
    keys = SECTIONS["model"].rules
    return ModelSpec(**{key: _valid_value(document, "model", key, getattr(default, key)) for key in keys})


def _valid_search(document: _Document) -> Sequence[Dimension]:
    """Return the searched dimensions; none if the search has a problem."""
    raw = document.get("search", {})
    return () if search_problems(raw) else search_space(raw)


def _sealed_problems(document: _Document) -> list[Problem]:
    """Return the validation fraction that is set although the source has its own validation part."""
    data = document.get("data", {})
    if not isinstance(data, dict) or data.get("sealed") != "validation" or "validation_fraction" not in data:
        return []
    rule = 'must not be set together with sealed = "validation", which is the whole validation part'
    return violation("data.validation_fraction", rule, data["validation_fraction"], "leave one of them out")


def _split_problems(document: _Document) -> list[Problem]:
    """Return the keys of [data] that contradict `group`, `time` and `folds`."""
    data = document.get("data", {})
    if not isinstance(data, dict):
        return []
    by = [key for key in ("group", "time") if key in data]
    problems = [problem for key in by for problem in _split_column_problems(data, key)]
    if len(by) == 2:
        problems += _exclusive(data, "time", "group", "one column decides about the split")
    return problems + list(_fold_problems(data) if data.get("folds") else ())


def _split_column_problems(data: _Document, key: str) -> Iterator[Problem]:
    """Yield the contradictions of `group` or `time`."""
    if data.get("stratify") is True:
        yield from _exclusive(data, key, "stratify", "it alone decides about the split")
    if data[key] == data.get("target"):
        yield from violation(f"data.{key}", "must be another column than the target", data[key], "correct it")
    if isinstance(drop := data.get("drop"), list) and data[key] in drop:
        yield from violation(f"data.{key}", "must not be among data.drop", data[key], "leave it out there")
    if data.get("source") in BUILTIN_SOURCES:
        rule = f"needs a table with columns, and {data['source']} is none"
        yield from violation(f"data.{key}", rule, data[key], "leave it out")


def _fold_problems(data: _Document) -> Iterator[Problem]:
    """Yield the contradictions of `folds`."""
    if data["folds"] == 1:
        yield from violation("data.folds", "must be 0 or at least 2", 1, "set 5, or leave it out")
    if "validation_fraction" in data:
        yield from _exclusive(data, "validation_fraction", "folds", "each fold has a validation part")
    if data.get("sealed") == "validation":
        yield from _exclusive(data, "sealed", "folds", "each fold has a validation part")
    if "fault" in data:
        yield from _exclusive(data, "fault", "folds", "it is a fault of one split")


def _exclusive(data: _Document, key: str, other: str, reason: str) -> list[Problem]:
    rule = f"must not be set together with data.{other}"
    return violation(f"data.{key}", rule, data[key], f"{reason}; leave one of them out")


def _valid_value(document: _Document, section: str, key: str, default: Any) -> Any:
    """Return the value of `section.key`, or `default` if it is missing or wrong."""
    table = document.get(section, {})
    if not isinstance(table, dict) or key not in table:
        return default
    rule = SECTIONS[section].rules[key]
    return default if rule.problems("", table[key]) else rule.value(table[key])


def _in_file_order(problems: Sequence[Problem], document: _Document) -> list[Problem]:
    """Return `problems` in the order of their keys; those without a key come first."""
    ranks = {path: rank for rank, path in enumerate(_paths(document), start=1)}

    def rank(problem: Problem) -> int:
        where = problem.where
        while where not in ranks and (shorter := _LAST_STEP.sub("", where)) != where:
            where = shorter
        return ranks.get(where, 0)

    return sorted(problems, key=rank)


def _paths(table: _Document, *above: str) -> Iterator[str]:
    """Yield the path of every key down to three levels, in the order of the file."""
    for key, value in table.items():
        yield key_path(*above, key)
        if isinstance(value, dict) and len(above) < 3:
            yield from _paths(value, *above, key)


_SETTING: Final = "setting"
"""The key under which tomllib reads the value of a setting."""


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return key path -> raw value of `KEY=VALUE` texts.

    Short names become key paths of the study file. A value is TOML, `None`, or text if it is neither. Raises UsageError
    for a text without a key, for a key that is set twice, and for the search, which has no values.
    """
    settings: dict[str, Any] = {}
    texts_of: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = full_name(name.strip())
        if not equals or not key:
            raise UsageError(
                f"--set: must be KEY=VALUE (got {toml_excerpt(text)}): write training.learning_rate=0.1"
            )
        if key.partition(".")[0] == "search":
            raise UsageError(
                f"--set: must set a value that is fixed (got {toml_excerpt(text)}): [search] is ignored; "
                "name the field of [model] or [training] itself"
            )
        if key in settings:
            raise UsageError(
                f"--set: must set each key once (got {toml_excerpt(texts_of[key])} and {toml_excerpt(text)}): "
                "leave one of them out"
            )
        settings[key], texts_of[key] = _setting_value(value.strip()), text
    return settings


@contextmanager
def settings_as_usage_errors(settings: Mapping[str, Any]) -> Iterator[None]:
    """Convert a StudyFileError about one of the `settings` to a UsageError."""
    try:
        yield
    except StudyFileError as error:
        if any(_is_about(problem.where, key) for problem in error.problems for key in settings):
            raise UsageError(str(error)) from error
        raise


def _is_about(where: str, key: str) -> bool:
    """Return True if the key path `where` is that of a setting, or lies below it."""
    section, dot, field = key.partition(".")
    path = key_path(section, field) if dot else key_path(key)
    return where == path or where.startswith((f"{path}.", f"{path}["))


def with_settings(document: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a study file with every setting applied.

    A value that should be a table is unchanged: the reader reports it.
    """
    changed = dict(document)
    for path, value in settings.items():
        section, dot, key = path.partition(".")
        if not dot:
            changed[path] = value
        elif isinstance(changed.get(section, {}), Mapping):
            changed[section] = {**changed.get(section, {}), key: value}
    return changed


def _setting_value(text: str) -> Any:
    if text == "None":  # TOML has no null
        return None
    try:
        read = tomllib.loads(f"{_SETTING} = {text}")
    except (ValueError, RecursionError):
        return text
    # A text of several lines could contain keys of its own.
    return read[_SETTING] if set(read) == {_SETTING} else text
