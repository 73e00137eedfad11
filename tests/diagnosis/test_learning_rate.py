"""Steps that are too small or too large, on both sides of every threshold."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.learning_rate import (
    ABOVE_CHANCE,
    FALL_MARGIN,
    FAR_SHARE,
    HOPELESS,
    JUMPING_EPOCHS,
    JUMPING_LEAST_EPOCHS,
    JUMPING_TRAINING,
    JUMPING_VALIDATION,
    LEAST_GAIN,
    LEAST_OVERSHOT_STEPS,
    LEAST_SEEN,
    LEAST_STEPS,
    MOST_SILENT_SHARE,
    NEARLY_OVER,
    OVERSHOT_GAIN,
    OVERSHOT_LEARNED,
    OVERSHOT_PROBES,
    PROMISE_FACTOR,
    PROMISED_SHARE,
    ROUNDED_GAIN,
    SAMPLES,
    SETTLING_PROBES,
    SHORT_TRAVEL,
    SHORTEST_TRAVEL,
    STRAIGHT_COSINE,
    STRAIGHT_GAIN,
    lr_too_high,
    lr_too_low,
    still_converging,
)
from hpsearch.diagnosis.progress import HIGHEST_FACTOR
from hpsearch.diagnosis.verdicts import SURE
from hpsearch.telemetry import Epoch, Telemetry
from hpsearch.verdicts import Cause
from tests.diagnosis.written import (
    CHANCE,
    CLASSES,
    NUMBERS,
    asked,
    epoch,
    facts,
    found,
    sample,
    samples,
    telemetry,
)

STEPS = 300
ENOUGH = PROMISED_SHARE * 2.3 / STEPS
"""What each of `STEPS` steps must promise to lower a loss of 2.3 by a tenth."""


def slow(*, now: float = 2.3, steps: int = LEAST_STEPS, count: int = SAMPLES, **changes: Any) -> Telemetry:
    """Return telemetry of a loss that is `now` where it was 2.3, seen in the first step and `count` - 1 of the last."""
    values = {"promise": ENOUGH / 2} | changes
    looks = samples(range(steps - count + 1, steps), **{"loss": now} | values)
    return telemetry([sample(0, promise=values["promise"]), *looks])


def test_steps_that_promise_less_than_a_tenth() -> None:
    """A trial whose steps promise less than a tenth of the loss is too slow, with a rate that would do."""
    finding = found(lr_too_low, slow(promise=ENOUGH * 0.99, gain=1.0), facts(rate=1e-5))
    assert (finding.cause, finding.first_step) == (Cause.LR_TOO_LOW, 0)
    assert finding.evidence == {
        "promised_share": pytest.approx(PROMISED_SHARE * 0.99),
        "fallen_share": 0.0,
        "gain": 1.0,
        "steps": STEPS,
    }
    higher = 1e-5 * PROMISE_FACTOR / (PROMISED_SHARE * 0.99)
    assert finding.suggested == {"learning_rate": pytest.approx(higher)}
    assert finding.remedy == f"Raise the learning rate from 1e-05 to about {higher:.2g}."
    assert asked(lr_too_low, slow(promise=ENOUGH * 1.01), facts(rate=1e-5)) is None


@pytest.mark.parametrize(("gain", "factor"), [(0.95, 10.0), (ROUNDED_GAIN * 0.999, 24.0)])
def test_a_rate_is_raised_to_the_best_step_at_most(gain: float, factor: float) -> None:
    """If probes tell rho from 1, the rate stays within 1 / (2 (1 - rho)) times its own."""
    finding = found(lr_too_low, slow(promise=ENOUGH * 0.99, gain=gain), facts(rate=1e-5))
    assert finding.suggested == {"learning_rate": pytest.approx(1e-5 * factor, rel=0.02)}


@pytest.mark.parametrize("promise", [0.0, ENOUGH / 1e6])
def test_a_rate_is_raised_within_bounds(promise: float) -> None:
    """Steps that promise nothing, or next to nothing, say that the rate is too low and not by how much."""
    finding = found(lr_too_low, slow(promise=promise), facts(rate=1e-5))
    assert finding.suggested == {"learning_rate": pytest.approx(1e-5 * HIGHEST_FACTOR)}
    assert "gain" not in finding.evidence, "no probe was seen"


@pytest.mark.parametrize("promise", [-1e-6, math.nan, math.inf])
def test_steps_that_promise_no_fall_are_not_too_small(promise: float) -> None:
    """What leads uphill, or is not known, is no matter of length."""
    assert asked(lr_too_low, slow(promise=promise), facts()) is None


def test_a_growing_promise_is_no_slow_one() -> None:
    """On the way off a plateau each step promises more: the growth is continued to the end, and the trial spared."""
    looks = [sample(step, promise=ENOUGH / 4 * 1.01**step) for step in range(0, 60, 5)]
    assert asked(lr_too_low, telemetry(looks), facts()) is None
    shrinking = [sample(step, promise=ENOUGH / 4 * 0.99**step) for step in range(0, 60, 5)]
    assert asked(lr_too_low, telemetry(shrinking), facts()) is not None


def test_promises_of_single_examples_must_agree() -> None:
    """If promises differ as those of minibatches of one do, the upper end of their mean counts, and of their slope."""
    few = [sample(step, promise=ENOUGH / 4 * (0.2, 1.8)[step % 2]) for step in range(0, 60, 5)]
    assert asked(lr_too_low, telemetry(few), facts()) is None
    many = [sample(step, promise=ENOUGH / 4 * (0.2, 1.8)[step % 2]) for step in range(250)]
    assert asked(lr_too_low, telemetry(many), facts()) is not None


def test_steps_that_move_nothing_are_too_small() -> None:
    """Whatever noisy steps promise, a trial whose steps add up to less than a tenth of the weights is too slow."""
    length = SHORTEST_TRAVEL * 8.0 / STEPS
    layers: dict[str, Any] = {"promise": ENOUGH * 10, "weights": 8.0}
    looks = [sample(step, travelled=length * 0.99, update=0.0, **layers) for step in range(0, 60, 5)]
    assert asked(lr_too_low, telemetry(looks), facts()) is not None
    looks = [sample(step, travelled=length * 1.01, update=0.0, **layers) for step in range(0, 60, 5)]
    assert asked(lr_too_low, telemetry(looks), facts()) is None


HARDLY_MOVES = SHORTEST_TRAVEL * 0.9 / STEPS
"""The length of steps, as a share of the weights, that move no layer by a tenth in the whole trial."""


def hopeless(
    *, steps: int = int(LEAST_SEEN * STEPS), length: float = HARDLY_MOVES, **changes: Any
) -> Telemetry:
    """Return telemetry of a trial whose steps have one such length, and promise half of what is enough."""
    moves = {"promise": ENOUGH / 2, "weights": 8.0, "travelled": 8.0 * length, "update": 4.0 * length}
    return telemetry([sample(step, **moves | changes) for step in range(steps)])


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({}, {"steps": int(LEAST_SEEN * STEPS) - 1}),
        ({"promise": ENOUGH * 0.9}, {"length": HARDLY_MOVES * 1.2}),
        ({}, {"travelled": math.nan}),
    ],
)
def test_only_hopeless_trials_are_stopped(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """A slow trial is stopped if a fifth of it has passed and its steps cannot add up to anything."""
    assert found(lr_too_low, hopeless(**inside), facts()).confidence == HOPELESS >= SURE
    assert found(lr_too_low, hopeless(**outside), facts()).confidence < SURE


def test_a_promise_above_the_bound_must_be_refuted_by_the_fall() -> None:
    """Wide networks learn while they hardly move: a large promise stops no trial unless the loss stays where it is."""
    moves: dict[str, Any] = {
        "travelled": 8.0 * HARDLY_MOVES,
        "update": 4.0 * HARDLY_MOVES,
        "promise": ENOUGH * 10,
    }
    for fall, stops in ((0.8, True), (1.2, False)):
        fallen = fall * LEAST_SEEN * PROMISED_SHARE / FALL_MARGIN
        looks = samples(range(1, int(LEAST_SEEN * STEPS)), loss=2.3 * (1 - fallen), **moves)
        finding = found(lr_too_low, telemetry([sample(0, **moves), *looks]), facts())
        assert (finding.confidence >= SURE) is stops


def test_the_way_down_to_chance_is_no_gain() -> None:
    """A loss above chance's must be on its way to a tenth below that, unless validation is near it already."""
    first = 1.5 * CHANCE
    moves: dict[str, Any] = {
        "travelled": 8.0 * HARDLY_MOVES,
        "update": 4.0 * HARDLY_MOVES,
        "promise": ENOUGH * 10,
    }
    for share, stops in ((0.9, True), (1.1, False)):
        fallen = share * LEAST_SEEN * (first - (1 - PROMISED_SHARE) * CHANCE) / FALL_MARGIN
        looks = samples(range(1, int(LEAST_SEEN * STEPS)), loss=first - fallen, **moves)
        seen = telemetry([sample(0, loss=first, **moves), *looks])
        assert (found(lr_too_low, seen, facts()).confidence >= SURE) is stops
        ends = [epoch(0, training=first, validation=0.99 * ABOVE_CHANCE * CHANCE, accuracy=0.1)]
        near = replace(seen, epochs=ends)
        assert found(lr_too_low, near, facts()).confidence < SURE


@pytest.mark.parametrize(("output", "stops"), [("identity", True), ("tanh", False), ("sigmoid", False)])
def test_saturated_outputs_are_not_hopeless(output: str, *, stops: bool) -> None:
    """A bounded output whose loss begins above chance's lies on a flat part, and may leave it late."""
    known = facts(data=NUMBERS, output=output)
    assert (found(lr_too_low, hopeless(), known).confidence >= SURE) is stops


def test_steps_that_grow_are_not_hopeless() -> None:
    """On the way off a plateau steps grow, however little they promise yet."""
    length: dict[str, Any] = {"weights": 8.0, "travelled": 8.0 * HARDLY_MOVES, "update": 4.0 * HARDLY_MOVES}
    for growth, stops in ((0.99, True), (1.01, False)):
        looks = [sample(step, promise=ENOUGH / 1e4 * growth**step, **length) for step in range(60)]
        finding = found(lr_too_low, telemetry(looks), facts())
        assert (finding.confidence >= SURE) is stops


def test_a_network_ahead_of_chance_is_not_slow() -> None:
    """A loss that began below four fifths of chance's, or answers that are nearly all right, are no slow start."""
    lucky = telemetry([sample(step, loss=0.79 * CHANCE, promise=0.0) for step in range(0, 60, 5)])
    assert asked(lr_too_low, lucky, facts()) is None
    right = telemetry([sample(step, promise=0.0, accuracy=0.83) for step in range(0, 60, 5)])
    assert asked(lr_too_low, right, facts()) is None
    wrong = telemetry([sample(step, promise=0.0, accuracy=0.81) for step in range(0, 60, 5)])
    assert asked(lr_too_low, wrong, facts()) is not None


def test_a_loss_that_has_fallen_is_not_slow() -> None:
    """A tenth of the loss already gone refutes the promise."""
    assert asked(lr_too_low, slow(now=2.3 * (1 - PROMISED_SHARE * 0.99)), facts()) is not None
    assert asked(lr_too_low, slow(now=2.3 * (1 - PROMISED_SHARE * 1.01)), facts()) is None


def test_probes_must_agree_that_steps_are_small() -> None:
    """Steps whose probes fall short of their promise are not too small."""
    assert asked(lr_too_low, slow(gain=LEAST_GAIN), facts()) is not None
    assert asked(lr_too_low, slow(gain=LEAST_GAIN * 0.99), facts()) is None


def test_the_dead_are_not_slow() -> None:
    """A layer of which most is silent promises nothing for another reason."""
    assert asked(lr_too_low, slow(dead=MOST_SILENT_SHARE), facts()) is not None
    assert asked(lr_too_low, slow(dead=MOST_SILENT_SHARE * 1.01), facts()) is None


@pytest.mark.parametrize(("total", "needed"), [(STEPS, LEAST_STEPS), (40, 20)])
def test_slowness_takes_time_to_see(total: int, needed: int) -> None:
    """25 steps are asked for, or half of a trial that is shorter, and five samples."""
    known = facts(steps=total)
    assert asked(lr_too_low, slow(promise=0.0, steps=needed), known) is not None
    assert asked(lr_too_low, slow(promise=0.0, steps=needed - 1), known) is None
    assert asked(lr_too_low, slow(promise=0.0, steps=needed, count=SAMPLES - 1), known) is None
    assert asked(lr_too_low, telemetry([], steps=needed), known) is None


def test_a_longer_trial_would_arrive() -> None:
    """The promise is one of the whole trial."""
    assert asked(lr_too_low, slow(), facts(steps=STEPS * 3)) is None


def straight(*, steps: int = int(NEARLY_OVER * STEPS), count: int = SAMPLES, **changes: Any) -> Telemetry:
    """Return telemetry of a trial that is nearly over, in steps whose probes and cosines say that they are short."""
    look = {"loss": 2.0, "gain": 0.999, "gradient_cosine": 0.9} | changes
    return telemetry([sample(0), *samples(range(steps - count + 1, steps), **look)])


@pytest.mark.parametrize(("gain", "factor"), [(0.975, 20.0), (0.951, 10.204), (0.99, 50.0), (0.9999, 100.0)])
def test_a_straight_course_to_the_end(gain: float, factor: float) -> None:
    """A loss that still falls in a straight line at the end wants longer steps: ten to a hundred times."""
    finding = found(still_converging, straight(gain=gain), facts(rate=1e-4))
    assert (finding.cause, finding.first_step) == (Cause.LR_TOO_LOW, 0)
    assert finding.confidence < 0.9, "it learns, so it is not to be stopped"
    assert finding.evidence == {"gain": pytest.approx(gain), "gradient_cosine": 0.9, "loss": 2.0}
    higher = 1e-4 * factor
    assert finding.suggested == {"learning_rate": pytest.approx(higher, rel=1e-3)}
    assert f"from 0.0001 to about {higher:.2g}, or train longer" in finding.remedy


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"gain": STRAIGHT_GAIN * 1.01}, {"gain": STRAIGHT_GAIN * 0.99}),
        ({"gain": 1.0}, {"gain": math.nan}),
        ({"gradient_cosine": STRAIGHT_COSINE * 1.01}, {"gradient_cosine": STRAIGHT_COSINE}),
        ({"gradient_cosine": 1.0}, {"gradient_cosine": math.nan}),
        ({"loss": 2.3 * FAR_SHARE * 1.01}, {"loss": 2.3 * FAR_SHARE * 0.99}),
        ({"steps": int(NEARLY_OVER * STEPS)}, {"steps": int(NEARLY_OVER * STEPS) - 1}),
        ({"count": SAMPLES}, {"count": SAMPLES - 1}),
    ],
)
def test_a_course_that_is_not_straight(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each of the signs of short steps is needed, up to its bound."""
    assert asked(still_converging, straight(**inside), facts(steps=STEPS)) is not None
    assert asked(still_converging, straight(**outside), facts(steps=STEPS)) is None


JUMPING = (2.0, 2.1, 2.0, 2.1)
ONE_ERROR = 0.00801
"""The standard error of nine tenths less this share, on the 1,500 validation examples of `CLASSES`."""


def overshooting(
    *,
    losses: Sequence[float] = JUMPING,
    steps: int = LEAST_OVERSHOT_STEPS,
    count: int = SETTLING_PROBES + OVERSHOT_PROBES,
    lost: float = 0.05,
    **changes: Any,
) -> Telemetry:
    """Return telemetry whose last `count` samples are probes that overshot, and whose training loss jumps about.

    From epoch to epoch a share `lost` of the answers becomes wrong.
    """
    look = {"loss": 2.0, "gain": 0.0} | changes
    ends: list[Epoch] = [
        epoch(number, training=loss, validation=loss, accuracy=0.9 - lost * number)
        for number, loss in enumerate(losses)
    ]
    return telemetry([sample(0), *samples(range(steps - count, steps), **look)], epochs=ends)


def test_steps_that_overshoot() -> None:
    """Most probes past the best step and a high loss that jumps about want a smaller rate."""
    finding = found(lr_too_high, overshooting(gain=-9.0), facts(rate=0.5))
    assert finding.cause is Cause.LR_TOO_HIGH
    assert finding.confidence < 0.9, "at the edge of stability networks learn on"
    assert finding.first_step == LEAST_OVERSHOT_STEPS - OVERSHOT_PROBES, "the first probes settle"
    assert finding.evidence == {"gain": pytest.approx(-9.0), "loss": 2.0, "learning_rate": 0.5}
    assert finding.suggested == {"learning_rate": pytest.approx(0.025)}
    assert "from 0.5 to 0.025: the steps overshoot" in finding.remedy


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"gain": OVERSHOT_GAIN * 0.99}, {"gain": OVERSHOT_GAIN * 1.01}),
        ({"count": SETTLING_PROBES + OVERSHOT_PROBES}, {"count": SETTLING_PROBES + OVERSHOT_PROBES - 1}),
        ({"steps": LEAST_OVERSHOT_STEPS}, {"steps": LEAST_OVERSHOT_STEPS - 1}),
        ({"gain": 0.0}, {"gain": math.nan}),
        ({"losses": JUMPING}, {"losses": JUMPING[:JUMPING_EPOCHS]}),
        ({"losses": (2.0, 2.1, 2.0, 1.9)}, {"losses": (2.0, 2.1, 2.0, 1.9, 1.8)}),
        ({"losses": JUMPING}, {"losses": (2.0,) * 9}),
        ({"lost": ONE_ERROR * 1.01}, {"lost": ONE_ERROR * 0.99}),
    ],
)
def test_steps_that_do_not_overshoot(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each of the signs of long steps is needed, up to its bound."""
    assert asked(lr_too_high, overshooting(**inside), facts()) is not None
    assert asked(lr_too_high, overshooting(**outside), facts()) is None


def test_a_low_loss_may_jump() -> None:
    """Below a quarter of chance's loss overshooting is no fault."""
    for factor, spared in ((0.99, True), (1.01, False)):
        losses = [loss / JUMPING[-1] * 2.3 * OVERSHOT_LEARNED * factor for loss in JUMPING]
        measured = overshooting(losses=losses, loss=losses[-1])
        assert (asked(lr_too_high, measured, facts()) is None) is spared


def jumping(
    *,
    level: float = 0.6,
    training: float = JUMPING_TRAINING * 1.01,
    validation: float = JUMPING_VALIDATION * 1.01,
    count: int = JUMPING_LEAST_EPOCHS,
    rises: bool = False,
) -> Telemetry:
    """Return telemetry of sound steps whose losses go up and down by these shares of what was learned; or up."""

    def height(i: int) -> int:
        return i if rises else (i + 1) % 2

    ends = [
        epoch(
            i,
            training=CHANCE * (level + training * (1 - level) * height(i)),
            validation=CHANCE * (level + validation * (1 - level) * height(i)),
        )
        for i in range(count)
    ]
    looks = samples(range(LEAST_OVERSHOT_STEPS - 9, LEAST_OVERSHOT_STEPS), loss=CHANCE * level, gain=0.7)
    return telemetry([sample(0), *looks], epochs=ends)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({}, {"training": JUMPING_TRAINING * 0.99}),
        ({}, {"validation": JUMPING_VALIDATION * 0.99}),
        ({}, {"count": JUMPING_LEAST_EPOCHS - 1}),
        ({}, {"rises": True}),
        ({"level": OVERSHOT_LEARNED * 1.01}, {"level": OVERSHOT_LEARNED * 0.99}),
    ],
)
def test_losses_that_jump_far_above_what_can_be_learned(
    inside: dict[str, Any], outside: dict[str, Any]
) -> None:
    """Both losses must go up and down by much and stay high, whatever the length of the steps that were probed."""
    assert found(lr_too_high, jumping(**inside), facts()).cause is Cause.LR_TOO_HIGH
    assert asked(lr_too_high, jumping(**outside), facts()) is None


def test_jumps_within_the_error_of_validation_are_noise() -> None:
    """A validation loss that changes by less than its standard error shows nothing, however little was learned."""
    few = replace(CLASSES, validation_examples=50)
    for level, finds in ((0.3, True), (0.6, False)):
        measured = jumping(level=level, validation=0.25)
        assert (asked(lr_too_high, measured, facts(data=few)) is not None) is finds
    assert asked(lr_too_high, jumping(level=0.6), facts()) is not None, "of 1,500 examples"


def test_a_trial_that_came_nowhere_is_too_slow() -> None:
    """Steps that moved no layer by a quarter of its length are too short, even if the loss stays at chance's."""
    for factor, finds in ((0.99, True), (1.01, False)):
        share = SHORT_TRAVEL * factor / STEPS
        looks = samples(
            range(STEPS - 9, STEPS),
            loss=2.25,
            gain=0.99,
            gradient_cosine=0.9,
            travelled=8.0 * share,
            update=4.0 * share,
            promise=0.01,
        )
        flat = [epoch(i, training=2.25, validation=2.25) for i in range(9)]
        measured = telemetry([sample(0), *looks], epochs=flat)
        assert (asked(still_converging, measured, facts(steps=STEPS)) is not None) is finds


def test_saturated_layers_are_not_slow() -> None:
    """Flat units pass no gradient, so short steps are their consequence."""
    for flat, finds in ((0.5, True), (0.51, False)):
        known = facts(activation="tanh", rate=1e-5)
        assert (asked(lr_too_low, slow(flat=flat), known) is not None) is finds
