"""Remedies fit the configuration: what is set already is not proposed."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.dead_units import dead_total, saturated
from hpsearch.diagnosis.divergence import diverged
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.remedies import fitting, initial_weights
from hpsearch.diagnosis.signal import collapsed_output
from hpsearch.diagnosis.verdicts import judge
from hpsearch.study.spec import Initializer
from hpsearch.telemetry import NonFinite
from hpsearch.verdicts import Cause, Finding
from tests.diagnosis.written import CLASSES, facts, found, sample, samples, telemetry

NORMAL = Initializer(name="normal", scale=1.0)
XAVIER = Initializer(name="xavier")


@pytest.mark.parametrize(
    ("changes", "suggested"),
    [
        ({"activation": "sigmoid", "initializer": NORMAL}, {"model.initializer": "xavier"}),
        (
            {"activation": "sigmoid", "initializer": XAVIER},
            {"model.activation": "relu", "model.initializer": "he"},
        ),
        ({"activation": "relu", "initializer": NORMAL}, {"model.initializer": "he"}),
        ({"activation": "relu"}, {"model.batch_norm": True}),
        ({"activation": "relu", "batch_norm": True, "hidden": (64, 8, 8)}, {"model.hidden": "[64,32]"}),
    ],
)
def test_the_first_remedy_that_is_not_set(changes: dict[str, Any], suggested: dict[str, Any]) -> None:
    """The initializer first, then ReLU, normalization, and fewer layers: each only if it is not there."""
    remedy = initial_weights(facts(**changes), keeps_activation=True)
    assert remedy.suggested == suggested


def test_xavier_is_not_proposed_where_it_is_set() -> None:
    """A sigmoid network that is flat from the first step with Xavier's weights needs another activation."""
    flat = telemetry(samples(range(5), flat=1.0))
    finding = found(saturated, flat, facts(activation="sigmoid", initializer=XAVIER))
    assert "xavier" not in finding.remedy
    assert finding.suggested["model.activation"] == "relu"


def test_narrow_layers_that_die_are_made_wider() -> None:
    """Four and two units die at many learning rates: the remedy is their number."""
    dead = telemetry([sample(0), *samples(range(20, 40), dead=1.0)])
    assert found(dead_total, dead, facts(hidden=(4, 2))).suggested == {"model.hidden": "[32,32]"}
    assert "learning_rate" in found(dead_total, dead, facts(hidden=(64,))).suggested


def test_normalization_needs_a_hidden_layer_and_is_not_proposed_twice() -> None:
    """A linear model cannot be normalized, and one that is normalized is."""
    gone = telemetry([sample(0)], nonfinite=NonFinite(step=5, array="weights"))
    for changes, says in (({}, True), ({"hidden": ()}, False), ({"batch_norm": True}, False)):
        assert ("batch_norm" in found(diverged, gone, facts(**changes)).remedy) is says
    dead = telemetry([sample(0), *samples(range(20, 40), dead=1.0)])
    assert "batch_norm" not in found(dead_total, dead, facts(batch_norm=True)).remedy


def test_balanced_classes_are_not_to_be_balanced() -> None:
    """One answer to classes of 53 and 47 % is a matter of the steps; of 80 and 20 %, maybe of the classes."""
    for share, says in ((0.53, False), (0.8, True)):
        data = replace(CLASSES, class_shares=(share, 1 - share))
        one = samples(range(200, 206), top_share=1.0, accuracy=share, loss=0.69, examples=256, gain=0.99)
        finding = found(collapsed_output, telemetry(one), facts(data=data, rate=0.001))
        assert ("balance" in finding.remedy) is says
        assert (finding.suggested == {"learning_rate": 0.01}) is not says


def _finding(**suggested: Any) -> Finding:
    names = {name.replace("__", "."): value for name, value in suggested.items()}
    return Finding(
        cause=Cause.EXPLODING, confidence=1, first_step=0, evidence={}, remedy="Change it.", suggested=names
    )


def test_values_that_are_set_are_left_out() -> None:
    """Whatever a rule suggests, values of the configuration itself are dropped from it."""
    known: TrialFacts = facts(rate=0.1, hidden=(32, 32))
    unset = {"learning_rate": 0.01, "model__hidden": "[32]", "data__scale": "standard"}
    finding = _finding(**unset)
    assert fitting(finding, known) is finding
    there = _finding(
        learning_rate=0.1, model__initializer="he", model__hidden="[32,32]", training__reduction="mean"
    )
    assert fitting(there, known).suggested == {}


def test_summed_gradients_keep_their_steps_unless_they_overshoot() -> None:
    """If the trial stands still the rate is raised with "mean"; if it diverged, "mean" alone shortens the steps."""
    known = facts(reduction="sum", rate=1e-6, batch_size=100)
    still = judge(telemetry([sample(0)]), known)
    (sums,) = [one for one in still.findings if one.cause is Cause.GRAD_REDUCTION_SUM]
    assert sums.suggested["learning_rate"] == pytest.approx(1e-4)
    gone = judge(telemetry([sample(0)], nonfinite=NonFinite(step=5, array="weights")), known)
    assert gone.primary.suggested == {"training.reduction": "mean"}
    assert math.isfinite(gone.primary.confidence)
