"""Units that stop firing, or sit where the activation is flat, on both sides of every threshold."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.dead_units import (
    FEWEST_EXAMPLES,
    FLAT_LEARNED,
    FLAT_SHARE,
    HALF_LEARNED,
    LEAST_EXAMPLES,
    LOST_SHARE,
    NOTHING_LEARNED,
    OVERSHOT_GAIN,
    PARTIAL_LEARNED,
    PARTIAL_RISE,
    PARTIAL_SHARE,
    SATURATED_LEARNED,
    SATURATED_SAMPLES,
    SATURATED_SHARE,
    SETTLING_STEPS,
    SILENT_SHARE,
    STEPS_IN_A_ROW,
    WHOLE_SHARE,
    ZERO_GRADIENTS_IN_A_ROW,
    born_dead,
    dead_nearly,
    dead_partial,
    dead_total,
    negative_plateau,
    saturated,
)
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import Rule
from hpsearch.study.spec import Configuration, Initializer
from hpsearch.telemetry import Sample, Telemetry
from hpsearch.verdicts import Cause
from tests.diagnosis.written import asked, facts, found, sample, samples, telemetry

ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "tanh", "sigmoid")
DEATHS: list[tuple[Rule, Cause, tuple[str, ...]]] = [
    (dead_total, Cause.DEAD_RELU_TOTAL, ("relu",)),
    (born_dead, Cause.BORN_DEAD, ("relu", "elu", "selu", "gelu", "silu")),
    (dead_nearly, Cause.DEAD_RELU_PARTIAL, ("relu",)),
    (negative_plateau, Cause.NEG_PLATEAU, ("elu", "selu", "gelu", "silu")),
]


def after_birth(count: int, **changes: Any) -> Telemetry:
    """Return telemetry of a network that lived in its first step, and `count` samples, three steps apart, later on."""
    return telemetry([sample(0), *samples(range(20, 20 + 3 * count, 3), **changes)])


def from_birth(count: int, **changes: Any) -> Telemetry:
    """Return telemetry of a network that was in its first step as it is now."""
    return telemetry(samples(range(count), **changes))


@pytest.mark.parametrize(("rule", "cause", "activations"), DEATHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deaths_belong_to_activations(
    rule: Rule, cause: Cause, activations: tuple[str, ...], activation: str
) -> None:
    """Each death is found for the activations that die it, and for no other."""
    begin = from_birth if rule is born_dead else after_birth
    finding = asked(rule, begin(2 * STEPS_IN_A_ROW, dead=1.0), facts(activation=activation))
    assert (finding is not None) is (activation in activations)
    assert finding is None or finding.cause is cause


@pytest.mark.parametrize(("rule", "cause", "activations"), DEATHS)
@pytest.mark.parametrize(("dead_layer", "is_death"), [(0, True), (1, False)])
def test_a_silent_layer_with_a_skip_is_no_death(
    rule: Rule,
    cause: Cause,
    activations: tuple[str, ...],
    dead_layer: int,
    is_death: bool,  # noqa: FBT001 - a parametrized case
) -> None:
    """A layer that a skip leads around may fall silent: the network dies where one without a skip does."""
    living, dead = (sample(0, dead=share, depth=1).layers[0] for share in (0.0, 1.0))

    def look(step: int, *, silent: bool) -> Sample:
        hidden = [dead if silent and place == dead_layer else living for place in range(2)]
        plain = sample(step, depth=2)
        return replace(plain, layers=(*hidden, plain.layers[-1]))

    steps = range(0, 6 * STEPS_IN_A_ROW + 1, 3)
    measured = telemetry([look(step, silent=step > 0 or rule is born_dead) for step in steps])
    known = facts(hidden=(50, 50), skip_connections=True, activation=activations[0])
    finding = asked(rule, measured, known)
    assert (finding is not None and finding.cause is cause) is is_death
    plain = asked(rule, measured, replace(known, configuration=_without_skips(known)))
    assert plain is not None


def _without_skips(known: TrialFacts) -> Configuration:
    model = replace(known.configuration.model, skip_connections=False)
    return replace(known.configuration, model=model)


@pytest.mark.parametrize(("rule", "cause", "activations"), DEATHS)
def test_the_dead_are_not_those_that_have_learned(
    rule: Rule, cause: Cause, activations: tuple[str, ...]
) -> None:
    """Silence at a loss that has halved is success, of whatever kind of death it would be."""
    dead = samples(range(1, 30), dead=1.0, gradient=0.0, loss=1.0)
    first = sample(0, dead=1.0 if rule is born_dead else 0.0)
    for activation in activations:
        assert asked(rule, telemetry([first, *dead]), facts(activation=activation)) is None


@pytest.mark.parametrize(("rule", "cause", "activations"), DEATHS)
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_samples_are_no_death(
    rule: Rule, cause: Cause, activations: tuple[str, ...], count: int
) -> None:
    """Nobody is declared dead before there is enough to see."""
    for activation in activations:
        assert asked(rule, from_birth(count, dead=1.0, gradient=0.0), facts(activation=activation)) is None


@pytest.mark.parametrize(("rule", "cause", "activations"), DEATHS)
def test_a_network_without_hidden_layers_cannot_die(
    rule: Rule, cause: Cause, activations: tuple[str, ...]
) -> None:
    """An output layer alone has no units to fall silent, whatever its gradient is."""
    for activation in activations:
        known = facts(activation=activation, hidden=())
        assert asked(rule, from_birth(30, depth=0, output=0.0), known) is None


def test_the_whole_layer_must_be_silent() -> None:
    """Nearly all units silent in the last of ten steps above the share of silence is total death."""
    finding = found(dead_total, after_birth(STEPS_IN_A_ROW, dead=WHOLE_SHARE), facts(rate=0.5))
    assert (finding.first_step, finding.confidence) == (20, 0.95)
    assert finding.evidence == {
        "dead_share": WHOLE_SHARE,
        "samples": STEPS_IN_A_ROW,
        "gradient_norm_first_layer": 0.5,
        "loss": 2.3,
        "learning_rate": 0.5,
    }
    assert finding.suggested == {"learning_rate": pytest.approx(0.05)}
    assert "from 0.5 to 0.05" in finding.remedy
    assert asked(dead_total, after_birth(STEPS_IN_A_ROW, dead=WHOLE_SHARE * 0.99), facts()) is None
    assert asked(dead_total, after_birth(STEPS_IN_A_ROW - 1, dead=WHOLE_SHARE), facts()) is None


def test_silence_must_last() -> None:
    """One sample below the share of silence among the ten, and the layer lives."""
    for dead, dies in ((SILENT_SHARE, True), (SILENT_SHARE * 0.99, False)):
        looks = [sample(0), sample(20, dead=dead), *samples(range(21, 20 + STEPS_IN_A_ROW), dead=1.0)]
        assert (asked(dead_total, telemetry(looks), facts()) is not None) is dies


@pytest.mark.parametrize(("rule", "activation"), [(dead_total, "relu"), (negative_plateau, "selu")])
def test_death_began_with_the_silence(rule: Rule, activation: str) -> None:
    """A trial that runs on when it has died is told the step of its death, however late it is looked at."""
    assert found(rule, after_birth(200, dead=1.0), facts(activation=activation)).first_step == 20


def test_zero_gradients_are_certain_death() -> None:
    """The first layer's gradient exactly 0 in three samples is total death, far from the share of silence."""
    zeros = after_birth(ZERO_GRADIENTS_IN_A_ROW, dead=0.5, gradient=0.0)
    finding = found(dead_total, zeros, facts())
    assert (finding.first_step, finding.confidence) == (20, 1.0)
    tiny = after_birth(ZERO_GRADIENTS_IN_A_ROW, dead=0.5, gradient=1e-45)
    assert asked(dead_total, tiny, facts()) is None
    assert asked(dead_total, telemetry(zeros.samples[:-1]), facts()) is None
    assert asked(negative_plateau, zeros, facts(activation="elu")) is None, "its units fade and do not stop"


@pytest.mark.parametrize("batch_size", [10, 50, 100, 500])
def test_small_minibatches_need_more_silence(batch_size: int) -> None:
    """A silent unit is told from a rare one on 1,000 examples, and in ten steps at least."""
    needed = max(STEPS_IN_A_ROW, math.ceil(LEAST_EXAMPLES / batch_size))
    known = facts(batch_size=batch_size)
    sizes = {"examples": batch_size, "batch_examples": batch_size, "dead": 1.0}
    assert asked(dead_total, after_birth(needed, **sizes), known) is not None
    assert asked(dead_total, after_birth(needed - 1, **sizes), known) is None


def test_a_sample_of_many_examples_needs_no_more() -> None:
    """Ten samples are enough if each shows a fixed large part of the examples in place of a small minibatch."""
    known = facts(batch_size=1)
    sizes = {"examples": 256, "batch_examples": 1, "dead": 1.0}
    assert asked(dead_total, after_birth(STEPS_IN_A_ROW, **sizes), known) is not None
    assert asked(dead_total, after_birth(STEPS_IN_A_ROW - 1, **sizes), known) is None


def test_the_gradient_of_a_few_examples_proves_no_death() -> None:
    """An input of 0 has a gradient of 0: only a minibatch of 100, or a layer that is silent for all, proves death."""
    few = {"gradient": 0.0, "examples": 256, "batch_examples": 1}
    for steps in (range(3), range(100, 103)):
        looks = [*samples([0] if steps[0] else []), *samples(steps, **few)]
        for rule in (dead_total, born_dead):
            assert asked(rule, telemetry(looks), facts(batch_size=1)) is None
    silent = samples(range(3), dead=1.0, **few)
    assert asked(born_dead, telemetry(silent), facts(batch_size=1)) is not None


def test_most_of_a_layer_silent_for_long_is_nearly_dead() -> None:
    """A layer above the share of silence for twice as long is lost, though some units fire."""
    finding = found(dead_nearly, after_birth(2 * STEPS_IN_A_ROW, dead=SILENT_SHARE), facts())
    assert (finding.cause, finding.first_step) == (Cause.DEAD_RELU_PARTIAL, 20)
    assert finding.suggested == {"learning_rate": pytest.approx(0.01)}
    assert asked(dead_nearly, after_birth(2 * STEPS_IN_A_ROW, dead=SILENT_SHARE * 0.99), facts()) is None
    assert asked(dead_nearly, after_birth(2 * STEPS_IN_A_ROW - 1, dead=SILENT_SHARE), facts()) is None
    soon = telemetry([sample(0), *samples(range(20, 20 + SETTLING_STEPS), dead=SILENT_SHARE)])
    assert asked(dead_nearly, soon, facts()) is None, "units may still be dying"


def test_a_few_units_that_learn_are_not_nearly_dead() -> None:
    """A loss a tenth below chance's shows that the rest of the layer is enough."""
    for factor, spared in ((0.99, True), (1.01, False)):
        loss = 2.3 * NOTHING_LEARNED * factor
        few = after_birth(2 * STEPS_IN_A_ROW, dead=SILENT_SHARE, loss=loss)
        assert (asked(dead_nearly, few, facts()) is None) is spared


@pytest.mark.parametrize(
    ("hidden", "suggested"),
    [
        ((2,) * 10, {"model.hidden": "[32,32]"}),
        ((64, 2, 64), {"model.hidden": "[64,32]"}),
        ((8, 8), {"model.batch_norm": True}),
    ],
)
def test_narrow_layers_are_made_wider(hidden: tuple[int, ...], suggested: dict[str, str]) -> None:
    """Better weights do not help where layers of a few units are dead at birth; fewer and wider layers do."""
    finding = found(born_dead, from_birth(STEPS_IN_A_ROW, dead=1.0), facts(hidden=hidden))
    assert finding.suggested == suggested


def test_the_negative_plateau_is_a_layer_above_the_share_of_silence() -> None:
    """An ELU layer is lost where ten steps in a row are above the share, and not if one is below it."""
    known = facts(activation="elu")
    finding = found(negative_plateau, after_birth(STEPS_IN_A_ROW, dead=SILENT_SHARE), known)
    assert (finding.first_step, finding.confidence) == (20, 0.95)
    assert asked(negative_plateau, after_birth(STEPS_IN_A_ROW, dead=SILENT_SHARE * 0.99), known) is None
    assert asked(negative_plateau, after_birth(STEPS_IN_A_ROW - 1, dead=SILENT_SHARE), known) is None


@pytest.mark.parametrize(
    "changes", [{"dead": SILENT_SHARE}, {"dead": 0.5, "gradient": 0.0}], ids=["silent", "zero"]
)
def test_silence_from_the_first_step_is_a_birth(changes: dict[str, float]) -> None:
    """A layer silent, or without a gradient, in the very first step was born so; the learning rate did not do it."""
    own = facts(initializer=Initializer(name="uniform", scale=0.1))
    finding = found(born_dead, from_birth(STEPS_IN_A_ROW, **changes), own)
    assert (finding.cause, finding.first_step) == (Cause.BORN_DEAD, 0)
    assert finding.suggested == {"model.initializer": "he"}
    for rule in (dead_total, dead_nearly):
        assert asked(rule, from_birth(2 * STEPS_IN_A_ROW, **changes), facts()) is None
    assert asked(born_dead, after_birth(STEPS_IN_A_ROW, **changes), facts()) is None


def test_a_birth_is_waited_for_as_a_death_is() -> None:
    """A network that starts silent may wake up: ten steps, or three gradients of 0, are asked for."""
    assert asked(born_dead, from_birth(STEPS_IN_A_ROW - 1, dead=1.0), facts()) is None
    zeros = from_birth(ZERO_GRADIENTS_IN_A_ROW, gradient=0.0)
    assert found(born_dead, zeros, facts()).confidence == 1.0
    assert asked(born_dead, telemetry(zeros.samples[:-1]), facts()) is None
    awake = telemetry([*samples(range(9), dead=1.0), sample(9)])
    assert asked(born_dead, awake, facts()) is None


def test_units_that_have_not_fired_for_long_are_partial_death() -> None:
    """A quarter of the units silent for a thousand examples is found, in the layer and with its step."""
    looks = [sample(0), sample(25), *samples((50, 75), dead=0.6, silent=PARTIAL_SHARE)]
    finding = found(dead_partial, telemetry(looks), facts(rate=0.5))
    assert (finding.cause, finding.first_step) == (Cause.DEAD_RELU_PARTIAL, 50)
    assert finding.evidence == {"layer": 0, "silent_share": PARTIAL_SHARE}
    assert finding.suggested == {"learning_rate": pytest.approx(0.05)}
    few = telemetry([sample(0), sample(25, dead=0.6, silent=PARTIAL_SHARE * 0.99)])
    assert asked(dead_partial, few, facts()) is None


@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
def test_partial_death_is_for_relu(activation: str) -> None:
    """Other activations have a gradient below 0."""
    lost = telemetry([sample(0), sample(25, dead=1.0, silent=1.0)])
    assert asked(dead_partial, lost, facts(activation=activation)) is None


def test_a_layer_that_was_born_sparse_has_not_died() -> None:
    """The share must have risen since the first step by more than the bound."""
    for born, dies in ((0.49 - PARTIAL_RISE, True), (0.51 - PARTIAL_RISE, False)):
        looks = [sample(0, dead=born), sample(25, dead=0.5, silent=0.5)]
        assert (asked(dead_partial, telemetry(looks), facts()) is not None) is dies


def test_long_steps_that_cost_a_third_of_the_units() -> None:
    """Away from chance, a loss above half of it counts if the steps overshoot, since good networks lose units too."""
    for loss, gain, lost, dies in (
        (HALF_LEARNED * 1.01, OVERSHOT_GAIN * 0.99, LOST_SHARE, True),
        (HALF_LEARNED * 0.99, OVERSHOT_GAIN * 0.99, LOST_SHARE, False),
        (HALF_LEARNED * 0.99, OVERSHOT_GAIN * 0.99, SILENT_SHARE, True),
        (PARTIAL_LEARNED * 0.99, OVERSHOT_GAIN * 0.99, SILENT_SHARE, False),
        (HALF_LEARNED * 1.01, OVERSHOT_GAIN * 1.01, SILENT_SHARE, False),
        (HALF_LEARNED * 1.01, OVERSHOT_GAIN * 0.99, LOST_SHARE * 0.99, False),
    ):
        looks = samples((25, 50, 75), loss=2.3 * loss, gain=gain, dead=lost, silent=lost)
        measured = telemetry([sample(0), *looks])
        assert (asked(dead_partial, measured, facts()) is not None) is dies, (loss, gain, lost)


def test_ten_samples_show_silence_too() -> None:
    """If units were not followed the least silent share of ten samples counts, if they show enough examples."""
    looks = [sample(0), *samples(range(25, 25 + STEPS_IN_A_ROW), dead=PARTIAL_SHARE)]
    fewest = math.ceil(FEWEST_EXAMPLES / STEPS_IN_A_ROW)
    for batch_size, dies in ((fewest, True), (fewest - 1, False)):
        known = facts(batch_size=batch_size)
        few = [replace(look, examples=batch_size, batch_examples=batch_size) for look in looks]
        assert (asked(dead_partial, telemetry(few), known) is not None) is dies
    assert asked(dead_partial, telemetry(looks[-STEPS_IN_A_ROW + 1 :]), facts()) is None
    awake = [*looks[:-1], sample(99, dead=PARTIAL_SHARE * 0.99)]
    assert asked(dead_partial, telemetry(awake), facts()) is None
    assert asked(dead_partial, telemetry([]), facts()) is None


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_units_that_were_driven_flat(activation: str) -> None:
    """Half of a layer flat in the last samples is saturation, since the step at which it became so."""
    flat = after_birth(SATURATED_SAMPLES + 2, flat=SATURATED_SHARE * 1.01)
    finding = found(saturated, flat, facts(activation=activation, rate=0.5))
    assert (finding.cause, finding.first_step) == (Cause.SATURATED, 20)
    assert finding.evidence == {"layer": 0, "saturated_share": SATURATED_SHARE * 1.01}
    assert finding.suggested == {"learning_rate": pytest.approx(0.05)}
    assert "from 0.5 to 0.05" in finding.remedy


def test_units_that_start_flat_are_to_be_drawn_anew() -> None:
    """Flat from the first step on is a matter of initial weights and inputs."""
    flat = from_birth(SATURATED_SAMPLES, flat=SATURATED_SHARE * 1.01)
    finding = found(saturated, flat, facts(activation="tanh"))
    assert finding.first_step == 0
    assert finding.suggested == {"model.initializer": "xavier"}


def test_saturation_is_silent_below_its_bounds() -> None:
    """At the share itself, in fewer samples, with other activations or without layers nothing is saturated."""
    flat = {"flat": SATURATED_SHARE * 1.01}
    known = facts(activation="tanh")
    assert asked(saturated, after_birth(SATURATED_SAMPLES, flat=SATURATED_SHARE), known) is None
    assert asked(saturated, from_birth(SATURATED_SAMPLES - 1, **flat), known) is None
    assert asked(saturated, after_birth(SATURATED_SAMPLES - 1, **flat), known) is None
    assert asked(saturated, from_birth(SATURATED_SAMPLES, depth=0), known) is None
    for activation in ("relu", "leaky_relu", "elu", "selu"):
        assert asked(saturated, from_birth(9, **flat), facts(activation=activation)) is None


def test_saturation_is_no_fault_where_much_is_learned() -> None:
    """Networks that learn well saturate too; a loss just above that share is still a fault."""
    for share, learned in ((FLAT_SHARE, FLAT_LEARNED), (FLAT_SHARE - 0.01, SATURATED_LEARNED)):
        for factor, spared in ((0.99, True), (1.01, False)):
            flat = samples(range(20, 25), flat=share, loss=2.3 * learned * factor)
            finding = asked(saturated, telemetry([sample(0), *flat]), facts(activation="tanh"))
            assert (finding is None) is spared


def test_dropout_is_not_death() -> None:
    """Units that dropout silences for whole minibatches say nothing about those that do not fire."""
    dead = after_birth(2 * STEPS_IN_A_ROW, dead=1.0)
    for rule in (dead_total, dead_nearly):
        assert asked(rule, dead, facts(dropout=0.9)) is not None
        assert asked(rule, dead, facts(dropout=0.99)) is None
    assert asked(born_dead, from_birth(STEPS_IN_A_ROW, dead=1.0), facts(dropout=0.99)) is None
