"""Failing workers: found if their trials fail far more often than those of others on like configurations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from hpsearch.storage.records import WorkerIdentity
from hpsearch.study.spec import Choices, Dimension, Range
from hpsearch.trials import FAILURE, Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.child_trial import repeated_failure
from hpsearch.worker.failure_rate import FALSE_ALARM_RATE, FailureRate, failure_rate, log_evidence
from tests.benchmarks.failing_workers import first_alarm, simulate
from tests.contract.laboratory import Lab, a_spec
from tests.worker.bench import Bench

SEARCH: Sequence[Dimension] = (
    Range(name="lr", low=1e-4, high=1.0, log=True),
    Choices(name="kind", choices=("a", "b")),
)


def trials_of(worker: str, states: Sequence[TrialState], *, start: int, lr: float = 0.1) -> list[Trial]:
    """Return trials of one worker in these states, all of one configuration."""
    return [
        Trial(number=start + i, state=state, params={"lr": lr, "kind": "a"}, worker=worker)
        for i, state in enumerate(states)
    ]


FAILED, COMPLETE, RUNNING = TrialState.FAILED, TrialState.COMPLETE, TrialState.RUNNING


def test_the_evidence_is_the_mixture_of_likelihood_ratios() -> None:
    """It equals the integral, computed numerically, and 13 pairs against a worker are the fewest that suffice."""
    for own, others in ((0, 0), (3, 1), (13, 0), (40, 25)):
        p = np.linspace(0.5, 1.0, 200_001)
        integral = 2 * np.trapezoid((2 * p) ** own * (2 * (1 - p)) ** others, p)
        assert log_evidence(own, others) == pytest.approx(math.log(integral), abs=1e-6)
    assert [FailureRate(only_own=own).is_too_high for own in (12, 13)] == [False, True]


def test_a_worker_whose_trials_all_fail_is_found() -> None:
    """If like configurations succeed elsewhere, and only then; the sentence names both rates."""
    own = trials_of("ann", [FAILED] * 15, start=0)
    found = failure_rate(own + trials_of("bob", [COMPLETE] * 20, start=15), "ann", SEARCH)
    assert found.is_too_high
    assert found.sentence == (
        "15 of its 15 trials failed, and 0 of as many by other workers on like configurations"
    )
    assert not failure_rate(own + trials_of("bob", [FAILED] * 20, start=15), "ann", SEARCH).is_too_high
    assert not failure_rate(own, "ann", SEARCH).is_too_high


def test_configurations_are_compared_with_like_ones() -> None:
    """A worker that got the failing region is sound if others fail there too, however often they succeed elsewhere."""
    own = trials_of("ann", [FAILED] * 15, start=0, lr=0.9)
    others = trials_of("bob", [COMPLETE] * 60, start=20, lr=0.001) + trials_of(
        "eve", [FAILED] * 15, start=80, lr=0.8
    )
    found = failure_rate(own + others, "ann", SEARCH)
    assert (found.pairs, found.only_own, found.is_too_high) == (15, 0, False)


def test_none_is_compared_with_none() -> None:
    """A trial whose choice is None is unlike one without the parameter, as unlike as any two choices."""
    search = [Choices([5, None], name="depth")]
    own = [replace(trial, params={"depth": None}) for trial in trials_of("ann", [FAILED], start=0)]
    absent = [replace(trial, params={}) for trial in trials_of("bob", [COMPLETE], start=1)]
    like = [replace(trial, params={"depth": None}) for trial in trials_of("bob", [FAILED], start=2)]
    found = failure_rate([*own, *absent, *like], "ann", search)
    assert (found.pairs, found.only_own, found.others_failed) == (1, 0, 1)


def test_a_worker_waits_until_others_have_finished_trials() -> None:
    """Five failures without a counterpart are undecided while others train, and decided if nobody else does."""
    own = trials_of("ann", [FAILED] * 5, start=0)
    training = trials_of("bob", [RUNNING] * 2, start=5)
    assert failure_rate(own + training, "ann", SEARCH).is_undecided
    assert not failure_rate(own, "ann", SEARCH).is_undecided
    ended = trials_of("bob", [COMPLETE] * 5, start=7)
    assert not failure_rate(own + training + ended, "ann", SEARCH).is_undecided


def test_lost_trials_are_no_evidence() -> None:
    """A trial that took three workers down is the trial's fault, on either side."""
    lost = Finding(cause=Cause.WORKER_LOST, confidence=1.0, first_step=0, evidence={}, remedy="")
    own = [Trial(number=i, state=FAILED, params={}, worker="ann", finding=lost) for i in range(20)]
    found = failure_rate(own + trials_of("bob", [COMPLETE] * 20, start=20), "ann", SEARCH)
    assert found == FailureRate()


@pytest.mark.parametrize("rate", [lambda _: 0.3, lambda x: float(x > 0.6)])
def test_sound_workers_raise_no_alarm(rate: Callable[[float], float]) -> None:
    """With checks after every failure, alarms are as rare as stated, also if a part of the space always fails."""
    alarms = [first_alarm(simulate(seed, rate, rate, trials=60), "ann") for seed in range(12)]
    assert alarms == [None] * 12
    assert FALSE_ALARM_RATE * 24 < 0.05  # so one alarm here would be a contradiction


def test_a_bad_worker_is_found_soon() -> None:
    """One whose trials nearly all fail, in a space where a third fails anyway, is found within 60 of its trials."""
    alarms = [
        first_alarm(simulate(seed, lambda _: 0.95, lambda _: 0.3, trials=60), "ann") for seed in range(5)
    ]
    assert None not in alarms


def test_a_failing_worker_takes_no_more_trials(tmp_path: Path) -> None:
    """It reports the rates in the registry and to the user, and ends its work on the study with trials left."""
    said: list[str] = []
    bench = Bench(f"sqlite:///{tmp_path}/failing.db", a_spec("placed", trials=200))
    for name, count, state in (("ann", 15, FAILED), ("bob", 20, COMPLETE)):
        lab = Lab(store=bench.store, url=bench.url, study=bench.study, worker=name)
        lab.finish(count, state=state, value=None if state is FAILED else 0.5)
    bench.store.workers.register(WorkerIdentity(name="ann", host="h", process_id=1, version="0"))
    ann = bench.worker("ann", notify=said.append)
    ann._check_failures()
    ann.run()
    reason = (
        'study "placed": takes no more trials: 15 of its 15 trials failed, and 0 of as many by other workers'
    )
    (listed,) = bench.store.workers.all()
    assert (listed.state, listed.problem, ann.ended) == ("failing", ann.problem, 0)
    assert said == [ann.problem]
    assert str(ann.problem).startswith(reason)
    bob = bench.worker("bob")
    bob._check_failures()
    assert bob.problem is None
    bench.close()


def test_failures_of_one_worker_pause_no_study_that_others_train() -> None:
    """Five failures in a row pause a study only if no other worker trains or has finished trials."""
    now = datetime(2026, 11, 30, tzinfo=UTC)
    failure = {FAILURE: {"kind": "OSError", "place": "train.py:3", "cause": "code_error"}}
    failed = [
        replace(trial, finished=now, system_attributes=failure)
        for trial in trials_of("ann", [FAILED] * 5, start=0)
    ]
    other = trials_of("bob", [RUNNING], start=5)
    assert repeated_failure(failed) == "OSError in train.py:3"
    assert repeated_failure(failed + other) is None
    mixed = [*failed[:4], replace(failed[4], worker="bob")]
    assert repeated_failure(mixed + other) == "OSError in train.py:3"
