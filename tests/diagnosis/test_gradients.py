"""Gradients that vanish, explode or underflow, on both sides of every threshold."""

import math
from typing import Any

import pytest

from hpsearch.diagnosis.gradients import (
    BLIND_RATIO,
    BLIND_STEPS,
    EXPLODED_LOSS,
    EXPLODED_RATIO,
    LEAST_STEPS,
    LITTLE_LEARNED,
    NOTHING_LEARNED,
    SAMPLES,
    SMALLEST_NORMAL,
    VANISHED_RANGE,
    VANISHED_RATIO,
    exploding_grad,
    float_underflow,
    signal_lost,
    vanishing_grad,
)
from hpsearch.diagnosis.progress import LEARNED_SHARE
from hpsearch.diagnosis.signal import FAR_FROM_CHANCE, LEAST_RANGE, MOST_SILENT_SHARE
from hpsearch.study.spec import Initializer
from hpsearch.telemetry import Telemetry
from hpsearch.verdicts import Cause
from tests.diagnosis.written import CHANCE, asked, facts, found, sample, samples, telemetry

WIDE_WEIGHTS = Initializer(name="normal", scale=1.0)
REMEDIES = [
    ("relu", {"model.initializer": "he"}),
    ("selu", {"model.initializer": "he"}),
    ("tanh", {"model.activation": "relu", "model.initializer": "he"}),
    ("sigmoid", {"model.activation": "relu", "model.initializer": "he"}),
]


def deep(*, loss: float = 2.3, steps: int = LEAST_STEPS, **first: Any) -> Telemetry:
    """Return telemetry of two hidden layers whose first step was as `first` says, and whose loss is now `loss`."""
    start = {"depth": 2} | first
    return telemetry([sample(0, **start), *samples((10, 15, 20), loss=loss, depth=2)], steps=steps)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"gradient": VANISHED_RATIO / 2 * 0.99}, "gradient_ratio"),
        ({"output_range": VANISHED_RANGE * 0.99}, "output_range"),
    ],
)
@pytest.mark.parametrize(("activation", "suggested"), REMEDIES)
def test_a_signal_that_vanishes(
    changes: dict[str, Any], name: str, activation: str, suggested: dict[str, str]
) -> None:
    """The first gradient a thousandth of the last, or outputs that hardly differ, with finite evidence alone."""
    finding = found(vanishing_grad, deep(**changes), facts(activation=activation, initializer=WIDE_WEIGHTS))
    assert (finding.cause, finding.first_step) == (Cause.VANISHING_GRAD, 0)
    assert name in finding.evidence
    assert finding.suggested == suggested
    assert all(f'{name} = "{value}"' in finding.remedy for name, value in suggested.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": VANISHED_RATIO / 2 * 1.01},
        {"gradient": 0.0},
        {"gradient": 1e-9, "output": 0.0},
        {"output_range": VANISHED_RANGE},
        {"output_range": 0.0},
        {"gradient": 1e-9, "depth": 1},
        {"gradient": 1e-9, "steps": LEAST_STEPS - 1},
    ],
)
def test_a_signal_that_arrives(changes: dict[str, Any]) -> None:
    """At the bounds, with exact zeros, in shallow networks and in the first steps nothing has vanished."""
    assert asked(vanishing_grad, deep(**changes), facts()) is None


def test_a_signal_that_was_enough_to_learn_from() -> None:
    """A twentieth of the loss learned shows that the signal comes through."""
    for factor, spared in ((0.99, True), (1.01, False)):
        measured = deep(gradient=1e-4, loss=2.3 * NOTHING_LEARNED * factor)
        assert (asked(vanishing_grad, measured, facts()) is None) is spared
        gone = deep(gradient=1e-9, loss=2.3 * LITTLE_LEARNED * factor)
        assert (asked(vanishing_grad, gone, facts()) is None) is spared
    assert asked(vanishing_grad, telemetry([], steps=99), facts()) is None


@pytest.mark.parametrize(
    "changes", [{"gradient": 0.5 * EXPLODED_RATIO * 1.01}, {"loss": EXPLODED_LOSS * CHANCE * 1.01}]
)
@pytest.mark.parametrize(("activation", "suggested"), REMEDIES)
def test_a_signal_that_explodes(changes: dict[str, Any], activation: str, suggested: dict[str, str]) -> None:
    """The first gradient far above the last, or a first loss far above chance's, is to blame on initial weights."""
    first = sample(0, **{"depth": 2} | changes)
    finding = found(
        exploding_grad, telemetry([first]), facts(activation=activation, initializer=WIDE_WEIGHTS)
    )
    assert (finding.cause, finding.first_step) == (Cause.EXPLODING_GRAD, 0)
    assert finding.suggested == suggested
    assert all(f'{name} = "{value}"' in finding.remedy for name, value in suggested.items())


@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": 0.5 * EXPLODED_RATIO * 0.99},
        {"gradient": 9.0, "output": 0.0},
        {"loss": EXPLODED_LOSS * CHANCE * 0.99},
        {"loss": 1e9, "depth": 1},
        {"gradient": 1e9, "depth": 1},
    ],
)
def test_a_first_step_that_is_not_too_large(changes: dict[str, Any]) -> None:
    """Below the bounds, without any gradient, and in shallow networks nothing explodes at first."""
    first = sample(0, **{"depth": 2} | changes)
    assert asked(exploding_grad, telemetry([first]), facts()) is None


def test_an_explosion_is_one_of_the_first_step() -> None:
    """Later gradients are the learning rate's affair, and none are no explosion."""
    later = telemetry([sample(0, depth=2), sample(5, depth=2, gradient=1e9, loss=1e9)])
    assert asked(exploding_grad, later, facts()) is None
    assert asked(exploding_grad, telemetry([]), facts()) is None


def test_an_explosion_that_was_survived() -> None:
    """A trial whose loss has come down to half of chance's is spared."""
    for factor, spared in ((0.99, True), (1.01, False)):
        first = sample(0, depth=2, loss=100.0)
        now = samples((5, 10, 15), depth=2, loss=LEARNED_SHARE * CHANCE * factor)
        assert (asked(exploding_grad, telemetry([first, *now]), facts()) is None) is spared


@pytest.mark.parametrize("rate", [0.1, 1.0, 50.0])
def test_steps_below_what_float32_holds(rate: float) -> None:
    """A gradient times the rate, if below 1, under the smallest normal number underflows; above it does not."""
    bound = SMALLEST_NORMAL / min(rate, 1.0)
    low = [sample(0), *samples(range(5, 5 + SAMPLES), gradient=bound * 0.99)]
    finding = found(float_underflow, telemetry(low), facts(rate=rate))
    assert (finding.cause, finding.first_step) == (Cause.FLOAT_UNDERFLOW, 5)
    assert finding.suggested == {"training.precision": "float64"}
    assert finding.evidence["smallest_step"] == pytest.approx(SMALLEST_NORMAL * 0.99)
    assert asked(float_underflow, telemetry(low), facts(rate=rate, precision="float64")) is None
    high = samples(range(SAMPLES), gradient=bound * 1.01)
    assert asked(float_underflow, telemetry(high), facts(rate=rate)) is None


def test_an_underflow_must_last_and_be_no_zero() -> None:
    """All of the last samples are below the bound, and not all exactly 0, which is death."""
    tiny = samples(range(SAMPLES), gradient=1e-44)
    assert asked(float_underflow, telemetry([*tiny, sample(9, gradient=1e-30)]), facts()) is None
    assert asked(float_underflow, telemetry(tiny[1:]), facts()) is None
    assert asked(float_underflow, telemetry(samples(range(9), gradient=0.0)), facts()) is None
    assert asked(float_underflow, telemetry(samples(range(9), gradient=math.nan)), facts()) is None


def blind(
    *, gradient: float = 0.005, output_range: float = 0.1, steps: int = BLIND_STEPS, **now: Any
) -> Telemetry:
    """Return telemetry of a deep network that takes its inputs for one and the same, from the first step on."""
    first = sample(0, depth=2, gradient=gradient)
    later = samples((100, 150, 199), **{"depth": 2, "loss": CHANCE, "output_range": output_range} | now)
    return telemetry([first, *later], steps=steps)


def test_a_signal_that_is_nearly_lost() -> None:
    """A small first gradient and outputs that hardly differ after 200 steps, as in deep sigmoid networks."""
    finding = found(signal_lost, blind(), facts(activation="sigmoid"))
    assert (finding.cause, finding.first_step) == (Cause.VANISHING_GRAD, 0)
    assert finding.evidence == {"gradient_ratio": pytest.approx(0.01), "output_range": 0.1}
    assert finding.suggested == {"model.activation": "relu", "model.initializer": "he"}


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"gradient": BLIND_RATIO / 2 * 0.99}, {"gradient": BLIND_RATIO / 2 * 1.01}),
        ({"output_range": LEAST_RANGE * 0.99}, {"output_range": LEAST_RANGE}),
        ({}, {"output_range": math.nan}),
        ({}, {"gradient": 0.0}),
        ({"steps": BLIND_STEPS}, {"steps": BLIND_STEPS - 1}),
        ({"loss": CHANCE * FAR_FROM_CHANCE * 0.99}, {"loss": CHANCE * FAR_FROM_CHANCE * 1.01}),
        ({"dead": MOST_SILENT_SHARE}, {"dead": MOST_SILENT_SHARE * 1.01}),
    ],
)
def test_a_signal_that_comes_through(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each sign of a lost signal is needed, up to its bound."""
    assert asked(signal_lost, blind(**inside), facts()) is not None
    assert asked(signal_lost, blind(**outside), facts()) is None


def test_shallow_networks_lose_no_signal() -> None:
    """With one hidden layer there is no way on which it could be lost."""
    shallow = telemetry(
        [sample(0, gradient=0.005), *samples((100, 199), output_range=0.1)], steps=BLIND_STEPS
    )
    assert asked(signal_lost, shallow, facts()) is None


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_layers_that_are_flat_from_the_start_are_saturated(activation: str) -> None:
    """Weights far too large flatten sigmoid and tanh units: neither gradients nor signals have another cause then."""
    for flat, is_saturated in ((0.51, True), (0.5, False)):
        huge = telemetry([sample(0, depth=2, loss=EXPLODED_LOSS * CHANCE * 1.01, flat=flat)])
        assert (asked(exploding_grad, huge, facts(activation=activation)) is None) is is_saturated
        gone = deep(gradient=1e-9, flat=flat)
        assert (asked(vanishing_grad, gone, facts(activation=activation)) is None) is is_saturated


def test_a_network_that_has_learned_may_underflow() -> None:
    """If nothing is left to learn, gradients end below every bound, and that is no fault."""
    for factor, spared in ((0.99, True), (1.01, False)):
        looks = samples(range(SAMPLES), gradient=SMALLEST_NORMAL / 2, loss=2.3 * LEARNED_SHARE * factor)
        measured = telemetry([sample(0), *looks])
        assert (asked(float_underflow, measured, facts(rate=1.0)) is None) is spared
