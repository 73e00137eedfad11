"""What the catalogue's findings make together: the verdict, its order, and what stops a trial."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.diagnosis.calibration import may_stop
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.learning_rate import lr_too_low
from hpsearch.diagnosis.static_checks import STATIC_RULES
from hpsearch.diagnosis.verdicts import (
    CATALOGUE,
    HEALTHY_SHARE,
    SPARED_SHARE,
    STUCK_STEPS,
    SURE,
    fatal_finding,
    judge,
    raw_judge,
)
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import DEFAULT_FATAL, DIAGNOSED_CAUSES
from hpsearch.telemetry import NonFinite, Telemetry
from hpsearch.verdicts import Cause, Finding
from tests.diagnosis.written import (
    CHANCE,
    CLASSES,
    NUMBERS,
    asked,
    check_complete,
    epoch,
    facts,
    found,
    sample,
    samples,
    telemetry,
)

FATAL = frozenset(DEFAULT_FATAL)
EVERYTHING = frozenset(DIAGNOSED_CAUSES)
UNSCALED = replace(CLASSES, input_mean_square=5000.0, input_largest=255.0)

LEARNING = [sample(step, loss=2.3 * 0.9**i) for i, step in enumerate((0, 5, 10, 15, 20, 25, 50, 75))]
HEALTHY = telemetry(LEARNING, epochs=[epoch(0)])
DIVERGED = telemetry(LEARNING, nonfinite=NonFinite(step=76, array="weights"))
LOGARITHM = telemetry(LEARNING, nonfinite=NonFinite(step=76, array="loss"))
HUGE = telemetry([sample(0), *samples((5, 10), loss=1e6, logit=1e6)])
DEAD = telemetry([sample(0), *samples(range(20, 80, 3), dead=1.0)])
SPARSE = telemetry([sample(0), *samples((25, 50), dead=0.6, silent=0.5, loss=2.3)])
OVERFIT = telemetry(
    LEARNING, epochs=[epoch(0), *(epoch(i, training=0.1, validation=1.0, accuracy=0.8) for i in range(1, 5))]
)


def stuck(steps: int = STUCK_STEPS) -> Telemetry:
    """Return telemetry of a trial in which nothing is found after so many steps, and nothing learned."""
    return telemetry([sample(0, promise=0.1), *samples((5, 10), promise=0.1)], steps=steps)


def causes(measured: Telemetry, known: TrialFacts) -> list[Cause]:
    """Return the causes of a verdict, all of whose findings are complete."""
    findings = judge(measured, known).findings
    for finding in findings:
        check_complete(finding)
    return [finding.cause for finding in findings]


def stops(measured: Telemetry, known: TrialFacts, fatal: frozenset[Cause]) -> Cause | None:
    """Return the cause for which a trial would be stopped."""
    finding = fatal_finding(measured, known, fatal)
    return None if finding is None else finding.cause


def test_every_ailment_has_a_rule() -> None:
    """What a study file may call fatal or expected is what some rule declares, and nothing else."""
    declared = {cause for entry in CATALOGUE for cause in entry.causes}
    declared |= {Cause(rule.__name__) for rule in STATIC_RULES}
    declared |= {Cause.STALE_GRADIENTS, Cause.UNTRAINED_LAYERS}
    assert declared == EVERYTHING


def test_no_rule_is_asked_twice() -> None:
    """A rule stands once in the catalogue."""
    rules = [entry.rule for entry in CATALOGUE]
    assert len(rules) == len(set(rules))


def test_a_learning_trial_is_healthy() -> None:
    """A falling loss without any finding is healthy, and not fatal."""
    assert causes(HEALTHY, facts()) == [Cause.HEALTHY]
    assert stops(HEALTHY, facts(), EVERYTHING) is None


@pytest.mark.parametrize(("first", "bound"), [(1.0, 1.0), (5.0, CHANCE)])
def test_health_is_a_tenth_below_the_first_loss_and_chances(first: float, bound: float) -> None:
    """A loss that fell from bad initial weights to that of guessing the classes' shares shows no learning."""
    for factor, cause in ((0.99, Cause.HEALTHY), (1.01, Cause.INCONCLUSIVE)):
        last = epoch(0, training=bound * HEALTHY_SHARE * factor)
        assert causes(telemetry([sample(0, loss=first)], epochs=[last]), facts()) == [cause]


def test_too_little_evidence_is_inconclusive() -> None:
    """Before the loss has fallen by a tenth there is no verdict, and none before the first epoch."""
    assert causes(telemetry(LEARNING), facts()) == [Cause.INCONCLUSIVE]
    assert causes(telemetry([]), facts()) == [Cause.INCONCLUSIVE]
    assert causes(telemetry([sample(0, loss=math.nan)]), facts()) == [Cause.INCONCLUSIVE]
    finding = judge(telemetry([]), facts()).findings[0]
    assert (finding.confidence, finding.evidence) == (0.0, {})


def test_what_was_wrong_before_explains_an_illness() -> None:
    """Inputs that are not scaled come before the divergence that they lead to."""
    assert causes(DIVERGED, facts(data=UNSCALED)) == [Cause.INPUT_UNSCALED, Cause.DIVERGED_LR]
    assert causes(DIVERGED, facts(reduction="sum")) == [Cause.GRAD_REDUCTION_SUM, Cause.DIVERGED_LR]


def test_what_was_wrong_before_ails_nobody_who_learns() -> None:
    """If a trial does well, or has only what happens to those that learn, it comes last."""
    assert causes(HEALTHY, facts(data=UNSCALED)) == [Cause.HEALTHY, Cause.INPUT_UNSCALED]
    assert causes(OVERFIT, facts(data=UNSCALED)) == [Cause.OVERFIT, Cause.INPUT_UNSCALED]
    few = [replace(look, loss=1.5) for look in SPARSE.samples]
    few = [few[0], *(replace(look, layers=sample(0, dead=0.9, silent=0.9).layers) for look in few[1:])]
    assert causes(telemetry(few), facts(data=UNSCALED)) == [Cause.DEAD_RELU_PARTIAL, Cause.INPUT_UNSCALED]


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        (facts(loss="mse"), Cause.WRONG_LOSS_PAIR),
        (facts(data=NUMBERS, output="sigmoid"), Cause.OUTPUT_RANGE),
    ],
)
def test_some_mistakes_are_definite(known: TrialFacts, cause: Cause) -> None:
    """A loss that does not suit the task, or an output that cannot reach it, is wrong however well it goes."""
    assert causes(HEALTHY, known) == [cause]
    assert causes(telemetry([]), known) == [cause]


def test_a_trial_that_is_stuck_is_explained() -> None:
    """Nothing is found and nothing learned for 200 steps: then what was wrong before is to blame."""
    known = facts(data=UNSCALED)
    assert causes(stuck(), known) == [Cause.INPUT_UNSCALED]
    assert causes(stuck(STUCK_STEPS - 1), known) == [Cause.INCONCLUSIVE, Cause.INPUT_UNSCALED]
    learned = telemetry([sample(0), *samples((5, 10, 15), loss=1.0)], steps=STUCK_STEPS)
    assert causes(learned, known) == [Cause.INCONCLUSIVE, Cause.INPUT_UNSCALED]


def test_a_trial_that_validates_above_chance_is_not_stuck() -> None:
    """On labels near chance the loss hardly falls: answers above chance show that the inputs did no harm."""
    known = facts(data=UNSCALED)
    for accuracy, cause in ((0.1, Cause.INPUT_UNSCALED), (0.12, Cause.INCONCLUSIVE)):
        end = epoch(0, training=2.3, validation=2.3, accuracy=accuracy)
        assert causes(replace(stuck(), epochs=[end]), known)[0] is cause


def test_summed_gradients_explain_no_standstill() -> None:
    """They are what a study file does openly, and no illness by themselves."""
    assert causes(stuck(), facts(reduction="sum")) == [Cause.INCONCLUSIVE, Cause.GRAD_REDUCTION_SUM]


def test_what_is_proved_comes_before_what_explains() -> None:
    """A logarithm of 0, and a decay that has eaten the weights, need no other explanation."""
    known = facts(output="sigmoid", data=UNSCALED)
    assert causes(LOGARITHM, known) == [Cause.LOG_ZERO, Cause.INPUT_UNSCALED, Cause.WRONG_LOSS_PAIR]
    thrown = telemetry([sample(0, update=100.0)])
    known = facts(weight_decay=10.0, data=UNSCALED)
    assert causes(thrown, known) == [Cause.WD_DOMINATES, Cause.INPUT_UNSCALED]


def test_divergence_behind_another_output_is_explained_by_it() -> None:
    """Weights broke first: the pair explains it, and what stops the trial is what happened to it."""
    known = facts(output="sigmoid")
    assert causes(DIVERGED, known) == [Cause.WRONG_LOSS_PAIR, Cause.DIVERGED_LR]
    assert stops(DIVERGED, known, FATAL) is Cause.DIVERGED_LR


def test_findings_stand_in_the_order_of_the_catalogue() -> None:
    """What is surest comes first where several rules find something."""
    assert causes(HUGE, facts()) == [Cause.DIVERGED_LR, Cause.EXPLODING]


def test_what_is_expected_comes_last() -> None:
    """A cause that the study has on purpose is found, and is never the verdict."""
    assert causes(HUGE, facts(expected=[Cause.DIVERGED_LR])) == [Cause.EXPLODING, Cause.DIVERGED_LR]
    assert causes(DIVERGED, facts(expected=[Cause.DIVERGED_LR])) == [Cause.INCONCLUSIVE, Cause.DIVERGED_LR]
    known = facts(data=UNSCALED, expected=[Cause.DIVERGED_LR])
    assert causes(DIVERGED, known) == [Cause.INCONCLUSIVE, Cause.INPUT_UNSCALED, Cause.DIVERGED_LR]


def test_what_is_expected_explains_nothing() -> None:
    """Of what was wrong before the first step the study knows already."""
    known = facts(data=UNSCALED, expected=[Cause.INPUT_UNSCALED])
    assert causes(DIVERGED, known) == [Cause.DIVERGED_LR]
    assert causes(stuck(), known) == [Cause.INCONCLUSIVE]


def test_only_what_is_fatal_stops_a_trial() -> None:
    """A finding that the study does not call fatal lets the trial continue."""
    assert stops(DEAD, facts(), FATAL) is Cause.DEAD_RELU_TOTAL
    assert stops(DEAD, facts(), FATAL - {Cause.DEAD_RELU_TOTAL}) is Cause.DEAD_RELU_PARTIAL, "the next rule"
    assert stops(DEAD, facts(), FATAL - {Cause.DEAD_RELU_TOTAL, Cause.DEAD_RELU_PARTIAL}) is None
    assert stops(DEAD, facts(), frozenset()) is None


def test_the_first_fatal_finding_stops_a_trial() -> None:
    """Of several, the first of the catalogue that is fatal is named."""
    assert stops(HUGE, facts(), FATAL) is Cause.DIVERGED_LR
    assert stops(HUGE, facts(), frozenset({Cause.EXPLODING})) is Cause.EXPLODING


def test_a_rule_that_finds_another_cause_than_the_fatal_one_stops_nothing() -> None:
    """An overflow in the first pass is found by the rule of divergence, and is an explosion."""
    overflow = telemetry([], nonfinite=NonFinite(step=0, array="activations"))
    assert stops(overflow, facts(), frozenset({Cause.DIVERGED_LR})) is None
    assert stops(overflow, facts(), frozenset({Cause.EXPLODING})) is Cause.EXPLODING


@pytest.mark.parametrize(
    ("measured", "known", "cause"),
    [
        (SPARSE, facts(), Cause.DEAD_RELU_PARTIAL),
        (OVERFIT, facts(), Cause.OVERFIT),
        (DIVERGED, facts(data=UNSCALED), Cause.INPUT_UNSCALED),
    ],
)
def test_what_is_not_sure_stops_nothing(measured: Telemetry, known: TrialFacts, cause: Cause) -> None:
    """A finding of less confidence, or of what was wrong before the first step, is no reason to stop."""
    assert cause in causes(measured, known)
    assert stops(measured, known, frozenset({cause})) is None


def raw_findings(measured: Telemetry) -> Sequence[Finding]:
    """Return the findings with the rules' own confidences."""
    return raw_judge(measured, facts()).findings


def test_what_stops_a_trial_is_sure() -> None:
    """Its rule is sure, and its cause stops hardly any good trial."""
    for measured in (DIVERGED, HUGE, DEAD):
        finding = fatal_finding(measured, facts(), FATAL)
        assert finding is not None
        assert may_stop(finding.cause)
        assert any(raw.cause is finding.cause and raw.confidence >= SURE for raw in raw_findings(measured))
        check_complete(finding)


def test_rules_that_spare_those_that_have_learned_are_not_asked_of_them() -> None:
    """A loss that has halved by the last epoch's mean clears a trial that its last samples would condemn."""
    still: dict[str, Any] = {"promise": 0.0, "travelled": 0.0, "update": 0.0}
    slow = [sample(0, loss=2.3, **still), *samples(range(50, 60), loss=2.2, **still)]
    fatal = frozenset({Cause.LR_TOO_LOW})
    assert found(lr_too_low, telemetry(slow), facts()).confidence >= SURE
    assert stops(telemetry(slow), facts(), fatal) is Cause.LR_TOO_LOW
    assert stops(telemetry(slow, epochs=[epoch(0, training=1.1)]), facts(), fatal) is None


@pytest.mark.parametrize(
    ("metric", "share", "cause"),
    [
        ("auto", SPARED_SHARE * 1.01, None),
        ("auto", SPARED_SHARE * 0.99, Cause.DIVERGED_LR),
        ("validation_loss", 1.0, Cause.DIVERGED_LR),
    ],
)
def test_right_answers_spare_a_trial_whose_loss_explodes(
    metric: Metric, share: float, cause: Cause | None
) -> None:
    """If answers count, a trial that gives them is not stopped for its loss, unless numbers are not finite."""
    known = replace(facts(), metric=metric)
    answers = {"accuracy": 0.1 + 0.9 * share}
    huge = telemetry([sample(0), *samples((5, 10), loss=1e6, logit=1e6, **answers)])
    assert stops(huge, known, FATAL) is cause
    wrong = samples(range(25, 30), loss=1e6, logit=1e6, accuracy=0.1)
    longer = [sample(0), *samples(range(10, 25), loss=1e6, logit=1e6, **answers), *wrong]
    assert stops(telemetry(longer), known, FATAL) is cause, "wrong for a few steps"
    broken = replace(huge, nonfinite=NonFinite(step=11, array="weights"))
    assert stops(broken, known, FATAL) is Cause.DIVERGED_LR


def test_a_trial_that_has_learned_may_still_diverge() -> None:
    """Numbers that are not finite stop every trial."""
    learned = replace(DIVERGED, epochs=[epoch(0)])
    assert stops(learned, facts(), FATAL) is Cause.DIVERGED_LR


ILL: list[tuple[Telemetry, dict[str, Any]]] = [
    (DIVERGED, {}),
    (LOGARITHM, {"output": "sigmoid"}),
    (HUGE, {}),
    (DEAD, {}),
    (DEAD, {"activation": "elu"}),
    (SPARSE, {}),
    (OVERFIT, {}),
]


@pytest.mark.parametrize(("measured", "changes"), ILL)
def test_a_verdict_is_what_the_rules_find(measured: Telemetry, changes: dict[str, Any]) -> None:
    """Nothing that a rule finds is lost, and nothing is added to it."""
    known = facts(**changes)
    rules = {found.cause for entry in CATALOGUE if (found := asked(entry.rule, measured, known))}
    assert rules
    assert rules == set(causes(measured, known)) - {Cause.WRONG_LOSS_PAIR}


def test_a_rising_loss_alone_is_a_note() -> None:
    """If answers stay as good, `overfit` follows health; if they become fewer, or a loss is the metric, it is first."""
    rising = [epoch(0, validation=0.3), *(epoch(i, training=0.1, validation=0.9) for i in range(1, 5))]
    measured = telemetry(samples(range(0, 75, 5), loss=0.2), epochs=rising)
    assert list(causes(measured, facts())) == [Cause.HEALTHY, Cause.OVERFIT]
    worse = [replace(end, validation_accuracy=0.9 - 0.05 * end.epoch) for end in rising]
    assert causes(replace(measured, epochs=worse), facts())[0] is Cause.OVERFIT
    by_loss = replace(facts(), metric="validation_loss")
    assert causes(measured, by_loss)[0] is Cause.OVERFIT
