"""What labels rest on: the truth about units and losses that trained networks tell, and what follows from it."""

import numpy as np
import pytest

from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import Base, base_called
from tests.benchmarks.diagnosis.injections import configuration_of, data_of
from tests.benchmarks.diagnosis.labels import labels_of, standing_of
from tests.benchmarks.diagnosis.plans import Case, recipe_of
from tests.benchmarks.diagnosis.training import Outcome, train

RATE = 0.1


@pytest.fixture(scope="module")
def base() -> Base:
    """Return a base that is trained in a moment."""
    return base_called("iris/12/tanh-sgd-10")


@pytest.fixture(scope="module")
def relu() -> Base:
    """Return another one, with ReLU."""
    return base_called("wine/16/relu-sgd-10")


def made(base: Base, injection: str, severity: float, draws: int = 2) -> list[Outcome]:
    """Return what becomes of a base to which something was done."""
    data = data_of(base, injection, severity)
    cases = [Case(injection=injection, severity=severity, draw=draw) for draw in range(draws)]
    return train([recipe_of(base, case, RATE, data) for case in cases])


def named(base: Base, injection: str, severity: float) -> set[tuple[Cause, ...] | None]:
    """Return the labels of runs of `base` to which something was done."""
    standing = standing_of(base, made(base, "none", 0.0, 4))
    group = made(base, injection, severity)
    return {labels_of(injection, severity, outcome, group, standing) for outcome in group}


def test_untouched_runs_are_healthy(base: Base) -> None:
    """A base learns with every draw of its weights."""
    assert named(base, "none", 0.0) == {(Cause.HEALTHY,)}


@pytest.mark.parametrize(
    ("injection", "severity", "cause"),
    [
        ("learning_rate", 1e-6, Cause.LR_TOO_LOW),
        ("learning_rate", 0.5, Cause.HEALTHY),
        ("labels_shuffled", 1.0, Cause.LABELS_UNRELATED),
        ("validation_shuffled", 1.0, Cause.VAL_MISALIGNED),
        ("weight_decay", 3.0, Cause.WD_DOMINATES),
        ("normal_weights", 0.0, Cause.SYMMETRIC_INIT),
        ("whole_inputs", 1.004, Cause.INPUT_DEGENERATE),
    ],
)
def test_what_was_done_is_the_label(base: Base, injection: str, severity: float, cause: Cause) -> None:
    """One intervention that does harm is the label; one that does none leaves a healthy run."""
    assert named(base, injection, severity) == {(cause,)}


def test_dead_units_are_counted_in_the_last_parameters(relu: Base) -> None:
    """A rate far too high kills ReLUs, or ends in NaN: both are seen in the parameters, whatever the samples said."""
    standing = standing_of(relu, made(relu, "none", 0.0, 4))
    group = made(relu, "learning_rate", 300.0, 4)
    causes = {labels_of("learning_rate", 300.0, outcome, group, standing) for outcome in group}
    assert {cause[0] for cause in causes if cause} <= {
        Cause.DEAD_RELU_TOTAL,
        Cause.DIVERGED_LR,
        Cause.EXPLODING,
    }
    assert all(max(o.last.dead) == 1 for o in group if o.is_finite and o.top_share == 1)


def test_units_with_zero_weights_are_dead_at_the_start(relu: Base) -> None:
    """If all weights are 0 no unit is positive for any example."""
    assert made(relu, "normal_weights", 0.0)[0].first.dead == (1.0,)


def test_company_changes_nothing(base: Base) -> None:
    """A recipe that is trained beside others becomes what it becomes alone."""
    together = made(base, "none", 0.0, 3)
    alone = train([together[1].recipe])[0]
    assert repr(alone.telemetry) == repr(together[1].telemetry)


def test_what_a_double_fault_does_is_both(base: Base) -> None:
    """Both interventions of a double fault change what is trained."""
    name = "learning_rate+validation_shuffled"
    configuration = configuration_of(base, name, 1e-4, learning_rate=RATE)
    assert configuration.training.learning_rate == pytest.approx(1e-4 * RATE)
    assert not np.array_equal(data_of(base, name, 1e-4).validation.targets, base.examples.validation.targets)
    np.testing.assert_array_equal(data_of(base, name, 1e-4).training.targets, base.examples.training.targets)


def test_a_deep_tanh_network_with_large_weights_has_both_effects() -> None:
    """Its first gradient explodes and its units are flat; the effect that the injection is named for comes first."""
    base = base_called("tiny_blobs/8x4/tanh-momentum-8")
    both = (Cause.EXPLODING_GRAD, Cause.SATURATED)
    assert named(base, "large_weights", 16.0) - {None} == {both}
    assert named(base, "saturating_weights", 16.0) - {None} == {both[::-1], both[1:]}


def test_a_shallow_network_with_large_weights_has_the_effect_of_its_injection(base: Base) -> None:
    """One hidden layer multiplies no gradients."""
    assert named(base, "saturating_weights", 100.0) == {(Cause.SATURATED,)}
