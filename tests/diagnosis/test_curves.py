"""What the epochs show, on both sides of every threshold."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.curves import (
    ANSWERED,
    BETTER,
    CHANCE_SHARE,
    CHECKS,
    FLAT_EPOCHS,
    FLAT_SHARE,
    NARROW,
    SHIFT,
    SHIFT_PROBES,
    UNDERFIT_SHARE,
    WIDE_GAP,
    WORSE,
    WORSE_FLOOR,
    costs_answers,
    overfit,
    plateau,
    train_eval_shift,
    val_misaligned,
)
from hpsearch.diagnosis.signal import chance_deviation
from hpsearch.telemetry import DataFacts, Epoch, Telemetry
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


def course(ends: Sequence[Epoch], **changes: Any) -> Telemetry:
    """Return telemetry of these epochs, of 15 steps each, whose samples are as `changes` say."""
    return telemetry(samples(range(0, 15 * len(ends), 5), **changes), epochs=ends)


def answering(known: float, *accuracies: float) -> Telemetry:
    """Return telemetry that knows so much beyond chance of training, and whose validation had these accuracies.

    Validation's loss is that of a network that is sure of wrong answers.
    """
    ends = [
        epoch(number, validation=2 * CHANCE, accuracy=accuracy) for number, accuracy in enumerate(accuracies)
    ]
    return course(ends, accuracy=0.1 + known)


def test_validation_at_chance_beside_training_that_answers() -> None:
    """Training knows much and validation nothing from the first check on: its labels are not its own."""
    finding = found(val_misaligned, answering(ANSWERED + 0.01, 0.1, 0.11), facts())
    assert (finding.cause, finding.first_step) == (Cause.VAL_MISALIGNED, 0)
    assert finding.evidence == {
        "known_share": pytest.approx(ANSWERED + 0.01),
        "validation_loss": 2 * CHANCE,
        "validation_accuracy": 0.11,
    }
    assert asked(val_misaligned, answering(ANSWERED - 0.01, 0.1, 0.11), facts()) is None


def test_validation_above_chance_is_aligned() -> None:
    """The mean of the checks counts, since one of many is above chance by luck."""
    bound = 0.1 + chance_deviation(0.1, CLASSES.validation_examples)
    assert asked(val_misaligned, answering(0.8, bound - 0.001), facts()) is not None
    assert asked(val_misaligned, answering(0.8, bound + 0.001), facts()) is None
    assert asked(val_misaligned, answering(0.8, 0.1, 0.1, bound + 0.01), facts()) is not None


def test_validation_that_costs_less_than_chance_is_aligned() -> None:
    """Of 30 examples 18 may be right by luck, but not at a loss far below chance's."""
    few = facts(data=replace(CLASSES, class_shares=(1 / 3,) * 3, validation_examples=30))

    def answered(loss: float) -> Telemetry:
        ends = [epoch(i, validation=2 * CHANCE if i == 0 else loss, accuracy=0.4) for i in range(20)]
        return course(ends, accuracy=1.0)

    assert asked(val_misaligned, answered(CHANCE_SHARE * math.log(3) * 1.01), few) is not None
    assert asked(val_misaligned, answered(CHANCE_SHARE * math.log(3) * 0.99), few) is None


def test_a_few_validation_examples_exclude_nothing() -> None:
    """Of 42 examples half may be right by luck and by merit alike: their upper end must exclude most of the lead."""
    for examples, finds in ((42, False), (400, True)):
        known = facts(data=replace(CLASSES, class_shares=(0.5, 0.5), validation_examples=examples))
        ends = [epoch(i, validation=2 * CHANCE, accuracy=0.55) for i in range(20)]
        assert (asked(val_misaligned, course(ends, accuracy=0.98), known) is not None) is finds


def test_examples_learned_one_by_one_are_no_misalignment() -> None:
    """If both losses are alike as training's falls a fifth below chance's, what it learns later is by heart."""
    for gap, finds in ((WIDE_GAP * 0.99, False), (WIDE_GAP * 1.01, True)):
        first = epoch(0, training=0.7 * CHANCE, validation=(0.7 + gap) * CHANCE, accuracy=0.1)
        later = [epoch(i, training=0.1, validation=2 * CHANCE, accuracy=0.1) for i in range(1, 9)]
        measured = course([first, *later], accuracy=0.9)
        assert (asked(val_misaligned, measured, facts()) is not None) is finds
        assert (asked(overfit, measured, facts()) is None) is finds


def test_alignment_shows_in_epochs_and_samples() -> None:
    """Without an epoch, or without a sample, nothing is known of it."""
    assert asked(val_misaligned, telemetry(samples((0, 5), accuracy=0.9)), facts()) is None
    assert asked(val_misaligned, telemetry([], epochs=[epoch(0, accuracy=0.1)]), facts()) is None


def test_numbers_are_aligned_where_validation_explains_them() -> None:
    """In regression the losses say it: training explains three tenths, validation never a tenth of the variance."""
    known = facts(data=NUMBERS)

    def numbers(training: float, *validation: float) -> Telemetry:
        return course(
            [epoch(i, training=training, validation=loss, accuracy=None) for i, loss in enumerate(validation)]
        )

    finding = found(val_misaligned, numbers(0.99 - ANSWERED, 1.5, CHANCE_SHARE, 2.0), known)
    assert finding.evidence == {"known_share": pytest.approx(ANSWERED + 0.01), "validation_loss": 2.0}
    assert asked(val_misaligned, numbers(1.01 - ANSWERED, 1.5, CHANCE_SHARE, 2.0), known) is None
    assert asked(val_misaligned, numbers(0.1, 1.5, CHANCE_SHARE * 0.99, 2.0), known) is None
    assert found(val_misaligned, numbers(0.1, 2.0, math.inf), known).evidence.keys() == {"known_share"}


def test_targets_that_are_all_the_same_say_nothing_of_alignment() -> None:
    """If chance's loss is 0 nothing is to be known, and nothing raises."""
    equal = replace(NUMBERS, target_low=1.0, target_high=1.0, target_variance=0.0)
    ends = [epoch(0, training=0.0, validation=0.1, accuracy=None)]
    assert asked(val_misaligned, course(ends), facts(data=equal)) is None


def worsening(
    *,
    best: float = 1.0,
    factor: float = 1.01,
    training: float = BETTER * 0.99,
    checks: int = CHECKS,
    chance: float = CHANCE,
    accuracy: float = 0.9,
) -> Telemetry:
    """Return telemetry whose second epoch is the best, and whose last ones are above the bound by `factor`."""
    level = max(WORSE * best, best + WORSE_FLOOR * chance) * factor
    ends = [
        epoch(0, training=1.0, validation=best + 1, accuracy=accuracy),
        epoch(1, training=1.0, validation=best, accuracy=accuracy),
        *(epoch(2 + i, training=training, validation=level, accuracy=accuracy * 0.9) for i in range(checks)),
    ]
    return course(ends)


@pytest.mark.parametrize("best", [1.0, 0.01])
def test_validation_that_worsens_while_training_improves(best: float) -> None:
    """Three checks above the best by 15 %, or by a floor near 0, are overfitting from the epoch behind the best."""
    finding = found(overfit, worsening(best=best), facts(steps=300))
    assert (finding.cause, finding.first_step) == (Cause.OVERFIT, 30)
    assert finding.evidence["best_validation_loss"] == best
    assert finding.suggested == {"training.epochs": 2}
    assert finding.remedy.startswith("Stop after epoch 2,")
    assert asked(overfit, worsening(best=best, factor=0.99), facts()) is None


def test_an_overfit_must_last_and_training_improve() -> None:
    """Two checks are too few, and a training loss that is no better than at the best epoch shows another fault."""
    assert asked(overfit, worsening(checks=CHECKS - 1), facts()) is None
    assert asked(overfit, worsening(training=BETTER * 1.01), facts()) is None
    assert asked(overfit, telemetry([]), facts()) is None
    ends = [*worsening(checks=CHECKS + 1).epochs]
    ends[-2] = replace(ends[-2], validation_loss=1.0)
    assert asked(overfit, course(ends), facts()) is None, "one of the three is as good as the best"


def test_an_infinite_validation_loss_is_no_evidence() -> None:
    """A loss that is worse than all numbers is worse, and the evidence finite; NaN says nothing."""
    ends = list(worsening().epochs)
    infinite = [*ends[:2], *(replace(end, validation_loss=math.inf) for end in ends[2:])]
    assert "validation_loss" not in found(overfit, course(infinite), facts()).evidence
    unknown = [replace(end, validation_loss=math.nan) for end in ends]
    assert asked(overfit, course(unknown), facts()) is None


def flat(
    *, before: float = 1.0, now: float = 1.0, count: int = 2 * FLAT_EPOCHS, validation: float = 1.0
) -> Telemetry:
    """Return telemetry of `count` epochs whose training loss was `before` and is `now`, the last four times."""
    losses = [before] * (count - FLAT_EPOCHS) + [now] * FLAT_EPOCHS
    return course([epoch(i, training=loss, validation=validation) for i, loss in enumerate(losses)])


@pytest.mark.parametrize(
    ("width", "data", "finds"),
    [
        (NARROW - 1, CLASSES, True),
        (4, CLASSES, True),
        (5, CLASSES, False),
        (NARROW - 1, NUMBERS, True),
        (NARROW, NUMBERS, False),
    ],
)
def test_a_layer_too_narrow_for_its_task(width: int, data: DataFacts, finds: bool) -> None:  # noqa: FBT001 a column
    """A flat loss at a high level is a plateau behind fewer than four units, or fewer than half the classes."""
    finding = asked(plateau, flat(), facts(hidden=(64, width), data=data))
    assert (finding is not None) is finds
    assert finding is None or (finding.cause, finding.first_step) == (Cause.PLATEAU, 0)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"now": 1 - FLAT_SHARE * 0.99}, {"now": 1 - FLAT_SHARE * 1.01}),
        ({"now": 1 + FLAT_SHARE * 0.99}, {"now": 1 + FLAT_SHARE * 1.01}),
        ({"count": 2 * FLAT_EPOCHS}, {"count": 2 * FLAT_EPOCHS - 1}),
        (
            dict.fromkeys(("before", "now"), CHANCE * UNDERFIT_SHARE * 1.01) | {"validation": 0.5},
            dict.fromkeys(("before", "now"), CHANCE * UNDERFIT_SHARE * 0.99) | {"validation": 0.5},
        ),
        ({"validation": 1.99}, {"validation": 2.0}),
        ({}, {"validation": math.nan}),
        ({}, {"now": math.nan}),
    ],
)
def test_a_loss_that_is_no_plateau(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    """Each sign of a plateau is needed, up to its bound."""
    known = facts(hidden=(2,))
    assert asked(plateau, flat(**inside), known) is not None
    assert asked(plateau, flat(**outside), known) is None


def test_a_plateau_begins_with_the_epochs_that_are_compared() -> None:
    """The last eight epochs are compared, four with four."""
    finding = found(plateau, flat(count=2 * FLAT_EPOCHS + 3), facts(hidden=(2,), steps=300))
    assert finding.first_step == 45
    assert finding.evidence == {
        "training_loss": 1.0,
        "earlier_loss": 1.0,
        "chance_loss": pytest.approx(CHANCE),
    }


def shifted(shift: float, *, count: int = SHIFT_PROBES, steps: int = 50) -> Telemetry:
    """Return telemetry whose last probes cost `shift` times as much in evaluation mode: 1.0 after the step."""
    looks = samples(range(steps - count, steps), loss=1.5, gain=0.5, promise=1.0, evaluation_loss=shift)
    return telemetry([sample(0), *looks])


@pytest.mark.parametrize(("dropout", "suggested"), [(0.0, {}), (0.3, {"model.dropout": 0.0})])
def test_evaluation_that_costs_more_than_training(dropout: float, suggested: dict[str, float]) -> None:
    """The same minibatch costs half as much again in evaluation mode, in the last two probes."""
    known = facts(batch_norm=True, dropout=dropout)
    finding = found(train_eval_shift, shifted(SHIFT), known)
    assert (finding.cause, finding.first_step) == (Cause.TRAIN_EVAL_SHIFT, 0)
    assert finding.evidence == {"evaluation_over_training": SHIFT}
    assert finding.suggested == suggested


def test_evaluation_that_costs_about_the_same() -> None:
    """Below the bound, without normalization, with one probe or early there is no shift."""
    known = facts(batch_norm=True)
    assert asked(train_eval_shift, shifted(SHIFT * 0.99), known) is None
    assert asked(train_eval_shift, shifted(SHIFT * 9), facts(dropout=0.5)) is None
    assert asked(train_eval_shift, shifted(SHIFT, count=SHIFT_PROBES - 1), known) is None
    assert asked(train_eval_shift, shifted(SHIFT, steps=49), known) is None
    settled = telemetry([*shifted(SHIFT * 9).samples, *shifted(1.0, count=1, steps=60).samples[1:]])
    assert asked(train_eval_shift, settled, known) is None
    assert found(train_eval_shift, shifted(math.inf), known).evidence == {}
    learned = samples((50, 51), loss=0.5, gain=0.5, promise=1.0, evaluation_loss=1.0)
    assert asked(train_eval_shift, telemetry(learned), known) is None, "a loss of 0 after the step"


@pytest.mark.parametrize(("metric", "costs"), [("auto", False), ("validation_loss", True)])
def test_a_loss_that_rises_alone_costs_no_answers(metric: Any, costs: bool) -> None:  # noqa: FBT001 a column
    """If answers stay as good, only a study that minimizes a loss would have kept the earlier epoch."""
    ends = [replace(end, validation_accuracy=0.9) for end in worsening().epochs]
    known = replace(facts(), metric=metric)
    finding = found(overfit, course(ends), known)
    assert costs_answers(course(ends), known) is costs
    assert ("answers stay as good" in finding.remedy) is not costs
    assert costs_answers(worsening(), known), "a tenth fewer right answers is more than one standard error"


@pytest.mark.parametrize(("lost", "costs"), [(3, False), (4, True)])
def test_few_lost_answers_are_chance(lost: int, costs: bool) -> None:  # noqa: FBT001 a column
    """Of 30 examples three lost answers are two standard errors, but the best of many epochs is high by chance."""
    known = facts()
    known = replace(known, data=replace(known.data, validation_examples=30))
    accuracies = [27 / 30] * 6 + [(27 - lost) / 30] * CHECKS
    ends = [epoch(i, training=0.5, validation=1.0, accuracy=each) for i, each in enumerate(accuracies)]
    assert costs_answers(course(ends), known) is costs


def test_a_loss_that_jumps_must_rise_further() -> None:
    """A rise within the usual changes from epoch to epoch is noise."""
    for jump, finds in ((0.05, True), (0.5, False)):
        calm = [epoch(i, training=1.0, validation=1.0 + jump * (i % 2), accuracy=0.9) for i in range(8)]
        high = [epoch(8 + i, training=0.5, validation=1.3, accuracy=0.5) for i in range(CHECKS)]
        assert (asked(overfit, course([*calm, *high]), facts()) is not None) is finds


def test_a_first_pass_that_validation_does_not_share() -> None:
    """At the end of two epochs nothing is learned by heart: validation's far higher loss has another cause."""
    for count, steps, finds in ((2, 30, True), (3, 45, False), (2, 31, False)):
        ends = [epoch(i, training=0.5, validation=2.0) for i in range(count)]
        measured = course(ends)
        known = facts(batch_norm=True, steps=20 * 15)
        known = replace(
            known,
            configuration=replace(
                known.configuration, training=replace(known.configuration.training, epochs=1)
            ),
            steps_per_epoch=steps,
        )
        measured = replace(measured, steps=30)
        assert (asked(train_eval_shift, measured, known) is not None) is (finds and steps == 30)
