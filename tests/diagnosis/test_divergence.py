"""Numbers that are not finite, or are on their way there, on both sides of every threshold."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.divergence import (
    BURST_LOSS,
    BURST_WEIGHTS,
    HUGE_LOGIT,
    HUGE_LOSS,
    SAMPLES_ABOVE,
    SAMPLES_STAYING,
    diverged,
    ends_above_start,
    exploding,
    log_zero,
)
from hpsearch.diagnosis.verdicts import SURE
from hpsearch.telemetry import NonFinite, Telemetry
from hpsearch.verdicts import Cause
from tests.diagnosis.written import CHANCE, NUMBERS, asked, epoch, facts, found, sample, samples, telemetry

LAST = range(5, 5 + 5 * SAMPLES_ABOVE, 5)
"""The steps of as many samples as must be above a bound."""

NORMALIZED: list[dict[str, Any]] = [{"activation": "leaky_relu"}, {"batch_norm": True}]
"""Networks that come back from what ends others."""


def broken(array: str, step: int = 60) -> Telemetry:
    """Return telemetry that ends with the first number that is not finite."""
    return telemetry(samples((0, 5, 50)), nonfinite=NonFinite(step=step, array=array))


@pytest.mark.parametrize(
    ("loss", "output", "own"),
    [
        ("cross_entropy", "sigmoid", "softmax"),
        ("cross_entropy", "identity", "softmax"),
        ("binary_cross_entropy", "softmax", "sigmoid"),
    ],
)
def test_a_plain_logarithm_of_zero(loss: str, output: str, own: str) -> None:
    """Only the loss is not finite, behind an output that is not its own: the remedy is its own output."""
    known = facts(loss=loss, output=output)
    finding = found(log_zero, broken("loss"), known)
    assert (finding.cause, finding.confidence, finding.first_step) == (Cause.LOG_ZERO, 1.0, 60)
    assert finding.evidence == {"step": 60, "last_loss": 2.3, "last_logit_max": 3.0}
    assert f'model.output = "{own}"' in finding.remedy
    assert finding.suggested == {"model.output": "auto"}
    assert asked(diverged, broken("loss"), known) is None, "the learning rate did not do it"


def test_evidence_of_a_logarithm_is_finite() -> None:
    """A logit that is infinite, or a trial without samples, leaves less evidence and still a finding."""
    known = facts(output="sigmoid")
    first = NonFinite(step=0, array="loss")
    assert found(log_zero, telemetry([], nonfinite=first), known).evidence == {"step": 0}
    infinite = telemetry([sample(0, logit=math.inf)], nonfinite=NonFinite(step=1, array="loss"))
    assert found(log_zero, infinite, known).evidence == {"step": 1, "last_loss": 2.3}


@pytest.mark.parametrize("array", ["weights", "activations", "logits", "gradients"])
def test_what_breaks_before_the_loss_is_no_logarithm(array: str) -> None:
    """If another array broke first the loss is not to blame."""
    known = facts(output="sigmoid")
    assert asked(log_zero, broken(array), known) is None
    assert found(diverged, broken(array), known).cause is Cause.DIVERGED_LR


@pytest.mark.parametrize(
    "model",
    [{}, {"output": "softmax"}, {"loss": "mse", "output": "sigmoid"}, {"loss": "binary_cross_entropy"}],
)
def test_a_stable_loss_takes_no_plain_logarithm(model: dict[str, Any]) -> None:
    """A loss with its own output, and squared error, are not finite by divergence alone."""
    assert asked(log_zero, broken("loss"), facts(**model)) is None
    assert asked(log_zero, telemetry(samples((0, 5))), facts(**model)) is None
    assert found(diverged, broken("loss"), facts(**model)).cause is Cause.DIVERGED_LR


@pytest.mark.parametrize("array", ["weights", "activations", "logits", "loss", "gradients"])
def test_numbers_that_are_not_finite(array: str) -> None:
    """The first NaN or infinity names its step, what was seen before, and a lower rate."""
    finding = found(diverged, broken(array), facts(rate=3.0))
    assert (finding.cause, finding.confidence, finding.first_step) == (Cause.DIVERGED_LR, 1.0, 60)
    assert finding.evidence == {"step": 60, "learning_rate": 3.0, "last_loss": 2.3, "last_logit_max": 3.0}
    assert finding.suggested == {"learning_rate": pytest.approx(0.3)}
    assert "from 3 to 0.3, or normalize with model.batch_norm = true." in finding.remedy


def test_a_normalized_network_is_not_told_to_normalize() -> None:
    """A remedy does not advise what the trial has."""
    for rule, measured in ((diverged, broken("loss")),):
        assert "batch_norm" not in found(rule, measured, facts(batch_norm=True)).remedy


def test_a_first_pass_that_overflows() -> None:
    """Before the first update only inputs and initial weights can be at fault."""
    finding = found(diverged, broken("activations", step=0), facts())
    assert (finding.cause, finding.confidence, finding.first_step) == (Cause.EXPLODING, 1.0, 0)
    assert finding.suggested == {"data.scale": "standard", "model.initializer": "he"}
    assert found(diverged, broken("activations", step=1), facts()).cause is Cause.DIVERGED_LR


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite(loss: float) -> None:
    """The last update of an epoch can break the weights; the step is the one behind the first such epoch."""
    ends = [epoch(0), *(epoch(number, validation=loss) for number in (1, 2))]
    for count in (2, 3):
        measured = telemetry(samples(range(0, 15 * count, 5)), epochs=ends[:count], steps=15 * count)
        finding = found(diverged, measured, facts(steps=300))
        assert (finding.cause, finding.first_step, finding.evidence["step"]) == (Cause.DIVERGED_LR, 30, 30)
    back = telemetry(samples((0, 50)), epochs=[*ends, epoch(3)])
    assert asked(diverged, back, facts()) is None, "finite again"


@pytest.mark.parametrize("first", [0.5, 1.0, 30.0])
def test_a_loss_that_rose_a_thousandfold(first: float) -> None:
    """Samples in a row above a thousand times the first loss, or 1 where that is larger, are divergence."""
    limit = HUGE_LOSS * max(first, 1.0)
    high = telemetry([sample(0, loss=first), *samples(LAST, loss=limit * 1.01)])
    finding = found(diverged, high, facts())
    assert (finding.cause, finding.first_step) == (Cause.DIVERGED_LR, LAST[0])
    assert finding.evidence["limit"] == limit
    at = telemetry([sample(0, loss=first), *samples(LAST, loss=limit)])
    assert asked(diverged, at, facts()) is None


def test_a_huge_loss_must_stay() -> None:
    """One sample above the bound is an accident, and so is one that is followed by another below it."""
    high = sample(5, loss=HUGE_LOSS * 9)
    assert asked(diverged, telemetry([sample(0), high]), facts()) is None
    assert asked(diverged, telemetry([sample(0), high, sample(10, loss=900.0)]), facts()) is None
    assert asked(diverged, telemetry([high]), facts()) is None


@pytest.mark.parametrize("model", NORMALIZED)
def test_networks_that_come_back_are_waited_for(model: dict[str, Any]) -> None:
    """A few high samples of LeakyReLU and normalized networks are no divergence; a number that is not finite is."""
    high = telemetry([sample(0), *samples(LAST, loss=1e9, logit=1e9, weights=1e9)])
    assert asked(diverged, high, facts(**model)) is None
    assert asked(exploding, high, facts(**model)) is None
    assert found(diverged, broken("loss"), facts(**model)).cause is Cause.DIVERGED_LR


@pytest.mark.parametrize("model", NORMALIZED)
def test_networks_that_do_not_come_back_are_told(model: dict[str, Any]) -> None:
    """Ten samples and an epoch's end above the bound are divergence, too unsure to stop a trial for."""
    steps = range(5, 5 * (SAMPLES_STAYING + 1), 5)
    limit = HUGE_LOSS * sample(0).loss
    high, shorter = (
        telemetry([sample(0), *samples(chosen, loss=1e9)], epochs=[epoch(0, validation=limit * 1.01)])
        for chosen in (steps, steps[1:])
    )
    finding = found(diverged, high, facts(**model))
    assert (finding.cause, finding.first_step) == (Cause.DIVERGED_LR, 5)
    assert finding.confidence < SURE
    for came_back in (
        replace(high, epochs=()),
        replace(high, epochs=[epoch(0, validation=limit)]),
        replace(shorter, samples=shorter.samples[1:]),
        replace(high, samples=[*high.samples, sample(steps[-1] + 5, loss=limit)]),
    ):
        assert asked(diverged, came_back, facts(**model)) is None


def test_losses_that_are_nan_are_divergence_with_finite_evidence() -> None:
    """Samples without a loss diverged; a first one without makes no later one diverge."""
    missing = telemetry(samples((0, 5), loss=math.nan))
    assert found(diverged, missing, facts()).cause is Cause.DIVERGED_LR
    later = telemetry([sample(0, loss=math.nan), *samples(LAST, loss=2.3)])
    assert asked(diverged, later, facts()) is None


def test_huge_logits_announce_divergence() -> None:
    """Logits of a classifier above the bound in all of the last samples explode; one below it, and they do not."""
    high = telemetry([sample(0), *samples(LAST, logit=HUGE_LOGIT * 1.01)])
    finding = found(exploding, high, facts(rate=0.5))
    assert (finding.cause, finding.first_step) == (Cause.EXPLODING, LAST[0])
    assert finding.evidence == {"logit_max": HUGE_LOGIT * 1.01, "loss": 2.3, "learning_rate": 0.5}
    assert finding.suggested == {"learning_rate": pytest.approx(0.05)}
    assert asked(exploding, telemetry([sample(0), *samples(LAST, logit=HUGE_LOGIT)]), facts()) is None
    assert asked(exploding, telemetry([*high.samples, sample(99)]), facts()) is None
    assert asked(exploding, telemetry(high.samples[-1:]), facts()) is None


def test_the_outputs_of_a_regression_may_be_huge() -> None:
    """Targets may be larger than any logit."""
    high = telemetry([sample(0), *samples(LAST, logit=HUGE_LOGIT * 9)])
    assert asked(exploding, high, facts(data=NUMBERS)) is None


def test_infinite_logits_leave_finite_evidence() -> None:
    """What is not finite is no evidence of an explosion, but it is one."""
    high = telemetry([sample(0), *samples(LAST, logit=math.inf, loss=math.nan)])
    assert found(exploding, high, facts()).evidence == {"learning_rate": 0.1}


@pytest.mark.parametrize(("first", "bound"), [(1.0, CHANCE), (5.0, 5.0)])
def test_weights_that_burst_with_the_loss(first: float, bound: float) -> None:
    """Weights ten times their first norm explode where the loss is thirty times chance's and the first one."""
    start = sample(0, loss=first)
    weights = BURST_WEIGHTS * start.weight_norm

    def burst(loss: float, weight: float) -> Telemetry:
        return telemetry([start, *samples(LAST, loss=bound * BURST_LOSS * loss, weights=weights * weight)])

    assert found(exploding, burst(1.01, 1.01), facts()).first_step == LAST[0]
    assert asked(exploding, burst(0.99, 1.01), facts()) is None
    assert asked(exploding, burst(1.01, 0.99), facts()) is None


def test_outputs_that_are_huge_at_the_first_step_do_not_blame_the_learning_rate() -> None:
    """Before the first update only inputs and initial weights can be at fault."""
    finding = found(exploding, telemetry([sample(i, logit=2 * HUGE_LOGIT) for i in range(3)]), facts())
    assert (finding.cause, finding.first_step) == (Cause.EXPLODING, 0)
    assert "learning_rate" not in finding.suggested
    later = telemetry([sample(0), *(sample(5 + i, logit=2 * HUGE_LOGIT) for i in range(3))])
    assert "learning_rate" in found(exploding, later, facts()).suggested


def test_a_bound_beyond_all_numbers_is_no_evidence() -> None:
    """A first loss near the end of float64 makes the bound infinite; what is above it is not a number."""
    lost = telemetry([sample(0, loss=1e307), *(sample(5 + i, loss=math.nan) for i in range(3))])
    assert found(diverged, lost, facts()).evidence.keys() >= {"learning_rate"}
    assert "limit" not in found(diverged, lost, facts()).evidence


def test_losses_that_end_above_their_start() -> None:
    """Two epochs with both losses at twice chance's and the first: the steps threw it there."""
    level = 2 * max(2.3, CHANCE)
    for factor, finds in ((1.01, True), (0.99, False)):
        ends = [epoch(i, training=level * factor, validation=level * 1.01) for i in range(2)]
        finding = asked(ends_above_start, telemetry(samples((0, 5)), epochs=ends), facts())
        assert (finding is not None) is finds
        assert finding is None or (finding.cause is Cause.EXPLODING and finding.confidence < 0.9)
    low = [epoch(i, training=0.1, validation=9 * level) for i in range(2)]
    assert asked(ends_above_start, telemetry(samples((0, 5)), epochs=low), facts()) is None, "it overfits"
    assert asked(ends_above_start, telemetry(samples((0, 5)), epochs=ends[:1]), facts()) is None
