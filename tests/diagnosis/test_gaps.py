"""Telemetry with gaps, as a user's own training loop has it, leads to silence: no crash and no sure verdict."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.programs import facts_of_program
from hpsearch.diagnosis.static_checks import STATIC_RULES, StaticRule
from hpsearch.diagnosis.verdicts import CATALOGUE, SURE, Rule, fatal_finding, judge
from hpsearch.objective.monitor import UNKNOWN_DATA
from hpsearch.study.spec import DIAGNOSED_CAUSES
from hpsearch.telemetry import LayerSample, Program, Sample, Telemetry
from hpsearch.verdicts import Cause
from tests.diagnosis.test_any_telemetry import trials
from tests.diagnosis.written import CHANCE, CLASSES, check_complete, epoch, facts, sample, telemetry

UNSEEN = LayerSample(
    dead_share=math.nan,
    gradient_norm=math.nan,
    weight_norm=math.nan,
    silent_share=math.nan,
    saturated_share=math.nan,
)
OPTIONAL = (
    "logit_max",
    "predicted_decrease",
    "accuracy",
    "top_share",
    "output_range",
    "gradient_cosine",
    "coherence",
    "actual_decrease",
    "evaluation_loss",
)
LAYER_FIELDS = (
    "dead_share",
    "gradient_norm",
    "weight_norm",
    "silent_share",
    "saturated_share",
    "update_norm",
)
LEAST_STEPS = 1000


@st.composite
def gapped(draw: st.DrawFn) -> tuple[Telemetry, TrialFacts]:
    """Return telemetry in which any measurement may be missing in all samples, and facts with unknown data."""
    measured, known = draw(trials())
    missing = draw(st.frozensets(st.sampled_from(OPTIONAL)))
    unseen = draw(st.frozensets(st.sampled_from(LAYER_FIELDS)))
    has_layers = draw(st.booleans())
    changes: dict[str, Any] = dict.fromkeys(missing, math.nan)

    def gap(look: Sample) -> Sample:
        layers = [replace(layer, **dict.fromkeys(unseen, math.nan)) for layer in look.layers]
        return replace(
            look, layers=tuple(layers) if has_layers else (), examples=0, batch_examples=0, **changes
        )

    epochs = [
        replace(one, validation_loss=math.nan, validation_accuracy=None) if draw(st.booleans()) else one
        for one in measured.epochs
    ]
    model = replace(known.configuration.model, loss=draw(st.sampled_from(("auto", "mse"))))
    data = replace(
        known.data,
        class_shares=draw(st.sampled_from(((), known.data.class_shares))),
        validation_examples=draw(st.sampled_from((0, known.data.validation_examples))),
        target_variance=math.nan,
        target_low=math.nan,
        target_high=math.nan,
        input_largest=draw(st.sampled_from((0.5, math.nan))),
        input_mean_square=math.nan,
    )
    facts = replace(
        known,
        configuration=replace(known.configuration, model=model),
        data=data,
        program=Program(data=data, is_chain=draw(st.booleans())),
    )
    return replace(measured, samples=[gap(look) for look in measured.samples], epochs=epochs), facts


@given(gapped())
def test_gaps_lead_to_no_crash_and_no_sure_verdict(trial: tuple[Telemetry, TrialFacts]) -> None:
    """Every verdict on a program's telemetry is complete, below the confidence that stops a trial."""
    measured, known = trial
    for finding in judge(measured, known).findings:
        check_complete(finding)
        assert finding.confidence < SURE
    assert fatal_finding(measured, known, frozenset(DIAGNOSED_CAUSES)) is None


@pytest.mark.parametrize("rule", [entry.rule for entry in CATALOGUE])
@pytest.mark.parametrize("layers", [(), (UNSEEN, UNSEEN, UNSEEN)])
def test_a_loss_alone_accuses_of_nothing_else(rule: Rule, layers: tuple[LayerSample, ...]) -> None:
    """Of a loss at chance without any other measurement, no rule finds a cause, whatever the activation."""
    look = replace(
        sample(0, loss=CHANCE, promise=math.nan, logit=math.nan), layers=layers, examples=0, batch_examples=0
    )
    measured = telemetry(
        [replace(look, step=step) for step in range(0, LEAST_STEPS, 25)],
        epochs=[
            replace(epoch(number, training=CHANCE), validation_loss=math.nan, validation_accuracy=None)
            for number in range(12)
        ],
    )
    for activation in ("relu", "elu", "tanh"):
        known = facts(steps=LEAST_STEPS, activation=activation, weight_decay=0.1)
        for data in (CLASSES, replace(CLASSES, class_shares=(), validation_examples=0)):
            task = replace(known, data=data, program=Program(data=data, is_chain=True))
            assert rule(measured, task) is None


@pytest.mark.parametrize("rule", STATIC_RULES)
def test_unknown_data_accuses_of_nothing(rule: StaticRule) -> None:
    """Of data of which nothing is known, no rule finds a problem before the first step."""
    assert rule(facts_of_program(Program(data=UNKNOWN_DATA))) is None


def test_unknown_gradients_are_not_zero() -> None:
    """A gradient that was not measured is no proof of a dead layer."""
    looks = [sample(step, gradient=math.nan, output=math.nan, dead=0.2) for step in range(20)]
    assert judge(telemetry(looks), facts()).cause is Cause.INCONCLUSIVE


def test_silent_units_that_are_unknown_do_not_hide_known_ones() -> None:
    """The dead share of a sample is that of its known layers, and unknown without any."""
    one = replace(UNSEEN, dead_share=0.9)
    look = replace(sample(0), layers=(UNSEEN, one, UNSEEN))
    assert look.dead_share == 0.9
    assert math.isnan(replace(look, layers=(UNSEEN, UNSEEN)).dead_share)
    assert replace(look, layers=(UNSEEN,)).dead_share == 0.0
    assert replace(look, layers=()).dead_share == 0.0
