"""Several processes on one study: each reads the others' writes, and nothing is done twice."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import CmaEsSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from hpsearch.storage import open_storage
from tests.contract.optuna_storage.everything import UNIT, is_bare


def test_what_others_set_on_a_running_trial_is_seen(
    storage: BaseStorage, other: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """Every kind of write of another process to an unfinished trial is in the next reading, overwriting too."""
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "mine", 0.5, UNIT)
    for count, writer in enumerate((stock, other), 1):
        writer.set_trial_param(trial_id, f"x{count}", 0.25, UNIT)
        writer.set_trial_intermediate_value(trial_id, 3, count)
        writer.set_trial_user_attr(trial_id, "count", count)
        writer.set_trial_system_attr(trial_id, "count", count)
        writer.remove_session()
        for seen in (storage.get_trial(trial_id), storage.get_all_trials(study_id)[0]):
            assert seen.params["mine"] == 0.5
            assert seen.params[f"x{count}"] == 0.25
            assert seen.intermediate_values == {3: count}
            assert seen.user_attrs == seen.system_attrs == {"count": count}


def test_new_trials_and_states_of_others_are_seen(
    storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """Trials that another process makes, starts and ends are read in that state by the next call."""
    ours = storage.create_new_trial(study_id)
    theirs = stock.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    assert [t.state for t in storage.get_all_trials(study_id)] == [TrialState.RUNNING, TrialState.WAITING]
    assert [t.number for t in storage.get_all_trials(study_id, states=(TrialState.WAITING,))] == [1]
    stock.set_trial_state_values(theirs, TrialState.RUNNING)
    assert storage.get_all_trials(study_id, states=(TrialState.WAITING,)) == []
    assert storage.get_n_trials(study_id, TrialState.RUNNING) == 2
    stock.set_trial_state_values(ours, TrialState.COMPLETE, [2.0])
    assert [t.number for t in storage.get_all_trials(study_id, states=(TrialState.RUNNING,))] == [1]
    stock.set_trial_state_values(theirs, TrialState.COMPLETE, [1.0])
    assert [t.value for t in storage.get_all_trials(study_id)] == [2.0, 1.0]
    assert storage.get_best_trial(study_id).number == 1


def test_what_others_set_before_we_end_a_trial_is_kept(
    storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """A trial that this process ended is shown with another one's values, read earlier or not."""
    trial_id = storage.create_new_trial(study_id)
    assert is_bare(storage.get_trial(trial_id))
    stock.set_trial_user_attr(trial_id, "theirs", 1)
    storage.set_trial_user_attr(trial_id, "ours", 2)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.0])
    assert storage.get_all_trials(study_id)[0].user_attrs == {"theirs": 1, "ours": 2}


@pytest.mark.usefixtures("_no_hurry")
def test_of_two_that_end_a_trial_one_does(storage: BaseStorage, other: BaseStorage, study_id: int) -> None:
    """The second of two processes that end a trial gets an error, and the first one's values stay."""
    trial_id = storage.create_new_trial(study_id)
    other.set_trial_user_attr(trial_id, "late", 1)
    storage.set_trial_state_values(trial_id, TrialState.COMPLETE, [1.0])
    with pytest.raises(UpdateFinishedTrialError):
        other.set_trial_state_values(trial_id, TrialState.COMPLETE, [2.0])
    for seen in (storage.get_trial(trial_id), other.get_trial(trial_id)):
        assert (seen.value, seen.user_attrs) == (1.0, {})


def test_of_many_that_start_a_waiting_trial_one_does(url: str, storage: BaseStorage, study_id: int) -> None:
    """Eight processes that pop ten waiting trials at once get each trial once."""
    for _ in range(10):
        storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING))
    ids = [trial._trial_id for trial in storage.get_all_trials(study_id)]

    def pop(_: int) -> int:
        mine = open_storage(url)
        popped = sum(mine.set_trial_state_values(i, TrialState.RUNNING) for i in ids)
        mine.remove_session()
        return popped

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(pop, range(8))) == 10


def test_trials_are_numbered_under_the_lock_of_all(
    url: str, storage: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """Threads, storages of ours and Optuna's own make trials of one study at once: each number exists once."""

    def make(worker: int) -> None:
        mine = (storage, storage, stock)[worker] if worker < 3 else open_storage(url)
        for _ in range(10):
            mine.create_new_trial(study_id)
        mine.remove_session()

    with ThreadPoolExecutor(max_workers=5) as pool:
        list(pool.map(make, range(5)))
    assert [trial.number for trial in storage.get_all_trials(study_id)] == list(range(50))
    assert [trial.number for trial in stock.get_all_trials(study_id)] == list(range(50))


def test_threads_share_a_storage(
    storage: BaseStorage, other: BaseStorage, stock: RDBStorage, study_id: int
) -> None:
    """`n_jobs` threads of one study create exactly their trials, each complete."""
    study = optuna.load_study(study_name=storage.get_study_name_from_id(study_id), storage=storage)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(3):
            trial.report(x + step, step)
        trial.set_user_attr("x", x)
        return x

    study.optimize(objective, n_trials=24, n_jobs=4)
    for trial in stock.get_all_trials(study_id):
        x = trial.params["x"]
        assert trial.state is TrialState.COMPLETE
        assert (trial.value, trial.user_attrs) == (x, {"x": x})
        assert trial.intermediate_values == {0: x, 1: x + 1, 2: x + 2}
    assert stock.get_all_trials(study_id) == other.get_all_trials(study_id)


def test_finished_trials_are_never_read_again(storage: BaseStorage, study_id: int) -> None:
    """Once read, finished trials cost one query for news, however many there are."""
    for count in range(5):
        storage.create_new_trial(
            study_id, create_trial(value=float(count), params={"x": 0.5}, distributions={"x": UNIT})
        )
    first = storage.get_all_trials(study_id, deepcopy=False)
    storage.set_trial_user_attr(storage.create_new_trial(study_id), "key", 1)
    again = storage.get_all_trials(study_id, deepcopy=False)
    assert [a is b for a, b in zip(first, again, strict=False)] == [True] * 5
    assert all(storage.get_trial(trial._trial_id) is trial for trial in first)


def test_large_studies_are_read_whole(
    storage: BaseStorage, stock: RDBStorage, study_id: int, url: str
) -> None:
    """More trials than one statement takes are read as they are, with another study's between them."""
    neighbour = storage.create_new_study([StudyDirection.MINIMIZE], f"neighbour-of-{study_id}")
    for count in range(300):
        storage.create_new_trial(
            study_id,
            create_trial(
                value=float(count),
                params={"x": count / 300},
                distributions={"x": UNIT},
                intermediate_values={0: float("nan"), 1: float("inf"), 2: count},
                user_attrs={"count": count},
            ),
        )
        if count % 3 == 0:
            storage.create_new_trial(neighbour, create_trial(value=-1.0, user_attrs={"stranger": 1}))
    fresh = open_storage(url)
    seen = fresh.get_all_trials(study_id)
    fresh.remove_session()
    assert [trial.value for trial in seen] == [float(count) for count in range(300)]
    assert [repr(trial) for trial in seen] == [repr(trial) for trial in stock.get_all_trials(study_id)]


def test_incompatible_distributions_are_refused(
    storage: BaseStorage, other: BaseStorage, study_id: int
) -> None:
    """A parameter's kind of distribution is that of the study's other trials, from any writer."""
    first = other.create_new_trial(study_id)
    other.set_trial_param(first, "x", 0.5, UNIT)
    other.set_trial_param(first, "kind", 1, CategoricalDistribution(("a", "b")))
    other.remove_session()
    trial_id = storage.create_new_trial(study_id)
    storage.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0.0, 9.0))
    for name, distribution in (
        ("x", IntDistribution(0, 1)),
        ("kind", CategoricalDistribution(("b", "a"))),
    ):
        with pytest.raises(ValueError, match=r"CategoricalDistribution|different distribution kind"):
            storage.set_trial_param(trial_id, name, 0, distribution)
        with pytest.raises(ValueError, match=r"CategoricalDistribution|different distribution kind"):
            storage.create_new_trial(
                study_id,
                create_trial(
                    value=0.0,
                    params={name: distribution.to_external_repr(0)},
                    distributions={name: distribution},
                ),
            )
    assert len(storage.get_all_trials(study_id)) == 2


class _Evil:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle of the database was loaded",)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("begin", ["cma:optimizer", "sepcma:optimizer", "cmawm:optimizer"])
def test_a_pickle_that_runs_code_is_not_handed_out(
    storage: BaseStorage, stock: RDBStorage, study_id: int, begin: str
) -> None:
    """Optuna's CMA-ES unpickles an attribute of a trial, so anything but an optimizer's numbers is left out."""
    attributes = {f"{begin}:0": pickle.dumps(_Evil()).hex(), "cma:generation": 0}
    distributions: dict[str, BaseDistribution] = {"x": UNIT, "y": UNIT}
    template = create_trial(
        state=TrialState.COMPLETE,
        value=0.5,
        params={"x": 0.5, "y": 0.5},
        distributions=distributions,
        system_attrs=attributes,
    )
    trial_id = stock.create_new_trial(study_id, template)
    assert storage.get_trial(trial_id).system_attrs == {"cma:generation": 0}
    sampler = CmaEsSampler(
        n_startup_trials=0,
        use_separable_cma=begin.startswith("sep"),
        with_margin=begin.startswith("cmawm"),
        warn_independent_sampling=False,
    )
    name = storage.get_study_name_from_id(study_id)
    study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    for _ in range(8):
        trial = study.ask(distributions)
        study.tell(trial, trial.params["x"])
    kept = [key for trial in storage.get_all_trials(study_id) for key in trial.system_attrs]
    assert any(key.startswith(begin) for key in kept)
