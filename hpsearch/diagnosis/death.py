"""Causes in which hidden units stop firing and with them their gradients.

A unit is silent on a minibatch when its activation is not positive for any example. Thresholds and counts come from
2,360 measured runs on MNIST. LeakyReLU is left out: its silent units still have a gradient, and 28 of 225 runs whose
layers fell silent learned.
"""

from collections.abc import Sequence

from hpsearch.diagnosis.facts import Facts, lower_learning_rate
from hpsearch.records import Cause, Finding, Sample, Telemetry

SILENT_SHARE = 0.85
STEPS_IN_A_ROW = 10
LEAST_EXAMPLES = 1000
ZERO_GRADIENTS_IN_A_ROW = 3
PARTIAL_SHARE = 0.25
PARTIAL_RISE = 0.1
PARTIAL_SAMPLES = 10
LEARNED_SHARE = 0.5

_RELU = frozenset({"relu"})
_EXPONENTIAL = frozenset({"elu", "selu"})


def dead_total(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """A ReLU layer died: 85 % of its units silent ten steps in a row, or gradients of W1 exactly 0 three times.

    The first caught 221 of 221 stuck ReLU, ELU and SELU runs 14 to 25 steps in and none of 742 that learned; the
    second 121 of 137 stuck ReLU runs and none of 1,111 that learned. A run whose loss has halved is left alone.
    """
    if facts.activation not in _RELU or _has_learned(telemetry):
        return None
    run = _silent_run(telemetry, facts) or _zero_gradient_run(telemetry)
    if run is None or run[0].step == 0:
        return None
    return _finding(Cause.DEAD_RELU_TOTAL, run, _remedy_of_death(facts), facts)


def born_dead(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """A layer is silent from the first step on, so its initial weights are to blame."""
    if facts.activation not in _RELU | _EXPONENTIAL or _has_learned(telemetry):
        return None
    run = _silent_run(telemetry, facts)
    if run is None or run[0].step > 0:
        return None
    remedy = 'The units are silent from the first step: draw initial weights with model.initializer = "he".'
    return _finding(Cause.BORN_DEAD, run, remedy, facts)


def negative_plateau(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """An ELU or SELU layer swung to its negative plateau, where its gradient vanishes: as `dead_total`."""
    if facts.activation not in _EXPONENTIAL or _has_learned(telemetry):
        return None
    run = _silent_run(telemetry, facts)
    if run is None or run[0].step == 0:
        return None
    return _finding(Cause.NEG_PLATEAU, run, _remedy_of_death(facts), facts)


def dead_partial(telemetry: Telemetry, facts: Facts) -> Finding | None:
    """A quarter or more of a ReLU layer fell silent in training and stayed so for ten samples; others learn on.

    Minibatches below 100 examples cannot tell a silent unit from a rare one, so they have no such finding.
    """
    last = telemetry.samples[-PARTIAL_SAMPLES:]
    is_small = facts.configuration.training.batch_size * PARTIAL_SAMPLES < LEAST_EXAMPLES
    if facts.activation not in _RELU or is_small or len(last) < PARTIAL_SAMPLES:
        return None
    first = telemetry.samples[0]
    for layer in range(len(first.hidden)):
        least = min(sample.layers[layer].dead_share for sample in last)
        if least >= PARTIAL_SHARE and least - first.layers[layer].dead_share > PARTIAL_RISE:
            return Finding(
                cause=Cause.DEAD_RELU_PARTIAL,
                confidence=0.6,
                first_step=last[0].step,
                evidence={"layer": layer, "dead_share": least, "samples": len(last)},
                remedy=_remedy_of_death(facts),
                suggested={"learning_rate": facts.safer_learning_rate},
            )
    return None


def _silent_run(telemetry: Telemetry, facts: Facts) -> Sequence[Sample] | None:
    """Return the samples of the silent stretch that the telemetry ends with, if it is long enough."""
    needed = max(STEPS_IN_A_ROW, -(-LEAST_EXAMPLES // facts.configuration.training.batch_size))
    run = telemetry.samples[-needed:]
    if len(run) < needed or not run[0].hidden:
        return None
    layers = range(len(run[0].hidden))
    if any(all(sample.layers[layer].dead_share >= SILENT_SHARE for sample in run) for layer in layers):
        return run
    return None


def _zero_gradient_run(telemetry: Telemetry) -> Sequence[Sample] | None:
    """Return the last three samples where the first layer's gradient was exactly 0 in all of them."""
    run = telemetry.samples[-ZERO_GRADIENTS_IN_A_ROW:]
    if len(run) < ZERO_GRADIENTS_IN_A_ROW or not run[0].hidden:
        return None
    return run if all(sample.layers[0].gradient_norm == 0.0 for sample in run) else None


def _has_learned(telemetry: Telemetry) -> bool:
    """True when the loss has halved since the first step, or was never seen: silence is then no failure."""
    samples = telemetry.samples
    return not samples or samples[-1].loss <= LEARNED_SHARE * samples[0].loss


def _finding(cause: Cause, run: Sequence[Sample], remedy: str, facts: Facts) -> Finding:
    last = run[-1]
    is_certain = last.layers[0].gradient_norm == 0.0
    return Finding(
        cause=cause,
        confidence=1.0 if is_certain else 0.95,
        first_step=run[0].step,
        evidence={
            "dead_share": last.dead_share,
            "samples": len(run),
            "gradient_norm_first_layer": last.layers[0].gradient_norm,
            "loss": last.loss,
            "learning_rate": facts.learning_rate,
        },
        remedy=remedy,
        suggested={"model.initializer": "he"}
        if cause is Cause.BORN_DEAD
        else {"learning_rate": facts.safer_learning_rate},
    )


def _remedy_of_death(facts: Facts) -> str:
    other = 'try model.activation = "leaky_relu" or model.batch_norm = true'
    return f"{lower_learning_rate(facts)}, or {other}."
