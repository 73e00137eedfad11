"""Limits that end a study before its budget of trials is spent, on every database."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from hpsearch.storage import optuna_schema
from hpsearch.storage.engine import Transactions
from hpsearch.storage.limits import length
from hpsearch.study.spec import BudgetSpec
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab
from tests.contract.laboratory import update as an_update

Labs = Callable[..., Lab]


@pytest.mark.parametrize(
    ("limits", "metric", "values", "used"),
    [
        (BudgetSpec(epochs=4), "validation_accuracy", (0.5, 0.5), 4),
        (BudgetSpec(until=0.75), "validation_accuracy", (0.5, 0.8), 0.8),
        (BudgetSpec(until=0.75), "validation_loss", (0.8, 0.5), 0.5),
        (BudgetSpec(patience=2), "validation_accuracy", (0.5, 0.6, 0.6, None), 2),
        (BudgetSpec(patience=2), "validation_loss", (None, None), 2),
    ],
    ids=["epochs", "until, to a maximum", "until, to a minimum", "patience", "patience, none complete"],
)
def test_a_limit_ends_a_study_until_it_is_raised(
    new_lab: Labs, limits: BudgetSpec, metric: str, values: tuple[float | None, ...], used: float
) -> None:
    """At a limit no claim takes a trial; the study names it, and goes on once it is gone."""
    lab = new_lab(trials=9, metric=metric, budget=limits)
    for value in values:
        assert lab.store.queue.opening(lab.study).is_open
        assert lab.store.studies.progress(lab.study).ended_by is None
        lab.finish(1, value=value, state=TrialState.PRUNED if value is None else TrialState.COMPLETE)
    assert lab.claim(1) == []
    opening, progress = lab.store.queue.opening(lab.study), lab.store.studies.progress(lab.study)
    assert (opening.is_open, opening.is_stopped, opening.room) == (False, True, 0)
    assert progress.is_done
    assert progress.ended_by is not None
    assert (progress.ended_by.name, progress.ended_by.used) == (progress.limits[0].name, used)
    (listed,) = [one for one in lab.store.studies.listing() if one.name == lab.study.name]
    assert listed.progress is not None
    assert listed.progress.ended_by == progress.ended_by
    raised = lab.store.studies.set_limits(lab.study, BudgetSpec(epochs=10**6))
    assert lab.store.studies.get(lab.study.name).spec.budget == raised.spec.budget == BudgetSpec(epochs=10**6)
    assert len(lab.claim(1)) == 1
    assert lab.store.studies.create(lab.study.spec, fingerprint=lab.study.fingerprint).key == lab.study.key


def _move_starts(lab: Lab, hours: Mapping[int, float]) -> None:
    """Let trials (number -> hours) have started earlier."""
    trials, transactions = optuna_schema.trials, lab.store._transactions
    assert isinstance(transactions, Transactions)
    for one_try, transaction in transactions.write_tries(durable=False):
        with one_try, transaction as connection:
            for number, ago in hours.items():
                start = (datetime.now(UTC) - timedelta(hours=ago)).replace(tzinfo=None)
                mine = trials.c.study_id == lab.study.study_id, trials.c.number == number
                connection.execute(update(trials).where(*mine).values(datetime_start=start))


def test_hours_count_while_a_trial_trains(new_lab: Labs) -> None:
    """Trials at the same time count once, those in training until now, and attempts that were handed back too."""
    lab = new_lab(trials=9, budget=BudgetSpec(hours=3.0))
    lab.assign(lab.claim(2, lease_s=1e6))
    _move_starts(lab, {0: 2.0, 1: 1.0})
    (standing,) = lab.store.studies.limits(lab.study)
    assert standing.used == pytest.approx(2.0, abs=0.1)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[0], why="stopped", crashed=False)
    (standing,) = lab.store.studies.limits(lab.study)
    assert standing.used == pytest.approx(2.0, abs=0.1)
    _move_starts(lab, {1: 3.5})
    assert lab.claim(1) == []
    assert lab.store.studies.progress(lab.study).ended_by is not None


def test_spans_that_overlap_count_once() -> None:
    """The length of a union of spans is without its gaps."""
    assert length([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (1.5, 1.75)]) == 4.0
    assert length([]) == 0.0
    assert length([(3.0, 2.0)]) == 0.0


def test_kept_epochs_are_not_lost_ones(new_lab: Labs) -> None:
    """Epochs of an attempt with which a later one went on count once, and the first write of them stays (law 8)."""
    lab = new_lab(trials=1)
    (first,) = lab.claim(1)
    lab.assign([first])
    lab.store.trials.record(
        lab.study, [an_update(first, reports=dict.fromkeys(range(5), 0.5), is_over=False)]
    )
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped", crashed=False)
    (again,) = lab.claim(1)
    for kept in ({1: 4}, {1: 2}):
        entry = an_update(again, reports=dict.fromkeys(range(6), 0.5), is_over=False, kept=kept)
        lab.store.trials.record(lab.study, [entry])
    progress = lab.store.studies.progress(lab.study)
    assert (dict(progress.ledger), progress.epochs) == ({"running": 6, "stopped": 1}, 7)
    assert [attempt.epochs for attempt in lab.store.trials.attempts(lab.study, 0)] == [1]
    assert lab.store.studies.limits(lab.study) == ()


def test_an_expired_lease_ends_the_hours(new_lab: Labs) -> None:
    """Nobody trains after a lease: a study whose workers are gone uses no hours."""
    lab = new_lab(trials=3, budget=BudgetSpec(hours=1.0))
    lab.assign(lab.claim(1, lease_s=-3600.0))
    _move_starts(lab, {0: 2.0})
    (standing,) = lab.store.studies.limits(lab.study)
    assert standing.used == pytest.approx(1.0, abs=0.1)
