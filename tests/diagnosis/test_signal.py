"""Data without a signal, or one that is lost, on both sides of every threshold."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.signal import (
    BETTER_EXCESS,
    BETTER_SHARE,
    CHANCE_DEVIATIONS,
    CONSTANT_SHARE,
    DECAY_RATIO,
    DECAYED_LEARNED,
    EARLY_ANSWERS,
    EARLY_PASSES,
    FAR_FROM_CHANCE,
    KNOWN_SHARE,
    LEAST_RANGE,
    LEAST_STEPS,
    MOST_COHERENCE,
    MOST_COSINE,
    MOST_SILENT_SHARE,
    NEAR_CHANCE,
    PREDICTIVE_SHARE,
    ROUNDED_ACCURACY,
    SAMPLES,
    SHRUNK_SHARE,
    SOUND_RATIO,
    TIMID_GAIN,
    UNBALANCED_SHARE,
    UNRELATED_FROM,
    UNRELATED_TO,
    chance_deviation,
    collapsed_output,
    labels_unrelated,
    wd_dominates,
)
from hpsearch.telemetry import Telemetry
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

NORM = sample(0).weight_norm
UNBALANCED = replace(CLASSES, class_shares=(UNBALANCED_SHARE, 1 - UNBALANCED_SHARE))


def test_chance_deviates_with_the_root_of_the_examples() -> None:
    """A share of a half among 100 examples has a standard deviation of 0.05, and one of 1 has none."""
    assert chance_deviation(0.5, 100) == pytest.approx(CHANCE_DEVIATIONS * 0.05)
    assert chance_deviation(1.0, 100) == 0


def shrinking(share: float, *, loss: float = 2.3) -> Telemetry:
    """Return telemetry of weights that have come down to that share of their first norm."""
    last = sample(100, loss=loss)
    layers = tuple(replace(layer, weight_norm=layer.weight_norm * share) for layer in last.layers)
    return telemetry([sample(0), *(replace(last, step=step, layers=layers) for step in (50, 75, 100))])


def test_weights_that_decay_has_shrunk() -> None:
    """Weights at less than a third of their first norm are decay's, and it should pull 500 times less than the data."""
    finding = found(wd_dominates, shrinking(SHRUNK_SHARE * 0.99), facts(weight_decay=0.5))
    assert (finding.cause, finding.first_step) == (Cause.WD_DOMINATES, 0)
    sound = SOUND_RATIO * sample(0).gradient_norm / NORM
    assert finding.suggested == {"weight_decay": pytest.approx(sound)}
    assert "from 0.5 to 0.00016" in finding.remedy
    assert finding.evidence["weight_norm_share"] == pytest.approx(SHRUNK_SHARE * 0.99)
    assert asked(wd_dominates, shrinking(SHRUNK_SHARE * 1.01), facts(weight_decay=0.5)) is None
    assert asked(wd_dominates, shrinking(SHRUNK_SHARE * 0.99), facts(weight_decay=0.0)) is None
    assert asked(wd_dominates, telemetry([]), facts(weight_decay=0.5)) is None


def test_weights_that_shrink_while_validation_answers() -> None:
    """On labels near chance the loss hardly falls: answers above chance show as well that weights still learn."""
    known = facts(weight_decay=0.1)
    for accuracy, finds in ((0.1, True), (0.12, False)):
        measured = replace(shrinking(0.3), epochs=[epoch(0, training=2.3, validation=2.3, accuracy=accuracy)])
        assert (asked(wd_dominates, measured, known) is not None) is finds


def test_decay_that_leaves_a_network_that_knows() -> None:
    """Weights may shrink in a network whose loss is a tenth of the first one."""
    for factor, spared in ((0.99, True), (1.01, False)):
        measured = shrinking(0.1, loss=2.3 * DECAYED_LEARNED * factor)
        assert (asked(wd_dominates, measured, facts(weight_decay=0.5)) is None) is spared


def test_weights_that_decay_throws_about() -> None:
    """A decay above twice the gradient whose first step is longer than the weights makes them explode."""
    gradient = sample(0).gradient_norm
    bound = DECAY_RATIO * gradient / NORM
    long = telemetry([sample(0, update=4.01)])
    assert (
        found(wd_dominates, long, facts(weight_decay=bound * 1.01)).evidence["first_decay_ratio"]
        > DECAY_RATIO
    )
    assert asked(wd_dominates, long, facts(weight_decay=bound * 0.99)) is None
    assert asked(wd_dominates, telemetry([sample(0, update=3.99)]), facts(weight_decay=bound * 9)) is None


def test_decay_beside_gradients_of_zero() -> None:
    """If there is no gradient, or no weight, ratios are not known and the evidence is still finite."""
    still = sample(0, gradient=0.0, output=0.0, update=9.0)
    assert (
        "first_decay_ratio" not in found(wd_dominates, telemetry([still]), facts(weight_decay=0.1)).evidence
    )
    nothing = replace(still, layers=tuple(replace(layer, weight_norm=0.0) for layer in still.layers))
    assert found(wd_dominates, telemetry([nothing]), facts(weight_decay=0.1)).evidence.keys() == {
        "weight_decay",
        "loss",
    }


def constant(*, steps: int = LEAST_STEPS, count: int = SAMPLES, **changes: Any) -> Telemetry:
    """Return telemetry whose last `count` samples answer with one class, and are right as often as it comes."""
    look = {"top_share": 1.0, "accuracy": 0.1} | changes
    return telemetry([sample(0), *samples(range(steps - count, steps), **look)])


def test_a_network_that_gives_one_answer() -> None:
    """Nearly all answers one class, and right as chance is: collapsed, since the first sample that was so."""
    finding = found(collapsed_output, constant(top_share=CONSTANT_SHARE), facts())
    assert (finding.cause, finding.first_step) == (Cause.COLLAPSED_OUTPUT, LEAST_STEPS - SAMPLES)
    assert finding.evidence == {"top_share": CONSTANT_SHARE, "majority_share": 0.1, "accuracy": 0.1}
    assert found(collapsed_output, constant(steps=400, count=100), facts()).first_step == 300


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"top_share": CONSTANT_SHARE}, {"top_share": CONSTANT_SHARE * 0.99}),
        ({"top_share": 1.0}, {"top_share": math.nan}),
        ({"steps": LEAST_STEPS}, {"steps": LEAST_STEPS - 1}),
        ({"dead": MOST_SILENT_SHARE}, {"dead": MOST_SILENT_SHARE * 1.01}),
        (
            {"accuracy": 0.099 + chance_deviation(0.1, SAMPLES * 100)},
            {"accuracy": 0.101 + chance_deviation(0.1, SAMPLES * 100)},
        ),
        ({"loss": 1.2}, {"loss": 1.1}),
    ],
)
def test_a_network_that_gives_several(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each sign of collapse is needed, up to its bound; a loss that has halved knows something."""
    assert asked(collapsed_output, constant(**inside), facts()) is not None
    assert asked(collapsed_output, constant(**outside), facts()) is None


def test_a_collapse_is_one_of_classes() -> None:
    """In regression there are no answers to count, and too few samples show none."""
    assert asked(collapsed_output, constant(), facts(data=NUMBERS)) is None
    few = telemetry(samples(range(LEAST_STEPS, LEAST_STEPS + SAMPLES - 1), top_share=1.0, accuracy=0.1))
    assert asked(collapsed_output, few, facts()) is None


def test_unbalanced_classes_collapse_however_low_the_loss() -> None:
    """If one class has nine tenths, a low loss proves nothing if validation knows no more than that class."""
    majority = UNBALANCED_SHARE
    low = constant(accuracy=majority, loss=0.01)
    bound = majority + chance_deviation(majority, CLASSES.validation_examples)
    for accuracy, collapses in ((bound - 0.001, True), (bound + 0.001, False), (None, False)):
        measured = replace(low, epochs=[epoch(0, training=0.01, accuracy=accuracy)])
        assert (asked(collapsed_output, measured, facts(data=UNBALANCED)) is not None) is collapses
    assert asked(collapsed_output, low, facts(data=UNBALANCED)) is None, "without an epoch"
    balanced = replace(CLASSES, class_shares=(majority - 0.01, 0.11 - 0.01))
    measured = replace(low, epochs=[epoch(0, training=0.01, accuracy=0.5)])
    assert asked(collapsed_output, measured, facts(data=balanced)) is None


def unrelated(
    *, begin: int = UNRELATED_FROM, end: int = UNRELATED_TO, steps: int = UNRELATED_TO + 1, **changes: Any
) -> Telemetry:
    """Return telemetry of sound steps, from `begin` to `end`, from whose minibatches nothing carries over."""
    look = {
        "loss": CHANCE,
        "gain": 0.5,
        "gradient_cosine": 0.0,
        "coherence": 1.0,
        "accuracy": 0.1,
    } | changes
    return telemetry([sample(0), *samples(range(begin, end + 1, 25), **look)], steps=steps)


def test_labels_that_inputs_do_not_tell() -> None:
    """Sound steps at chance's loss, gradients that turn at random: the labels belong to other examples."""
    finding = found(labels_unrelated, unrelated(), facts())
    assert (finding.cause, finding.first_step) == (Cause.LABELS_UNRELATED, 0)
    assert finding.evidence == {
        "accuracy": 0.1,
        "loss": CHANCE,
        "coherence": 1.0,
        "gradient_cosine": 0.0,
        "gain": pytest.approx(0.5),
    }
    numbers = found(labels_unrelated, unrelated(loss=1.0, accuracy=math.nan), facts(data=NUMBERS))
    assert "accuracy" not in numbers.evidence


def test_early_answers_that_exceed_chance_are_no_knowledge_by_heart() -> None:
    """Labels predict if training answers in its first ten passes; tiny tables, or later passes, prove nothing."""
    answers = 0.1 + 0.9 * EARLY_ANSWERS
    soon, late = (facts(steps=20 * passes) for passes in (UNRELATED_FROM, UNRELATED_FROM // EARLY_PASSES))
    for accuracy, finds in ((answers * 0.99, True), (answers * 1.01, False)):
        assert (asked(labels_unrelated, unrelated(accuracy=accuracy), soon) is not None) is finds
        assert asked(labels_unrelated, unrelated(accuracy=accuracy), late) is not None
    for examples, finds in ((70, True), (80, False)):
        table = facts(steps=20 * UNRELATED_FROM, data=replace(CLASSES, examples=examples))
        assert (asked(labels_unrelated, unrelated(accuracy=answers * 1.01), table) is not None) is finds


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"loss": CHANCE * NEAR_CHANCE * 1.01}, {"loss": CHANCE * NEAR_CHANCE * 0.99}),
        ({"loss": CHANCE * FAR_FROM_CHANCE * 0.99}, {"loss": CHANCE * FAR_FROM_CHANCE * 1.01}),
        ({"gradient_cosine": MOST_COSINE * 0.99}, {"gradient_cosine": MOST_COSINE}),
        ({"gradient_cosine": -MOST_COSINE * 0.99}, {"gradient_cosine": -MOST_COSINE}),
        ({"coherence": MOST_COHERENCE * 0.99}, {"coherence": MOST_COHERENCE}),
        ({"gain": TIMID_GAIN * 0.99}, {"gain": TIMID_GAIN * 1.01}),
        ({"gain": 0.01}, {"gain": -0.01}),
        ({"output_range": LEAST_RANGE}, {"output_range": LEAST_RANGE * 0.99}),
        ({}, {"gain": math.nan}),
        ({}, {"coherence": math.nan}),
        ({}, {"gradient_cosine": math.nan}),
        ({"steps": LEAST_STEPS}, {"steps": LEAST_STEPS - 1}),
        ({"dead": MOST_SILENT_SHARE}, {"dead": MOST_SILENT_SHARE * 1.01}),
        ({"end": UNRELATED_FROM}, {"begin": UNRELATED_FROM - 25, "end": UNRELATED_FROM - 1}),
        ({"begin": UNRELATED_TO}, {"begin": UNRELATED_TO + 1, "end": UNRELATED_TO + 100}),
    ],
)
def test_labels_that_inputs_tell(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each sign of unrelated labels is needed, up to its bound, in the steps 75 to 300."""
    assert asked(labels_unrelated, unrelated(**inside), facts()) is not None
    assert asked(labels_unrelated, unrelated(**outside), facts()) is None


def test_a_trial_without_samples_says_nothing_of_labels() -> None:
    """Steps that nobody looked at are no evidence."""
    assert asked(labels_unrelated, telemetry([], steps=LEAST_STEPS), facts()) is None


def test_labels_learned_later_are_related() -> None:
    """What a trial has learned by its end was to be learned."""
    late = telemetry([*unrelated().samples, *samples((500, 525, 550), loss=1.0)])
    assert asked(labels_unrelated, late, facts()) is None


def test_noisy_labels_are_not_shuffled_ones() -> None:
    """Validation above chance, and not far above training, shows labels that are right more often than not."""
    trained = 0.2
    lowest = 0.1 + chance_deviation(0.1, CLASSES.validation_examples)
    highest = 0.1 + BETTER_EXCESS * (trained - 0.1) + ROUNDED_ACCURACY
    for accuracy, is_noise in (
        (lowest - 0.001, False),
        (lowest + 0.001, True),
        (highest - 0.001, True),
        (highest + 0.001, False),
    ):
        last = epoch(0, training=2.2, validation=2.2, accuracy=accuracy)
        measured = replace(unrelated(accuracy=trained), epochs=[last])
        assert (asked(labels_unrelated, measured, facts()) is None) is is_noise, accuracy


def test_labels_of_a_slow_start_are_not_shuffled() -> None:
    """A network that is near chance until step 300 and answers well in training and validation at last has a signal."""
    early = unrelated()
    late = [replace(early.samples[-1], step=400 + 25 * i, accuracy=0.75) for i in range(5)]
    slow = replace(
        early, samples=[*early.samples, *late], epochs=[epoch(0, training=1.7, accuracy=0.79)], steps=900
    )
    assert asked(labels_unrelated, slow, facts()) is None


def test_noisy_numbers_are_not_shuffled_ones() -> None:
    """In regression validation's loss says so: below chance's, and not far below training's."""
    for training, validation, is_noise in (
        (0.9, KNOWN_SHARE * 0.99, True),
        (0.9, KNOWN_SHARE * 1.01, False),
        (0.9, BETTER_SHARE * 0.9 * 1.01, True),
        (0.9, BETTER_SHARE * 0.9 * 0.99, False),
    ):
        last = epoch(0, training=training, validation=validation, accuracy=None)
        measured = replace(unrelated(loss=1.0, accuracy=math.nan), epochs=[last])
        assert (asked(labels_unrelated, measured, facts(data=NUMBERS)) is None) is is_noise, validation


def test_inputs_that_once_predicted_are_related() -> None:
    """If both losses were clearly below chance's in an epoch, what came later has another cause."""
    for factor, related in ((0.99, True), (1.01, False)):
        best = epoch(0, training=CHANCE * PREDICTIVE_SHARE * factor, validation=CHANCE * 0.5, accuracy=0.1)
        last = epoch(1, training=CHANCE, validation=CHANCE, accuracy=0.1)
        measured = replace(unrelated(), epochs=[best, last])
        assert (asked(labels_unrelated, measured, facts()) is None) is related


def test_saturated_layers_prove_nothing_of_the_labels() -> None:
    """Flat units hide the inputs from the output."""
    for flat, proves in ((0.5, True), (0.51, False)):
        measured = unrelated(flat=flat)
        assert (asked(labels_unrelated, measured, facts(activation="tanh")) is not None) is proves
