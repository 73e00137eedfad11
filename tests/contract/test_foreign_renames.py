"""Studies that a stock Optuna client renames, by copying and deleting them, while workers hold and end trials."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import optuna
import optuna_dashboard
import pytest
from sqlalchemy import func, select, text

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage import schema
from hpsearch.storage.engine import read_transaction
from hpsearch.storage.orphans import RENAMED
from hpsearch.storage.records import ClaimedTrial, StoredStudy, Update
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import Trial, TrialState, ledger_key, ledger_of
from tests.contract.laboratory import Lab, a_spec
from tests.contract.stock import closed_stock, stock_of

__all__ = ["closed_stock"]

Labs = Callable[..., Lab]
Meanwhile = Callable[[Lab, list[ClaimedTrial]], object]
Rename = Callable[[Lab, str, Callable[[], object]], None]

BUDGET: Final = 12


def by_copying(lab: Lab, new: str, meanwhile: Callable[[], object]) -> None:
    """Rename as in Optuna's documentation: a copy, and later the deletion."""
    old, storage = lab.study.spec.name, stock_of(lab)._storage
    optuna.copy_study(from_study_name=old, from_storage=storage, to_storage=storage, to_study_name=new)
    meanwhile()
    optuna.delete_study(study_name=old, storage=storage)


def by_the_dashboard(lab: Lab, new: str, meanwhile: Callable[[], object]) -> None:
    """Rename by the button of Optuna's dashboard, which deletes at the end of the same request."""
    storage = stock_of(lab)._storage
    delete = storage.delete_study

    def delete_later(study_id: int) -> None:
        meanwhile()
        delete(study_id)

    storage.delete_study = delete_later  # type: ignore[method-assign]
    body = json.dumps({"study_name": new}).encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/api/studies/{lab.study.study_id}/rename",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
    }
    said: list[str] = []
    answer = optuna_dashboard.wsgi(storage)(
        environ, lambda status, _headers, _error=None: said.append(status)
    )
    assert said == ["201 Created"], list(answer)


RENAMES: Final[Mapping[str, Rename]] = {"copy": by_copying, "dashboard": by_the_dashboard}


def begun(claim: ClaimedTrial) -> Update:
    """Return a worker's update of a trial after its first epoch."""
    return Update(claim=claim, reports={0: 0.25}, epochs=1, steps=10)


def claim_and_end(lab: Lab, count: int, **outcome: Any) -> list[ClaimedTrial]:
    """Claim and end trials; those that wait with parameters keep them."""
    claims = lab.claim(count, worker="another")
    lab.assign([claim for claim in claims if claim.params is None])
    lab.end(claims, **outcome)
    return claims


def end_trials(lab: Lab, held: list[ClaimedTrial]) -> None:
    """End held trials, waiting trials, and trials unknown to the copy; hold some more of those."""
    lab.end(held)
    claim_and_end(lab, 6)
    lab.claim(2)


def hand_back(lab: Lab, _held: list[ClaimedTrial]) -> None:
    """Hand back held trials and those unknown to the copy, and claim more."""
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="bye", crashed=False)
    lab.claim(5, worker="another")
    lab.store.queue.release(lab.study, worker="another", numbers=None, why="bye", crashed=False)
    stock_of(lab).enqueue_trial({})


def lose_workers(lab: Lab, held: list[ClaimedTrial]) -> None:
    """Let the holder crash, and trials fail, known and unknown."""
    lab.store.trials.record(lab.study, [begun(claim) for claim in held])
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="gone", crashed=True)
    claim_and_end(lab, 4, state=TrialState.FAILED, value=None)


def spend_all(lab: Lab, held: list[ClaimedTrial]) -> None:
    """Spend the budget."""
    lab.end(held)
    claim_and_end(lab, BUDGET)


def claim_only(lab: Lab, _held: list[ClaimedTrial]) -> None:
    """Hold all trials that can be held, without assigning parameters."""
    lab.claim(BUDGET, worker="another")


MEANWHILE: Final[Sequence[tuple[str, Meanwhile]]] = (
    ("dashboard", end_trials),
    ("copy", hand_back),
    ("dashboard", lose_workers),
    ("copy", spend_all),
    ("copy", claim_only),
)


def a_busy_study(new_lab: Labs) -> tuple[Lab, list[ClaimedTrial]]:
    """Return a lab with trials in every state, and the claims that its worker holds: one has no parameters yet."""
    lab = new_lab(trials=BUDGET)
    lab.finish(1)
    lab.finish(1, state=TrialState.PRUNED)
    lab.finish(1, state=TrialState.FAILED, value=None)
    retried = lab.claim(2, worker="retrying")
    lab.assign(retried)
    lab.store.trials.record(lab.study, [begun(claim) for claim in retried])
    lab.store.queue.release(
        lab.study, worker="retrying", numbers=[retried[0].number], why="gone", crashed=True
    )
    lab.store.queue.release(
        lab.study, worker="retrying", numbers=[retried[1].number], why="bye", crashed=False
    )
    held = lab.claim(1)
    assert held[0].number == retried[1].number
    stock_of(lab).enqueue_trial({"learning_rate": 0.01})
    stock_of(lab).enqueue_trial({"learning_rate": 0.02})
    fresh = [lab.store.queue.claim(lab.study, worker="enqueued", count=1, lease_s=600.0)[0]]
    lab.store.queue.release(lab.study, worker="enqueued", numbers=None, why="bye", crashed=False)
    assert [claim.attempt for claim in (*held, *fresh)] == [2, 1]
    lab.store.trials.record(lab.study, [begun(claim) for claim in held])
    return lab, held


def spent(lab: Lab) -> None:
    """Let two workers spend the rest of the budget, each trial with the parameters that it has."""
    for turn in range(BUDGET):
        worker = ("one", "two")[turn % 2]
        claims = lab.claim(8, worker=worker)
        lab.assign([claim for claim in claims if claim.params is None])
        assert lab.end(claims) == frozenset()
        if not claims and lab.store.studies.progress(lab.study).is_done:
            break
    assert lab.store.studies.progress(lab.study).is_done


def ended(trials: list[Trial]) -> list[Trial]:
    """Return the trials that have ended."""
    return [trial for trial in trials if trial.state.is_final]


def check_ledger(store: Store, study: StoredStudy) -> None:
    """Check that all epochs and attempts are accounted for."""
    trials, attempts = store.trials.all(study), store.trials.all_attempts(study)
    entries = [(ledger_key(trial.state, trial.verdict), trial.epochs) for trial in trials]
    entries += [(attempt.cause, attempt.epochs) for each in attempts.values() for attempt in each]
    assert dict(store.studies.progress(study).ledger) == ledger_of(entries)
    for trial in trials:
        known = [attempt.attempt for attempt in attempts.get(trial.number, ())]
        assert known == list(range(1, trial.attempts)), trial.number


@pytest.mark.parametrize(("how", "meanwhile"), MEANWHILE)
def test_a_study_goes_on_under_its_new_name(new_lab: Labs, how: str, meanwhile: Meanwhile) -> None:
    """Whatever workers did while the copy was made: trials that it shows as ended stay, the rest fills the budget."""
    lab, held = a_busy_study(new_lab)
    before, new = ended(lab.store.trials.all(lab.study)), a_spec().name
    RENAMES[how](lab, new, lambda: meanwhile(lab, held))
    with open_store(lab.url) as other:
        renamed = other.studies.get(new)
        assert (renamed.key, renamed.spec.trials) == (lab.study.key, BUDGET)
        assert lab.end(held) == {claim.number for claim in held}
        assert not any(other.queue.held(renamed, worker=name) for name in (lab.worker, "another"))
        assert other.studies.progress(renamed).running == 0
        lab.study = renamed
        spent(lab)
        trials = other.trials.all(renamed)
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert [trial for trial in trials if trial.number in {t.number for t in before}] == before
        assert sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials) == BUDGET
        check_ledger(other, renamed)
        assert rows_of_nothing(other, renamed) == 0


def rows_of_nothing(store: Store, study: StoredStudy) -> int:
    """Return the number of our rows without a trial of Optuna's."""
    ours = schema.trials
    there = text("SELECT trial_id FROM trials WHERE study_id = :study_id").bindparams(study_id=study.study_id)
    with read_transaction(store._transactions.engine) as connection:
        ids = set(connection.execute(there).scalars())
        rows = connection.execute(select(ours.c.trial_id).where(ours.c.study_key == study.key))
        series = connection.execute(
            select(func.count()).select_from(schema.series).where(schema.series.c.study_key == study.key)
        ).scalar_one()
        assert series <= len(ids)
        return sum(trial_id not in ids for trial_id in rows.scalars())


def test_a_rename_is_no_crash_of_a_trial(new_lab: Labs) -> None:
    """Renaming three times takes a held trial from its worker three times, and it does not fail because of that."""
    lab = new_lab(trials=1)
    for _ in range(3):
        claims = lab.claim(1)
        assert [claim.crashes for claim in claims] == [0]
        by_copying(lab, new := a_spec().name, lambda: None)
        lab.study = lab.store.studies.get(new)
    whys = [attempt.why for attempt in lab.store.trials.attempts(lab.study, 0)]
    assert whys == [RENAMED.why] * 3
    (last,) = lab.finish(1)
    assert (last.crashes, lab.store.studies.progress(lab.study).is_done) == (0, True)


def test_workers_find_a_renamed_study_without_a_new_start(new_lab: Labs) -> None:
    """A store that is open for long follows a rename by itself: by name, by key, in lists and in openings."""
    finds: tuple[Callable[[Store, StoredStudy, str], str], ...] = (
        lambda store, _study, name: store.studies.get(name).spec.name,
        lambda store, study, _name: store.studies.current(study).spec.name,
        lambda store, study, _name: {one.key: one.spec.name for one in store.studies.all()}[study.key],
        lambda store, study, _name: {one.study.key: one.study.spec.name for one in store.queue.openings()}[
            study.key
        ],
    )
    for find in finds:
        lab = new_lab()
        lab.claim(1)
        by_copying(lab, new := a_spec().name, lambda: None)
        assert find(lab.store, lab.study, new) == new


def test_a_study_that_is_gone_is_not_followed(new_lab: Labs) -> None:
    """Deleted without a copy it is deleted, whatever another study's attribute of that name holds."""
    lab, other = new_lab(), new_lab()
    for nonsense in (["x"], {"y": 1}, None, 7, "nobody's"):
        stray = optuna.create_study(study_name=a_spec().name, storage=stock_of(other)._storage)
        stray.set_user_attr(schema.LINK_ATTRIBUTE, nonsense)
    optuna.delete_study(study_name=lab.study.spec.name, storage=stock_of(lab)._storage)
    with pytest.raises(StudyNotFoundError, match="it was deleted"):
        lab.store.studies.current(lab.study)
    assert other.study in lab.store.studies.all()


def test_two_that_follow_at_once_take_nothing_from_new_claims(new_lab: Labs) -> None:
    """A second process that sweeps after the first has followed leaves the leases that were given since."""
    lab = new_lab()
    lab.claim(2)
    by_copying(lab, new := a_spec().name, lambda: None)
    with open_store(lab.url) as first, open_store(lab.url) as second:
        renamed = first.studies.get(new)
        claims = first.queue.claim(renamed, worker="first", count=2, lease_s=600.0)
        assert second.studies.sweep_orphans() is False
        assert second.queue.held(renamed, worker="first") == [claim.number for claim in claims]
