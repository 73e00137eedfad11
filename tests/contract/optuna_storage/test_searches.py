"""Optuna's samplers and pruners on `open_storage`, on studies of Optuna's and of hpsearch."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import optuna
import pytest
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GridSampler, NSGAIISampler, TPESampler
from optuna.storages import BaseStorage, RDBStorage

from hpsearch.search.space import distributions
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def objective(trial: optuna.Trial) -> float:
    """Report for six steps, unless it is pruned, how near the parameters are to somewhere."""
    x = trial.suggest_float("x", 0.0, 1.0)
    y = trial.suggest_float("y", 1e-3, 1.0, log=True)
    for step in range(6):
        trial.report(x + y + 1 / (1 + step), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    trial.set_user_attr("sum", x + y)
    return x + y


def search(storage: BaseStorage | None, sampler: BaseSampler, pruner: BasePruner) -> list[Any]:
    """Return the facts of a search's trials, without their times."""
    study = optuna.create_study(
        study_name=f"search-{uuid4().hex}" if storage else "search",
        storage=storage,
        sampler=sampler,
        pruner=pruner,
    )
    study.optimize(objective, n_trials=24)
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs, t.system_attrs)
        for t in study.trials
    ]


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        (lambda: TPESampler(seed=1, n_startup_trials=5, multivariate=False), MedianPruner),
        (lambda: CmaEsSampler(seed=1, n_startup_trials=2), SuccessiveHalvingPruner),
        (lambda: NSGAIISampler(seed=1, population_size=8), MedianPruner),
        (lambda: GridSampler({"x": [0.0, 0.5, 1.0], "y": [0.1, 0.2, 0.3]}, seed=1), MedianPruner),
    ],
)
def test_a_search_is_the_same_as_in_memory(
    storage: BaseStorage, sampler: Callable[[], BaseSampler], pruner: Callable[[], BasePruner]
) -> None:
    """A sampler with a seed makes the same trials, to the last bit, as on Optuna's storage in memory."""
    assert search(storage, sampler(), pruner()) == search(None, sampler(), pruner())


def test_hyperband_finds_its_bracket(storage: BaseStorage, stock: RDBStorage, study_id: int) -> None:
    """A pruner that hashes names and keeps rungs in attributes runs, and every client reads the same trials."""
    name = storage.get_study_name_from_id(study_id)
    pruner = HyperbandPruner(min_resource=1, max_resource=6, reduction_factor=2)
    study = optuna.load_study(study_name=name, storage=storage, sampler=TPESampler(seed=1), pruner=pruner)
    study.optimize(objective, n_trials=20)
    assert {t.state for t in study.trials} == {
        optuna.trial.TrialState.COMPLETE,
        optuna.trial.TrialState.PRUNED,
    }
    seen = [
        (t.params, t.values, t.system_attrs, t.intermediate_values) for t in stock.get_all_trials(study_id)
    ]
    assert seen == [(t.params, t.values, t.system_attrs, t.intermediate_values) for t in study.trials]


def of(lab: Lab, storage: BaseStorage) -> optuna.Study:
    """Return a lab's study on a storage."""
    return optuna.load_study(study_name=lab.study.spec.name, storage=storage, sampler=TPESampler(seed=1))


def test_trials_of_optuna_count_in_our_budget(new_lab: Labs, storage: BaseStorage) -> None:
    """Trials that a stock sampler made and ended through `open_storage` count as ours do."""
    lab = new_lab(trials=8)
    lab.finish(2)
    study = of(lab, storage)
    for value in (0.25, 0.75):
        study.tell(study.ask(distributions(lab.study.spec)), value)
    study.tell(study.ask(distributions(lab.study.spec)), state=optuna.trial.TrialState.PRUNED)
    study.tell(study.ask(distributions(lab.study.spec)), state=optuna.trial.TrialState.FAIL)
    running = study.ask(distributions(lab.study.spec))
    assert (running.number, len(running.params)) == (6, len(lab.study.spec.search))
    assert [claim.number for claim in lab.claim(10)] == [7, 8]
    progress = lab.store.studies.progress(lab.study)
    assert (progress.complete, progress.pruned, progress.failed, progress.running) == (4, 1, 1, 3)
    assert progress.best is not None
    assert (progress.best.number, progress.best.value) == (3, 0.75)


def test_optuna_reads_what_our_workers_write(
    new_lab: Labs, storage: BaseStorage, other: BaseStorage, stock: RDBStorage
) -> None:
    """A storage that follows a study of ours shows, step by step, what Optuna's own shows."""
    lab = new_lab(trials=12)

    def check() -> None:
        seen = storage.get_all_trials(lab.study.study_id)
        expected = stock.get_all_trials(lab.study.study_id)
        assert seen == expected

    claims = lab.claim(4)
    check()
    lab.assign(claims)
    check()
    lab.end(claims[:2])
    check()
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[2], why="stopped", crashed=False)
    check()
    lab.end(lab.claim(1), state=TrialState.PRUNED)
    check()
    other.set_trial_state_values(claims[3].trial_id, optuna.trial.TrialState.COMPLETE, [0.5])
    check()
    lab.finish(3, state=TrialState.FAILED, value=None)
    check()


def test_waiting_trials_go_both_ways(new_lab: Labs, storage: BaseStorage) -> None:
    """Our workers claim trials enqueued through `open_storage`; Optuna's `ask` takes those they hand back."""
    lab = new_lab(trials=10)
    study = of(lab, storage)
    study.enqueue_trial({"learning_rate": 0.01})
    (claim,) = lab.claim(1)
    assert claim.fixed == {"learning_rate": 0.01}
    lab.assign([claim])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped", crashed=False)
    taken = study.ask()
    assert (taken.number, taken.params) == (0, lab.params(0))
    study.tell(taken, 0.5)
    assert lab.store.trials.all(lab.study)[0].value == 0.5


def test_our_workers_see_what_optuna_ends(new_lab: Labs, storage: BaseStorage) -> None:
    """`Trials.changes` brings every trial that was made or ended through `open_storage`, once."""
    lab = new_lab(trials=10)
    _, mark = lab.store.trials.changes(lab.study, None)
    study = of(lab, storage)
    trial = study.ask(distributions(lab.study.spec))
    storage.remove_session()
    (running,), mark = lab.store.trials.changes(lab.study, mark)
    assert (running.state, running.params) == (TrialState.RUNNING, trial.params)
    study.tell(trial, 0.5)
    (ended,), mark = lab.store.trials.changes(lab.study, mark)
    assert (ended.state, ended.value) == (TrialState.COMPLETE, 0.5)
    assert lab.store.trials.changes(lab.study, mark)[0] == []
