"""One worker and several, in this process, on a real database and real data."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hpsearch.data.prepare import prepare
from hpsearch.errors import FingerprintError, StudyNotFoundError
from hpsearch.storage.records import Update
from hpsearch.study.spec import Choices, DataSpec, PruningSpec
from hpsearch.trials import ParameterValue, TrialState
from hpsearch.verdicts import Cause
from hpsearch.worker.loop import Worker, WorkerOptions, idle_wait_s
from hpsearch.worker.shutdown import StopNowError, StopRequest
from tests.worker.bench import RATES, SPEC, Bench, numbers_of


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a database used by this test only."""
    return f"sqlite:///{tmp_path}/bench.db"


def test_a_worker_spends_the_budget_exactly(url: str) -> None:
    """A budget of 24 ends with 24 finished trials, numbered 0 to 23, and nothing running or waiting."""
    bench = Bench(url)
    bench.worker("a").run()
    progress = bench.progress()
    assert (progress.finished, progress.running, progress.waiting, progress.failed) == (24, 0, 0, 0)
    assert [trial.number for trial in bench.trials()] == list(range(24))
    assert all(trial.state.is_final and trial.finding is not None for trial in bench.trials())


@pytest.mark.parametrize(("idle_s", "wait_s"), [(0.0, 0.2), (4.0, 0.2), (10.0, 0.5), (3600.0, 5.0)])
def test_an_idle_worker_looks_less_often(idle_s: float, wait_s: float) -> None:
    """The wait is a twentieth of the idle time, but at least 0.2 s and at most 5 s."""
    assert idle_wait_s(idle_s) == wait_s


def test_the_ledger_adds_up(url: str) -> None:
    """The ledger's entries sum to the epochs that the trials began, whatever their fates."""
    bench = Bench(url)
    bench.worker("a").run()
    progress, trials = bench.progress(), bench.trials()
    assert sum(progress.ledger.values()) == progress.epochs == sum(trial.epochs for trial in trials)
    assert sum(tally.trials for tally in progress.fates.values()) == len(trials)
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert progress.ledger["complete"] == SPEC.training.epochs * len(complete)


def test_different_failures_have_different_verdicts(url: str) -> None:
    """Over nine decades of learning rates some trials learn, some diverge or die, and some are too slow."""
    bench = Bench(url, replace(SPEC, trials=60))
    bench.worker("a", rows=16).run()
    causes = {trial.verdict for trial in bench.trials()}
    assert Cause.HEALTHY in causes
    assert Cause.LR_TOO_LOW in causes
    assert causes & {Cause.DIVERGED_LR, Cause.EXPLODING, Cause.DEAD_RELU_TOTAL}


@pytest.mark.parametrize("workers", [2, 3])
def test_a_study_does_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    """With a sampler that does not learn, every trial of a study is bit-identical with one worker and with several."""
    alone = Bench(f"sqlite:///{tmp_path}/alone.db")
    alone.worker("a", rows=1).run()
    shared = Bench(f"sqlite:///{tmp_path}/shared.db")
    crew = [shared.worker(f"w{i}", rows=3 + i) for i in range(workers)]
    threads = [threading.Thread(target=worker.run) for worker in crew]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert shared.progress().finished == SPEC.trials
    assert [numbers_of(trial) for trial in shared.trials()] == [numbers_of(trial) for trial in alone.trials()]


def test_a_drained_worker_hands_its_trials_back(url: str) -> None:
    """After a request to stop nothing runs, nothing is lost, and the next worker ends the budget with equal numbers."""
    bench = Bench(url, replace(SPEC, training=replace(SPEC.training, epochs=300)))
    stop = StopRequest()
    worker = bench.worker("a", rows=4, stop=stop)
    thread = threading.Thread(target=worker.run)
    thread.start()
    while bench.progress().finished < 3:
        thread.join(0.01)
    stop.request()
    thread.join(60)
    halted = bench.progress()
    assert not thread.is_alive()
    assert halted.running == 0
    assert 3 <= halted.finished < SPEC.trials
    before = {trial.number: numbers_of(trial) for trial in bench.trials() if trial.state.is_final}

    bench.worker("b").run()
    after = {trial.number: numbers_of(trial) for trial in bench.trials()}
    assert bench.progress().finished == SPEC.trials
    assert sorted(after) == list(range(SPEC.trials))
    assert {number: after[number] for number in before} == before


def test_the_budget_can_be_raised_while_workers_run(url: str) -> None:
    """A budget raised from 24 to 31 ends with exactly 31."""
    bench = Bench(url)
    bench.worker("a").run()
    bench.study = bench.store.studies.set_budget(bench.study, 31)
    bench.worker("b").run()
    assert bench.progress().finished == 31


def test_other_data_is_refused(url: str) -> None:
    """A worker whose data has another fingerprint is refused, with both values."""
    bench = Bench(url)
    other = prepare(DataSpec(source="wine"), seed=7, precision="float32", environment={})
    with pytest.raises(FingerprintError) as refusal:
        Worker(bench.store, bench.study, other, options=WorkerOptions(name="a", rows=1), stop=StopRequest())
    assert bench.data.fingerprint in str(refusal.value)
    assert other.fingerprint in str(refusal.value)


def test_enqueued_trials_come_first(url: str) -> None:
    """A trial that a stock Optuna client enqueued is trained with the given parameters."""
    bench = Bench(url)
    asked: Mapping[str, ParameterValue] = {"learning_rate": 0.125, "weight_decay": 1e-4}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.load_study(study_name="iris", storage=url).enqueue_trial(dict(asked))
    bench.worker("a").run()
    first = bench.trials()[0]
    assert dict(first.params) == asked
    assert first.state is TrialState.COMPLETE
    assert bench.progress().finished == SPEC.trials


def test_a_worker_that_lost_its_leases_writes_nothing(url: str) -> None:
    """Trials whose lease ran out and went to another worker are dropped by the first, and end once."""
    bench = Bench(url)
    first = bench.store.queue.claim(bench.study, worker="sleeper", count=4, lease_s=-1.0)
    bench.worker("a").run()
    trials = bench.trials()
    assert bench.progress().finished == SPEC.trials
    assert {trials[claim.number].attempts for claim in first} == {2}
    assert {trials[claim.number].worker for claim in first} == {"a"}
    late = [Update(claim=claim, reports={0: 0.5}, epochs=1, steps=4) for claim in first]
    assert bench.store.trials.record(bench.study, late) == {claim.number for claim in first}
    assert bench.trials() == trials


def test_a_worker_reports_that_its_study_was_deleted(url: str) -> None:
    """If the study is gone, that is reported; if only the leases are, the lost trials are."""
    for delete, why in ((True, 'study "iris" was deleted'), (False, "leases ended meanwhile")):
        messages: list[str] = []
        bench = Bench(f"{url}.{delete}")
        worker = bench.worker("a", rows=2, notify=messages.append)
        assert worker._turn()
        if delete:
            bench.store.studies.delete(bench.study.name)
            with pytest.raises(StudyNotFoundError, match="it was deleted"):
                worker.run()
        else:
            bench.store.queue.release(bench.study, worker="a", numbers=None, why="restored", crashed=False)
            worker.run()
        assert messages == [f"{why}: its work on 0, 1 is discarded"]
        bench.close()


def test_a_worker_claims_between_epochs(url: str) -> None:
    """A row that becomes free in the middle of an epoch is filled at its end, when a trial can start."""
    bench = Bench(url)
    worker = bench.worker("a", rows=2)
    worker._claim_trials()
    (trainer,) = worker._trainers.values()
    trainer.advance(is_interrupted=lambda: False)
    worker._drop({trainer.numbers[0]})
    while not trainer.is_between_epochs:
        assert not worker._should_claim()
        trainer.advance(is_interrupted=lambda: False)
    assert worker._should_claim()
    bench.close()


def test_a_worker_restarts_trials_that_it_claims_again(url: str) -> None:
    """A worker can claim its trials again after they were handed back, for example by a restored database."""
    bench = Bench(url)
    worker = bench.worker("a", rows=2 * SPEC.trials)
    assert worker._turn()
    held = set(worker._active)
    assert bench.store.queue.release(bench.study, worker="a", numbers=None, why="restored", crashed=False)
    worker._claim_trials()
    assert set(worker._active) >= held
    assert {worker._active[number].claim.attempt for number in held} == {2}
    worker.run()
    assert (bench.progress().finished, bench.progress().running) == (SPEC.trials, 0)
    alone = Bench(f"{url}.alone")
    alone.worker("a").run()
    assert [numbers_of(trial) for trial in bench.trials()] == [numbers_of(trial) for trial in alone.trials()]
    alone.close()
    bench.close()


def test_networks_of_other_shapes_train_in_other_cohorts(url: str) -> None:
    """A search over widths and activations ends exactly, and every trial has the numbers of a training alone."""
    shapes = (
        *RATES,
        Choices(name="model.hidden", choices=("[8]", "[16, 8]", "[]")),
        Choices(name="model.activation", choices=("relu", "tanh")),
    )
    bench = Bench(url, replace(SPEC, search=shapes, trials=16))
    bench.worker("a", rows=6).run()
    other = Bench(f"{url}2", replace(SPEC, search=shapes, trials=16))
    other.worker("b", rows=1).run()
    assert bench.progress().finished == 16
    assert [numbers_of(trial) for trial in bench.trials()] == [numbers_of(trial) for trial in other.trials()]
    assert len({trial.params["model.hidden"] for trial in bench.trials()}) == 3


def test_diagnosis_can_be_switched_off(url: str) -> None:
    """Without diagnosis and rank every trial trains all its epochs, and its verdict is still stored."""
    spec = replace(SPEC, pruning=PruningSpec(diagnosis=False, rank="none"))
    bench = Bench(url, spec)
    bench.worker("a").run()
    trials = bench.trials()
    assert {trial.epochs for trial in trials} == {SPEC.training.epochs}
    assert Cause.LR_TOO_LOW in {trial.verdict for trial in trials}


@pytest.mark.parametrize(
    "pruning",
    [
        PruningSpec(rank="none", fatal=(Cause.DIVERGED_LR, Cause.EXPLODING)),
        PruningSpec(rank="none", expected=(Cause.LR_TOO_LOW,)),
    ],
)
def test_the_study_file_sets_the_fatal_causes(url: str, pruning: PruningSpec) -> None:
    """Only causes that are fatal and not expected stop a trial; others train all epochs."""
    bench = Bench(url, replace(SPEC, pruning=pruning, trials=40))
    bench.worker("a").run()
    stopped = [trial for trial in bench.trials() if trial.epochs < SPEC.training.epochs]
    assert {trial.verdict for trial in stopped} <= pruning.fatal_causes
    assert stopped


@pytest.mark.parametrize("rank", ["median", "asha", "hyperband"])
def test_rank_stops_outranked_trials(url: str, rank: str) -> None:
    """With a pruner of Optuna's some trials are outranked, and they count against the budget."""
    narrow = replace(SPEC, search=(replace(RATES[0], low=1e-3, high=1.0), RATES[1]), trials=30)
    spec = replace(narrow, pruning=PruningSpec(rank=rank), training=replace(SPEC.training, epochs=12))  # type: ignore[arg-type]
    bench = Bench(url, spec)
    bench.worker("a", rows=3).run()
    assert bench.progress().finished == 30
    assert Cause.OUTRANKED in {trial.verdict for trial in bench.trials()}


def test_a_trial_that_lost_a_worker_trains_alone(url: str) -> None:
    """Suspects are trained last and alone, with their usual numbers."""
    bench = Bench(url)
    bench.store.queue.claim(bench.study, worker="lost", count=4, lease_s=600.0)
    bench.store.queue.release(bench.study, worker="lost", numbers=None, why="it was killed", crashed=True)
    bench.worker("a", rows=5).run()
    trials = bench.trials()
    spans = {trial.number: (trial.started, trial.finished) for trial in trials}
    for suspect in range(4):
        started, finished = spans.pop(suspect)
        assert started is not None
        assert finished is not None
        for other_started, other_finished in spans.values():
            assert other_started is not None
            assert other_finished is not None
            assert other_finished <= started or finished <= other_started
        spans[suspect] = started, finished
    assert max(spans[number] for number in range(4, 24)) < min(spans[number] for number in range(4))
    alone = Bench(f"{url}2")
    alone.worker("b", rows=1).run()
    assert [numbers_of(trial) for trial in trials] == [numbers_of(trial) for trial in alone.trials()]


def test_a_bug_counts_as_a_crash_of_all_trials(url: str) -> None:
    """An exception other than a user's error may be caused by a trial, so it counts against those in training."""
    bench = Bench(url)

    def fail() -> bool:
        if bench.progress().running:
            raise MemoryError
        return False

    worker = bench.worker("a", rows=5, should_yield=fail)
    with pytest.raises(MemoryError):
        worker.run()
    progress = bench.progress()
    assert (progress.running, progress.waiting + progress.finished) == (0, 5)
    histories = [bench.store.trials.attempts(bench.study, number) for number in range(5)]
    lost = [history[0] for history in histories if history]
    assert {(attempt.worker, attempt.why, attempt.crashed) for attempt in lost} == {
        ("a", "the worker failed", True)
    }


def test_a_users_error_counts_as_no_crash(url: str) -> None:
    """An event that no trial causes, such as a request to stop at once, counts against none."""
    bench = Bench(url)

    def fail() -> bool:
        if bench.progress().running:
            raise StopNowError("stopped at once by the second signal")
        return False

    worker = bench.worker("a", rows=5, should_yield=fail)
    with pytest.raises(StopNowError):
        worker.run()
    assert bench.progress().running == 0
    histories = [bench.store.trials.attempts(bench.study, number) for number in range(5)]
    assert {attempt.crashed for history in histories for attempt in history} == {False}


def test_a_worker_can_run_again(url: str) -> None:
    """A worker that yields to another study, and returns, continues at the same point."""
    bench = Bench(url)
    looks = iter([False, False, True])
    worker = bench.worker("a", wait_for_trials=False, should_yield=lambda: next(looks, True))
    worker.run()
    first = worker.ended
    assert 0 < first < SPEC.trials
    assert bench.progress().running == bench.progress().waiting == 0
    looks = iter([False] * 1000)
    worker.run()
    assert worker.ended == bench.progress().finished == SPEC.trials
