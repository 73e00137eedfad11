"""One trial and its history: its lost attempts, their workers and their reasons."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hpsearch.errors import TrialNotFoundError
from hpsearch.storage.records import Update
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def test_every_attempt_that_came_to_nothing_is_kept(new_lab: Labs) -> None:
    """A trial that was handed back, lost with its lease, and crashed, has all three in its history."""
    lab = new_lab(trials=1)
    for worker, epochs, lease_s in (("ann", 2, 600.0), ("bob", 3, -1.0), ("eve", 0, 600.0)):
        (claim,) = lab.claim(1, worker=worker, lease_s=lease_s)
        reports = dict.fromkeys(range(epochs), 0.5)
        lab.store.trials.record(
            lab.study, [Update(claim=claim, reports=reports, epochs=epochs, steps=7 * epochs)]
        )
        if worker != "bob":
            why, crashed = f"{worker} ended", worker == "eve"
            lab.store.queue.release(lab.study, worker=worker, numbers=None, why=why, crashed=crashed)
    history = lab.store.trials.attempts(lab.study, 0)
    assert [(a.attempt, a.worker, a.kind, a.why, a.crashed, a.epochs) for a in history] == [
        (1, "ann", "handed_back", "ann ended", False, 2),
        (2, "bob", "expired", "lease expired", False, 3),
        (3, "eve", "crashed", "eve ended", True, 0),
    ]
    assert all(abs(attempt.ended - datetime.now(UTC)) < timedelta(minutes=5) for attempt in history)
    second = timedelta(seconds=1)  # MySQL's Optuna keeps starts in whole seconds, rounded
    assert all(attempt.started and attempt.started <= attempt.ended + second for attempt in history)
    assert lab.store.trials.all_attempts(lab.study) == {0: history}


def test_a_trial_that_ended_at_once_has_no_history(new_lab: Labs) -> None:
    """The attempt that counted is the trial itself, and other trials' attempts are theirs."""
    lab, other = new_lab(), new_lab()
    lab.finish(1)
    other.claim(1)
    other.store.queue.release(other.study, worker=other.worker, numbers=None, why="x", crashed=False)
    assert lab.store.trials.attempts(lab.study, 0) == []
    assert len(other.store.trials.attempts(other.study, 0)) == 1


def test_one_trial_is_read_as_all_are(new_lab: Labs) -> None:
    """One trial read alone equals the one read among all."""
    lab = new_lab()
    lab.finish(2)
    lab.claim(1)
    assert [lab.store.trials.get(lab.study, number) for number in range(3)] == lab.store.trials.all(lab.study)


def test_a_number_that_is_not_there_is_refused(new_lab: Labs) -> None:
    """The error lists the existing numbers."""
    lab = new_lab()
    name = lab.study.spec.name
    with pytest.raises(TrialNotFoundError) as caught:
        lab.store.trials.get(lab.study, 0)
    assert str(caught.value) == f'study "{name}": must have the trial (got 0): the study has none yet'
    lab.finish(2)
    with pytest.raises(TrialNotFoundError) as caught:
        lab.store.trials.get(lab.study, 2)
    assert str(caught.value) == (
        f'study "{name}": must have the trial (got 2): they are numbered from 0 to 1'
    )
