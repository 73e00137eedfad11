"""Optuna programs on our database: which calls are ours, and which are left to Optuna."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.study import create_study

from hpsearch.storage.optuna.programs import Optimization, redirect_optuna
from hpsearch.storage.optuna.storage import OptunaStorage


@pytest.fixture
def calls(tmp_path: Path) -> Iterator[list[Any]]:
    """Adopt programs in this process, and collect their calls, and the sentences on those that are left to Optuna."""
    found: list[Any] = []
    with redirect_optuna(
        f"sqlite:///{tmp_path}/lab.db", "train", optimize=found.append, decline=found.append
    ):
        yield found


def square(trial: Any) -> float:
    """Return an objective's value."""
    return float(trial.suggest_float("x", -1, 1)) ** 2


def test_a_study_without_storage_is_ours(calls: list[Any], tmp_path: Path) -> None:
    """It has the name of the program, and a number if that is taken; a URL of the program is kept."""
    names = [optuna.create_study().study_name, optuna.study.create_study().study_name]
    names += [optuna.create_study(study_name="mine", load_if_exists=True).study_name for _ in range(2)]
    assert names == ["train", "train-2", "mine", "mine"]
    other = optuna.create_study(storage=f"sqlite:///{tmp_path}/other.db", study_name="theirs")
    assert isinstance(other._storage, OptunaStorage)
    assert other._storage.url.endswith("other.db")
    assert calls == []


def test_a_call_is_handed_over_with_its_options(calls: list[Any]) -> None:
    """Trials, time, jobs, sampler, pruner and seed arrive, given by place or by name."""
    for _ in range(2):
        study = optuna.create_study(sampler=TPESampler(seed=3), pruner=optuna.pruners.NopPruner())
        study.optimize(square, 5, timeout=60, n_jobs=2, show_progress_bar=True)
    first, second = calls
    assert isinstance(first, Optimization)
    assert (first.study, first.trials, first.seconds, first.jobs) == ("train", 5, 60, 2)
    assert (first.function, first.sampler.name, first.pruning.rank) == (square, "tpe", "none")
    assert first.seed == second.seed


Make = Callable[[], optuna.Study]


@pytest.mark.parametrize(
    ("make", "options", "why"),
    [
        (create_study, {}, "neither n_trials nor timeout"),
        (create_study, {"n_trials": 2, "callbacks": [print]}, "callbacks"),
        (lambda: optuna.create_study(directions=["minimize"] * 2), {"n_trials": 2}, "2 objectives"),
        (
            lambda: optuna.create_study(pruner=optuna.pruners.HyperbandPruner()),
            {"n_trials": 2},
            "HyperbandPruner",
        ),
        (
            lambda: optuna.create_study(sampler=optuna.samplers.CmaEsSampler()),
            {"n_trials": 2},
            "CmaEsSampler",
        ),
        (
            lambda: optuna.create_study(storage=optuna.storages.InMemoryStorage()),
            {"n_trials": 2},
            "another storage, InMemoryStorage",
        ),
    ],
)
def test_other_calls_are_left_to_optuna(
    calls: list[Any], make: Make, options: dict[str, Any], why: str
) -> None:
    """What our workers cannot run with the same meaning runs as it was written, and the reason is given."""
    study = optuna.create_study() if make is create_study else make()

    def function(trial: Any) -> Any:
        value = square(trial)
        if not options:
            study.stop()
        return [value] * len(study.directions)

    study.optimize(function, **options)
    assert len(study.trials) == options.get("n_trials", 1)
    assert len(calls) == 1
    assert f'Study "{study.study_name}": Optuna itself runs its trials' in calls[0]
    assert why in calls[0]
