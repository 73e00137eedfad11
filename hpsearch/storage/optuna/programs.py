"""Optuna programs that run unchanged on our database and with our workers.

While `redirect_optuna` is active, `optuna.create_study` stores studies here unless the program names another storage,
and `Study.optimize` hands its trials to a function of ours if it can run them with the same meaning.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, final

import optuna
import optuna.study.study
from optuna.study import Study

from hpsearch.search.equivalents import drawn_seed, pruning_spec, sampler_spec
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.study.spec import PruningSpec, SamplerSpec

_CREATORS: Final = (optuna, optuna.study, optuna.study.study)
"""The modules in which programs find `create_study`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Optimization:
    """A call of `Study.optimize` on a study in the database `url`: train `trials` more, for at most `seconds`.

    `trials` or `seconds` may be None. `jobs` trials run at once, -1 is one per core.
    """

    study: str
    url: str
    function: Callable[[Any], float]
    trials: int | None
    seconds: float | None
    jobs: int
    seed: int
    sampler: SamplerSpec
    pruning: PruningSpec


@contextmanager
def redirect_optuna(
    url: str, name: str, *, optimize: Callable[[Optimization], None], decline: Callable[[str], None]
) -> Iterator[None]:
    """Store the studies that an Optuna program in this process makes at `url`, and train their trials by `optimize`.

    A study without a name is called `name`. One whose name is taken gets a number, as a program that names no storage
    expects a new study each time it runs. `decline` gets a sentence for each call that Optuna itself runs, and why.
    """
    create, theirs = optuna.create_study, Study.optimize

    @wraps(create)
    def create_study(**arguments: Any) -> Study:
        storage = arguments.get("storage")
        if storage is None:
            storage = OptunaStorage(url)
            wanted = arguments.get("study_name") or name
            is_kept = bool(arguments.get("load_if_exists"))
            arguments["study_name"] = wanted if is_kept else _free_name(storage, wanted)
        elif isinstance(storage, str):
            storage = OptunaStorage(storage)
        return create(**{**arguments, "storage": storage})

    @wraps(theirs)
    def optimize_study(study: Study, func: Callable[[Any], float], *given: Any, **named: Any) -> None:
        options = {**_OPTIONS, **dict(zip(_OPTIONS, given, strict=False)), **named}
        if (why := _why_not(study, options)) is not None:
            decline(f'Study "{study.study_name}": Optuna itself runs its trials, in this process: {why}')
            theirs(study, func, *given, **named)
            return
        optimize(_optimization(study, func, options))

    with ExitStack() as stack:
        for owner in _CREATORS:
            _replace(stack, owner, "create_study", create_study)
        _replace(stack, Study, "optimize", optimize_study)
        yield


def _replace(stack: ExitStack, owner: object, name: str, function: Callable[..., Any]) -> None:
    """Set an attribute of `owner` until the stack ends."""
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, function)


_OPTIONS: Final = {"n_trials": None, "timeout": None, "n_jobs": 1, "catch": (), "callbacks": None}
"""The options of `Study.optimize` in its order, with their defaults. The others concern what Optuna prints."""


def _why_not(study: Study, options: dict[str, Any]) -> str | None:
    """Return why our workers cannot run the trials with the same meaning; None if they can."""
    storage = study._storage  # noqa: SLF001 # Optuna has no public name for it
    sampler, pruner = type(study.sampler).__name__, type(study.pruner).__name__
    reasons = {
        f"it has another storage, {type(storage).__name__}": not isinstance(storage, OptunaStorage),
        f"it has {len(study.directions)} objectives": len(study.directions) > 1,
        "it has neither n_trials nor timeout": options["n_trials"] is None and options["timeout"] is None,
        "it has callbacks, which must be called here": bool(options["callbacks"]),
        f"hpsearch has no sampler like its {sampler}": sampler_spec(study.sampler) is None,
        f"hpsearch has no pruner like its {pruner}": pruning_spec(study.pruner) is None,
    }
    return next((why for why, holds in reasons.items() if holds), None)


def _optimization(study: Study, function: Callable[[Any], float], options: dict[str, Any]) -> Optimization:
    sampler, pruning = sampler_spec(study.sampler), pruning_spec(study.pruner)
    storage = study._storage  # noqa: SLF001 # as above
    assert isinstance(storage, OptunaStorage)
    assert sampler is not None
    assert pruning is not None
    storage.remove_session()  # writes what the program has set
    return Optimization(
        study=study.study_name,
        url=storage.url,
        function=function,
        trials=options["n_trials"],
        seconds=options["timeout"],
        jobs=options["n_jobs"],
        seed=drawn_seed(study.sampler),
        sampler=sampler,
        pruning=pruning,
    )


def _free_name(storage: OptunaStorage, wanted: str) -> str:
    """Return `wanted`, or `wanted-2` and so on if studies have these names."""
    taken = {study.study_name for study in storage.get_all_studies()}
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
