"""The pruners, through reports and verdicts of a Searcher."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import PruningSpec, RankName, StudySpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause, Finding

SpecOf = Callable[..., StudySpec]


def complete(number: int, values: Sequence[float]) -> Trial:
    """Return a complete trial that reported `values`, one per epoch."""
    curve = dict(enumerate(values))
    return Trial(number=number, state=TrialState.COMPLETE, params={}, value=values[-1], curve=curve)


def report(searcher: Searcher, number: int, values: Sequence[float]) -> int | None:
    """Report `values`, one per epoch, until the trial is outranked; return the epoch of that."""
    for epoch, value in enumerate(values):
        searcher.report(number, epoch, value)
        if searcher.is_outranked(number):
            return epoch
    return None


@pytest.fixture
def median(spec_of: SpecOf) -> Searcher:
    """Return a Searcher that prunes by the median of five complete trials: 0.2, 0.4 and 0.6 after an epoch."""
    searcher = Searcher(spec_of("random", "median"))
    searcher.learn(complete(i, [v, v + 0.1, v + 0.2]) for i, v in enumerate((0.2, 0.3, 0.4, 0.5, 0.6)))
    return searcher


def test_median_stops_trials_below_the_median(median: Searcher) -> None:
    """A trial is compared with the others at its own age."""
    assert report(median, 10, [0.39]) == 0
    assert report(median, 11, [0.41, 0.49]) == 1
    assert report(median, 12, [0.41, 0.51, 0.61]) is None


def test_median_minimizes_a_loss(spec_of: SpecOf) -> None:
    """With the metric validation_loss a smaller value is better."""
    searcher = Searcher(spec_of("random", "median", metric="validation_loss"))
    searcher.learn(complete(i, [v]) for i, v in enumerate((0.2, 0.3, 0.4, 0.5, 0.6)))
    assert report(searcher, 10, [0.41]) == 0
    assert report(searcher, 11, [0.39]) is None


def test_median_waits_for_complete_trials(spec_of: SpecOf) -> None:
    """No trial is stopped before `startup_trials` are complete; dead and running ones do not count."""
    searcher = Searcher(spec_of("random", "median"))
    finding = Finding(cause=Cause.DIVERGED_LR, confidence=1.0, first_step=0, evidence={}, remedy="")
    searcher.learn(complete(i, [0.5]) for i in range(4))
    searcher.learn(
        Trial(number=i, state=TrialState.PRUNED, params={}, value=0.9, curve={0: 0.9}, finding=finding)
        for i in range(4, 10)
    )
    assert report(searcher, 20, [0.1]) is None
    searcher.learn([complete(10, [0.5])])
    assert report(searcher, 21, [0.1]) == 0
    assert report(searcher, 22, [0.6]) is None  # the dead ones' 0.9 does not raise the median


@pytest.mark.parametrize("rank", ["median", "percentile"])
@pytest.mark.parametrize(("warmup", "epoch"), [(0, 0), (1, 0), (2, 1), (3, 2), (9, None)])
def test_nothing_is_stopped_before_it_is_old_enough(
    spec_of: SpecOf, rank: RankName, warmup: int, epoch: int | None
) -> None:
    """The first verdict comes after `warmup_epochs` epochs."""
    searcher = Searcher(spec_of("random", pruning=PruningSpec(rank=rank, warmup_epochs=warmup)))
    searcher.learn(complete(i, [0.5] * 5) for i in range(5))
    assert report(searcher, 10, [0.1] * 5) == epoch


def test_percentile_keeps_its_share(spec_of: SpecOf) -> None:
    """With 25 percent only trials better than three quarters of the others continue."""
    searcher = Searcher(spec_of("random", "percentile"))
    searcher.learn(complete(i, [i / 100]) for i in range(101))
    assert report(searcher, 200, [0.74]) == 0
    assert report(searcher, 201, [0.76]) is None


@pytest.mark.parametrize("rank", ["median", "percentile", "asha", "hyperband"])
def test_a_trial_of_nan_is_stopped(spec_of: SpecOf, rank: RankName) -> None:
    """NaN after every epoch is worse than any number, at the latest at the last rung, without a warning."""
    searcher = Searcher(spec_of("random", rank))
    searcher.learn(complete(i, [0.5] * 20) for i in range(5))
    assert report(searcher, 10, [math.nan] * 20) is not None


@pytest.mark.parametrize("rank", ["none", "median", "percentile", "asha", "hyperband"])
def test_infinite_and_missing_values_are_allowed(spec_of: SpecOf, rank: RankName) -> None:
    """Curves with NaN and infinity, here and in the database, give verdicts and no errors."""
    searcher = Searcher(spec_of("random", rank, metric="validation_loss"))
    odd = [math.inf, math.nan, 0.5, -math.inf, math.nan]
    searcher.learn(complete(i, odd[i:] + odd[:i]) for i in range(5))
    for number in range(10, 15):
        for epoch, value in enumerate(odd[number - 10 :]):
            searcher.report(number, epoch, value)
            assert isinstance(searcher.is_outranked(number), bool)


def test_without_a_pruner_nothing_is_outranked(spec_of: SpecOf) -> None:
    """With `rank = "none"` no trial is outranked."""
    searcher = Searcher(spec_of("random", "none"))
    searcher.learn(complete(i, [0.9] * 5) for i in range(20))
    assert report(searcher, 30, [0.0, 0.0, math.nan]) is None


def test_rungs_are_ages(spec_of: SpecOf) -> None:
    """Asha's rungs with factor 4 are 1, 4 and 16 epochs, as in its paper: epochs 0, 3 and 15."""
    searcher = Searcher(spec_of("random", pruning=PruningSpec(rank="asha", reduction_factor=4)))
    rungs: dict[int, Mapping[str, Any]] = {}
    for epoch in range(20):
        searcher.report(0, epoch, epoch / 100)
        assert not searcher.is_outranked(0)
        if attributes := searcher.take_attributes(0):
            rungs[epoch] = attributes
    assert rungs == {
        0: {"completed_rung_0": 0.0},
        3: {"completed_rung_1": 0.03},
        15: {"completed_rung_2": 0.15},
    }


def test_the_first_rung_comes_after_the_warm_up(spec_of: SpecOf) -> None:
    """Asha leaves a trial alone until it is `warmup_epochs` old, and halves at twice that age next."""
    searcher = Searcher(spec_of("random", pruning=PruningSpec(rank="asha", warmup_epochs=3)))
    for number in range(1, 5):
        assert report(searcher, number, [0.1 * number] * 3) in (None, 2)
    assert report(searcher, 9, [0.0, 0.0, 0.0]) == 2
    assert report(searcher, 10, [0.0, 0.0, 0.9, 0.0, 0.0, 0.0]) is None


@pytest.mark.parametrize("rank", ["asha", "hyperband"])
@pytest.mark.parametrize("others", [0.0, 0.9])
def test_a_trial_that_goes_on_completes_the_same_rungs(
    spec_of: SpecOf, rank: RankName, others: float
) -> None:
    """After 12 epochs of an earlier attempt, rungs have the values of their own epochs, whatever others did since."""
    undisturbed, resumed = Searcher(spec_of("random", rank)), Searcher(spec_of("random", rank))
    for searcher in (undisturbed, resumed):
        for number in range(1, 6):
            report(searcher, number, [others])
            searcher.take_attributes(number)
    values = [0.01 * (epoch + 1) for epoch in range(20)]
    for epoch, value in enumerate(values):
        undisturbed.report(0, epoch, value)
        undisturbed.is_outranked(0)
    resumed.report_again(0, values[:12])
    for epoch, value in enumerate(values[12:], 12):
        resumed.report(0, epoch, value)
        resumed.is_outranked(0)
    rungs = undisturbed.take_attributes(0)
    assert resumed.take_attributes(0) == rungs
    assert {0.02, 0.04, 0.08, 0.16} <= set(rungs.values())


@pytest.mark.parametrize("rank", ["asha", "hyperband"])
def test_rungs_are_shared_through_the_database(spec_of: SpecOf, rank: RankName) -> None:
    """Two Searchers that learn each other's attributes give the verdicts of one that saw all trials."""
    spec = spec_of("random", rank)
    together, apart = Searcher(spec), (Searcher(spec), Searcher(spec))
    random = np.random.default_rng(0)
    fates: dict[int, int | None] = {}
    for number in range(40):
        values = list(random.random(20))
        one, other = apart[number % 2], apart[1 - number % 2]
        fates[number] = report(together, number, values)
        assert report(one, number, values) == fates[number]
        other.learn(
            [
                Trial(
                    number=number,
                    state=TrialState.PRUNED,
                    params={},
                    curve=dict(enumerate(values)),
                    system_attributes=one.take_attributes(number),
                )
            ]
        )
    assert len(set(fates.values())) > 2


@pytest.mark.parametrize("rank", ["asha", "hyperband", "median"])
def test_a_verdict_stands_until_the_next_report(spec_of: SpecOf, rank: RankName) -> None:
    """A second request returns the same verdict."""
    searcher = Searcher(spec_of("random", rank))
    searcher.learn(complete(i, [0.5] * 20) for i in range(5))
    for number in range(10, 30):
        values = np.linspace(0.5 - number / 100, 0.4, 20)
        if (epoch := report(searcher, number, list(values))) is not None:
            assert searcher.is_outranked(number)
            assert epoch < 20


def test_a_second_run_is_judged_by_its_own_age(median: Searcher) -> None:
    """After the loss of a worker, later reports of the first run do not count."""
    median.learn([Trial(number=10, state=TrialState.RUNNING, params={}, curve={0: 0.45, 1: 0.45})])
    assert report(median, 10, [0.45, 0.45]) == 1


def test_invalid_rungs_of_others_are_ignored(spec_of: SpecOf) -> None:
    """Values that asha could not have written are ignored."""
    searcher = Searcher(spec_of("random", "asha"))
    rungs = ("high", None, math.nan, [1.0])
    searcher.learn(
        Trial(number=i, state=TrialState.COMPLETE, params={}, system_attributes={"completed_rung_0": rung})
        for i, rung in enumerate(rungs)
    )
    assert report(searcher, 10, [0.1]) is None
