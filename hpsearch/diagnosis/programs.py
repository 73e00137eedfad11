"""Verdicts on training loops of users: less sure than on the built-in network, with remedies without keys."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.study.messages import format_number
from hpsearch.study.spec import (
    Activation,
    Configuration,
    Loss,
    ModelSpec,
    OptimizerName,
    Precision,
    TrainingSpec,
)
from hpsearch.telemetry import Program
from hpsearch.verdicts import Cause, Finding

MOST_CONFIDENT: Final = 0.85
"""The confidence of the surest finding in a program, below the 0.9 that stops a trial.

Thresholds and confidences were measured on dense networks of the built-in kind. For other architectures, losses and
optimizers there is no such measurement yet, so no verdict on them stops a trial, unless the user asks for it.
"""

_OF_CHAINS: Final = frozenset({Cause.VANISHING_GRAD, Cause.EXPLODING_GRAD})
"""Causes from gradients compared layer by layer: embeddings, attention and skips make such ratios meaningless."""

_REMEDIES: Final[Mapping[Cause, str]] = {
    Cause.DIVERGED_LR: "{lower}, clip gradients, or normalize",
    Cause.EXPLODING: "{lower}, clip gradients, or normalize",
    Cause.DEAD_RELU_TOTAL: "{lower}, or use LeakyReLU or normalization",
    Cause.DEAD_RELU_PARTIAL: "{lower}, or use LeakyReLU or normalization",
    Cause.BORN_DEAD: "The units are silent from the first step: use He initialization, normalization or wider layers",
    Cause.NEG_PLATEAU: "{lower}, or use normalization",
    Cause.SATURATED: "{lower}, or start with Xavier initialization, ReLU or normalization",
    Cause.VANISHING_GRAD: "The signal vanishes on its way through the layers: use He initialization, ReLU, "
    "normalization or skip connections",
    Cause.EXPLODING_GRAD: "The signal explodes on its way through the layers: use He initialization or normalization",
    Cause.INPUT_UNSCALED: "The inputs are large: subtract their mean and divide them by their standard deviation",
    Cause.FLOAT_UNDERFLOW: "The gradients are below what float32 can hold: use float64",
    Cause.TRAIN_EVAL_SHIFT: "Put dropout after the last batch normalization or leave it out, and use larger "
    "minibatches",
}
"""Remedies that would name keys of study files otherwise, without the full stop."""

_WITHOUT_RATE: Final[Mapping[Cause, str]] = {
    Cause.COLLAPSED_OUTPUT: "The network gives one answer: balance the classes, or change the learning rate",
}
"""Remedies of programs whose learning rate is unknown."""


def facts_of_program(
    program: Program, *, acts: bool = False, expected: frozenset[Cause] = frozenset()
) -> TrialFacts:
    """Return the facts of a training loop for its diagnosis: its configuration as one of the built-in network.

    With `acts` its verdicts are as sure as those on the built-in network, so that they may stop it.
    """
    model = ModelSpec(
        hidden=program.hidden,
        activation=cast("Activation", program.activation),
        batch_norm=program.normalizes,
        dropout=program.dropout,
        loss=cast("Loss", program.loss),
    )
    training = TrainingSpec(
        epochs=max(1, -(-program.steps_planned // program.steps_per_epoch)),
        batch_size=max(1, program.batch_size),
        optimizer=cast("OptimizerName", program.optimizer),
        learning_rate=program.learning_rate,
        momentum=program.momentum,
        weight_decay=program.weight_decay,
        precision=cast("Precision", program.precision),
    )
    return TrialFacts(
        configuration=Configuration(model=model, training=training),
        data=program.data,
        steps_per_epoch=program.steps_per_epoch,
        expected=expected,
        program=program,
        acts=acts,
    )


def supports(finding: Finding, facts: TrialFacts) -> bool:
    """Return True if the measurements of the finding have a meaning in the trial's network."""
    if facts.program is None:
        return True
    if finding.cause is Cause.PLATEAU:  # the narrow layer of an autoencoder is on purpose
        return facts.is_classification and facts.program.is_chain
    return facts.program.is_chain or finding.cause not in _OF_CHAINS


def adapted(finding: Finding, facts: TrialFacts) -> Finding:
    """Return the finding in words that fit the trial: unchanged for the built-in network.

    In a program it suggests no keys of `[model]` or `[data]`, and is as sure as `MOST_CONFIDENT` at most.
    """
    if facts.program is None:
        return finding
    suggested = {name: value for name, value in finding.suggested.items() if "." not in name}
    most = 1.0 if facts.acts else MOST_CONFIDENT
    text = _REMEDIES.get(finding.cause)
    if math.isnan(facts.learning_rate):
        suggested.pop("learning_rate", None)
        text = _WITHOUT_RATE.get(finding.cause, text)
    return replace(
        finding,
        confidence=min(finding.confidence, most),
        remedy=finding.remedy if text is None else f"{text.format(lower=_lower(finding, facts))}.",
        suggested=suggested,
    )


def _lower(finding: Finding, facts: TrialFacts) -> str:
    better = finding.suggested.get("learning_rate")
    if not isinstance(better, float) or not math.isfinite(better):
        return "Lower the learning rate"
    return f"Lower the learning rate from {format_number(facts.learning_rate)} to {format_number(better)}"


def mistakes(facts: TrialFacts) -> list[Finding]:
    """Return the mistakes in a program that its own numbers prove: they need no threshold."""
    program = facts.program
    if program is None:
        return []
    found = []
    if program.softmax:
        found.append(_mistake(Cause.WRONG_LOSS_PAIR, _SOFTMAX[program.softmax], {}))
    if program.stale_since is not None:
        remedy = "Gradients of earlier steps are added to those of each step: call optimizer.zero_grad() in every step."
        found.append(
            replace(_mistake(Cause.STALE_GRADIENTS, remedy, {}), first_step=max(0, program.stale_since))
        )
    return found


def untrained_layers(facts: TrialFacts) -> Finding | None:
    """Find layers whose weights never changed. It matters only in a network that does not learn."""
    names = facts.program.untrained if facts.program is not None else ()
    if not names:
        return None
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    remedy = (
        f"These layers never change: {shown}. Give their parameters to the optimizer and let gradients reach them "
        "(requires_grad, no detach)."
    )
    return _mistake(Cause.UNTRAINED_LAYERS, remedy, {"layers": float(len(names))})


_SHOWN: Final = 5

_SOFTMAX: Final[Mapping[str, str]] = {
    "twice": "The loss applies a softmax to outputs that are probabilities: give cross-entropy the logits.",
    "over_examples": "The softmax runs over the examples of a minibatch: it must run over the classes (dim=1 or -1).",
}


def _mistake(cause: Cause, remedy: str, evidence: Mapping[str, float]) -> Finding:
    return Finding(
        cause=cause, confidence=MOST_CONFIDENT, first_step=0, evidence=dict(evidence), remedy=remedy
    )
