"""Claims: exactly the budget, whichever process claims, and in what order."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from sqlalchemy import select

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage import schema
from hpsearch.storage.engine import read_transaction
from hpsearch.storage.progress import failed_limit
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause, Finding
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def test_threads_that_claim_at_once_take_exactly_the_budget(new_lab: Labs) -> None:
    """Eight threads that claim and end trials as fast as they can end a study at exactly its budget."""
    lab = new_lab(trials=60)

    def train(worker: int) -> int:
        ended = 0
        while claims := lab.claim(1 + worker % 3, worker=f"worker-{worker}"):
            lab.assign(claims)
            ended += len(claims) - len(lab.end(claims))
        return ended

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert sum(pool.map(train, range(8))) == 60
    assert [trial.number for trial in lab.store.trials.all(lab.study)] == list(range(60))
    assert {trial.state for trial in lab.store.trials.all(lab.study)} == {TrialState.COMPLETE}


def test_processes_that_claim_at_once_take_exactly_the_budget(new_lab: Labs, repository: Path) -> None:
    """Four processes end a study at exactly its budget, each number once."""
    lab = new_lab(trials=50)
    command = [sys.executable, "-m", "tests.contract.trainer", lab.url, lab.study.spec.name, "3"]
    workers = [subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ended = [int(worker.communicate(timeout=120)[0]) for worker in workers]
    assert sum(ended) == 50
    assert [trial.number for trial in lab.store.trials.all(lab.study)] == list(range(50))


def test_a_claim_never_takes_more_than_the_budget_leaves(new_lab: Labs) -> None:
    """Running trials count against the budget as well as finished ones."""
    lab = new_lab(trials=5)
    assert [claim.number for claim in lab.claim(3)] == [0, 1, 2]
    assert [claim.number for claim in lab.claim(3)] == [3, 4]
    assert lab.claim(3) == []


def test_pruned_trials_count_against_the_budget_and_failed_ones_do_not(new_lab: Labs) -> None:
    """A budget is spent by complete and pruned trials only."""
    lab = new_lab(trials=4)
    lab.finish(1)
    lab.finish(1, state=TrialState.PRUNED)
    lab.finish(1, state=TrialState.FAILED, value=None)
    assert [claim.number for claim in lab.claim(10)] == [3, 4]


def test_a_budget_can_be_raised_and_lowered_while_workers_claim(new_lab: Labs) -> None:
    """The next claim obeys the budget that was set last; running trials continue."""
    lab = new_lab(trials=4)
    running = lab.claim(4)
    study = lab.store.studies.set_budget(lab.study, 2)
    assert study.spec.trials == 2
    assert lab.store.studies.get(study.spec.name) == study
    assert lab.claim(1) == []
    assert lab.end(running) == frozenset()
    lab.store.studies.set_budget(lab.study, 6)
    assert [claim.number for claim in lab.claim(10)] == [4, 5]
    for count in (0, 5.5, True, "6", 2**31):  # SQLite would store each of them
        with pytest.raises(
            ValueError, match=rf"^trials: must be a whole number from 1 to 2147483647 .got {count!r}.$"
        ):
            lab.store.studies.set_budget(lab.study, count)  # type: ignore[arg-type]
    for priority in (0.5, False, "x", 2**31):
        with pytest.raises(ValueError, match=r"^priority: must be a whole number"):
            lab.store.studies.set_priority(lab.study, priority)  # type: ignore[arg-type]
    assert lab.store.studies.get(lab.study.spec.name).spec.trials == 6


def test_waiting_trials_come_first_and_by_number(new_lab: Labs) -> None:
    """Trials that were handed back are claimed ahead of new ones, the lowest number first."""
    lab = new_lab()
    claims = lab.claim(5)
    lab.assign(claims[:3])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=[1, 2, 4], why="stopped", crashed=False)
    again = lab.claim(2)
    assert [(claim.number, claim.attempt) for claim in again] == [(1, 2), (2, 2)]
    assert [claim.params for claim in again] == [lab.params(1), lab.params(2)]
    last = lab.claim(2)
    assert [(claim.number, claim.attempt) for claim in last] == [(4, 2), (5, 1)]
    assert [claim.params for claim in last] == [None, None]


def test_each_claim_has_a_token_of_its_own(new_lab: Labs) -> None:
    """A trial that is claimed again has another token than before."""
    lab = new_lab()
    first = lab.claim(1)[0]
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped", crashed=False)
    second = lab.claim(1)[0]
    assert (first.number, first.trial_id) == (second.number, second.trial_id)
    assert first.token != second.token


def test_what_another_client_enqueued_is_claimed_with_what_it_asks_for(new_lab: Labs) -> None:
    """`enqueue_trial` of any Optuna client reaches a worker as fixed parameters."""
    lab = new_lab()
    lab.finish(2)
    lab.stock().enqueue_trial({"learning_rate": 0.01, "model.activation": "tanh"})
    (claim,) = lab.claim(1)
    assert (claim.number, claim.attempt, claim.params) == (2, 1, None)
    assert claim.fixed == {"learning_rate": 0.01, "model.activation": "tanh"}
    lab.assign([claim])
    assert lab.end([claim]) == frozenset()
    assert lab.stock().trials[2].system_attrs["fixed_params"] == claim.fixed


def test_waiting_trials_of_another_client_keep_their_parameters(new_lab: Labs) -> None:
    """A waiting trial that another client gave all parameters needs no sampler; one with some has them fixed."""
    lab = new_lab()
    lab.finish(1)
    stock = lab.stock()
    done = stock.trials[0]
    for params in (done.params, {"learning_rate": 0.5}):
        stock.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=params,
                distributions={name: done.distributions[name] for name in params},
            )
        )
    whole, part = lab.claim(2)
    assert (whole.number, whole.params) == (1, done.params)
    assert (part.number, part.params, part.fixed) == (2, None, {"learning_rate": 0.5})
    lab.assign([part])
    assert lab.store.trials.all(lab.study)[2].params == lab.params(2)


def test_trials_of_another_client_count_against_the_budget(new_lab: Labs) -> None:
    """Trials that a stock client runs or has finished are part of the budget, and numbers continue after them."""
    lab = new_lab(trials=6)
    stock = lab.stock()
    running, finished = stock.ask(), stock.ask()
    stock.tell(finished, 0.5)
    assert [claim.number for claim in lab.claim(10)] == [2, 3, 4, 5]
    progress = lab.store.studies.progress(lab.study)
    assert (progress.complete, progress.running) == (1, 5)
    stock.tell(running, 0.5)


def test_claims_and_stock_asks_at_once_give_each_number_once(new_lab: Labs, dialect: str) -> None:
    """Claims number trials under the lock that every Optuna client takes."""
    lab = new_lab(trials=200)
    if dialect == "sqlite":
        pytest.skip("Optuna's own storage gives equal numbers to two clients on SQLite, where it has no lock")
    stock = lab.stock()

    def claim(_: int) -> list[int]:
        return [claim.number for claim in lab.claim(2)]

    def ask(_: int) -> list[int]:
        return [stock.ask().number]

    with ThreadPoolExecutor(max_workers=8) as pool:
        ours, theirs = pool.map(claim, range(12)), pool.map(ask, range(12))
        numbers = [number for taken in [*ours, *theirs] for number in taken]
    assert sorted(numbers) == list(range(36))


def test_failures_stop_a_study_that_has_too_many(new_lab: Labs) -> None:
    """Failed trials have a limit of their own: beyond it nothing is claimed, and progress has the reason."""
    lab = new_lab(trials=20)
    code_error = Finding(
        cause=Cause.CODE_ERROR, confidence=1.0, first_step=0, evidence={}, remedy="mend the code"
    )
    lab.finish(2, state=TrialState.FAILED, value=None, finding=code_error)
    assert lab.store.studies.progress(lab.study).stopped is None
    lab.finish(1, state=TrialState.FAILED, value=None)
    assert lab.claim(1) == []
    name = lab.study.spec.name
    assert lab.store.studies.progress(lab.study).stopped == (
        f"3 of 20 trials failed: code_error 2, healthy 1: see `hpsearch study trials {name} --state failed`; "
        f"`hpsearch study edit {name} --trials 40` continues it"
    )
    lab.store.studies.set_budget(lab.study, 39)
    assert lab.claim(1) == []
    lab.store.studies.set_budget(lab.study, 40)
    assert lab.store.studies.progress(lab.study).stopped is None
    assert len(lab.claim(1)) == 1


def test_the_limit_of_failures_is_a_tenth_of_the_budget() -> None:
    """A tenth of the budget may fail, and three of a small one."""
    assert [failed_limit(budget) for budget in (1, 30, 39, 40, 200)] == [3, 3, 3, 4, 20]


def test_claims_stay_exact_when_most_trials_are_settled(new_lab: Labs) -> None:
    """A claim that looks only at the tail of a long study counts what one that looks at everything counts."""
    lab = new_lab(trials=1204)
    lab.finish(400, state=TrialState.PRUNED)
    lab.finish(300)
    lab.finish(1, state=TrialState.FAILED, value=None)
    straggler = lab.claim(1)
    lab.finish(500)
    (before,) = lab.claim(1)
    assert (before.number, lab.store.studies.progress(lab.study).finished) == (1202, 1200)
    assert [claim.number for claim in lab.claim(10)] == [1203, 1204]
    assert lab.claim(10) == []
    lab.end(straggler)
    lab.store.studies.set_budget(lab.study, 1206)
    assert [claim.number for claim in lab.claim(10)] == [1205, 1206]
    assert lab.claim(10) == []
    with read_transaction(lab.store._transactions.engine) as connection:
        settled = connection.execute(
            select(schema.studies).where(schema.studies.c.study_key == lab.study.key)
        ).one()
    assert (settled.settled_complete, settled.settled_pruned, settled.settled_failed) == (801, 400, 1)


def test_a_deleted_study_gives_no_claims(new_lab: Labs) -> None:
    """A claim on a study that was deleted meanwhile is an error that states that."""
    lab = new_lab()
    lab.store.studies.delete(lab.study.name)
    with pytest.raises(StudyNotFoundError, match=r"it was deleted: create it again$"):
        lab.claim(1)
