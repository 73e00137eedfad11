"""Exact configurations: a trial's choice of one, its values, and the dimensions that cover all of them.

Trial n trains configuration n modulo their number, so a study that is stopped early has trained each of them equally
often. Configurations share the study's split and its order of the data in each epoch. As in every study, initial
weights and dropout depend on the trial's number, so each trial has a seed of its own.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from hpsearch.errors import Problem, UsageError
from hpsearch.study.conditions import missing_names
from hpsearch.study.messages import key_path, nearest, toml_excerpt, unknown_key
from hpsearch.study.schema import (
    CONFIGURABLE,
    MOST_CONFIGURATIONS,
    MOST_TRIALS,
    SEEDS,
    STUDY,
    UNSEARCHABLE,
    Text,
    WholeNumber,
    violation,
)
from hpsearch.study.search_space import as_parameter, entries, network_problems, parameter_of
from hpsearch.study.spec import (
    Choices,
    Configuration,
    Dimension,
    ExactConfiguration,
    Range,
    StudySpec,
    configure,
    full_name,
    short_name,
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
    problems = [f"{name} is missing" for name in missing_names(spec.search, params)]
    if spec.objective is not None:
        return "; ".join(problems) or None
    for name, value in params.items():
        if (rule := CONFIGURABLE.get(full_name(name))) is None:
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
    exact = chosen_configuration(spec, chosen)
    params = {name: value for name, value in exact.params if full_name(name) not in settings}
    configuration = configure(spec, params)
    return replace(spec, model=configuration.model, training=configuration.training)


def chosen_configuration(spec: StudySpec, chosen: str | None) -> ExactConfiguration:
    """Return the exact configuration that `chosen`, a name or a place from 0, means; the only one if it is None."""
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
    section, _, key = full_name(name).partition(".")
    record: Any = spec.model if section == "model" else spec.training
    return as_parameter(getattr(record, key))


def _spanned_dimension(name: str, values: tuple[ParameterValue, ...]) -> Dimension:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(values) == 1 or len(numbers) < len(values):
        return Choices(name=name, choices=values)
    low, high = min(numbers), max(numbers)
    is_whole = isinstance(CONFIGURABLE[full_name(name)], WholeNumber)
    is_log = low > 0 and high >= 10 * low
    return Range(name=name, low=float(low), high=float(high), log=is_log, integer=is_whole)


_Document: TypeAlias = Mapping[str, Any]

_LONGEST: Final = 200
_NAME: Final = Text(longest=_LONGEST)
_NAMES: Final = ("name", *(short_name(full) for full in CONFIGURABLE))
_DEFAULT_NAME: Final = "the fixed values"
"""The name of a configuration that sets nothing."""


def configuration_problems(document: _Document, options: _Document) -> list[Problem]:
    """Return all problems of `configurations` and `seeds` of a document, and of the keys next to them.

    `options` are the keys that options of the command line have set: a budget among them need not fit `seeds`.
    """
    if "configurations" not in document:
        return _stray_key_problems(document)
    raw = document["configurations"]
    problems = SEEDS.problems("seeds", document["seeds"]) if "seeds" in document else []
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_CONFIGURATIONS:
        rule = f"must be a list of 1 to {MOST_CONFIGURATIONS} tables, each headed [[configurations]]"
        return problems + violation("configurations", rule, raw)
    wrong = [p for i, table in enumerate(raw) for p in _table_problems(f"configurations[{i}]", table)]
    problems += [*wrong, *_conflict_problems(document)]
    if problems:
        return problems
    return [*_name_problems(raw), *_loss_problems(document, raw), *_budget_problems(document, options)]


def with_configurations(spec: StudySpec, document: _Document) -> StudySpec:
    """Return `spec`, read from the rest of `document`, with its configurations and the values that follow from them."""
    if "configurations" not in document:
        return spec
    configurations = tuple(map(_exact, document["configurations"]))
    listed = replace(spec, configurations=configurations)
    return replace(
        listed,
        trials=document.get("trials", len(configurations) * document.get("seeds", 1)),
        search=spanned_dimensions(listed),
        sampler=replace(spec.sampler, name="none"),
    )


def duplicate_problems(spec: StudySpec) -> list[Problem]:
    """Return the configurations of `spec` that repeat an earlier one: the budget sets the repetitions."""
    problems: list[Problem] = []
    seen: dict[tuple[tuple[str, ParameterValue], ...], str] = {}
    for i, exact in enumerate(spec.configurations):
        held = tuple(exact_params(spec, exact).items())
        if held in seen:
            rule = f"must differ from {toml_excerpt(seen[held])}, which trains the same"
            problems += violation(
                f"configurations[{i}]", rule, exact.name, "remove one of them; seeds sets the repetitions"
            )
        seen.setdefault(held, exact.name)
    return problems


def exact_network_problems(spec: StudySpec) -> list[Problem]:
    """Return the contradictions in each exact configuration of `spec`."""
    return [
        replace(problem, where=f"configurations[{i}].{problem.where}")
        for i, exact in enumerate(exact_configurations(spec))
        for problem in network_problems(exact.model, ())
    ]


def _exact(table: _Document) -> ExactConfiguration:
    return ExactConfiguration(name=_name(table), params=_params(table))


def _params(table: _Document) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(
        (short_name(full_name(name)), parameter_of(CONFIGURABLE[full_name(name)], value))
        for name, value in entries(table)
        if name != "name"
    )


def _name(table: _Document) -> str:
    if "name" in table:
        return str(table["name"])
    words = [
        f"{name} {value if isinstance(value, str) else toml_excerpt(value)}" for name, value in _params(table)
    ]
    return ", ".join(words)[:_LONGEST].strip() or _DEFAULT_NAME


def _stray_key_problems(document: _Document) -> list[Problem]:
    """Return the problems of keys that need configurations, in a document without them."""
    problems: list[Problem] = []
    if "seeds" in document:
        remedy = "leave it out, and set trials to their number"
        problems += violation("seeds", "is only valid with [[configurations]]", document["seeds"], remedy)
    if _sampler(document) == "none":
        remedy = "choose another, or write [[configurations]]"
        problems += violation("sampler.name", "is only valid with [[configurations]]", "none", remedy)
    return problems


def _conflict_problems(document: _Document) -> Iterator[Problem]:
    """Yield the keys that cannot be combined with configurations."""
    if "search" in document:
        remedy = "keep one of them"
        yield from violation(
            "search", "must not be set together with [[configurations]]", document["search"], remedy
        )
    if (sampler := _sampler(document)) not in (None, "none"):
        rule = "must be none with [[configurations]], which are not sampled"
        yield from violation("sampler.name", rule, sampler, "leave it out")


def _sampler(document: _Document) -> object:
    table = document.get("sampler", {})
    return table.get("name") if isinstance(table, Mapping) else None


def _table_problems(where: str, table: object) -> list[Problem]:
    if not isinstance(table, dict):
        return violation(where, "must be a table, [[configurations]]", table)
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for name, raw in entries(table):
        place = f"{where}.{key_path(name)}"
        problems += _entry_problems(place, name, raw)
        if (first := seen.get(full_name(name))) is not None:
            problems.append(Problem(where=place, message=f"must be given once (got {first} too): keep one"))
        seen[full_name(name)] = name
    return problems


def _entry_problems(where: str, name: str, raw: object) -> list[Problem]:
    if name == "name":
        return _NAME.problems(where, raw)
    if (rule := CONFIGURABLE.get(full_name(name))) is not None:
        return rule.problems(where, raw)
    if reason := UNSEARCHABLE.get(name):
        return violation(where, "cannot differ within a study", raw, reason)
    if name in STUDY or name.partition(".")[0] in ("data", "sampler", "pruning"):
        return violation(where, "cannot differ within a study", raw, "make one study for each")
    by_word = {word: full for full in _NAMES for word in (full, full.rpartition(".")[2])}
    near = nearest(name, by_word)
    return [unknown_key(where, _NAMES, near=None if near is None else toml_excerpt(by_word[near]))]


def _name_problems(raw: Sequence[_Document]) -> list[Problem]:
    problems: list[Problem] = []
    seen: list[str] = []
    for i, table in enumerate(raw):
        if (name := _name(table)) in seen:
            where = f"configurations[{i}].name" if "name" in table else f"configurations[{i}]"
            problems += violation(where, "must not be repeated", name, "give it another name or other values")
        seen.append(name)
    return problems


def _loss_problems(document: _Document, raw: Sequence[_Document]) -> list[Problem]:
    """Return the problems of different losses: each must be set, and the metric cannot be the loss."""
    losses = [dict(entries(table)).get("model.loss") for table in raw]
    if not any(losses):
        return []
    model = document.get("model", {})
    fixed = model.get("loss", "auto") if isinstance(model, Mapping) else "auto"
    problems = [
        problem
        for i, loss in enumerate(losses)
        if (loss or fixed) == "auto"
        for problem in violation(
            f"configurations[{i}].model.loss",
            "must be set if another configuration sets it",
            "auto",
            "name the loss",
        )
    ]
    if document.get("metric") == "validation_loss" and len({loss or fixed for loss in losses}) > 1:
        rule = "must not be the loss if losses differ, whose values cannot be compared"
        problems += violation("metric", rule, "validation_loss")
    return problems


def _budget_problems(document: _Document, options: _Document) -> list[Problem]:
    count = len(document["configurations"])
    trials = count * document.get("seeds", 1)
    if trials > MOST_TRIALS:
        rule = f"must make at most {MOST_TRIALS} trials with {count} configurations"
        return violation("seeds", rule, document["seeds"], "lower it")
    if "trials" in options or "seeds" not in document or document.get("trials", trials) == trials:
        return []
    rule = f"must be {trials}, the {count} configurations times {document['seeds']} seeds"
    return violation("trials", rule, document["trials"], "leave it out")
