"""What the study file and the data show by themselves, on both sides of every threshold."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.static_checks import (
    EQUAL_SCALE,
    HUGE_MEAN_SQUARE,
    LARGE_TARGETS,
    RARE_SHARE,
    SMALL_TARGETS,
    STATIC_RULES,
    StaticRule,
    dead_input_column,
    grad_reduction_sum,
    has_paired_output,
    input_degenerate,
    input_unscaled,
    missing_class,
    nonfinite_input,
    output_range,
    paired_output,
    static_findings,
    symmetric_init,
    targets_unscaled,
    validation_leak,
    wrong_loss_pair,
)
from hpsearch.study.spec import Initializer
from hpsearch.verdicts import Cause, Finding
from tests.diagnosis.written import CLASSES, NUMBERS, check_complete, facts


def certain(rule: StaticRule, known: TrialFacts) -> Finding:
    """Return what the rule finds, which must be complete, certain, of the first step and of the rule's name."""
    finding = rule(known)
    assert finding is not None
    check_complete(finding)
    assert (finding.confidence, finding.first_step) == (1.0, 0)
    assert finding.cause == rule.__name__
    return finding


def inputs(**changes: Any) -> TrialFacts:
    """Return facts whose inputs differ from the default in `changes`."""
    return facts(data=replace(CLASSES, **{f"input_{name}": value for name, value in changes.items()}))


def targets(low: float, high: float, output: str) -> TrialFacts:
    """Return the facts of a regression with such targets and output."""
    return facts(data=replace(NUMBERS, target_low=low, target_high=high), output=output)


def test_nothing_is_wrong_with_the_default() -> None:
    """A plain study on plain data has no finding before its first step."""
    assert static_findings(facts()) == []
    assert static_findings(facts(data=NUMBERS)) == []


@pytest.mark.parametrize("largest", [math.inf, math.nan])
def test_inputs_that_are_not_finite(largest: float) -> None:
    """An input that is NaN or infinite is found, and what is not finite is no evidence."""
    certain(nonfinite_input, inputs(largest=largest))
    assert nonfinite_input(inputs(largest=3e38)) is None


def test_inputs_that_overflow_when_squared() -> None:
    """Inputs whose mean square is infinite are large, with evidence that is finite."""
    certain(input_unscaled, inputs(mean_square=math.inf, largest=math.inf))


def test_large_inputs_are_to_be_scaled() -> None:
    """The mean square and not the largest input decides, above its bound and not at it."""
    finding = certain(input_unscaled, inputs(mean_square=HUGE_MEAN_SQUARE * 1.01, largest=9.0))
    assert finding.evidence == {"input_mean_square": HUGE_MEAN_SQUARE * 1.01, "input_largest": 9.0}
    assert finding.suggested == {"data.scale": "standard"}
    assert input_unscaled(inputs(mean_square=HUGE_MEAN_SQUARE, largest=1000.0)) is None


def test_inputs_that_are_nearly_all_zero() -> None:
    """Binary inputs below the rare share are degenerate, and inputs that are all 0; sparse numbers are not."""
    finding = certain(input_degenerate, inputs(is_binary=True, nonzero_share=RARE_SHARE * 0.99))
    assert finding.evidence == {"input_nonzero_share": RARE_SHARE * 0.99}
    certain(input_degenerate, inputs(largest=0.0, nonzero_share=0.0))
    assert input_degenerate(inputs(is_binary=True, nonzero_share=RARE_SHARE)) is None
    constant = certain(input_degenerate, inputs(is_constant=True, largest=0.5))
    assert constant.remedy == "All examples have the same inputs: check how they are read."
    assert "integer division" in certain(input_degenerate, inputs(is_constant=True, largest=0.0)).remedy
    assert input_degenerate(inputs(is_binary=False, nonzero_share=RARE_SHARE / 2)) is None


@pytest.mark.parametrize(
    ("loss", "output", "own"),
    [
        ("cross_entropy", "sigmoid", "softmax"),
        ("cross_entropy", "identity", "softmax"),
        ("binary_cross_entropy", "softmax", "sigmoid"),
        ("binary_cross_entropy", "relu", "sigmoid"),
    ],
)
def test_a_loss_behind_an_output_of_another(loss: str, output: str, own: str) -> None:
    """A loss that is not computed with its own output is named with that output, which "auto" gives it."""
    known = facts(loss=loss, output=output)
    finding = certain(wrong_loss_pair, known)
    assert f'The output of {loss} is {own} (got "{output}")' in finding.remedy
    assert finding.suggested == {"model.output": "auto"}
    assert not has_paired_output(known)


@pytest.mark.parametrize("output", ["auto", "softmax", "identity"])
def test_classes_learned_by_squared_error(output: str) -> None:
    """Squared error is for numbers: classes are to have cross-entropy with its own output."""
    finding = certain(wrong_loss_pair, facts(loss="mse", output=output))
    assert finding.suggested == {"model.loss": "cross_entropy", "model.output": "auto"}


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_loss_with_its_own_output_is_right(loss: Any) -> None:
    """A loss goes with "auto" and with the output that "auto" stands for."""
    for output in ("auto", paired_output(loss)):
        assert wrong_loss_pair(facts(loss=loss, output=output)) is None


def test_squared_error_of_numbers_takes_any_output() -> None:
    """In regression an output is wrong only where it cannot reach the targets."""
    assert wrong_loss_pair(facts(data=NUMBERS, output="sigmoid")) is None


@pytest.mark.parametrize(
    ("output", "low", "high"),
    [
        ("sigmoid", 0.0, 1.0),
        ("softmax", 0.0, 1.0),
        ("tanh", -1.0, 1.0),
        ("relu", 0.0, 1e9),
        ("elu", -1.0, 1e9),
        ("selu", -1.758, 1e9),
    ],
)
def test_targets_beyond_what_the_output_can_give(output: str, low: float, high: float) -> None:
    """Targets up to an output's bounds are within reach; below the lower, or above the upper, they are not."""
    assert output_range(targets(low, high, output)) is None
    finding = certain(output_range, targets(low - 0.01, high, output))
    assert finding.suggested == {"model.output": "identity"}
    assert finding.evidence == {"target_low": low - 0.01, "target_high": high}
    assert (output_range(targets(low, high + 0.01, output)) is None) is (high == 1e9)


def test_every_target_is_within_reach_of_the_identity() -> None:
    """Outputs without bounds reach all numbers, and classes are no numbers to reach."""
    for output in ("auto", "identity"):
        assert output_range(targets(-1e30, 1e30, output)) is None
    assert output_range(facts(output="tanh", data=replace(CLASSES, target_low=-5.0))) is None


@pytest.mark.parametrize(
    ("activation", "better"),
    [
        ("relu", "he"),
        ("leaky_relu", "he"),
        ("elu", "he"),
        ("selu", "he"),
        ("tanh", "xavier"),
        ("sigmoid", "xavier"),
    ],
)
@pytest.mark.parametrize("scale", [0.0, EQUAL_SCALE])
def test_units_that_start_equal(activation: str, better: str, scale: float) -> None:
    """Initial weights of 0, or as good as 0, are named, with an initializer that suits the activation."""
    known = facts(activation=activation, initializer=Initializer(name="normal", scale=scale))
    finding = certain(symmetric_init, known)
    assert finding.suggested == {"model.initializer": better}
    assert f'"{better}"' in finding.remedy
    assert finding.evidence == {"scale": scale}


def test_units_that_start_apart() -> None:
    """Weights above the bound differ, named initializers have a scale of their own, and one layer needs none."""
    equal = Initializer(name="uniform", scale=0.0)
    assert symmetric_init(facts(initializer=replace(equal, scale=EQUAL_SCALE * 1.01))) is None
    assert symmetric_init(facts(initializer=Initializer(name="lecun"))) is None
    assert symmetric_init(facts(initializer=equal, hidden=())) is None


def test_gradients_that_are_summed() -> None:
    """A sum over the minibatch acts like a rate that is so many times larger, unless the minibatch is one example."""
    known = facts(reduction="sum", rate=0.02, batch_size=50)
    finding = certain(grad_reduction_sum, known)
    assert "learning rate of 1:" in finding.remedy
    assert finding.suggested == {"training.reduction": "mean", "learning_rate": 1.0}
    shorter = grad_reduction_sum(known, overshoots=True)
    assert shorter is not None
    assert shorter.suggested == {"training.reduction": "mean"}
    adam = certain(grad_reduction_sum, facts(reduction="sum", optimizer="adam"))
    assert adam.suggested == {"training.reduction": "mean"}, "its steps do not depend on the gradient's scale"
    assert grad_reduction_sum(facts(reduction="sum", batch_size=1)) is None
    assert grad_reduction_sum(facts(reduction="mean")) is None


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, LARGE_TARGETS), (LARGE_TARGETS, 0.0), (0.0, 0.0)])
def test_targets_of_about_unit_size(mean: float, deviation: float) -> None:
    """Up to the bound, by their mean or their deviation, and if all are 0, targets are no fault; classes never are."""
    data = replace(NUMBERS, target_mean=mean, target_variance=deviation**2)
    assert targets_unscaled(facts(data=data)) is None
    assert targets_unscaled(facts(data=replace(CLASSES, target_mean=1e9))) is None


@pytest.mark.parametrize(
    ("optimizer", "advice"), [("sgd", "all but tiny learning rates diverge"), ("adam", "rates above 0.1")]
)
def test_targets_far_from_unit_size(optimizer: str, advice: str) -> None:
    """Prices of 100,000 are to be standardized; what else would do depends on the optimizer."""
    data = replace(NUMBERS, target_mean=1.2e5, target_variance=5e4**2)
    finding = certain(targets_unscaled, facts(data=data, optimizer=optimizer))
    assert finding.cause is Cause.TARGETS_UNSCALED
    assert finding.evidence == {"target_deviation": 5e4, "target_mean": 1.2e5}
    assert '130000 in size: set data.target_scale = "standard"' in finding.remedy
    assert advice in finding.remedy
    assert finding.suggested == {"data.target_scale": "standard"}
    small = replace(NUMBERS, target_mean=0.0, target_variance=(SMALL_TARGETS / 2) ** 2)
    assert "0.0005 in size: set data.target_scale" in certain(targets_unscaled, facts(data=small)).remedy


def test_dead_columns_are_named() -> None:
    """Columns are named by their places from 1, five at most; squeezed and constant ones have their own remedies."""
    data = replace(CLASSES, squeezed=(4,), constant=(0, 1, 2, 5, 6, 7, 8))
    remedy = certain(dead_input_column, facts(data=data)).remedy
    assert "column 5 is nearly constant" in remedy
    assert "columns 1, 2, 3, 6, 7 and 2 more are constant" in remedy
    assert dead_input_column(facts()) is None
    named = replace(data, features=("a", "b", "c", "d", "ex\npense", "f", "g", "h", "i"), constant=())
    assert 'column "ex pense" is nearly constant' in certain(dead_input_column, facts(data=named)).remedy


def test_copies_in_validation_are_counted() -> None:
    """Shares are of the validation part; copies are named by their places in the source, from 1, if these are known."""
    assert validation_leak(facts()) is None
    data = replace(CLASSES, leaked=300, contradicted=15, leaked_places=(4, 9), leaked_twins=(7, 0))
    finding = certain(validation_leak, facts(data=data))
    assert "300 (20 %) are also in training, such as 5 (a copy of 8) and 10 (a copy of 1)" in finding.remedy
    assert "15 (1 %) are in training with the same inputs and another target" in finding.remedy
    assert finding.evidence == {"copied_share": 0.2, "contradicted_share": 0.01}
    unknown = certain(validation_leak, facts(data=replace(CLASSES, leaked=1)))
    assert "1 (0.067 %) is also in training: remove" in unknown.remedy
    every = certain(validation_leak, facts(data=replace(CLASSES, leaked=CLASSES.validation_examples)))
    assert "(100 %) are also in training" in every.remedy


def test_classes_that_a_part_lacks_are_named() -> None:
    """Each part names its own, by their names or else their places."""
    assert missing_class(facts()) is None
    assert missing_class(facts(data=replace(NUMBERS, classes=()))) is None
    data = replace(CLASSES, class_shares=(0.5, 0.5, 0.0), validation_shares=(0.0, 0.9, 0.1))
    finding = certain(missing_class, facts(data=data))
    assert "training lacks 2 and validation lacks 0: set data.stratify = true" in finding.remedy
    assert finding.evidence == {"missing_in_training": 1, "missing_in_validation": 1}
    named = replace(data, classes=("cat", "dog", "eel"))
    assert (
        'training lacks "eel" and validation lacks "cat"' in certain(missing_class, facts(data=named)).remedy
    )


def test_findings_stand_in_the_order_of_the_rules() -> None:
    """Everything that is wrong is found, the surest first, without what the study expects."""
    data = replace(
        CLASSES,
        input_largest=math.inf,
        input_mean_square=math.inf,
        input_nonzero_share=RARE_SHARE / 2,
        input_is_binary=True,
        constant=(3,),
        leaked=5,
        validation_shares=(0.0, 1.0),
    )
    known = facts(
        data=data,
        loss="mse",
        reduction="sum",
        initializer=Initializer(name="normal", scale=0.0),
        expected=[Cause.SYMMETRIC_INIT, Cause.INPUT_DEGENERATE],
    )
    assert [finding.cause for finding in static_findings(known)] == [
        Cause.NONFINITE_INPUT,
        Cause.INPUT_UNSCALED,
        Cause.WRONG_LOSS_PAIR,
        Cause.GRAD_REDUCTION_SUM,
        Cause.DEAD_INPUT_COLUMN,
        Cause.VALIDATION_LEAK,
        Cause.MISSING_CLASS,
    ]
    order = [finding.cause for finding in static_findings(replace(known, expected=frozenset()))]
    regression = {Cause.OUTPUT_RANGE, Cause.TARGETS_UNSCALED}
    assert order == [cause for cause in map(_cause, STATIC_RULES) if cause not in regression]


def _cause(rule: StaticRule) -> Cause:
    return Cause(rule.__name__)
