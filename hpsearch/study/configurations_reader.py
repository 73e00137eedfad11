"""Read the list [[configurations]] of a study file, and the key `seeds` that belongs to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from hpsearch.errors import Problem
from hpsearch.study.configurations import exact_params, spanned_dimensions
from hpsearch.study.messages import key_path, nearest, toml_excerpt
from hpsearch.study.rules import Text, unknown_key, violation
from hpsearch.study.schema import MOST_CONFIGURATIONS, MOST_TRIALS, SEEDS, SET_EXACTLY, STUDY, UNSEARCHED
from hpsearch.study.search_space import entries, full_name, parameter_of, short_name
from hpsearch.study.spec import ExactConfiguration, StudySpec
from hpsearch.trials import ParameterValue

_Document: TypeAlias = Mapping[str, Any]

_LONGEST: Final = 200
_NAME: Final = Text(longest=_LONGEST)
_NAMES: Final = ("name", *(short_name(full) for full in SET_EXACTLY))
_UNNAMED: Final = "the fixed values"
"""The name of a configuration that sets nothing."""


def exact_problems(document: _Document, asked: _Document) -> list[Problem]:
    """Return all problems of `configurations` and `seeds` of a document, and of the keys next to them.

    `asked` are the keys that options of the command line have set: a budget among them need not fit `seeds`.
    """
    if "configurations" not in document:
        return _lonely_problems(document)
    raw = document["configurations"]
    problems = SEEDS.problems("seeds", document["seeds"]) if "seeds" in document else []
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_CONFIGURATIONS:
        rule = f"must be a list of 1 to {MOST_CONFIGURATIONS} tables, each headed [[configurations]]"
        return problems + violation("configurations", rule, raw)
    wrong = [p for i, table in enumerate(raw) for p in _table_problems(f"configurations[{i}]", table)]
    problems += [*wrong, *_beside_problems(document)]
    if problems:
        return problems
    return [*_name_problems(raw), *_loss_problems(document, raw), *_budget_problems(document, asked)]


def exact_configurations(raw: Sequence[_Document]) -> tuple[ExactConfiguration, ...]:
    """Return the configurations of `raw`, which has no problems, in order. Unnamed ones are named by their values."""
    return tuple(_exact(table) for table in raw)


def with_configurations(spec: StudySpec, document: _Document) -> StudySpec:
    """Return `spec`, read from the rest of `document`, with its configurations and the values that follow from them."""
    if "configurations" not in document:
        return spec
    configurations = exact_configurations(document["configurations"])
    listed = replace(spec, configurations=configurations)
    has_rank = "rank" in document.get("pruning", {})
    return replace(
        listed,
        trials=document.get("trials", len(configurations) * document.get("seeds", 1)),
        search=spanned_dimensions(listed),
        sampler=replace(spec.sampler, name="none"),
        pruning=spec.pruning if has_rank else replace(spec.pruning, rank="none"),
    )


def repeated_problems(spec: StudySpec) -> list[Problem]:
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


def _exact(table: _Document) -> ExactConfiguration:
    return ExactConfiguration(name=_name(table), params=_params(table))


def _params(table: _Document) -> tuple[tuple[str, ParameterValue], ...]:
    return tuple(
        (short_name(full_name(name)), parameter_of(SET_EXACTLY[full_name(name)], value))
        for name, value in entries(table)
        if name != "name"
    )


def _name(table: _Document) -> str:
    if "name" in table:
        return str(table["name"])
    words = [
        f"{name} {value if isinstance(value, str) else toml_excerpt(value)}" for name, value in _params(table)
    ]
    return ", ".join(words)[:_LONGEST].strip() or _UNNAMED


def _lonely_problems(document: _Document) -> list[Problem]:
    """Return the problems of keys that need configurations, in a document without them."""
    problems: list[Problem] = []
    if "seeds" in document:
        remedy = "leave it out, and set trials to their number"
        problems += violation("seeds", "goes with [[configurations]] only", document["seeds"], remedy)
    if _sampler(document) == "none":
        remedy = "choose another, or write [[configurations]]"
        problems += violation("sampler.name", "goes with [[configurations]] only", "none", remedy)
    return problems


def _beside_problems(document: _Document) -> Iterator[Problem]:
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
    if (rule := SET_EXACTLY.get(full_name(name))) is not None:
        return rule.problems(where, raw)
    if reason := UNSEARCHED.get(name):
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
            problems += violation(
                where, "must not be there twice", name, "give it another name or other values"
            )
        seen.append(name)
    return problems


def _loss_problems(document: _Document, raw: Sequence[_Document]) -> list[Problem]:
    """Return the problems of different losses: each must be set, and only accuracy compares them."""
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
        rule = "must be validation_accuracy if losses differ, whose values cannot be compared"
        problems += violation("metric", rule, "validation_loss")
    return problems


def _budget_problems(document: _Document, asked: _Document) -> list[Problem]:
    count = len(document["configurations"])
    trials = count * document.get("seeds", 1)
    if trials > MOST_TRIALS:
        rule = f"must make at most {MOST_TRIALS} trials with {count} configurations"
        return violation("seeds", rule, document["seeds"], "lower it")
    if "trials" in asked or "seeds" not in document or document.get("trials", trials) == trials:
        return []
    rule = f"must be {trials}, the {count} configurations times {document['seeds']} seeds"
    return violation("trials", rule, document["trials"], "leave it out")
