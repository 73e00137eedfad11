"""Configurations of the user's own, put in front of what a study samples."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.analysis.formats import format_count, format_parameters
from hpsearch.cli.output import answer
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.edits import enqueue
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import nearest
from hpsearch.study.plan import dimension_in_words
from hpsearch.study.schema import SEARCHED
from hpsearch.study.search_space import as_parameter
from hpsearch.study.settings import full_key, parse_settings
from hpsearch.study.spec import Range
from hpsearch.trials import ParameterValue


def enqueue_trial(store: Store, name: str, settings: Sequence[str]) -> None:
    """Let a trial with these `KEY=VALUE` wait, and say its number.

    Raises UsageError for what the study does not search, or not there, with everything that is wrong.
    """
    study = store.study(name)
    if study.spec.configurations:
        raise HpsearchError(
            f'study "{name}": must search something for a trial of your own (got a list of exact configurations): '
            "add it to the list in the study file, and create that under another name"
        )
    params = asked_for(study, parse_settings(settings))
    (number,) = enqueue(store, study, [params])
    left = [d.name for d in study.spec.search if d.name not in params]
    rest = f"; {', '.join(left)} will be sampled" if left else ""
    answer(f'Study "{name}": trial {number} waits with {format_parameters(params, study.spec.search)}{rest}')
    if study.spec.sampler.name == "grid":
        _write_grid_hint(store, study)
    write_budget_hint(store, study)


def write_budget_hint(store: Store, study: StoredStudy) -> None:
    """If trials wait and the budget is spent, write how to raise it."""
    name, progress = study.spec.name, store.progress(study)
    if progress.is_done and progress.waiting:
        more = progress.finished + progress.waiting  # other clients may have finished more than the budget
        answer(
            f"The budget of {format_count(progress.budget, 'trial')} is spent: "
            f"`hpsearch study edit {shlex.quote(name)} --trials {more}` lets it run"
        )


def _write_grid_hint(store: Store, study: StoredStudy) -> None:
    """Write the budget that trains every point of the grid besides the trials with given parameters."""
    from hpsearch.search.searcher import has_given_parameters
    from hpsearch.search.space import grid_size

    points, given = grid_size(study.spec), sum(map(has_given_parameters, store.trials(study)))
    if study.spec.trials < points + given:
        budget = format_count(study.spec.trials, "trial")
        answer(
            f"The grid has {format_count(points, 'point')}, and {given} of the {budget} "
            f"{'is' if given == 1 else 'are'} not of it: "
            f"`hpsearch study edit {shlex.quote(study.spec.name)} --trials {points + given}` trains all"
        )


def asked_for(study: StoredStudy, settings: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Return parameters by the names that the study searches. Raises UsageError with every problem."""
    if not settings:
        raise UsageError(
            "trial enqueue: needs a value (got none): add one, for example --set learning_rate=0.01"
        )
    names = {full_key(dimension.name): dimension.name for dimension in study.spec.search}
    problems = [
        f"--set {key}: {problem}"
        for key, raw in settings.items()
        if (problem := _problem(study, names, key, raw)) is not None
    ]
    if problems:
        raise UsageError("\n".join(problems))
    return {names[key]: _value(study, names[key], raw) for key, raw in settings.items()}


def _problem(study: StoredStudy, names: Mapping[str, str], key: str, raw: Any) -> str | None:
    """Return what is wrong with one setting, None where nothing is."""
    from hpsearch.search.space import distributions, internal_value

    if key not in names:
        near = nearest(key, names.values()) or names.get(nearest(key, names) or "")
        hint = f"did you mean {near}?" if near is not None else f"choose one of {', '.join(names.values())}"
        return f'must be searched by study "{study.spec.name}" (got {raw!r}): {hint}'
    name = names[key]
    if wrong := SEARCHED[key].problems(key, raw):
        return wrong[0].message
    if internal_value(distributions(study.spec)[name], _value(study, name, raw)) is None:
        words = next(dimension_in_words(d) for d in study.spec.search if d.name == name)
        return f"must lie in the search, {words} (got {raw!r}): choose a value of it"
    return None


def _value(study: StoredStudy, name: str, raw: Any) -> ParameterValue:
    """Return a raw value as a trial holds it."""
    value = as_parameter(SEARCHED[full_key(name)].value(raw))
    is_float = any(d.name == name and isinstance(d, Range) and not d.integer for d in study.spec.search)
    return float(value) if is_float else value
