"""The stability boundary."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.analysis.axes import axis_of
from hpsearch.analysis.stability import Boundary, NoBoundary, stability_boundary
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import finding

RATE = Range(name="learning_rate", low=1e-5, high=1.0, log=True)
DECAY = Range(name="weight_decay", low=1e-8, high=1e-2, log=True)
DIVERGED, HEALTHY = Cause.DIVERGED_LR, Cause.HEALTHY


def _trial(number: int, rate: float, decay: float, cause: Cause) -> Trial:
    return Trial(
        number=number,
        state=TrialState.COMPLETE if cause is HEALTHY else TrialState.PRUNED,
        params={"learning_rate": 10**rate, "weight_decay": 10**decay},
        finding=replace(finding(DIVERGED), cause=cause),
    )


def _drawn(
    count: int, *, seed: int, edge: float = -1.5, tilt: float = 0.0, steep: float = 4.0
) -> list[Trial]:
    """Return trials that die with the chance of a logistic function of log rate, half of them at the edge."""
    generator = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        rate, decay = generator.uniform(-5, 0), generator.uniform(-8, -2)
        chance = 1 / (1 + math.exp(-steep * (rate - edge - tilt * (decay + 5))))
        cause = DIVERGED if generator.uniform() < chance else HEALTHY
        trials.append(_trial(number, rate, decay, cause))
    return trials


def _found(trials: Sequence[Trial]) -> Boundary:
    found = stability_boundary(trials, axis_of(RATE), axis_of(DECAY))
    assert isinstance(found, Boundary)
    return found


@pytest.mark.parametrize("tilt", [0.0, -0.2])
def test_the_boundary_is_the_line_on_which_half_of_the_trials_die(tilt: float) -> None:
    """The boundary of many trials is accurate to a sixth of a decade over the whole axis, tilted or not."""
    points = _found(_drawn(3000, seed=1, tilt=tilt)).points
    assert points[0].y == pytest.approx(1e-8)
    assert points[-1].y == pytest.approx(1e-2)
    for point in points:
        truth = -1.5 + tilt * (math.log10(point.y) + 5)
        assert abs(math.log10(point.x) - truth) < 1 / 6


def test_the_band_has_its_coverage() -> None:
    """In 90 to 99 of 100 studies of 150 trials, the 95 % band contains the truth at the middle of the axis."""
    middles = [_found(_drawn(150, seed=seed)).points[20] for seed in range(200)]
    held = sum(point.low <= 10**-1.5 <= point.high for point in middles)
    assert 180 <= held <= 198


def test_more_trials_make_the_band_narrower() -> None:
    """The width of the band falls about with the root of the number of trials."""
    few, many = (_found(_drawn(count, seed=3)).points[20] for count in (200, 3200))
    narrower = math.log10(few.high / few.low) / math.log10(many.high / many.low)
    assert 2.5 < narrower < 6


def test_completely_separated_trials_have_a_boundary() -> None:
    """If every rate above some value dies and none below does, the line is between them, and finite."""
    trials = [
        _trial(i, rate, -8 + 6 * (i * 0.618 % 1), DIVERGED if rate > -1 else HEALTHY)
        for i, rate in enumerate(np.linspace(-4, 0, 40))
    ]
    middle = _found(trials).points[20]
    assert -1.6 < math.log10(middle.x) < -0.4
    assert 0 < middle.low < middle.x < middle.high < 10


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (_drawn(200, seed=1)[:3], "it needs 5 deaths and 5 survivors"),
        ([_trial(i, -0.1 * i, -5.0, DIVERGED) for i in range(30)], "30 and 0"),
        (_drawn(300, seed=1, steep=-4.0), "deaths do not grow with learning_rate"),
        (_drawn(300, seed=2, steep=0.05), "the trials do not determine where it is"),
    ],
    ids=["few", "deaths alone", "upside down", "by chance"],
)
def test_no_boundary_is_made_up(trials: Sequence[Trial], why: str) -> None:
    """If deaths are few, everywhere, or have nothing to do with the rate, a clause states why there is no line."""
    found = stability_boundary(trials, axis_of(RATE), axis_of(DECAY))
    assert isinstance(found, NoBoundary)
    assert why in found.why


def test_other_ends_do_not_count() -> None:
    """Crashed, lost and waiting trials, and deaths unrelated to a step, have no effect."""
    trials = _drawn(200, seed=5)
    others = [
        *(_trial(300 + i, -4.5, -5, cause) for i, cause in enumerate((Cause.BORN_DEAD, Cause.LOG_ZERO) * 5)),
        Trial(number=400, state=TrialState.FAILED, params={"learning_rate": 0.5, "weight_decay": 1e-4}),
        Trial(number=401, state=TrialState.WAITING, params={}),
    ]
    assert _found([*trials, *others]) == _found(trials)


def test_choices_have_no_boundary() -> None:
    """Between words there is no place for a line."""
    activation = Choices(name="model.activation", choices=("relu", "elu"))
    found = stability_boundary(_drawn(100, seed=1), axis_of(RATE), axis_of(activation))
    assert found == NoBoundary(why="choices have no boundary between them")
