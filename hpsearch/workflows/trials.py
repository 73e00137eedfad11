"""Use cases of single trials: enqueue, fail, retry and replay one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from hpsearch.analysis.formats import format_parameters
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.conditions import applies
from hpsearch.study.messages import nearest, toml_excerpt
from hpsearch.study.objective import parameter_rule
from hpsearch.study.plan import dimension_in_words
from hpsearch.study.reader import parse_settings, settings_as_usage_errors
from hpsearch.study.search_space import as_parameter
from hpsearch.study.spec import Dimension, Range, full_name, short_name
from hpsearch.trials import ParameterValue
from hpsearch.worker.preparation import stored_files
from hpsearch.worker.replay import Replay, ReplayRequest, StoredTrial, replay
from hpsearch.worker.shutdown import do_nothing
from hpsearch.workflows.listener import SILENT, Listener, Notify
from hpsearch.workflows.snapshot import read_series


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """The number of points of a grid, and the number of the study's trials that have given parameters instead."""

    points: int
    given: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Enqueued:
    """A trial that waits with `params`.

    `sampled` are the names still to be sampled, some of them only if their conditions hold. `optional` are the names of
    `params` that are outside the search space, and are used if the training function asks for them. `grid` is None
    without a grid.
    """

    study: StoredStudy
    number: int
    params: Mapping[str, ParameterValue]
    sampled: tuple[str, ...]
    optional: tuple[str, ...]
    grid: Grid | None
    progress: Progress

    @property
    def sentence(self) -> str:
        """What was done."""
        rest = f"; {', '.join(self.sampled)} will be sampled" if self.sampled else ""
        if self.optional:
            are = "is" if len(self.optional) == 1 else "are"
            rest += f"; {', '.join(self.optional)} {are} used if the function asks"
        params = format_parameters(self.params, self.study.spec.search)
        return f'Study "{self.study.spec.name}": trial {self.number} waits with {params}{rest}'


def enqueue(store: Store, name: str, settings: Sequence[str]) -> Enqueued:
    """Add a waiting trial with these values, each `KEY=VALUE`, to a study.

    Raises UsageError, with every problem, if the study does not search such values.
    """
    return enqueue_values(store, name, parse_settings(settings))


def enqueue_values(store: Store, name: str, settings: Mapping[str, Any]) -> Enqueued:
    """Add a waiting trial with these values, key path -> raw value, to a study. Raises UsageError as `enqueue`."""
    study = store.studies.get(name)
    if study.spec.configurations:
        raise HpsearchError(
            f'study "{name}": must search something for a trial of your own (got a list of exact configurations): '
            "add it to the list in the study file, and create that under another name"
        )
    params = requested_params(study, settings)
    (number,) = store.queue.enqueue(study, [params])
    return Enqueued(
        study=study,
        number=number,
        params=params,
        sampled=tuple(d.name for d in study.spec.search if d.name not in params and _may_apply(d, params)),
        optional=tuple(name for name in params if name not in {d.name for d in study.spec.search}),
        grid=_grid(store, study) if study.spec.sampler.name == "grid" else None,
        progress=store.studies.progress(study),
    )


def _may_apply(dimension: Dimension, params: Mapping[str, ParameterValue]) -> bool:
    """Return False if a given parameter rules the dimension out."""
    return applies(replace(dimension, when=tuple(one for one in dimension.when if one[0] in params)), params)


def _grid(store: Store, study: StoredStudy) -> Grid:
    from hpsearch.search.searcher import has_given_parameters
    from hpsearch.search.space import grid_size

    return Grid(points=grid_size(study.spec), given=sum(map(has_given_parameters, store.trials.all(study))))


def requested_params(study: StoredStudy, settings: Mapping[str, Any]) -> dict[str, ParameterValue]:
    """Return the parameters by their names in the search space. Raises UsageError with every problem.

    A training function may ask for names outside the search space, so its studies take these too.
    """
    if not settings:
        searched = ", ".join(dimension.name for dimension in study.spec.search)
        raise UsageError(f"trial enqueue: needs a value (got none): give one for {searched}")
    names = {full_name(dimension.name): dimension.name for dimension in study.spec.search}
    if study.spec.objective is not None:
        names = {key: short_name(key) for key in settings} | names
    problems = [
        f"{names.get(key, key)}: {problem}"
        for key, raw in settings.items()
        if (problem := _problem(study, names, key, raw)) is not None
    ]
    params = {} if problems else {names[key]: _value(study, names[key], raw) for key, raw in settings.items()}
    if problems := problems or list(_condition_problems(study.spec.search, params)):
        raise UsageError("\n".join(problems))
    return params


def _condition_problems(search: Sequence[Dimension], params: Mapping[str, ParameterValue]) -> Iterator[str]:
    """Yield the problems of parameters that the trial would not have because of the others."""
    for dimension in search:
        if dimension.name in params and not applies(dimension, params):
            words = dimension_in_words(dimension)
            remedy = "give the parameters of its condition too, or leave it out"
            yield f"{dimension.name}: must meet its condition, {words} (got {params[dimension.name]}): {remedy}"


def _problem(study: StoredStudy, names: Mapping[str, str], key: str, raw: Any) -> str | None:
    """Return the problem of one setting, or None if it has none."""
    from hpsearch.search.space import distributions, internal_value

    if key not in names:
        near = nearest(key, names.values()) or names.get(nearest(key, names) or "")
        hint = f"did you mean {near}?" if near is not None else f"choose one of {', '.join(names.values())}"
        return f'must be searched by study "{study.spec.name}" (got {toml_excerpt(raw)}): {hint}'
    name = names[key]
    if wrong := parameter_rule(study.spec, name).problems(key, raw):
        return wrong[0].message
    searched = distributions(study.spec).get(name)
    if searched is not None and internal_value(searched, _value(study, name, raw)) is None:
        words = next(dimension_in_words(d) for d in study.spec.search if d.name == name)
        return f"must be inside the search, {words} (got {toml_excerpt(raw)}): choose a value inside it"
    return None


def _value(study: StoredStudy, name: str, raw: Any) -> ParameterValue:
    """Return a raw value in the form that a trial stores."""
    value = as_parameter(parameter_rule(study.spec, name).value(raw))
    is_float = any(d.name == name and isinstance(d, Range) and not d.integer for d in study.spec.search)
    return float(value) if is_float else value


def fail(store: Store, name: str, number: int) -> bool:
    """Give up a trial that another Optuna client runs, or that waits; return False if it had failed before.

    Raises HpsearchError if a worker of ours trains the trial or it has finished, and TrialNotFoundError.
    """
    return store.queue.fail(store.studies.get(name), number)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RetriedTrial:
    """The trial `number` that waits in place of the trial `original`, which is the same one if that was running.

    `waited` is True if an earlier call had made it wait.
    """

    study: StoredStudy
    original: int
    number: int
    waited: bool
    progress: Progress

    @property
    def sentence(self) -> str:
        """What was done."""
        waits = "already waits" if self.waited else "waits"
        place = "" if self.number == self.original else f" in place of trial {self.original}"
        return f'Study "{self.study.spec.name}": trial {self.number} {waits}{place}'


def retry(store: Store, name: str, number: int) -> RetriedTrial:
    """Let workers train a trial that another Optuna client runs, or a failed one's parameters as a new trial.

    Raises HpsearchError if a worker of ours trains the trial or it has finished, and TrialNotFoundError.
    """
    study = store.studies.get(name)
    retried = store.queue.retry(study, number)
    return RetriedTrial(
        study=study,
        original=number,
        number=retried.number,
        waited=retried.waited,
        progress=store.studies.progress(study),
    )


def read_trial(store: Store, name: str, number: int, *, notify: Notify = do_nothing) -> StoredTrial:
    """Return a stored trial. Raises StudyNotFoundError and TrialNotFoundError."""
    study = store.studies.get(name)
    series = read_series(store, study, [number], notify=notify)
    trial = store.trials.get(study, number)
    return StoredTrial(
        study=study, trial=trial, series=series.get(number, {}), files=stored_files(store, study)
    )


def replay_trial(stored: StoredTrial, request: ReplayRequest, *, listener: Listener = SILENT) -> Replay:
    """Train a trial again, check it against the stored results, and train it with other settings if any are given.

    Raises HpsearchError if it cannot be trained, and UsageError for settings that do not fit it.
    """
    with listener.stage("Training it again"), settings_as_usage_errors(request.settings):
        return replay(stored, request)
