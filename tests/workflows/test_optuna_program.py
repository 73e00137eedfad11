"""The trials of Optuna programs, run by our workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpsearch.errors import HpsearchError
from hpsearch.storage.optuna.programs import redirect_optuna
from hpsearch.storage.store import open_store
from hpsearch.trials import TrialState
from hpsearch.workflows.optuna_program import optimize


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """Run the test as a program under `hpsearch run`, and provide the URL of its database."""
    where = f"sqlite:///{tmp_path}/lab.db"
    with redirect_optuna(where, "program", optimize=lambda call: void(optimize(call)), decline=pytest.fail):
        yield where


def void(_: object) -> None:
    """Drop a result."""


def objective(trial: Any) -> float:
    """Fail once, prune sometimes, and return a number that depends on parameters that not all trials have."""
    if trial.number == 2:
        raise ValueError("no such width")
    kind = trial.suggest_categorical("kind", ["a", "b"])
    x = trial.suggest_float("x", 0.0, 1.0) if kind == "a" else trial.suggest_int("n", 1, 5) / 5
    trial.set_user_attr("kind", kind)
    for step in range(3):
        trial.report(x + 1 / (1 + step), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return float(x)


def test_a_program_sees_its_trials_and_the_budget_is_exact(url: str) -> None:
    """Enqueued values are used, a failed trial is recorded and not counted, and a second call adds its trials."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial({"kind": "a", "x": 0.125})
    study.optimize(objective, n_trials=5)
    assert [trial.state.name for trial in study.trials].count("FAIL") == 1
    assert len(study.trials) == 6
    assert study.trials[0].params == {"kind": "a", "x": 0.125}
    assert study.trials[0].user_attrs["kind"] == "a"
    assert study.best_value <= 0.125
    study.optimize(objective, n_trials=2)
    assert len(study.trials) == 8
    with open_store(url) as store:
        ours = store.studies.get("program")
        progress = store.studies.progress(ours)
        failed = [trial for trial in store.trials.all(ours) if trial.state is TrialState.FAILED]
    assert (progress.finished, progress.budget, progress.is_done) == (7, 7, True)
    assert failed[0].failure is not None
    assert failed[0].failure.message == "no such width"


def test_a_program_whose_trials_all_fail_ends(url: str) -> None:
    """After five failures of one kind the study pauses, and the call raises why."""

    def broken(trial: Any) -> float:
        return 1.0 / float(trial.number * 0)

    study = optuna.create_study()
    with pytest.raises(
        HpsearchError, match=r"after 5 failures in a row, ZeroDivisionError in test_optuna_program\.py"
    ):
        study.optimize(broken, n_trials=20)
    assert len(study.trials) == 5


def test_a_program_ends_in_time(url: str) -> None:
    """After its time no trial begins, and the budget is what has finished."""
    study = optuna.create_study()
    study.optimize(objective, timeout=0.5)
    with open_store(url) as store:
        progress = store.studies.progress(store.studies.get("program"))
    assert progress.is_done
    assert progress.finished == progress.budget >= 1
