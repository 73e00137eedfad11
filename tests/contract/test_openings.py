"""The room left in studies, pauses, and the order in which workers serve them."""

import re
from collections.abc import Callable

import pytest

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import Opening, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]


def facts(opening: Opening) -> tuple[int, bool, bool]:
    """Return the facts of an opening about its study."""
    return opening.room, opening.is_open, opening.is_stopped


def names(store: Store, labs: list[Lab], *, above: StoredStudy | None = None) -> list[str]:
    """Return the names of the labs' studies in the order in which they are served."""
    keys = {lab.study.key for lab in labs}
    openings = store.queue.openings(above=above)
    return [opening.study.spec.name for opening in openings if opening.study.key in keys]


def test_room_is_what_a_claim_could_take(new_lab: Labs) -> None:
    """Waiting trials and those not yet created are room; finished and running ones are not."""
    lab = new_lab(trials=6)
    assert facts(lab.store.queue.opening(lab.study)) == (6, True, False)
    lab.finish(1)
    lab.finish(1, state=TrialState.PRUNED)
    lab.finish(1, state=TrialState.FAILED, value=None)
    running = lab.claim(3)
    assert facts(lab.store.queue.opening(lab.study)) == (1, True, False)
    lab.claim(1)
    assert facts(lab.store.queue.opening(lab.study)) == (0, True, False)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="x", crashed=False)
    assert facts(lab.store.queue.opening(lab.study)) == (4, True, False)
    assert lab.end(running) == {claim.number for claim in running}
    lab.finish(4)
    assert facts(lab.store.queue.opening(lab.study)) == (0, False, False)
    lab.store.studies.set_budget(lab.study, 7)
    assert facts(lab.store.queue.opening(lab.study)) == (1, True, False)


def test_a_long_study_has_the_same_room(new_lab: Labs) -> None:
    """Trials folded into the cached counts still count."""
    lab = new_lab(trials=1204)
    lab.finish(400, state=TrialState.PRUNED)
    lab.finish(300)
    lab.finish(1, state=TrialState.FAILED, value=None)
    lab.claim(1)
    lab.finish(500)
    assert facts(lab.store.queue.opening(lab.study)) == (3, True, False)


def test_too_many_failures_stop_a_study(new_lab: Labs) -> None:
    """A study with too many failed trials has no room, and is stopped and not finished."""
    lab = new_lab()
    lab.finish(3, state=TrialState.FAILED, value=None)
    assert facts(lab.store.queue.opening(lab.study)) == (0, False, True)


def test_expired_leases_are_room(new_lab: Labs) -> None:
    """A worker that looks for work sweeps the trials of vanished workers."""
    lab = new_lab(trials=2)
    lab.claim(2, lease_s=-1.0)
    assert facts(lab.store.queue.opening(lab.study)) == (2, True, False)
    lab.claim(1, lease_s=-1.0)
    listed = {opening.study.key: opening for opening in lab.store.queue.openings()}
    assert facts(listed[lab.study.key]) == (2, True, False)


def test_studies_are_served_by_priority_and_age(new_lab: Labs) -> None:
    """Higher priorities come first, of equals the older study; below zero comes last."""
    labs = [new_lab() for _ in range(4)]
    first, second, third, fourth = (lab.study.spec.name for lab in labs)
    store = labs[0].store
    assert names(store, labs) == [first, second, third, fourth]
    study = store.studies.set_priority(labs[2].study, 7)
    assert (study.priority, store.studies.get(third).priority) == (7, 7)
    store.studies.set_priority(labs[0].study, -1)
    assert names(store, labs) == [third, second, fourth, first]


def test_studies_above_another_are_those_of_higher_priority_now(new_lab: Labs) -> None:
    """Above a study are those that are served before it by their priority, as it is now."""
    labs = [new_lab() for _ in range(3)]
    store, present = labs[0].store, labs[1].study
    assert names(store, labs, above=present) == []
    store.studies.set_priority(labs[0].study, 1)
    store.studies.set_priority(labs[2].study, 2)
    assert names(store, labs, above=present) == [labs[2].study.spec.name, labs[0].study.spec.name]
    store.studies.set_priority(present, 1)
    assert names(store, labs, above=present) == [labs[2].study.spec.name]
    store.studies.delete(present.name)
    assert store.queue.openings(above=present) == []
    with pytest.raises(StudyNotFoundError, match=r"it was deleted: create it again$"):
        store.queue.opening(present)


def test_a_paused_study_gives_nothing(new_lab: Labs) -> None:
    """While a study is paused claims give nothing and trials in training end; a resumed study continues."""
    lab = new_lab()
    claims = lab.claim(2)
    lab.assign(claims)
    why = lab.store.studies.pause(lab.study, by="ann@node7")
    assert re.fullmatch(r"paused by ann@node7 at \d{4}-\d\d-\d\d \d\d:\d\d UTC", why)
    assert lab.store.studies.pause(lab.study, by="bob@node8") == why
    assert lab.claim(1, worker="another") == []
    assert facts(lab.store.queue.opening(lab.study)) == (0, False, True)
    assert lab.store.studies.progress(lab.study).stopped == (
        f"{why}: `hpsearch study resume {lab.study.spec.name}` continues it"
    )
    assert lab.end(claims) == frozenset()
    assert [lab.store.studies.resume(lab.study) for _ in range(2)] == [True, False]
    assert lab.store.studies.progress(lab.study).stopped is None
    assert len(lab.claim(1)) == 1
