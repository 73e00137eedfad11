"""Leases: the right to write a trial, and the fate of trials whose worker is gone."""

from collections.abc import Callable

import pytest
from sqlalchemy import event, update

from hpsearch.storage import schema
from hpsearch.storage.records import Assignment, ClaimedTrial, Update
from hpsearch.trials import Fate, TrialState
from hpsearch.verdicts import Cause
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]

EXPIRED_S = -1.0
"""A lease that is expired from the start, so that no test has to wait."""


def begun(claim: ClaimedTrial, epochs: int) -> Update:
    """Return an update of a trial that continues after some epochs."""
    reports = {epoch: 0.1 * epoch for epoch in range(epochs)}
    return Update(claim=claim, reports=reports, epochs=epochs, steps=7 * epochs)


def test_a_released_trial_waits_as_if_it_had_not_begun(new_lab: Labs) -> None:
    """A trial that was handed back keeps number and parameters, and nothing of what was trained."""
    lab = new_lab()
    kept, returned = lab.claim(2)
    lab.assign([kept, returned])
    lab.store.trials.record(lab.study, [begun(kept, 3), begun(returned, 3)])
    numbers = lab.store.queue.release(
        lab.study, worker=lab.worker, numbers=[returned.number], why="stopped", crashed=False
    )
    assert numbers == [returned.number]
    running, waiting = lab.store.trials.all(lab.study)
    assert (running.state, running.epochs, len(running.curve)) == (TrialState.RUNNING, 3, 3)
    assert (waiting.state, waiting.epochs, waiting.steps) == (TrialState.WAITING, 0, 0)
    assert (waiting.params, waiting.curve) == (lab.params(returned.number), {})
    assert (waiting.worker, waiting.started, waiting.attempts) == (None, None, 1)


def test_a_release_touches_the_trials_of_its_worker_only(new_lab: Labs) -> None:
    """A worker cannot hand back another worker's trials."""
    lab = new_lab()
    lab.claim(2)
    others = [claim.number for claim in lab.claim(2, worker="another")]
    released = lab.store.queue.release(
        lab.study, worker=lab.worker, numbers=[0, *others], why="stopped", crashed=False
    )
    assert released == [0]
    assert lab.store.queue.release(lab.study, worker="nobody", numbers=None, why="x", crashed=False) == []


def test_an_expired_lease_is_swept_by_the_next_claim(new_lab: Labs) -> None:
    """A vanished worker's trials are given to the next claims, under the same numbers."""
    lab = new_lab(trials=2)
    lab.claim(2, lease_s=EXPIRED_S)
    again = [claim for worker in ("another", "third") for claim in lab.claim(2, worker=worker)]
    assert [(claim.number, claim.attempt) for claim in again] == [(0, 2), (1, 2)]


def test_an_expired_lease_is_swept_by_whoever_looks(new_lab: Labs) -> None:
    """Progress never shows trials with expired leases as running."""
    lab = new_lab()
    lab.claim(1)
    lab.claim(2, lease_s=EXPIRED_S)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.running, progress.waiting) == (1, 2)
    assert lab.store.queue.sweep(lab.study) == []


def test_a_sweep_says_which_trials_it_took_back(new_lab: Labs) -> None:
    """A sweep returns the numbers of expired leases and leaves the others alone."""
    lab = new_lab()
    lab.claim(1)
    lab.claim(2, lease_s=EXPIRED_S, worker="vanished")
    assert lab.store.queue.sweep(lab.study) == [1, 2]


def test_heartbeats_keep_all_leases_of_a_worker(new_lab: Labs) -> None:
    """One renewal covers every study of the worker, and no other worker's trials."""
    lab, other = new_lab(), new_lab()
    lab.claim(2, lease_s=EXPIRED_S)
    other.store.queue.claim(other.study, worker=lab.worker, count=1, lease_s=EXPIRED_S)
    lab.store.queue.claim(lab.study, worker="another", count=0, lease_s=EXPIRED_S)
    assert lab.renew(600.0, worker="nobody") == 0
    # Claiming nothing swept the two of this study; the one of the other study still stands.
    assert lab.renew(600.0) == 1
    assert other.store.queue.sweep(other.study) == []
    assert other.renew(EXPIRED_S, worker=lab.worker) == 1
    assert other.store.queue.sweep(other.study) == [0]


@pytest.mark.parametrize("again", [True, False])
def test_an_old_token_writes_nothing(new_lab: Labs, *, again: bool) -> None:
    """A worker that was stopped past its lease finds its trials lost, claimed again by others or not."""
    lab = new_lab()
    stale = lab.claim(2, lease_s=EXPIRED_S)
    lab.store.queue.sweep(lab.study)
    if again:
        fresh = lab.claim(2, worker="another")
        lab.assign(fresh)
    before = lab.store.trials.all(lab.study)
    params = {**lab.params(7), "learning_rate": 0.5}
    lost = lab.store.trials.assign(lab.study, [Assignment(claim=claim, params=params) for claim in stale])
    assert lost == {0, 1}
    assert lab.end(stale, value=0.9) == {0, 1}
    assert lab.store.trials.record(lab.study, [begun(claim, 1) for claim in stale]) == {0, 1}
    assert lab.store.trials.all(lab.study) == before
    assert lab.store.trials.series(lab.study, [0, 1]) == {}


def test_a_batch_writes_what_holds_and_names_what_is_lost(new_lab: Labs) -> None:
    """One lost trial in a batch keeps none of the others from being written."""
    lab = new_lab()
    claims = lab.claim(4)
    lab.assign(claims)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[1], why="stopped", crashed=False)
    assert lab.end(claims) == {1}
    states = [trial.state for trial in lab.store.trials.all(lab.study)]
    complete, waiting = TrialState.COMPLETE, TrialState.WAITING
    assert states == [complete, waiting, complete, complete]


def test_an_expired_lease_that_nobody_swept_still_writes(new_lab: Labs) -> None:
    """A lease is lost when another process takes the trial back, not by the clock alone: no result is thrown away."""
    lab = new_lab()
    claims = lab.claim(1, lease_s=EXPIRED_S)
    lab.assign(claims)
    assert lab.end(claims) == frozenset()
    assert lab.store.queue.sweep(lab.study) == []


def test_writing_the_same_end_twice_changes_nothing(new_lab: Labs) -> None:
    """A worker that lost the database's answer may write again: nothing is lost or doubled."""
    lab = new_lab()
    claims = lab.claim(2)
    lab.assign(claims)
    assert lab.end(claims) == frozenset()
    before = lab.store.trials.all(lab.study)
    assert lab.end(claims, value=0.9) == frozenset()
    assert lab.store.trials.all(lab.study) == before


def test_writing_the_same_reports_twice_changes_nothing(new_lab: Labs) -> None:
    """Reports that are stored already are left alone, and new ones follow."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    lab.store.trials.record(lab.study, [begun(claim, 2)])
    lab.store.trials.record(lab.study, [begun(claim, 3)])
    assert lab.store.trials.all(lab.study)[0].curve == {0: 0.0, 1: 0.1, 2: 0.2}
    lab.store.trials.record(lab.study, [Update(claim=claim, reports={}, epochs=4, steps=28)])
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.epochs, trial.steps, len(trial.curve)) == (4, 28, 3)


def test_assigning_again_replaces_the_parameters(new_lab: Labs) -> None:
    """The last assignment of a claim counts: its worker may have sampled anew after a lost answer."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    lab.assign([claim])
    params = {**lab.params(0), "learning_rate": 0.125}
    attributes = {"sampler:seed": 3}
    for _ in range(2):
        lab.store.trials.assign(
            lab.study, [Assignment(claim=claim, params=params, system_attributes=attributes)]
        )
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.params, trial.system_attributes) == (params, attributes)


def test_a_trial_that_loses_three_workers_fails(new_lab: Labs) -> None:
    """After three crashes a trial fails with worker_lost and the study continues; hand-backs do not count."""
    lab = new_lab(trials=1)
    for attempt in range(1, 5):
        (claim,) = lab.claim(1)
        assert (claim.number, claim.attempt) == (0, attempt)
        lab.store.trials.record(lab.study, [begun(claim, attempt)])
        crashed = attempt != 2
        lab.store.queue.release(
            lab.study, worker=lab.worker, numbers=None, why="out of memory", crashed=crashed
        )
    (trial,) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.verdict, trial.fate) == (TrialState.FAILED, Cause.WORKER_LOST, Fate.LOST)
    assert trial.finding is not None
    assert trial.finding.evidence == {"workers_lost": 3.0}
    assert "the last one because: out of memory" in trial.finding.remedy
    assert (trial.worker, trial.attempts, trial.curve) == (lab.worker, 4, {})
    assert trial.finished is not None
    (stock,) = lab.stock().trials
    assert stock.user_attrs == {"verdict": "worker_lost", "epochs": 0, "worker": lab.worker}
    assert [claim.number for claim in lab.claim(1)] == [1]


def test_every_begun_epoch_is_in_the_ledger(new_lab: Labs) -> None:
    """The ledger adds up: crashed attempts count as lost and returned ones as stopped, in addition to the trials."""
    lab = new_lab()
    lab.finish(2)
    lab.finish(1, state=TrialState.PRUNED, reports={0: 0.1})
    crashed, returned, running = lab.claim(3)
    lab.store.trials.record(lab.study, [begun(crashed, 4), begun(returned, 2), begun(running, 3)])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[crashed.number], why="gone", crashed=True)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[returned.number], why="bye", crashed=False)
    progress = lab.store.studies.progress(lab.study)
    assert progress.ledger == {"complete": 4, "worker_lost": 4, "running": 3, "stopped": 2, "healthy": 1}
    assert progress.epochs == 14
    (listed,) = [one for one in lab.store.studies.listing() if one.name == lab.study.spec.name]
    assert listed.progress == progress


def test_attempts_that_an_older_version_wrote_are_in_the_ledger(new_lab: Labs) -> None:
    """Before tables 0003 an attempt had no kind: one that crashed counts as lost, another one as stopped."""
    lab = new_lab()
    crashed, returned, running = lab.claim(3)
    lab.store.trials.record(lab.study, [begun(crashed, 4), begun(returned, 2), begun(running, 3)])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[crashed.number], why="gone", crashed=True)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[returned.number], why="bye", crashed=False)
    of_study = schema.attempts.c.study_key == lab.study.key
    lab.store._transactions.write(
        lambda connection: connection.execute(update(schema.attempts).where(of_study).values(kind=None))
    )
    progress = lab.store.studies.progress(lab.study)
    assert progress.ledger == {"worker_lost": 4, "running": 3, "stopped": 2}
    assert progress.epochs == 9


def test_a_trial_that_another_client_ended_stays_as_it_is(new_lab: Labs) -> None:
    """If a stock client ends a trial that our worker holds, its result counts and our worker's write is lost."""
    lab = new_lab()
    claims = lab.claim(2)
    lab.assign(claims)
    lab.stock().tell(0, 0.125)
    assert lab.end(claims, value=0.5) == {0}
    assert lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="bye", crashed=True) == []
    values = [(trial.state, trial.value) for trial in lab.store.trials.all(lab.study)]
    assert values == [(TrialState.COMPLETE, 0.125), (TrialState.COMPLETE, 0.5)]
    assert lab.renew(600.0) == 0


def test_a_trial_that_another_client_ends_at_the_last_moment_stays_as_it_is(
    new_lab: Labs, dialect: str
) -> None:
    """A stock client that ends a trial between our look and our write wins, and the rest is written."""
    if dialect != "postgresql":
        pytest.skip("SQLite and MariaDB let nobody in between our look and our write")
    lab = new_lab()
    claims = lab.claim(2)
    lab.assign(claims)
    stock = lab.stock()
    tells = [lambda: stock.tell(0, 0.125)]

    def interfere(*execution: object) -> None:
        if str(execution[2]).startswith("UPDATE trials") and tells:
            tells.pop()()

    event.listen(lab.store._transactions.engine, "before_cursor_execute", interfere)
    assert lab.end(claims, value=0.5) == {0}
    event.remove(lab.store._transactions.engine, "before_cursor_execute", interfere)
    assert tells == []
    assert [trial.value for trial in lab.store.trials.all(lab.study)] == [0.125, 0.5]


def test_a_study_that_was_deleted_loses_its_trials(new_lab: Labs) -> None:
    """A worker that writes to a deleted study gets its trials reported as lost, even if the id is used again."""
    lab = new_lab()
    claims = lab.claim(2)
    lab.store.studies.delete(lab.study.name)
    successor = new_lab()
    successor.claim(2)
    assert lab.assign(claims) == {0, 1}
    assert lab.end(claims) == {0, 1}
    assert lab.renew(600.0) == 0
    assert {trial.state for trial in lab.store.trials.all(successor.study)} == {TrialState.RUNNING}


def test_a_batch_has_each_trial_once(new_lab: Labs) -> None:
    """Two updates of one trial in one call are a bug of the caller's, and nothing is written."""
    lab = new_lab()
    (claim,) = lab.claim(1)
    with pytest.raises(ValueError, match=r"^claims: each trial must occur once \(got \[0, 0\]\)$"):
        lab.store.trials.record(lab.study, [begun(claim, 1), begun(claim, 2)])
    assert lab.store.trials.all(lab.study)[0].epochs == 0
