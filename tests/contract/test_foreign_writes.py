"""Writes of stock Optuna clients into trials that wait, or that a worker of ours holds."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState as Theirs
from sqlalchemy import event

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import Assignment, Update
from hpsearch.trials import TrialState
from tests.contract.laboratory import FINDING, Lab, update
from tests.contract.stock import closed_stock, stock_of

__all__ = ["closed_stock"]

Labs = Callable[..., Lab]
Write = Callable[[optuna.storages.BaseStorage, int], object]

LEARNING_RATE: Final = FloatDistribution(1e-6, 1.0, log=True)
ACTIVATION: Final = CategoricalDistribution(("relu", "tanh", "elu"))

WRITES: Final[Mapping[str, Write]] = {
    "reports": lambda storage, trial_id: [
        storage.set_trial_intermediate_value(trial_id, step, 9.0 + step) for step in (0, 1)
    ],
    "a report that is infinite": lambda storage, trial_id: storage.set_trial_intermediate_value(
        trial_id, 0, float("inf")
    ),
    "parameters": lambda storage, trial_id: [
        storage.set_trial_param(trial_id, "learning_rate", 0.25, LEARNING_RATE),
        storage.set_trial_param(trial_id, "model.activation", 1, ACTIVATION),
    ],
    "attributes": lambda storage, trial_id: [
        write(trial_id, key, 9)
        for write in (storage.set_trial_user_attr, storage.set_trial_system_attr)
        for key in ("verdict", "epochs", "worker", "kept")
    ],
    "a value": lambda storage, trial_id: storage.set_trial_state_values(
        trial_id, storage.get_trial(trial_id).state, [9.0]
    ),
}
"""The writes that a client may make to an unfinished trial."""


def write_all(lab: Lab, number: int) -> None:
    """Make all of a client's possible writes to one trial."""
    study = stock_of(lab)
    for write in WRITES.values():
        write(study._storage, study.trials[number]._trial_id)


def trained(lab: Lab, **outcome: Any) -> None:
    """Claim one trial and train it to its end, with the parameters that it has or else its number's."""
    (claim,) = lab.claim(1)
    chosen = {**lab.params(claim.number), **claim.fixed}
    if claim.params is None:
        lab.store.trials.assign(lab.study, [Assignment(claim=claim, params=chosen)])
    assert lab.end([claim], **outcome) == frozenset()


def test_a_waiting_trial_that_others_wrote_into_is_trained(new_lab: Labs) -> None:
    """Their parameters and attributes are honoured; reports and a value, which no attempt of ours made, are not."""
    lab = new_lab()
    study = stock_of(lab)
    study.enqueue_trial({})
    write_all(lab, 0)
    study._storage.set_trial_intermediate_value(study.trials[0]._trial_id, 99, 1.0)
    trained(lab, value=0.75)
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.value, trial.curve) == (TrialState.COMPLETE, 0.75, {0: 0.25, 1: 0.5})
    assert trial.params == {**lab.params(0), "learning_rate": 0.25, "model.activation": "tanh"}
    attributes = stock_of(lab).trials[0].user_attrs
    assert attributes == {"verdict": "healthy", "epochs": 2, "worker": lab.worker, "kept": 9}


@pytest.mark.parametrize("written", WRITES)
def test_a_held_trial_that_others_write_into_ends_as_its_worker_says(new_lab: Labs, written: str) -> None:
    """Before and after its parameters are chosen: the worker's values replace theirs, and nothing fails."""
    lab = new_lab()
    claims = lab.claim(2)
    study = stock_of(lab)
    ids = [trial._trial_id for trial in study.trials]
    WRITES[written](study._storage, ids[0])
    lab.assign(claims)
    if written != "parameters":  # those are stored now, and Optuna itself refuses to write them twice
        WRITES[written](study._storage, ids[1])
    assert lab.end(claims, value=0.75) == frozenset()
    for number, trial in enumerate(lab.store.trials.all(lab.study)):
        assert (trial.state, trial.value, trial.curve) == (TrialState.COMPLETE, 0.75, {0: 0.25, 1: 0.5})
        assert (trial.params, trial.finding) == (lab.params(number), FINDING)
    assert study.trials[0].user_attrs["verdict"] == "healthy"


def test_an_end_with_its_parameters_goes_over_what_others_wrote(new_lab: Labs, dialect: str) -> None:
    """A worker whose parameters were lost writes them again with its outcome, next to those of another client."""
    if dialect != "postgresql":
        pytest.skip("SQLite and MariaDB let nobody in between our look and our write")
    lab = new_lab()
    (claim,) = lab.claim(1)
    chosen = Assignment(claim=claim, params=lab.params(0))
    ending = update(claim)

    def interfere(*execution: object) -> None:
        if "learning_rate" in str(execution[3]) and interferences:
            interferences.pop()()

    study = stock_of(lab)
    trial_id = study.trials[0]._trial_id
    interferences = [lambda: WRITES["parameters"](study._storage, trial_id)]
    event.listen(lab.store._transactions.engine, "before_cursor_execute", interfere)
    ended = lab.store.trials.record(
        lab.study,
        [
            Update(
                claim=claim,
                reports=ending.reports,
                epochs=2,
                steps=20,
                outcome=ending.outcome,
                assignment=chosen,
            )
        ],
    )
    event.remove(lab.store._transactions.engine, "before_cursor_execute", interfere)
    assert (ended, interferences) == (frozenset(), [])
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.params) == (TrialState.COMPLETE, lab.params(0))


@pytest.mark.parametrize("state", [Theirs.COMPLETE, Theirs.PRUNED, Theirs.FAIL])
def test_a_held_trial_that_others_end_is_theirs(new_lab: Labs, state: Theirs) -> None:
    """The loss of the trial is reported to the worker, its other trials continue, and nothing stays leased."""
    lab = new_lab(trials=4)
    claims = lab.claim(2)
    lab.assign(claims)
    study = stock_of(lab)
    study.tell(0, 0.125 if state is Theirs.COMPLETE else None, state=state)
    assert lab.end(claims) == {0}
    assert [trial.state.value for trial in lab.store.trials.all(lab.study)][1] == "complete"
    assert study.trials[0].state is state
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="bye", crashed=False)
    assert lab.store.queue.held(lab.study, worker=lab.worker) == []


def test_a_held_trial_that_others_set_waiting_is_claimed_again(new_lab: Labs) -> None:
    """The attempt is in its history with its epochs, the old claim can write nothing, and the next one begins anew."""
    lab = new_lab(trials=2)
    (claim,) = lab.claim(1)
    lab.assign([claim])
    lab.store.trials.record(lab.study, [Update(claim=claim, reports={0: 0.1, 1: 0.2}, epochs=2, steps=20)])
    study = stock_of(lab)
    study._storage.set_trial_state_values(study.trials[0]._trial_id, Theirs.WAITING)
    assert lab.end([claim]) == {0}
    (again,) = lab.claim(1, worker="another")
    assert (again.number, again.attempt, again.crashes, again.params) == (0, 2, 0, lab.params(0))
    assert lab.end([claim]) == {0}
    lab.end([again])
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.curve, trial.epochs) == (TrialState.COMPLETE, {0: 0.25, 1: 0.5}, 2)
    (attempt,) = lab.store.trials.attempts(lab.study, 0)
    assert (attempt.why, attempt.epochs) == ("another Optuna client set the trial waiting", 2)
    assert lab.store.studies.progress(lab.study).ledger == {"complete": 2, "worker_lost": 2}


def test_a_trial_that_others_set_waiting_and_nobody_claims_loses_its_lease(new_lab: Labs) -> None:
    """When its lease runs out, the attempt is written down and the trial waits as any other."""
    lab = new_lab(trials=2)
    (claim,) = lab.claim(1, lease_s=-1.0)
    study = stock_of(lab)
    study._storage.set_trial_state_values(study.trials[0]._trial_id, Theirs.WAITING)
    assert lab.store.queue.sweep(lab.study) == [0]
    assert lab.store.queue.held(lab.study, worker=lab.worker) == []
    assert len(lab.store.trials.attempts(lab.study, claim.number)) == 1


def test_a_study_that_others_delete_between_look_and_write_is_gone(new_lab: Labs, dialect: str) -> None:
    """The deletion wins: the worker gets a report of lost trials, not an error of the database."""
    if dialect != "postgresql":
        pytest.skip("SQLite and MariaDB let nobody in between our look and our write")
    lab = new_lab()
    claims = lab.claim(1)
    lab.assign(claims)
    study = stock_of(lab)
    deletions = [lambda: study._storage.delete_study(study._study_id)]

    def interfere(*execution: object) -> None:
        if "INTO trial_intermediate_values" in str(execution[2]) and deletions:
            deletions.pop()()

    event.listen(lab.store._transactions.engine, "before_cursor_execute", interfere)
    going_on = Update(claim=claims[0], reports={0: 0.1}, epochs=1, steps=10)
    assert lab.store.trials.record(lab.study, [going_on]) == {0}
    event.remove(lab.store._transactions.engine, "before_cursor_execute", interfere)
    assert deletions == []
    with pytest.raises(StudyNotFoundError):
        lab.claim(1)


def test_names_that_differ_only_in_case_or_spaces_are_different_parameters(new_lab: Labs) -> None:
    """Trials are read with the parameters that clients gave them, also if the database compares names as equal."""
    lab = new_lab()
    given = [{"lr": 0.125}, {"LR": 0.25}, {"lr ": 0.5}]
    for params in given:
        distributions: dict[str, BaseDistribution] = dict.fromkeys(params, FloatDistribution(0.0, 1.0))
        stock_of(lab).add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=1.0)
        )
    assert [trial.params for trial in lab.store.trials.all(lab.study)] == given
