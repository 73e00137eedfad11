"""Verdicts over telemetry that is written down by hand, on both sides of every threshold."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.verdicts import condemning, judge
from hpsearch.records import Cause, DataFacts, Epoch, LayerSample, NonFinite, Sample, Telemetry
from hpsearch.study.spec import DEFAULT_FATAL, Configuration, ModelSpec, TrainingSpec

CLASSES = DataFacts(
    examples=6000,
    validation_examples=1500,
    class_shares=(0.1,) * 10,
    input_largest=1.0,
    input_mean_square=0.1,
    input_nonzero_share=0.2,
    input_is_binary=False,
    target_low=0.0,
    target_high=1.0,
    target_variance=0.0,
)

NUMBERS = replace(CLASSES, class_shares=(), target_low=-2.0, target_high=2.0, target_variance=1.0)


FATAL = frozenset(DEFAULT_FATAL)


def facts(*, steps: int = 300, classes: bool = True, rate: float = 0.1, **model: object) -> Facts:
    """Return the facts of a trial of 20 epochs whose model differs from the default in `model`."""
    changed = replace(ModelSpec(loss="cross_entropy" if classes else "mse"), **model)  # type: ignore[arg-type]
    configuration = Configuration(model=changed, training=TrainingSpec(learning_rate=rate, epochs=20))
    return Facts(
        configuration=configuration, data=CLASSES if classes else NUMBERS, steps_per_epoch=steps // 20
    )


def sample(
    step: int,
    *,
    loss: float = 2.3,
    logit: float = 3.0,
    promise: float = 0.01,
    dead: float = 0.0,
    gradient: float = 0.5,
    silent: float = 0.0,
) -> Sample:
    """Return a sample of a network with one hidden layer."""
    layers = (
        LayerSample(dead_share=dead, gradient_norm=gradient, weight_norm=8.0, silent_share=silent),
        LayerSample(dead_share=0.0, gradient_norm=0.5, weight_norm=4.0),
    )
    return Sample(step=step, loss=loss, logit_max=logit, predicted_decrease=promise, layers=layers)


def telemetry(
    samples: Sequence[Sample], *, epochs: Sequence[Epoch] = (), nonfinite: NonFinite | None = None
) -> Telemetry:
    """Return telemetry that ends just behind the last sample."""
    steps = samples[-1].step + 1 if samples else 0
    return Telemetry(steps=steps, samples=samples, epochs=epochs, nonfinite=nonfinite)


def epoch(number: int, *, training: float = 0.2, validation: float = 0.3) -> Epoch:
    """Return the end of an epoch."""
    return Epoch(epoch=number, training_loss=training, validation_loss=validation, validation_accuracy=0.9)


LEARNING = [sample(step, loss=2.3 * 0.9**i) for i, step in enumerate((0, 5, 10, 15, 20, 25, 50, 75))]


def test_a_learning_trial_is_healthy() -> None:
    """A falling loss without any finding is healthy, and not fatal."""
    assert judge(telemetry(LEARNING, epochs=[epoch(0)]), facts()).cause is Cause.HEALTHY
    assert condemning(telemetry(LEARNING, epochs=[epoch(0)]), facts(), FATAL) is None


def test_a_loss_at_the_level_of_chance_is_not_healthy() -> None:
    """A loss that fell from bad initial weights to that of guessing the classes' shares shows no learning."""
    guessing = telemetry(LEARNING, epochs=[epoch(0, training=1.9)])
    assert judge(guessing, facts()).cause is Cause.HEALTHY
    rare = replace(CLASSES, class_shares=(0.4, *(0.6 / 9,) * 9))  # an entropy of 1.99
    assert judge(guessing, replace(facts(), data=rare)).cause is Cause.INCONCLUSIVE


def test_too_little_evidence_is_inconclusive() -> None:
    """Before the loss has fallen by a tenth there is no verdict, and none before the first epoch."""
    flat = [epoch(0, training=2.25)]
    assert judge(telemetry(LEARNING), facts()).cause is Cause.INCONCLUSIVE
    assert judge(telemetry(LEARNING[:2], epochs=flat), facts()).cause is Cause.INCONCLUSIVE
    assert judge(telemetry([]), facts()).cause is Cause.INCONCLUSIVE


@pytest.mark.parametrize("array", ["weights", "activations", "logits", "loss"])
def test_numbers_that_are_not_finite_are_divergence(array: str) -> None:
    """The first NaN or infinity of a stable loss names the learning rate, its step and a lower rate."""
    broken = telemetry(LEARNING, nonfinite=NonFinite(step=60, array=array))
    finding = judge(broken, facts(rate=3.0)).findings[0]
    assert (finding.cause, finding.first_step, finding.confidence) == (Cause.DIVERGED_LR, 60, 1.0)
    assert finding.suggested == {"learning_rate": pytest.approx(0.3)}
    assert "from 3 to 0.3" in finding.remedy
    assert condemning(broken, facts(rate=3.0), FATAL) == finding


def test_a_first_pass_that_overflows_does_not_blame_the_learning_rate() -> None:
    """Before the first update only inputs and initial weights can be at fault."""
    verdict = judge(telemetry([], nonfinite=NonFinite(step=0, array="activations")), facts())
    assert verdict.cause is Cause.EXPLODING
    assert "learning_rate" not in verdict.findings[0].suggested


def test_a_plain_logarithm_of_zero_is_told_from_divergence() -> None:
    """Only the loss is not finite, behind an output that is not its own: log 0; the remedy is the loss's own."""
    broken = telemetry(LEARNING, nonfinite=NonFinite(step=9, array="loss"))
    verdict = judge(broken, facts(output="sigmoid"))
    assert verdict.cause is Cause.LOG_ZERO
    assert 'model.output = "softmax"' in verdict.findings[0].remedy
    assert judge(broken, facts(output="softmax")).cause is Cause.DIVERGED_LR
    weights_first = telemetry(LEARNING, nonfinite=NonFinite(step=9, array="weights"))
    causes = [finding.cause for finding in judge(weights_first, facts(output="sigmoid")).findings]
    assert causes == [Cause.WRONG_LOSS_PAIR, Cause.DIVERGED_LR]
    found = condemning(weights_first, facts(output="sigmoid"), FATAL)
    assert found is not None
    assert found.cause is Cause.DIVERGED_LR, "what stops a trial is what happened to it"


def test_a_validation_loss_that_is_not_finite_is_divergence() -> None:
    """The last update of an epoch can break the weights without another training step to show it."""
    verdict = judge(telemetry(LEARNING, epochs=[epoch(0, validation=math.nan)]), facts())
    assert verdict.cause is Cause.DIVERGED_LR


@pytest.mark.parametrize(
    ("losses", "model", "cause"),
    [
        ((2001.0, 2500.0), {}, Cause.DIVERGED_LR),
        ((2500.0, 900.0), {}, Cause.INCONCLUSIVE),
        ((2001.0, 2500.0), {"activation": "leaky_relu"}, Cause.INCONCLUSIVE),
        ((2001.0, 2500.0), {"batch_norm": True}, Cause.INCONCLUSIVE),
    ],
)
def test_a_loss_that_rose_a_thousandfold(
    losses: tuple[float, float], model: dict[str, object], cause: Cause
) -> None:
    """Two samples in a row above a thousand times the first loss are divergence, where runs never come back."""
    samples = [sample(0, loss=2.0), *(sample(5 * (i + 1), loss=loss) for i, loss in enumerate(losses))]
    assert judge(telemetry(samples), facts(**model)).cause is cause  # type: ignore[arg-type]


def test_a_regression_may_start_with_a_huge_loss() -> None:
    """The bound is relative to the first loss where targets are large."""
    samples = [sample(step, loss=30_000.0) for step in (0, 5, 10)]
    assert judge(telemetry(samples), facts(classes=False)).cause is Cause.INCONCLUSIVE


@pytest.mark.parametrize(
    ("activation", "logits", "cause"),
    [
        ("relu", (2e5, 3e5), Cause.EXPLODING),
        ("relu", (2e5, 9e4), Cause.INCONCLUSIVE),
        ("leaky_relu", (2e5, 3e5), Cause.INCONCLUSIVE),
    ],
)
def test_huge_logits_announce_divergence(activation: str, logits: tuple[float, float], cause: Cause) -> None:
    """Logits above 1e5 twice in a row are fatal, but for LeakyReLU, of which some learned on."""
    samples = [sample(0), *(sample(5 * (i + 1), logit=logit) for i, logit in enumerate(logits))]
    assert judge(telemetry(samples), facts(activation=activation)).cause is cause


@pytest.mark.parametrize(
    ("activation", "cause"),
    [
        ("relu", Cause.DEAD_RELU_TOTAL),
        ("elu", Cause.NEG_PLATEAU),
        ("selu", Cause.NEG_PLATEAU),
        ("leaky_relu", Cause.INCONCLUSIVE),
        ("tanh", Cause.INCONCLUSIVE),
    ],
)
def test_ten_silent_steps_in_a_row_are_death(activation: str, cause: Cause) -> None:
    """85 % of a layer silent for ten steps is death for ReLU, ELU and SELU; nine are not enough."""
    silent = [sample(20 + i, dead=0.9) for i in range(10)]
    assert judge(telemetry([sample(0), *silent]), facts(activation=activation)).cause is cause
    assert (
        judge(telemetry([sample(0), *silent[:9]]), facts(activation=activation)).cause is Cause.INCONCLUSIVE
    )


def test_small_minibatches_need_more_silence() -> None:
    """A silent unit is told from a rare one on 1,000 examples, so 100 minibatches of 10."""
    configuration = replace(facts().configuration, training=TrainingSpec(batch_size=10))
    small = replace(facts(), configuration=configuration)
    silent = [sample(i + 1, dead=0.9) for i in range(100)]
    assert judge(telemetry([sample(0), *silent[:99]]), small).cause is Cause.INCONCLUSIVE
    assert judge(telemetry([sample(0), *silent]), small).cause is Cause.DEAD_RELU_TOTAL


def test_zero_gradients_three_times_are_death() -> None:
    """Exact zeros in the first layer's gradient three times in a row are certain, and far from the share of silence."""
    zeros = [sample(step, dead=0.8, gradient=0.0) for step in (5, 10, 15)]
    verdict = judge(telemetry([sample(0), *zeros]), facts())
    assert (verdict.cause, verdict.findings[0].confidence) == (Cause.DEAD_RELU_TOTAL, 1.0)
    assert judge(telemetry([sample(0), *zeros[:2]]), facts()).cause is Cause.INCONCLUSIVE


def test_a_trial_that_has_learned_is_not_dead() -> None:
    """Silence and zero gradients of a network whose loss has halved are its success, and no failure."""
    done = [sample(20 + i, dead=0.95, gradient=0.0, loss=0.01) for i in range(12)]
    assert condemning(telemetry([sample(0), *done], epochs=[epoch(0)]), facts(), FATAL) is None


def test_silence_from_the_first_step_blames_the_initial_weights() -> None:
    """A layer that never fired was born dead: the learning rate did not do it."""
    verdict = judge(telemetry([sample(i, dead=1.0, gradient=0.0) for i in range(10)]), facts())
    assert verdict.cause is Cause.BORN_DEAD
    assert verdict.findings[0].suggested == {"model.initializer": "he"}


def test_partial_death_is_found_and_let_live() -> None:
    """A layer that lost a quarter of its units in training is a finding, and not fatal."""
    half = [sample(25 * (i + 1), dead=0.5, silent=0.05 * i, loss=1.0, promise=0.02) for i in range(10)]
    verdict = judge(telemetry([sample(0), *half]), facts())
    assert verdict.cause is Cause.DEAD_RELU_PARTIAL
    assert verdict.findings[0].first_step == 150
    assert condemning(telemetry([sample(0), *half]), facts(), FATAL) is None
    assert judge(telemetry([sample(0), *half[:5]]), facts()).cause is Cause.INCONCLUSIVE, "0.2 are few"
    born_sparse = [sample(0, dead=0.4), *half]
    assert judge(telemetry(born_sparse), facts()).cause is Cause.INCONCLUSIVE
    assert judge(telemetry([sample(0), *half]), facts(activation="leaky_relu")).cause is Cause.INCONCLUSIVE


def test_steps_that_promise_nothing_are_too_small() -> None:
    """A whole trial that promises less than a tenth of the loss is too slow, with a rate that is not."""
    slow = [sample(step, loss=2.3 - 1e-5 * step, promise=1e-5) for step in (0, 5, 10, 15, 20, 25, 50)]
    finding = judge(telemetry(slow), facts(rate=1e-5)).findings[0]
    assert finding.cause is Cause.LR_TOO_LOW
    assert finding.suggested["learning_rate"] == pytest.approx(1e-3)
    assert judge(telemetry(slow[:-1]), facts(rate=1e-5)).cause is Cause.INCONCLUSIVE, "26 steps are too few"
    longer = facts(steps=300_000, rate=1e-5)
    assert judge(telemetry(slow), longer).cause is Cause.INCONCLUSIVE, "a longer trial would arrive"


def test_a_trial_that_has_learned_and_slows_down_is_not_too_slow() -> None:
    """Small steps near a minimum are no fault once the loss has fallen."""
    done = [
        sample(step, loss=2.3 if step == 0 else 0.05, promise=1e-6) for step in (0, 50, 75, 100, 125, 150)
    ]
    assert judge(telemetry(done), facts()).cause is Cause.INCONCLUSIVE


def test_every_finding_is_complete() -> None:
    """A finding has evidence with finite numbers, a remedy of one sentence and a confidence in 0..1."""
    cases = [
        (telemetry(LEARNING, nonfinite=NonFinite(step=60, array="loss")), facts()),
        (telemetry(LEARNING, nonfinite=NonFinite(step=60, array="loss")), facts(output="sigmoid")),
        (telemetry([sample(i, dead=1.0) for i in range(10)]), facts()),
        (telemetry([sample(0), *(sample(20 + i, dead=0.9) for i in range(10))]), facts()),
        (telemetry([sample(s, promise=0.0) for s in (0, 5, 10, 15, 20, 50)]), facts()),
        (telemetry([sample(0, loss=math.nan)]), facts()),
    ]
    for measured, known in cases:
        for finding in judge(measured, known).findings:
            assert 0 <= finding.confidence <= 1
            assert finding.remedy.endswith(".")
            assert all(math.isfinite(value) for value in finding.evidence.values())
