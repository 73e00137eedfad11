"""How searches are compared, on trials that are written down by hand, and one small search of each kind."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.data.prepare import prepare
from hpsearch.study.spec import SamplerSpec, TrainingSpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from tests.benchmarks.diagnosis.cost import cost
from tests.benchmarks.diagnosis.real_search import (
    Searched,
    compare,
    conclusion,
    count_audited,
    count_false_stops,
    mnist_environment,
)
from tests.benchmarks.diagnosis.scoring import Share
from tests.worker.bench import SPEC


def complete(number: int, value: float, *, audited: bool = False) -> Trial:
    """Return a trial that trained all its 40 steps; an audited one should have been stopped."""
    finding = Finding(
        cause=Cause.LR_TOO_LOW if audited else Cause.HEALTHY,
        confidence=1.0,
        first_step=0,
        evidence={"audited_at": 10.0} if audited else {},
        remedy="None.",
    )
    return Trial(number=number, state=TrialState.COMPLETE, params={}, value=value, finding=finding, steps=40)


def stopped(number: int, cause: Cause, *, steps: int = 15) -> Trial:
    """Return a trial that was stopped inside its second epoch of ten steps."""
    finding = Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy="None.")
    return Trial(number=number, state=TrialState.PRUNED, params={}, finding=finding, steps=steps)


SEARCHED = Searched(
    trials=[
        complete(0, 0.7),
        stopped(1, Cause.DIVERGED_LR),
        stopped(2, Cause.OUTRANKED, steps=10),
        complete(3, 0.9),
        complete(4, 0.8),
    ],
    steps_per_epoch=10,
)


def test_epochs_add_up_over_trials() -> None:
    """Trials of 40, 15, 10 and 40 steps are 10.5 epochs of ten steps until 0.9 is reached, and 14.5 in all."""
    assert SEARCHED.best == 0.9
    assert SEARCHED.epochs == 14.5
    assert SEARCHED.epochs_to(0.6) == 4
    assert SEARCHED.epochs_to(0.9) == 10.5
    assert math.isnan(SEARCHED.epochs_to(0.95))


def test_only_what_diagnosis_stopped_counts_as_stopped() -> None:
    """A trial that was outranked is none of diagnosis's."""
    assert [trial.number for trial in SEARCHED.stopped] == [1]


@pytest.mark.parametrize(("end", "hits"), [(0.95, 1), (0.9, 1), (0.85, 0)])
def test_a_false_stop_would_have_ended_in_the_best_tenth(end: float, hits: int) -> None:
    """Of five trials the best tenth is one; the stopped trial 1 counts where it ends as that one, or level with it."""
    whole = Searched(
        trials=[complete(n, value) for n, value in enumerate((0.7, end, 0.1, 0.9, 0.8))], steps_per_epoch=10
    )
    assert count_false_stops(SEARCHED, whole) == Share(hits=hits, total=1)


def test_audited_trials_are_those_that_say_so() -> None:
    """Two trials ran on; the one that ended as the best was a false alarm."""
    trials = [complete(0, 0.9, audited=True), complete(1, 0.2, audited=True), complete(2, 0.8)]
    assert count_audited(Searched(trials=trials, steps_per_epoch=10)) == Share(hits=1, total=2)


def test_mnist_is_taken_from_where_it_lies(tmp_path: Path) -> None:
    """The environment's folder wins; a folder that is not there is none."""
    assert mnist_environment({"HPSEARCH_MNIST": str(tmp_path)}) == {"HPSEARCH_MNIST": str(tmp_path)}
    assert mnist_environment({"HPSEARCH_MNIST": str(tmp_path / "nowhere")}) == {}


def test_a_study_is_compared_with_itself() -> None:
    """Both searches spend their budget, and what they save and stop is said in a line and a conclusion."""
    spec = replace(
        SPEC, trials=12, training=TrainingSpec(epochs=4, batch_size=32), sampler=SamplerSpec(name="random")
    )
    data = prepare(spec.data, seed=spec.seed, precision="float32", environment={})
    compared = compare(spec, data, audit=0.0)
    assert len(compared.alone.trials) == len(compared.diagnosed.trials) == 12
    assert compared.alone.stopped == []
    assert compared.diagnosed.epochs < compared.alone.epochs
    assert compared.false_stops is not None
    assert compared.false_stops.total == len(compared.diagnosed.stopped) > 0
    assert compared.line().count("|") == 8
    assert any("iris, random" in line for line in conclusion([compared]))


def test_cost_is_a_share_of_the_bare_loop() -> None:
    """The least times of two turns add to 10.1 over 10.0; the rounds' own ratios are 2, 4 and -1 %."""
    bare = [[4.0, 6.0], [9.0, 11.0], [10.0, 20.0]]
    assert cost([[4.0, 6.2], [9.7, 11.1], [9.7, 20.0]], bare, bare) == "2.0 / 2.0"
    assert cost([[4.1, 6.1], [4.0, 16.8], [9.7, 20.0]], bare, bare) == "1.0 / 2.0"
