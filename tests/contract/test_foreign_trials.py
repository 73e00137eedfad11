"""Trials that other Optuna clients run: how long they count, and ways to give them up or take them over."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import optuna
import pytest
from sqlalchemy import text

from hpsearch.errors import HpsearchError, TrialNotFoundError
from hpsearch.storage import schema
from hpsearch.storage.foreign_trials import SILENT_AFTER_BEAT_S, SILENT_AFTER_S, Retried, waiting_sentence
from hpsearch.storage.records import ForeignTrial, Update
from hpsearch.trials import OTHERS, Fate, TrialState
from hpsearch.verdicts import Cause
from tests.contract.laboratory import Lab, a_spec
from tests.contract.stock import closed_stock, stock_of

__all__ = ["closed_stock"]

Labs = Callable[..., Lab]


def age(lab: Lab, number: int, seconds: float) -> None:
    """Move all times of a trial into the past by that long."""
    study = stock_of(lab)
    trial = study.trials[number]
    started = lab.store.trials.get(lab.study, number).started
    assert started is not None
    with lab.store._transactions.engine.begin() as connection:
        connection.execute(
            text("UPDATE trials SET datetime_start = :start WHERE trial_id = :trial_id"),
            {
                "start": (started - timedelta(seconds=seconds)).replace(tzinfo=None),
                "trial_id": trial._trial_id,
            },
        )
    noted = trial.system_attrs.get(schema.SEEN_ATTRIBUTE)
    if noted is not None:
        note = {**noted, "at": noted["at"] - seconds}
        study._storage.set_trial_system_attr(trial._trial_id, schema.SEEN_ATTRIBUTE, note)


def foreign_of(lab: Lab) -> dict[int, ForeignTrial]:
    """Return the trials of other clients by number, as of now."""
    return {trial.number: trial for trial in lab.store.studies.progress(lab.study).foreign}


def full_but_for_one(new_lab: Labs) -> tuple[Lab, optuna.Trial]:
    """Return a lab whose budget of three is spent but for trial 0, which another client runs."""
    lab = new_lab(trials=3)
    asked = stock_of(lab).ask()
    lab.finish(2)
    return lab, asked


def test_a_trial_of_another_client_is_waited_for(new_lab: Labs) -> None:
    """Opening and progress name the trials that the study waits for, and the commands that end the wait."""
    lab, _ = full_but_for_one(new_lab)
    opening, progress = lab.store.queue.opening(lab.study), lab.store.studies.progress(lab.study)
    assert (opening.room, opening.is_open, lab.claim(2)) == (0, True, [])
    assert [trial.number for trial in opening.waits_for] == [0]
    assert [trial.number for trial in progress.waits_for] == [0]
    sentence = waiting_sentence(lab.study.spec.name, progress.waits_for)
    assert f"`hpsearch trial retry {lab.study.spec.name} 0` trains it here" in sentence
    assert f"`hpsearch trial fail {lab.study.spec.name} 0` gives it up" in sentence
    trial = lab.store.trials.get(lab.study, 0)
    assert (trial.worker, trial.owner, trial.attempts) == (None, OTHERS, 1)


def test_a_study_that_has_more_to_do_waits_for_nobody(new_lab: Labs) -> None:
    """While a worker of ours trains, or trials are left to claim, other clients' trials are not reported."""
    lab = new_lab(trials=3)
    stock_of(lab).ask()
    assert lab.store.studies.progress(lab.study).waits_for == ()
    lab.claim(2)
    assert (
        lab.store.studies.progress(lab.study).waits_for,
        lab.store.queue.opening(lab.study).waits_for,
    ) == ((), ())
    assert list(foreign_of(lab)) == [0]


def test_a_trial_that_is_silent_for_long_no_longer_counts(new_lab: Labs) -> None:
    """Its place in the budget is given to a worker; if its result arrives later, it counts in addition."""
    lab, asked = full_but_for_one(new_lab)
    age(lab, 0, SILENT_AFTER_S - 60)
    assert lab.claim(1) == []
    age(lab, 0, 120)
    opening = lab.store.queue.opening(lab.study)
    assert (opening.room, opening.waits_for) == (1, ())
    assert [claim.number for claim in lab.claim(5)] == [3]
    assert lab.claim(5) == []
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="bye", crashed=False)
    lab.finish(1)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.is_done, progress.finished, progress.running) == (True, 3, 1)
    stock_of(lab).tell(asked, 0.5)
    told = lab.store.studies.progress(lab.study)
    assert (told.is_done, told.finished, told.budget) == (True, 4, 3)


@pytest.mark.parametrize("sign", ["report", "parameter", "attribute"])
def test_a_sign_of_life_makes_a_trial_young_again(new_lab: Labs, sign: str) -> None:
    """Each write of a client into its trial counts from the first time a process sees it, also for later readers."""
    lab, asked = full_but_for_one(new_lab)
    writes: dict[str, Callable[[int], Any]] = {
        "report": lambda turn: asked.report(0.5, turn),
        "parameter": lambda turn: asked.suggest_float(f"p{turn}", 0, 1),
        "attribute": lambda turn: asked.set_user_attr(f"a{turn}", 1),
    }
    asked.report(0.1, 9)  # values at the first look may be new
    assert foreign_of(lab)[0].counts
    for turn in range(2):
        age(lab, 0, SILENT_AFTER_S - 60)
        assert foreign_of(lab)[0].counts
        writes[sign](turn)
        assert lab.store.queue.opening(lab.study).room == 0
    age(lab, 0, SILENT_AFTER_S - 60)
    assert foreign_of(lab)[0].counts
    age(lab, 0, 120)
    assert not foreign_of(lab)[0].counts
    assert schema.SEEN_ATTRIBUTE not in lab.store.trials.get(lab.study, 0).system_attributes


def test_heartbeats_are_signs_of_life_and_their_end_is_one_of_death(new_lab: Labs) -> None:
    """A client that promised to beat is given up sooner, and lives for as long as it beats."""
    lab, asked = full_but_for_one(new_lab)
    storage: Any = stock_of(lab)._storage
    storage.record_heartbeat(asked._trial_id)
    age(lab, 0, 10 * SILENT_AFTER_S)
    assert foreign_of(lab)[0].counts
    age(lab, 0, SILENT_AFTER_BEAT_S - 60)
    assert foreign_of(lab)[0].counts
    with (
        lab.store._transactions.engine.begin() as connection
    ):  # as the next beat would, a second later at least
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2001-01-01 00:00:01'"))
    assert foreign_of(lab)[0].counts
    age(lab, 0, SILENT_AFTER_BEAT_S + 60)
    assert not foreign_of(lab)[0].counts


@pytest.mark.parametrize("note", [7, [1], {"at": "x", "was": 3}, {}, None])
def test_a_note_that_another_client_made_up_is_written_again(new_lab: Labs, note: Any) -> None:
    """A malformed attribute neither fails nor counts."""
    lab, asked = full_but_for_one(new_lab)
    stock_of(lab)._storage.set_trial_system_attr(asked._trial_id, schema.SEEN_ATTRIBUTE, note)
    asked.report(0.5, 1)
    assert foreign_of(lab)[0].counts
    assert set(stock_of(lab).trials[0].system_attrs[schema.SEEN_ATTRIBUTE]) == {"at", "was"}


@pytest.mark.parametrize("at", [1e300, float("nan"), float("inf"), 10**400, -1.0, True])
def test_a_note_of_an_impossible_time_is_written_again(new_lab: Labs, at: Any) -> None:
    """An impossible time neither fails nor makes a trial count permanently."""
    lab, asked = full_but_for_one(new_lab)
    asked.report(0.5, 1)
    assert foreign_of(lab)[0].counts
    noted = stock_of(lab).trials[0].system_attrs[schema.SEEN_ATTRIBUTE]
    note = {**noted, "at": at}
    stock_of(lab)._storage.set_trial_system_attr(asked._trial_id, schema.SEEN_ATTRIBUTE, note)
    assert foreign_of(lab)[0].counts
    again = stock_of(lab).trials[0].system_attrs[schema.SEEN_ATTRIBUTE]
    assert again["at"] == pytest.approx(noted["at"], abs=600.0)


def test_a_trial_from_the_future_is_young_once(new_lab: Labs) -> None:
    """A client whose clock is ahead does not make its trial count forever."""
    lab, _ = full_but_for_one(new_lab)
    age(lab, 0, -1_000_000)
    assert foreign_of(lab)[0].counts
    age(lab, 0, SILENT_AFTER_S + 60)
    assert not foreign_of(lab)[0].counts


def test_a_trial_that_is_given_up_fails(new_lab: Labs) -> None:
    """Its client can no longer report a result, the budget has its place again, and a second call changes nothing."""
    lab, asked = full_but_for_one(new_lab)
    assert lab.store.queue.fail(lab.study, 0) is True
    assert lab.store.queue.fail(lab.study, 0) is False
    trial = lab.store.trials.get(lab.study, 0)
    assert (trial.state, trial.finished is not None) == (TrialState.FAILED, True)
    assert (trial.verdict, trial.fate, trial.owner) == (Cause.STOPPED, Fate.OTHER, OTHERS)
    assert trial.finding is not None
    assert "`hpsearch trial fail`" in trial.finding.remedy
    assert lab.store.studies.progress(lab.study).fates[Fate.OTHER].trials == 1
    assert stock_of(lab).trials[0].user_attrs["verdict"] == "stopped"
    with pytest.raises(Exception, match=r"finish|FAIL"):
        stock_of(lab).tell(asked, 0.5)
    lab.finish(1)
    assert lab.store.studies.progress(lab.study).is_done


def test_a_trial_that_is_taken_over_is_trained_here(new_lab: Labs) -> None:
    """It waits under its number with its parameters, without its reports, and the next claim takes it."""
    lab, asked = full_but_for_one(new_lab)
    rate = asked.suggest_float("learning_rate", 1e-6, 1.0, log=True)
    asked.report(0.9, 7)
    assert foreign_of(lab)[0].counts
    assert lab.store.queue.retry(lab.study, 0) == Retried(number=0)
    assert lab.store.queue.retry(lab.study, 0) == Retried(number=0, waited=True)
    assert lab.store.trials.get(lab.study, 0).state is TrialState.WAITING
    (claim,) = lab.claim(2)
    assert (claim.number, claim.fixed) == (0, {"learning_rate": rate})
    lab.assign([claim])
    lab.end([claim])
    (trial, *_) = lab.store.trials.all(lab.study)
    assert (trial.state, trial.curve, trial.attempts) == (TrialState.COMPLETE, {0: 0.25, 1: 0.5}, 1)


def test_a_failed_trial_is_tried_again_as_a_new_one(new_lab: Labs) -> None:
    """A failed trial stays; its parameters wait under a new number, with the names of Optuna's own retries."""
    lab = new_lab(trials=40)
    lab.finish(1, state=TrialState.FAILED, value=None)
    before = lab.store.trials.get(lab.study, 0)
    assert lab.store.queue.retry(lab.study, 0) == Retried(number=1)
    assert lab.store.queue.retry(lab.study, 0) == Retried(number=1, waited=True)
    assert lab.store.trials.get(lab.study, 0) == before
    again = stock_of(lab).trials[1]
    assert again.params == stock_of(lab).trials[0].params
    assert (again.system_attrs["failed_trial"], again.system_attrs["retry_history"]) == (0, [0])
    (claim,) = lab.claim(1)
    assert (claim.number, claim.params) == (1, lab.params(0))
    lab.end([claim], state=TrialState.FAILED, value=None)
    assert lab.store.queue.retry(lab.study, 1) == Retried(number=2)
    again = stock_of(lab).trials[2]
    assert (again.system_attrs["failed_trial"], again.system_attrs["retry_history"]) == (0, [0, 1])


@pytest.mark.parametrize("act", ["fail", "retry"])
def test_what_others_have_or_what_has_finished_is_refused(new_lab: Labs, act: str) -> None:
    """A live lease, a finished trial and a missing number are reported, and nothing changes."""
    lab = new_lab()
    lab.finish(1)
    lab.finish(1, state=TrialState.PRUNED)
    held = lab.claim(1)
    before = lab.store.trials.all(lab.study)
    for number, reason in ((0, "got complete"), (1, "got pruned"), (2, f"worker stop {lab.worker}")):
        with pytest.raises(HpsearchError, match=reason):
            getattr(lab.store.queue, act)(lab.study, number)
    with pytest.raises(TrialNotFoundError, match=r"\(got 3\)"):
        getattr(lab.store.queue, act)(lab.study, 3)
    assert lab.store.trials.all(lab.study) == before
    assert lab.store.queue.held(lab.study, worker=lab.worker) == [claim.number for claim in held]


def test_a_waiting_trial_can_be_given_up(new_lab: Labs) -> None:
    """An enqueued trial that was given up is not trained, even after an expired lease."""
    lab = new_lab()
    stock_of(lab).enqueue_trial({})
    assert lab.store.queue.fail(lab.study, 0) is True
    (claim,) = lab.claim(1, lease_s=-1.0)
    assert lab.store.queue.fail(lab.study, claim.number) is True
    assert [claim.number for claim in lab.claim(1)] == [2]
    given_up = lab.store.trials.all(lab.study)[:2]
    assert [(trial.verdict, trial.owner) for trial in given_up] == [(Cause.STOPPED, None)] * 2
    assert [trial.attempts for trial in given_up] == [0, 1]
    assert [len(lab.store.trials.attempts(lab.study, trial.number)) for trial in given_up] == [0, 1]


def test_a_trial_that_another_client_took_after_us_is_its_own(new_lab: Labs) -> None:
    """A waiting trial that we had tried goes to whichever process asks, whose attempt counts after ours."""
    lab = new_lab(trials=2)
    (claim,) = lab.claim(1)
    lab.assign([claim])
    lab.store.trials.record(lab.study, [Update(claim=claim, reports={0: 0.1}, epochs=1, steps=10)])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="bye", crashed=False)
    asked = stock_of(lab).ask()
    assert (asked.number, list(foreign_of(lab))) == (0, [0])
    stock_of(lab).tell(asked, 0.5)
    trial = lab.store.trials.get(lab.study, 0)
    assert (trial.attempts, len(lab.store.trials.attempts(lab.study, 0)), trial.owner) == (2, 1, OTHERS)


def test_trials_of_others_neither_hinder_a_rename_nor_the_end_of_a_study(new_lab: Labs) -> None:
    """A rename leaves their ids; a study that is ended waits for those that live, and for no others."""
    lab, _ = full_but_for_one(new_lab)
    name = a_spec().name
    lab.store.studies.rename(lab.study.name, name)
    lab.study = lab.store.studies.get(name)
    assert lab.store.studies.stop(lab.study).spec.trials == 3
    age(lab, 0, SILENT_AFTER_S + 60)
    assert lab.store.studies.stop(lab.study).spec.trials == 2
    assert lab.store.studies.progress(lab.study).is_done
