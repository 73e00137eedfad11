"""Trials that lost a worker: claimed last and alone, so that the next crash is surely their own."""

from collections.abc import Callable

from hpsearch.storage.records import ClaimedTrial
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def crash(lab: Lab, worker: str) -> None:
    """Lose a worker with all its trials."""
    lab.store.queue.release(lab.study, worker=worker, numbers=None, why="it was killed", crashed=True)


def told(claims: list[ClaimedTrial]) -> list[tuple[int, int]]:
    """Return number and crashes of claims."""
    return [(claim.number, claim.crashes) for claim in claims]


def test_suspects_come_last_and_keep_their_place(new_lab: Labs) -> None:
    """A claim gives what never crashed, waiting or new, and leaves as much of the budget as suspects need."""
    lab = new_lab(trials=7)
    lab.claim(3, worker="lost")
    lab.claim(1, worker="drained")
    crash(lab, "lost")
    lab.store.queue.release(lab.study, worker="drained", numbers=None, why="x", crashed=False)
    assert told(lab.claim(9)) == [(3, 0), (4, 0), (5, 0), (6, 0)]
    assert lab.store.queue.opening(lab.study).room == 3


def test_suspects_are_claimed_alone(new_lab: Labs) -> None:
    """A worker with trials gets no suspect, one without gets one, however many it requests."""
    lab = new_lab(trials=4)
    lab.claim(3, worker="lost")
    crash(lab, "lost")
    assert told(lab.claim(9, worker="busy")) == [(3, 0)]
    assert lab.claim(9, worker="busy") == []
    for number in range(3):
        assert told(lab.claim(9, worker=f"idle-{number}")) == [(number, 1)]
    assert lab.claim(9, worker="late") == []


def test_those_that_lost_fewer_workers_come_first(new_lab: Labs) -> None:
    """Of suspects the one with the fewest crashes is next, then the one with the lowest number."""
    lab = new_lab(trials=3)
    lab.claim(3, worker="lost")
    crash(lab, "lost")
    assert told(lab.claim(1, worker="lost")) == [(0, 1)]
    crash(lab, "lost")
    order = []
    for worker in ("a", "b", "c"):
        order += told(lab.claim(1, worker=worker))
    assert order == [(1, 1), (2, 1), (0, 2)]


def test_a_trial_that_crashes_three_times_fails_and_the_others_do_not(new_lab: Labs) -> None:
    """Despite a trial that kills every worker the others end, and the budget is spent exactly."""
    lab, poison = new_lab(trials=6), 2
    for attempt in range(20):
        worker = f"worker-{attempt}"
        while claims := lab.claim(6, worker=worker):
            if poison in {claim.number for claim in claims}:
                crash(lab, worker)
                break
            lab.assign(claims)
            lab.end(claims)
    trials = lab.store.trials.all(lab.study)
    failed = [(trial.number, trial.verdict) for trial in trials if trial.state is TrialState.FAILED]
    assert failed == [(poison, Cause.WORKER_LOST)]
    assert [trial.number for trial in trials if trial.state is TrialState.COMPLETE] == [0, 1, 3, 4, 5, 6]
    assert [attempt.crashed for attempt in lab.store.trials.attempts(lab.study, poison)] == [True] * 3
    assert {len(lab.store.trials.attempts(lab.study, number)) for number in (0, 1, 3, 4, 5)} == {1}


def test_a_suspect_that_is_handed_back_stays_one(new_lab: Labs) -> None:
    """A drained worker adds no crash to a suspect and clears none."""
    lab = new_lab(trials=1)
    lab.claim(1)
    crash(lab, lab.worker)
    for attempt in (2, 3):
        (claim,) = lab.claim(1)
        assert (claim.attempt, claim.crashes) == (attempt, 1)
        lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="x", crashed=False)


def test_a_lowered_budget_leaves_suspects_waiting(new_lab: Labs) -> None:
    """Suspects are claimed within the budget only."""
    lab = new_lab(trials=3)
    lab.claim(2, worker="lost")
    crash(lab, "lost")
    lab.finish(1)
    lab.store.studies.set_budget(lab.study, 2)
    assert told(lab.claim(3, worker="a")) == [(0, 1)]
    assert lab.claim(3, worker="b") == []
