"""Limits of a study and of its trials, as a worker keeps them."""

from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from hpsearch.storage.records import LimitStanding
from hpsearch.study.spec import BudgetSpec, Limits, PruningSpec, TrainingSpec
from hpsearch.trials import Fate, TrialState
from hpsearch.verdicts import Cause
from hpsearch.worker import loop
from hpsearch.worker.loop import LimitWatch
from tests.worker.bench import SPEC, Bench, numbers_of

PLAIN = replace(SPEC, trials=8, pruning=PruningSpec(rank="none", diagnosis=False))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'lab.db'}"


def test_a_study_ends_within_an_epoch_of_its_limit_and_can_go_on(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers end at the limit of epochs; nothing is lost, and after an edit the numbers are as ever."""
    monkeypatch.setattr(loop, "LIMITS_EVERY_S", 0.0)  # their epochs take milliseconds
    spec = replace(PLAIN, training=TrainingSpec(epochs=40, batch_size=32), budget=BudgetSpec(epochs=100))
    bench = Bench(url, spec)
    workers = [bench.worker(name, rows=2) for name in ("ann", "ben")]
    threads = [Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress = bench.progress()
    assert progress.ended_by is not None
    assert (progress.running, progress.waiting + progress.finished) == (0, 4)
    # One epoch of each of four rows, and those of a worker whose last look the other one could not see yet.
    assert 100 <= progress.epochs <= 110
    bench.study = bench.store.studies.set_limits(bench.study, BudgetSpec())
    bench.worker("cleo").run()
    calm = Bench(f"sqlite:///{tmp_path / 'calm.db'}", replace(spec, budget=BudgetSpec()))
    calm.worker("calm").run()
    assert bench.progress().finished == spec.trials
    assert list(map(numbers_of, bench.trials())) == list(map(numbers_of, calm.trials()))
    for one in (bench, calm):
        one.close()


def test_a_limit_that_a_running_study_gets_ends_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has claimed its last trial ends at a limit which the study did not have at the claim."""
    monkeypatch.setattr(loop, "NEW_LIMITS_EVERY_S", 0.0)
    bench = Bench(url, replace(PLAIN, trials=2, training=TrainingSpec(epochs=10**6, batch_size=32)))
    study, store = bench.study, bench.store

    def limit_during_training() -> bool:
        if store.studies.progress(study).running and not store.studies.limits(study):
            store.studies.set_limits(study, BudgetSpec(epochs=1))
        return False

    bench.worker("ann", rows=3, should_yield=limit_during_training).run()
    progress = bench.progress()
    assert progress.ended_by is not None
    assert (progress.running, progress.waiting, progress.finished) == (0, 2, 0)
    bench.close()


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("until", BudgetSpec(until=0.6)),
        ("patience", BudgetSpec(patience=1)),
        ("hours", BudgetSpec(hours=1e-7)),
    ],
)
def test_a_worker_ends_at_each_limit(url: str, name: str, limits: BudgetSpec) -> None:
    """The worker stops by itself, with trials of the budget left."""
    bench = Bench(url, replace(PLAIN, budget=limits, trials=200))
    bench.worker("ann", rows=2).run()
    progress = bench.progress()
    assert progress.ended_by is not None
    assert (progress.ended_by.name, progress.running, progress.finished < 200) == (name, 0, True)
    bench.close()


def test_looks_become_frequent_near_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 100 epochs per second, with 4 left, the next look is within 20 ms."""
    now = [100.0]
    monkeypatch.setattr("hpsearch.worker.loop.time.monotonic", lambda: now[0])
    watch = LimitWatch()

    def look(used: int) -> float:
        limit = LimitStanding(name="epochs", limit=100, used=used, is_reached=used >= 100)
        watch.look([limit])
        return watch.due_s - now[0]

    assert look(0) == 0
    now[0] += 0.1
    assert look(10) == 0.25
    now[0] += 0.86
    assert look(96) == pytest.approx(0.02)


def test_a_trial_that_does_not_improve_is_complete_with_its_best_value(url: str) -> None:
    """It has the fate "early stopped", its own entry of the ledger, and the value of its best epoch."""
    training = TrainingSpec(epochs=30, batch_size=32, keep="best")
    limits = Limits(trial_epochs_without_improvement=3)
    bench = Bench(url, replace(PLAIN, training=training, limits=limits))
    bench.worker("ann").run()
    stopped = [trial for trial in bench.trials() if trial.verdict is Cause.EARLY_STOPPED]
    assert stopped
    for trial in stopped:
        assert (trial.state, trial.fate) == (TrialState.COMPLETE, Fate.EARLY_STOPPED)
        best = max(trial.curve.values())
        assert trial.value == best
        assert len(trial.curve) == list(trial.curve.values()).index(best) + 1 + 3
        assert trial.is_ranked
    assert bench.progress().ledger["early_stopped"] == sum(trial.epochs for trial in stopped)
    assert bench.progress().fates[Fate.EARLY_STOPPED].trials == len(stopped)
    bench.close()
