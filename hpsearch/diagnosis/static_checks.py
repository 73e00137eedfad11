"""Causes visible in the study file and the data before the first step."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.progress import finite_evidence
from hpsearch.study.messages import format_number
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding

HUGE_MEAN_SQUARE: Final = 25.0
"""Inputs whose root mean square is 5 are far from 1, the scale that initial weights are made for."""

LARGE_TARGETS: Final = 1e3
SMALL_TARGETS: Final = 1e-3
"""Sizes of targets from which usual learning rates fail: house prices of 100,000 ended 51 of 60 trials of a search."""

ADAPTIVE: Final = frozenset({"adam", "adamw", "rmsprop", "adagrad"})
"""Optimizers whose steps do not depend on the scale of the gradient."""

NAMED: Final = 5
RARE_SHARE: Final = 0.02
EQUAL_SCALE: Final = 1e-6

_OWN_OUTPUT: Final[Mapping[str, str]] = {
    "cross_entropy": "softmax",
    "binary_cross_entropy": "sigmoid",
    "mse": "identity",
}

_BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, math.inf),
    "elu": (-1.0, math.inf),
    "selu": (-1.7580993408473766, math.inf),
}
"""The range of an output activation."""

StaticRule: TypeAlias = Callable[[TrialFacts], Finding | None]


def paired_output(loss: str) -> str:
    """Return the output activation that belongs to `loss`, with which it is computed in its stable form."""
    return _OWN_OUTPUT[loss]


def has_paired_output(facts: TrialFacts) -> bool:
    """Return True if the trial's loss is computed with its own output activation, or is an unknown one."""
    model = facts.configuration.model
    return model.loss == "auto" or model.output in ("auto", _OWN_OUTPUT.get(model.loss))


def nonfinite_input(facts: TrialFacts) -> Finding | None:
    """Find a NaN or infinite input: a guard for data that did not pass our readers, which refuse it."""
    is_unknown = facts.program is not None and math.isnan(facts.data.input_largest)
    if is_unknown or math.isfinite(facts.data.input_largest):
        return None
    return _static_finding(
        Cause.NONFINITE_INPUT, "Inputs must be finite: fill or drop those that are not.", {}
    )


def input_unscaled(facts: TrialFacts) -> Finding | None:
    """Find a mean square of the inputs above 25, while initial weights expect about 1 (UMLAUT warns outside [-1, 1]).

    The mean square and not the largest input: standardized data has outliers beyond 10.
    """
    data = facts.data
    if not data.input_mean_square > HUGE_MEAN_SQUARE:
        return None
    evidence = {"input_mean_square": data.input_mean_square, "input_largest": data.input_largest}
    remedy = 'The inputs are large: scale them with data.scale = "standard".'
    return _static_finding(Cause.INPUT_UNSCALED, remedy, evidence, {"data.scale": "standard"})


def input_degenerate(facts: TrialFacts) -> Finding | None:
    """Find inputs that are all 0, or all 0 or 1 with fewer than 2 % ones: images after an integer division.

    MNIST // 255 keeps the pixels of 255 alone, 0.7 % of them, while 19 % are not 0; MNIST // 256 keeps none. Also find
    equal inputs of all examples.
    """
    data = facts.data
    if data.input_is_constant and data.input_largest > 0:
        remedy = "All examples have the same inputs: check how they are read."
        return _static_finding(Cause.INPUT_DEGENERATE, remedy, {"input_largest": data.input_largest})
    is_rare = data.input_is_binary and data.input_nonzero_share < RARE_SHARE
    if not (is_rare or data.input_largest == 0):
        return None
    remedy = (
        "Nearly all inputs are 0, as after an integer division (x // 255): divide as floating-point numbers."
    )
    return _static_finding(Cause.INPUT_DEGENERATE, remedy, {"input_nonzero_share": data.input_nonzero_share})


def wrong_loss_pair(facts: TrialFacts) -> Finding | None:
    """Find classes learned by squared error, or a loss after an output activation that is not its own.

    Squared error needs 2.6 to 4.7 times as many steps as cross-entropy to 85 % on MNIST, and its gradient vanishes if a
    sigmoid or softmax is confidently wrong (Golik et al. 2013).
    """
    model = facts.configuration.model
    is_squared = facts.is_classification and model.loss == "mse"
    if not (is_squared or (model.loss != "mse" and not has_paired_output(facts))):
        return None
    remedy = 'Learn classes with model.loss = "cross_entropy" and model.output = "auto".'
    suggested: dict[str, ParameterValue] = {"model.output": "auto"}
    if is_squared:
        suggested["model.loss"] = "cross_entropy"
    else:
        own = paired_output(model.loss)
        remedy = f'The output of {model.loss} is {own} (got "{model.output}"): set model.output = "auto".'
    return _static_finding(Cause.WRONG_LOSS_PAIR, remedy, {}, suggested)


def targets_unscaled(facts: TrialFacts) -> Finding | None:
    """Find targets of a regression that are far from unit scale: their root mean square is above 1,000, or below 0.001.

    Outputs begin near 0 and of the size of 1. By gradient descent the gradient grows with the targets, so most learning
    rates diverge; Adam and RMSprop move each weight by about the learning rate in a step, whatever the targets are, so
    outputs need as many steps as the targets are large. Standardized targets suit the usual rates, and are the default.
    """
    data = facts.data
    size = math.hypot(math.sqrt(max(0.0, data.target_variance)), data.target_mean)
    if facts.is_classification or not (size > LARGE_TARGETS or 0 < size < SMALL_TARGETS):
        return None
    deviation = math.sqrt(max(0.0, data.target_variance))
    adapts = facts.configuration.training.optimizer in ADAPTIVE
    if size < SMALL_TARGETS:
        otherwise = ""
    elif adapts:
        otherwise = ", or search learning rates above 0.1, since its steps do not grow with the targets"
    else:
        otherwise = ", since all but tiny learning rates diverge"
    remedy = (
        f"The targets are about {format_number(float(f'{size:.2g}'))} in size: set data.target_scale = "
        f'"standard"{otherwise}.'
    )
    evidence = {"target_deviation": deviation, "target_mean": data.target_mean}
    return _static_finding(Cause.TARGETS_UNSCALED, remedy, evidence, {"data.target_scale": "standard"})


def dead_input_column(facts: TrialFacts) -> Finding | None:
    """Find columns of inputs that outliers squeezed to nearly one number when they were scaled, or that are constant.

    Such a column no longer distinguishes examples. It is named, or numbered from 1 if it has no name.
    """
    squeezed, constant = facts.data.squeezed, facts.data.constant
    if not squeezed and not constant:
        return None
    parts = []
    if squeezed:
        named = _columns(squeezed, facts)
        parts.append(
            f"{named} nearly constant once scaled, because of outliers: clip those or take logarithms"
        )
    if constant:
        parts.append(f"{_columns(constant, facts)} constant: leave out what is")
    remedy = f"Of the inputs, {'; '.join(parts)}."
    evidence = {"squeezed": float(len(squeezed)), "constant": float(len(constant))}
    return _static_finding(Cause.DEAD_INPUT_COLUMN, remedy, evidence)


def _columns(places: Sequence[int], facts: TrialFacts) -> str:
    """Return columns by their names, or else their places from 1, at most five of them, with the verb."""
    features = facts.data.features
    named = [f'"{_one_line(features[place])}"' if features else str(place + 1) for place in places]
    return f"column {named[0]} is" if len(places) == 1 else f"columns {_listed(named)} are"


def _listed(names: Sequence[str]) -> str:
    """Return at most five names, and the number of others."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _one_line(name: str) -> str:
    return " ".join(name.split())


def validation_leak(facts: TrialFacts) -> Finding | None:
    """Find examples that are in both the validation part and the training part: validation is then too good.

    Data with few different inputs have equal examples by nature: see `hpsearch.data.duplicates`.
    """
    data = facts.data
    if not data.leaked and not data.contradicted:
        return None
    parts = []
    if data.leaked:
        pairs = zip(data.leaked_places, data.leaked_twins, strict=False)
        named = " and ".join(f"{place + 1} (a copy of {twin + 1})" for place, twin in pairs)
        parts.append(
            f"{_of_validation(data.leaked, facts)} also in training" + (f", such as {named}" if named else "")
        )
    if data.contradicted:
        parts.append(
            f"{_of_validation(data.contradicted, facts)} in training with the same inputs and another target"
        )
    remedy = f"Of the validation examples, {', and '.join(parts)}: remove copies, or keep them in one part."
    examples = max(1, data.validation_examples)
    evidence = {
        "copied_share": data.leaked / examples,
        "contradicted_share": data.contradicted / examples,
    }
    return _static_finding(Cause.VALIDATION_LEAK, remedy, evidence)


def _of_validation(count: int, facts: TrialFacts) -> str:
    share = 100 * count / max(1, facts.data.validation_examples)
    return f"{count} ({format_number(share)} %) {'is' if count == 1 else 'are'}"


def missing_class(facts: TrialFacts) -> Finding | None:
    """Find classes without an example in training, which are never answered, or in validation, which tests others."""
    data = facts.data
    sides = [("training", data.class_shares), ("validation", data.validation_shares)]
    missing = {
        name: [place for place, share in enumerate(shares) if share == 0] for name, shares in sides if shares
    }
    parts = [f"{name} lacks {_classes(places, facts)}" for name, places in missing.items() if places]
    if not parts:
        return None
    remedy = f"Of the classes, {' and '.join(parts)}: set data.stratify = true, or bring more examples of such classes."
    evidence = {f"missing_in_{name}": float(len(places)) for name, places in missing.items()}
    return _static_finding(Cause.MISSING_CLASS, remedy, evidence)


def _classes(places: Sequence[int], facts: TrialFacts) -> str:
    """Return classes by their names, or else their places from 0."""
    names = facts.data.classes
    return _listed([f'"{_one_line(names[place])}"' if names else str(place) for place in places])


def output_range(facts: TrialFacts) -> Finding | None:
    """Find targets outside the range of the output activation."""
    model, data = facts.configuration.model, facts.data
    low, high = _BOUNDS.get(model.output, (-math.inf, math.inf))
    if facts.is_classification or not (data.target_low < low or data.target_high > high):
        return None
    evidence = {"target_low": data.target_low, "target_high": data.target_high}
    remedy = (
        f'{model.output} cannot reach all targets: use model.output = "identity", or data.target_scale = "none" if it '
        "can produce them as they are."
    )
    return _static_finding(Cause.OUTPUT_RANGE, remedy, evidence, {"model.output": "identity"})


def symmetric_init(facts: TrialFacts) -> Finding | None:
    """Find initial weights of 0, or so close that a layer's units stay equal (Goodfellow et al. 2016, section 8.4)."""
    model = facts.configuration.model
    scale = model.initializer.scale
    if scale is None or scale > EQUAL_SCALE or not model.hidden:
        return None
    better = "he" if model.activation in ("relu", "leaky_relu", "elu", "selu", "gelu", "silu") else "xavier"
    remedy = f'Units that start equal stay equal: draw weights with model.initializer = "{better}".'
    return _static_finding(Cause.SYMMETRIC_INIT, remedy, {"scale": scale}, {"model.initializer": better})


def grad_reduction_sum(facts: TrialFacts, *, overshoots: bool = False) -> Finding | None:
    """Find gradients summed over the minibatch: the learning rate acts as one that is batch_size times larger.

    The remedy keeps the length of the steps, unless the trial `overshoots`: then "mean" alone shortens them.
    """
    training = facts.configuration.training
    examples = min(training.batch_size, facts.data.examples)
    if training.reduction != "sum" or examples == 1:
        return None
    averaged = training.learning_rate * examples
    depends = training.optimizer in ("sgd", "momentum", "nesterov")
    suggested: dict[str, ParameterValue] = {"training.reduction": "mean"}
    keeps = ""
    if depends and not overshoots:
        suggested["learning_rate"] = averaged
        keeps = f" with training.learning_rate = {format_number(averaged)}"
    remedy = (
        f"Summed gradients act like a learning rate of {format_number(averaged)}: "
        f'set training.reduction = "mean"{keeps}, which does not depend on the size of the minibatch.'
    )
    return _static_finding(Cause.GRAD_REDUCTION_SUM, remedy, {"batch_size": training.batch_size}, suggested)


STATIC_RULES: Final[Sequence[StaticRule]] = (
    nonfinite_input,
    input_degenerate,
    input_unscaled,
    output_range,
    targets_unscaled,
    wrong_loss_pair,
    symmetric_init,
    grad_reduction_sum,
    dead_input_column,
    validation_leak,
    missing_class,
)
"""The causes that need no training, the surest first."""


def static_findings(facts: TrialFacts, *, overshoots: bool = False) -> list[Finding]:
    """Return the findings before the first step, without those that the study expects.

    `overshoots` is True if the trial's steps were too long: remedies may then shorten them.
    """
    found = (
        grad_reduction_sum(facts, overshoots=overshoots) if rule is grad_reduction_sum else rule(facts)
        for rule in STATIC_RULES
    )
    return [finding for finding in found if finding is not None and finding.cause not in facts.expected]


def _static_finding(
    cause: Cause,
    remedy: str,
    evidence: Mapping[str, float],
    suggested: Mapping[str, ParameterValue] | None = None,
) -> Finding:
    return Finding(
        cause=cause,
        confidence=1.0,
        first_step=0,
        evidence=finite_evidence(**evidence),
        remedy=remedy,
        suggested=suggested or {},
    )
