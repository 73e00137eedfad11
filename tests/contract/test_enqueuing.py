"""Trials that wait with given parameters: claimed first, within the budget, and Optuna's own."""

from collections.abc import Callable

import optuna
import pytest

from hpsearch.errors import StudyNotFoundError
from hpsearch.trials import ParameterValue
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

Labs = Callable[..., Lab]


def test_they_come_first_and_count(new_lab: Labs) -> None:
    """Enqueued trials get the next numbers, are claimed first with their values, and count in the budget."""
    lab = new_lab(trials=5)
    lab.finish(1)
    asked: list[dict[str, ParameterValue]] = [
        {"learning_rate": 0.01, "model.activation": "tanh"},
        {"training.batch_size": 32, "max_depth": None},
    ]
    assert lab.store.queue.enqueue(lab.study, asked) == [1, 2]
    assert lab.store.queue.enqueue(lab.study, []) == []
    assert lab.store.studies.progress(lab.study).waiting == 2
    claims = lab.claim(20)
    assert [(claim.number, dict(claim.fixed)) for claim in claims] == [
        (1, asked[0]),
        (2, asked[1]),
        (3, {}),
        (4, {}),
    ]
    lab.assign(claims)
    lab.end(claims)
    assert lab.store.studies.progress(lab.study).finished == 5


def test_stock_optuna_sees_its_own(new_lab: Labs) -> None:
    """Trials that we enqueue look to any Optuna client like its own, and both continue together."""
    lab = new_lab()
    lab.store.queue.enqueue(lab.study, [{"learning_rate": 0.01}])
    stock = lab.stock()
    stock.enqueue_trial({"learning_rate": 0.01})
    ours, theirs = stock.get_trials(states=[optuna.trial.TrialState.WAITING])
    assert (ours.number, theirs.number) == (0, 1)
    assert ours.system_attrs == theirs.system_attrs == {"fixed_params": {"learning_rate": 0.01}}
    assert (ours.params, ours.datetime_start, ours.values) == (theirs.params, None, None)
    assert lab.store.queue.enqueue(lab.study, [{"learning_rate": 0.02}]) == [2]
    assert stock.ask().number == 0


def test_a_study_is_made_with_what_it_begins_with(new_lab: Labs) -> None:
    """A new study has its first configurations from its creation on, and a second call adds none."""
    lab = new_lab()
    spec = a_spec(trials=3)
    asked = [{"learning_rate": 0.5}, {"learning_rate": 0.25}]
    for _ in range(2):
        child = lab.store.studies.create(spec, fingerprint=FINGERPRINT, parent=lab.study, enqueued=asked)
        assert [dict(trial.system_attributes) for trial in lab.store.trials.all(child)] == [
            {"fixed_params": one} for one in asked
        ]
    lab.store.studies.delete(child.name)


def test_a_deleted_study_takes_none(new_lab: Labs) -> None:
    """Nothing is enqueued in a deleted study."""
    lab = new_lab()
    lab.store.studies.delete(lab.study.name)
    with pytest.raises(StudyNotFoundError):
        lab.store.queue.enqueue(lab.study, [{}])
