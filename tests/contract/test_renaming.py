"""Studies renamed, copied within a database and ended: kept data, new data, refusals."""

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import optuna
import pytest

from hpsearch.errors import HpsearchError, StudyExistsError, StudyNotFoundError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab, evaluation, note_of, stock_storage, write_notes

Labs = Callable[..., Lab]


def a_name() -> str:
    """Return a name that no other study has."""
    return f"named-{uuid4().hex}"


def renamed(store: Store, study: StoredStudy, name: str) -> StoredStudy:
    """Rename a study and return it."""
    store.studies.rename(study.name, name)
    return store.studies.get(name)


def copied(store: Store, study: StoredStudy, name: str) -> StoredStudy:
    """Copy a study and return the copy."""
    store.studies.copy(study.name, name)
    return store.studies.get(name)


def test_a_renamed_study_is_the_same(new_lab: Labs) -> None:
    """Key, trials and evaluations stay; the old name is free; Optuna sees the new one; workers continue."""
    lab, name = new_lab(trials=6), a_name()
    lab.finish(2)
    lab.store.evaluations.write(lab.study, [evaluation(0)])
    trials, old = lab.store.trials.all(lab.study), lab.study.spec.name
    changed = renamed(lab.store, lab.study, name)
    assert changed == lab.store.studies.get(name)
    assert (changed.key, changed.study_id, changed.spec.name) == (lab.study.key, lab.study.study_id, name)
    with pytest.raises(StudyNotFoundError):
        lab.store.studies.get(old)
    assert lab.store.trials.all(changed) == trials
    assert len(lab.store.evaluations.all(changed)) == 1
    lab.study = changed
    assert len(lab.stock().trials) == 2
    lab.finish(4)
    assert lab.store.studies.progress(changed).is_done
    assert renamed(lab.store, changed, name) == changed
    assert lab.store.studies.create(changed.spec, fingerprint=changed.fingerprint).key == changed.key


def test_taken_names_are_refused(new_lab: Labs) -> None:
    """Neither a study of ours nor one of another client loses its name, and nothing is changed."""
    lab, other, theirs = new_lab(), new_lab(), a_name()
    lab.opened.append(stock_storage(lab.url))
    optuna.create_study(study_name=theirs, storage=lab.opened[-1])
    for name in (other.study.spec.name, theirs):
        for act in (renamed, copied):
            with pytest.raises(StudyExistsError, match="the name must be free"):
                act(lab.store, lab.study, name)
    with pytest.raises(StudyExistsError, match="the name must be free"):
        copied(lab.store, lab.study, lab.study.spec.name)
    assert lab.store.studies.get(lab.study.spec.name) == lab.study


def test_a_study_in_training_keeps_its_name(new_lab: Labs) -> None:
    """Workers look their study up by its name, so it stays while they hold trials."""
    lab = new_lab()
    lab.claim(2)
    with pytest.raises(HpsearchError, match=r"must have no trial in training to be renamed \(got 2\)"):
        renamed(lab.store, lab.study, a_name())


def test_a_copy_has_everything_and_is_its_own(new_lab: Labs) -> None:
    """Numbers, results, evaluations, the opening and the parent are copied; running trials wait; both go on alone."""
    lab = new_lab(trials=8)
    lab.finish(3)
    lab.finish(1, state=TrialState.PRUNED)
    lab.store.evaluations.write(lab.study, [evaluation(1)])
    opened = lab.store.evaluations.unseal(lab.study, number=1, command="test")
    claims = lab.claim(2)
    lab.assign(claims)
    copy = copied(lab.store, lab.study, a_name())
    assert copy.key != lab.study.key
    assert copy.spec == replace(lab.study.spec, name=copy.spec.name)
    assert (copy.fingerprint, copy.parent) == (lab.study.fingerprint, lab.study.parent)
    mine, its = lab.store.trials.all(lab.study), lab.store.trials.all(copy)
    assert its[:4] == mine[:4]
    assert [trial.state for trial in its[4:]] == [TrialState.WAITING] * 2
    assert [trial.params for trial in its[4:]] == [trial.params for trial in mine[4:]]
    assert lab.store.trials.series(copy, [0, 1]) == lab.store.trials.series(lab.study, [0, 1])
    assert [one.number for one in lab.store.evaluations.all(copy)] == [1]
    assert lab.store.evaluations.unsealing(copy) == opened
    twin = Lab(store=lab.store, url=lab.url, study=copy)
    twin.finish(4)
    assert lab.store.studies.progress(copy).is_done
    assert lab.store.studies.progress(lab.study).running == 2
    lab.end(claims)
    lab.store.studies.delete(copy.name)
    assert lab.store.studies.progress(lab.study).finished == 6
    assert lab.store.studies.get(lab.study.spec.name).key == lab.study.key


def test_a_copy_has_the_notes_of_its_trials(new_lab: Labs) -> None:
    """A note is at the trial of the same number in the copy, whose ids are others, and at no other trial."""
    lab = new_lab(trials=8)
    lab.finish(4)
    notes = {None: "all", 1: "second"}
    write_notes(lab.stock(), notes)
    copy = copied(lab.store, lab.study, a_name())
    twin = Lab(store=lab.store, url=lab.url, study=copy)
    theirs = twin.stock()
    found = {number: note_of(theirs, number) for number in (None, *range(4))}
    attributes = theirs._storage.get_study_system_attrs(theirs._study_id)
    twin.close()
    assert {number: body for number, body in found.items() if body} == notes
    assert len([key for key in attributes if key.startswith("dashboard:")]) == 4  # text and version of each


def test_an_ended_study_has_what_it_has(new_lab: Labs) -> None:
    """Its budget is its finished and running trials; the running ones end, and no worker gets more."""
    lab = new_lab(trials=20)
    with pytest.raises(
        HpsearchError, match=r"must have a trial that has finished or runs to be ended \(got none\)"
    ):
        lab.store.studies.stop(lab.study)
    lab.finish(3)
    claims = lab.claim(2)
    lab.assign(claims)
    assert lab.store.studies.stop(lab.study).spec.trials == 5
    assert lab.claim(9) == []
    lab.end(claims)
    progress = lab.store.studies.progress(lab.study)
    assert (progress.finished, progress.budget, progress.is_done) == (5, 5, True)
    assert lab.store.studies.stop(lab.study).spec.trials == 5
