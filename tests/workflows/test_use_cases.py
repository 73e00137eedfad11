"""Use cases called from Python: they return records, report to a listener, and print nothing."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import open_store
from hpsearch.study.spec import DataSpec, StudySpec
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.preparation import prepare_study
from hpsearch.worker.replay import ReplayRequest
from hpsearch.worker.shutdown import StopRequest, do_nothing
from hpsearch.workflows import studies
from hpsearch.workflows.confirmation import confirm
from hpsearch.workflows.diagnosis import diagnose
from hpsearch.workflows.listener import Listener, Show
from hpsearch.workflows.narrowing import Narrowing, follow_up, narrow
from hpsearch.workflows.preflight import preflight_warnings
from hpsearch.workflows.run import RunOptions, run, run_rounds
from hpsearch.workflows.sealed_test import open_test_part
from hpsearch.workflows.snapshot import assemble_snapshot, take_snapshot
from hpsearch.workflows.transfer import export_study, import_studies
from hpsearch.workflows.trials import enqueue, fail, read_trial, replay_trial, retry

STUDY = """
name = "flowers"
trials = 30
seed = 3
data = { source = "iris", test_fraction = 0.2 }

[training]
epochs = 3
batch_size = 20

[search]
learning_rate = { low = 1e-4, high = 1.0, log = true }
"""


@pytest.fixture
def file() -> Path:
    """Return a study file in the current folder: 30 trials on iris, of which a fifth is sealed."""
    path = Path("flowers.toml")
    path.write_text(STUDY)
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def finished(url: str, file: Path) -> str:
    """Return the URL of a database with the finished study "flowers"."""
    assert run(str(file), RunOptions(url=url, workers=1)).problem is None
    return url


def test_a_search_from_python_prints_nothing(finished: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A study is confirmed, narrowed, tested, replayed and snapshotted without output on stdout and stderr."""
    with open_store(finished) as store:
        confirmed = confirm(store, "flowers", best=2, seeds=2)
        assert confirmed.is_complete
        assert [len(one.values) for one in confirmed.found] == [2, 2]
        tested = open_test_part(store, "flowers", seeds=2)
        assert tested.found is not None
        assert len(tested.found.values) == 2
        made = follow_up(store, narrow(store, "flowers"))
        assert (made.study.spec.name, made.is_new) == ("flowers-round-2", True)
        stored = read_trial(store, "flowers", tested.trial.number)
        assert replay_trial(stored, ReplayRequest()).check.difference is None
        snapshot = take_snapshot(store, store.studies.get("flowers"))
        assert snapshot.progress.is_done
        assert snapshot.unsealing == tested.opened
    assert capfd.readouterr() == ("", "")


def test_an_unchanged_snapshot_is_the_same(finished: str) -> None:
    """A snapshot of a study that has not changed since is the earlier one; after a change it is a new one."""
    with open_store(finished) as store:
        study = store.studies.get("flowers")
        before = take_snapshot(store, study)
        again = assemble_snapshot(store, study, before.trials, before.series, before=before)
        assert again is before
        store.studies.set_budget(study, 40)
        changed = store.studies.get("flowers")
        assert assemble_snapshot(store, changed, before.trials, before.series, before=before) is not before


def test_progress_goes_to_the_listener(url: str, file: Path) -> None:
    """A run reports its stages, its sentences, the request that stops it, and the progress of its workers."""
    stages: list[str] = []
    said: list[str] = []
    begun: list[StopRequest] = []
    watched: list[str] = []

    def stage(name: str) -> AbstractContextManager[None]:
        stages.append(name)
        return nullcontext()

    def watch(study: StoredStudy, stop: StopRequest, notes: Sequence[str]) -> AbstractContextManager[Show]:
        watched.append(study.spec.name)
        assert stop is begun[0]
        return nullcontext(do_nothing)

    listener = Listener(notify=said.append, stage=stage, begin=begun.append, watch=watch)
    done = run(str(file), RunOptions(url=url, workers=1, trials=2), listener=listener)
    assert (done.problem, done.progress.finished) == (None, 2)
    assert stages == ["Reading the study and its data"]
    assert said[0].startswith('Study "flowers": created with a budget of 2 trials in ')
    assert (len(begun), watched) == (1, ["flowers"])


def test_a_run_that_is_stopped_has_a_problem(url: str, file: Path) -> None:
    """A run that is asked to stop before it begins returns the current state, and why it is not done."""
    stop = StopRequest()
    stop.request()
    done = run(str(file), RunOptions(url=url, workers=1), stop=stop)
    assert not done.progress.is_done
    assert done.problem is not None
    assert done.problem.endswith("the same command continues from here")


def test_what_cannot_be_undone_waits_for_approval(finished: str) -> None:
    """If the approval raises, the test part stays sealed, and a study is not deleted."""

    def refuse(*_: object) -> None:
        raise UsageError("no")

    def refuse_test(study: StoredStudy, trial: Trial) -> None:
        assert trial.state is TrialState.COMPLETE
        refuse()

    with open_store(finished) as store:
        with pytest.raises(UsageError, match="no"):
            open_test_part(store, "flowers", approve=refuse_test)
        assert store.evaluations.unsealing(store.studies.get("flowers")) is None
        with pytest.raises(UsageError, match="no"):
            studies.delete(store, "flowers", approve=refuse)
        deleted = studies.delete(store, "flowers")
        assert (deleted.trials, deleted.running) == (30, 0)
        assert store.studies.all() == []


def test_changes_are_records(url: str, file: Path) -> None:
    """Creating, editing, pausing, resuming, enqueuing and stopping return the study and its progress."""
    planned = studies.dry_run(file)
    assert isinstance(planned, studies.DryRun)
    assert planned.plan.trials == 30
    created = studies.create(url, file, name="other", trials=5)
    assert (created.is_new, created.study.spec.trials) == (True, 5)
    with open_store(url) as store:
        edited = studies.edit(store, "other", trials=6, priority=2)
        assert edited.progress.budget == 6
        assert len(edited.sentences) == 2
        assert studies.pause(store, "other", by="ann").progress.is_paused
        assert not studies.resume(store, "other").progress.is_paused
        assert enqueue(store, "other", ["learning_rate=0.01"]).params == {"learning_rate": 0.01}
        with pytest.raises(HpsearchError):
            studies.stop(store, "other")


def test_studies_are_renamed_and_copied(finished: str) -> None:
    """A copy has all trials; a renamed study keeps them; a bad name is wrong usage and changes nothing."""
    with open_store(finished) as store:
        assert studies.copy(store, "flowers", "kept") == 30
        studies.rename(store, "flowers", "tulips")
        assert {study.spec.name for study in store.studies.all()} == {"kept", "tulips"}
        for change in (studies.rename, studies.copy):
            with pytest.raises(UsageError):
                change(store, "tulips", " ")
        assert {study.spec.name for study in store.studies.all()} == {"kept", "tulips"}


def test_a_trial_is_given_up_and_retried(finished: str) -> None:
    """A failed trial's parameters wait as a new trial, once; the record has the budget's progress."""
    with open_store(finished) as store:
        enqueued = enqueue(store, "flowers", ["learning_rate=0.01"])
        assert fail(store, "flowers", enqueued.number)
        assert not fail(store, "flowers", enqueued.number)
        retried = retry(store, "flowers", enqueued.number)
        assert (retried.original, retried.number, retried.waited) == (30, 31, False)
        assert retried.progress.waiting == 1
        assert retry(store, "flowers", enqueued.number).waited


def test_a_follow_up_is_created_after_its_proposal(finished: str) -> None:
    """The search space is reported first; without `create` nothing is stored."""
    proposed: list[Narrowing] = []
    with open_store(finished) as store:
        assert narrow(store, "flowers", proposed=proposed.append).follow_up is None
        assert len(store.studies.all()) == 1
        made = narrow(store, "flowers", create=True, new_name="closer", trials=9, proposed=proposed.append)
        assert made.follow_up is not None
        assert (made.follow_up.study.spec.name, made.follow_up.study.spec.trials) == ("closer", 9)
        assert [one.follow_up for one in proposed] == [None, None]


def test_rounds_end_with_the_best_of_all(url: str, file: Path) -> None:
    """Two rounds run in sequence; the best of both is returned, each configuration once."""
    rounds = run_rounds(str(file), RunOptions(url=url, workers=1), rounds=2)
    assert (rounds.is_done, rounds.names) == (True, ["flowers", "flowers-round-2"])
    params = [tuple(trial.params.items()) for _, trial in rounds.best]
    assert len(params) == len(set(params)) == 5


def test_a_study_travels_in_a_file(finished: str, tmp_path: Path) -> None:
    """An exported study is imported into another database with all its trials."""
    made = export_study(finished, "flowers", tmp_path / "flowers.db")
    assert (made.trials, made.faults) == (30, ())
    (taken,) = import_studies(tmp_path / "flowers.db", f"sqlite:///{tmp_path / 'other.db'}")
    assert (taken.name, taken.trials) == ("flowers", 30)


def test_a_configuration_is_diagnosed(file: Path) -> None:
    """A learning rate that no network tolerates has a verdict, without a database."""
    found = diagnose(file, {"training.learning_rate": 1e6, "training.epochs": 20})
    assert found.spec.search == ()
    assert found.diagnosis.verdict.primary.cause.value != "healthy"


def test_warnings_of_folds_are_of_each_fold(tmp_path: Path) -> None:
    """All examples train once the folds are joined, which is no leak; copies in another fold are one."""
    numbers = np.random.default_rng(1).normal(size=(60, 3)).round(6)
    for name, rows in (("clean", numbers), ("copied", np.concatenate([numbers, numbers]))):
        path = tmp_path / f"{name}.csv"
        lines = [f"{a},{b},{c},{'uv'[int(a > 0)]}" for a, b, c in rows]
        path.write_text("\n".join(["a,b,c,y", *lines, ""]))
        study = prepare_study(
            StudySpec(name=name, data=DataSpec(source=str(path), folds=3, scale="standard"))
        )
        assert any("validation_leak" in line for line in preflight_warnings(study)) == (name == "copied")
