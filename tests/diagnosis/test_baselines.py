"""Each published rule fires on a run that is made for it, and is silent on a healthy one where it should be."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.study.spec import Initializer
from hpsearch.telemetry import LayerSample, NonFinite
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.baselines import statistics
from tests.benchmarks.diagnosis.baselines.autotrainer import AUTOTRAINER
from tests.benchmarks.diagnosis.baselines.bttackler import BTTackler, losses_of
from tests.benchmarks.diagnosis.baselines.constant import AlwaysHealthy, AlwaysIll, commonest_fault
from tests.benchmarks.diagnosis.baselines.deepdiagnosis import DEEPDIAGNOSIS
from tests.benchmarks.diagnosis.baselines.deeplocalize import DEEPLOCALIZE
from tests.benchmarks.diagnosis.baselines.nan_guard import NAN_GUARD
from tests.benchmarks.diagnosis.baselines.pruners import pruners
from tests.benchmarks.diagnosis.baselines.sagemaker import sagemaker
from tests.benchmarks.diagnosis.baselines.thedeepchecker import THEDEEPCHECKER
from tests.benchmarks.diagnosis.baselines.umlaut import UMLAUT
from tests.benchmarks.diagnosis.contenders import baselines
from tests.benchmarks.diagnosis.detectors import SILENCE, Detector
from tests.benchmarks.diagnosis.runs import Run
from tests.diagnosis.made_runs import (
    LOOKS,
    NUMBERS,
    STEPS,
    epoch,
    every_epoch,
    every_look,
    facts,
    run,
    sample,
)
from tests.diagnosis.written import CLASSES

SAGEMAKER = sagemaker(500)
BTTACKLER = BTTackler()
DIVERGED: dict[str, Any] = {"nonfinite": NonFinite(step=100, array="weights")}
STUCK = {"training_loss": 2.3, "validation_loss": 2.3, "validation_accuracy": 0.1}
ZEROS = {"first": 0.0, "dead": 1.0}


def smooth(**changes: Any) -> list[Any]:
    """Return looks at a loss that falls by 6 % and more from look to look, so that it never stagnates."""
    return [sample(step, loss=2.3 * 0.94**count, **changes) for count, step in enumerate(LOOKS)]


def after(step: int, **changes: Any) -> list[Any]:
    """Return smooth looks that differ by `changes` from `step` on."""
    return [
        replace(look, layers=sample(look.step, **changes).layers) if look.step >= step else look
        for look in smooth()
    ]


SILENT = [AlwaysHealthy(), NAN_GUARD, SAGEMAKER, AUTOTRAINER, DEEPLOCALIZE, DEEPDIAGNOSIS, UMLAUT, BTTACKLER]


@pytest.mark.parametrize("detector", [*SILENT, THEDEEPCHECKER], ids=lambda detector: detector.name)
def test_a_healthy_run_raises_no_alarm(detector: Detector) -> None:
    """No system fires on a smooth run of 240 steps with everything in the ranges that it asks for."""
    known = replace(facts(epochs=4), steps_per_epoch=60)
    healthy = run(samples=smooth()[:14], epochs=every_epoch()[:4], known=known)
    assert detector.call(healthy) == SILENCE


def changing(count: int) -> list[Any]:
    """Return epochs in which nothing but the validation loss goes wrong, from `count` on."""
    return [
        epoch(number, **({"validation_loss": 1.0 + number} if number >= count else {}))
        for number in range(10)
    ]


RULES: Sequence[tuple[Detector, dict[str, Any], Cause, int]] = [
    (NAN_GUARD, DIVERGED, Cause.DIVERGED_LR, 101),
    (NAN_GUARD, {"samples": [sample(0), sample(5, loss=1001.0)]}, Cause.DIVERGED_LR, 6),
    (NAN_GUARD, {"epochs": every_epoch(training_loss=math.inf)}, Cause.DIVERGED_LR, 60),
    (SAGEMAKER, DIVERGED, Cause.DIVERGED_LR, 501),
    (sagemaker(1), DIVERGED, Cause.DIVERGED_LR, 101),
    (SAGEMAKER, {"samples": smooth(first=1e-6)}, Cause.VANISHING_GRAD, 1),
    (SAGEMAKER, {"samples": after(25, dead=0.6)}, Cause.DEAD_RELU_PARTIAL, 501),
    (sagemaker(1), {"samples": after(25, dead=1.0)}, Cause.DEAD_RELU_TOTAL, 26),
    (SAGEMAKER, {"samples": smooth(update=100.0)}, Cause.LR_TOO_HIGH, 1),
    (SAGEMAKER, {"samples": smooth(update=1e-9)}, Cause.LR_TOO_LOW, 1),
    (sagemaker(1), {"samples": every_look(loss=2.3)}, Cause.PLATEAU, 11),
    (SAGEMAKER, {"epochs": changing(2)}, Cause.OVERFIT, 180),
    (AUTOTRAINER, DIVERGED, Cause.DIVERGED_LR, 240),
    (AUTOTRAINER, {"epochs": every_epoch(validation_loss=math.nan)}, Cause.DIVERGED_LR, 60),
    (
        AUTOTRAINER,
        {"samples": every_look(accuracy=0.1), "epochs": every_epoch(**STUCK)},
        Cause.LR_TOO_LOW,
        240,
    ),
    (
        AUTOTRAINER,
        {"samples": every_look(accuracy=0.1, **ZEROS), "epochs": every_epoch(**STUCK)},
        Cause.DEAD_RELU_TOTAL,
        240,
    ),
    (
        AUTOTRAINER,
        {"samples": every_look(accuracy=0.1, first=1e-5), "epochs": every_epoch(**STUCK)},
        Cause.VANISHING_GRAD,
        240,
    ),
    (
        AUTOTRAINER,
        {"samples": every_look(accuracy=0.1, first=50.0), "epochs": every_epoch(**STUCK)},
        Cause.EXPLODING_GRAD,
        240,
    ),
    (
        AUTOTRAINER,
        {"samples": [], "epochs": [epoch(n, validation_accuracy=0.8 + n % 2 / 10) for n in range(10)]},
        Cause.LR_TOO_HIGH,
        240,
    ),
    (DEEPLOCALIZE, DIVERGED, Cause.DIVERGED_LR, 101),
    (DEEPLOCALIZE, {"samples": after(5, **ZEROS)}, Cause.DEAD_RELU_TOTAL, 6),
    (
        DEEPLOCALIZE,
        {"samples": smooth(first=0.0), "known": facts(activation="tanh")},
        Cause.VANISHING_GRAD,
        1,
    ),
    (DEEPLOCALIZE, {"samples": every_look(loss=2.3)}, Cause.LR_TOO_LOW, 21),
    (DEEPLOCALIZE, {"samples": every_look(accuracy=1.0)}, Cause.LR_TOO_LOW, 21),
    (DEEPDIAGNOSIS, DIVERGED, Cause.DIVERGED_LR, 120),
    (DEEPDIAGNOSIS, {"known": facts(output="identity")}, Cause.WRONG_LOSS_PAIR, 60),
    (
        DEEPDIAGNOSIS,
        {"known": facts(data=replace(NUMBERS, target_high=300.0), output="sigmoid")},
        Cause.OUTPUT_RANGE,
        60,
    ),
    (DEEPDIAGNOSIS, {"samples": after(100, **ZEROS)}, Cause.DEAD_RELU_TOTAL, 120),
    (DEEPDIAGNOSIS, {"samples": after(100, first=1e-6)}, Cause.VANISHING_GRAD, 120),
    (
        DEEPDIAGNOSIS,
        {"samples": smooth(saturated=0.6), "known": facts(activation="sigmoid")},
        Cause.SATURATED,
        300,
    ),
    (DEEPDIAGNOSIS, {"samples": smooth(dead=0.7)}, Cause.DEAD_RELU_PARTIAL, STEPS),
    (DEEPDIAGNOSIS, {"epochs": every_epoch(training_loss=2.3)}, Cause.LR_TOO_LOW, 300),
    (UMLAUT, {"known": facts(output="sigmoid")}, Cause.WRONG_LOSS_PAIR, 0),
    (UMLAUT, {"known": facts(data=replace(CLASSES, input_largest=255.0))}, Cause.INPUT_UNSCALED, 60),
    (UMLAUT, {"known": facts(rate=0.1)}, Cause.LR_TOO_HIGH, 60),
    (UMLAUT, {"known": facts(rate=1e-8)}, Cause.LR_TOO_LOW, 60),
    (UMLAUT, DIVERGED, Cause.DIVERGED_LR, 120),
    (UMLAUT, {"epochs": changing(2)}, Cause.OVERFIT, 180),
    (UMLAUT, {"epochs": every_epoch(validation_accuracy=0.96)}, Cause.VAL_MISALIGNED, 240),
    (THEDEEPCHECKER, DIVERGED | {"samples": smooth()}, Cause.DIVERGED_LR, 101),
    (THEDEEPCHECKER, {"known": facts(data=replace(CLASSES, input_largest=255.0))}, Cause.INPUT_UNSCALED, 0),
    (
        THEDEEPCHECKER,
        {"known": facts(data=replace(CLASSES, class_shares=(0.955, *(0.005,) * 9)))},
        Cause.COLLAPSED_OUTPUT,
        0,
    ),
    (THEDEEPCHECKER, {"known": facts(data=replace(NUMBERS, target_high=300.0))}, Cause.OUTPUT_RANGE, 0),
    (THEDEEPCHECKER, {"samples": [sample(0, loss=4.7)]}, Cause.EXPLODING, 0),
    (THEDEEPCHECKER, {"known": facts(reduction="sum")}, Cause.GRAD_REDUCTION_SUM, 0),
    (THEDEEPCHECKER, {"known": facts(initializer=Initializer(name="xavier"))}, Cause.BORN_DEAD, 0),
    (THEDEEPCHECKER, {"samples": smooth(weights=0.0)}, Cause.SYMMETRIC_INIT, 0),
    (THEDEEPCHECKER, {"samples": every_look(loss=2.3)}, Cause.PLATEAU, 21),
    (
        THEDEEPCHECKER,
        {"samples": [sample(step, loss=2.3 * 2**n) for n, step in enumerate(LOOKS)]},
        Cause.EXPLODING,
        21,
    ),
    (
        THEDEEPCHECKER,
        {"samples": [replace(s, layers=sample(0, weights=2.0**n).layers) for n, s in enumerate(smooth())]},
        Cause.EXPLODING,
        21,
    ),
    (
        THEDEEPCHECKER,
        {"samples": [replace(s, layers=sample(0, first=0.5**n).layers) for n, s in enumerate(smooth())]},
        Cause.VANISHING_GRAD,
        21,
    ),
    (
        THEDEEPCHECKER,
        {"samples": [replace(s, layers=sample(0, first=2.0**n).layers) for n, s in enumerate(smooth())]},
        Cause.EXPLODING_GRAD,
        21,
    ),
    (THEDEEPCHECKER, {"samples": after(25, first=1e-5)}, Cause.VANISHING_GRAD, 26),
    (THEDEEPCHECKER, {"samples": after(25, update=1.0)}, Cause.LR_TOO_HIGH, 26),
    (THEDEEPCHECKER, {"samples": after(25, update=1e-4)}, Cause.LR_TOO_LOW, 26),
    (THEDEEPCHECKER, {"samples": after(25, dead=0.6)}, Cause.DEAD_RELU_PARTIAL, 26),
    (THEDEEPCHECKER, {"samples": smooth(), "known": facts(weight_decay=1.0)}, Cause.WD_DOMINATES, 21),
    (THEDEEPCHECKER, {"samples": smooth(evaluation_loss=6.0)}, Cause.TRAIN_EVAL_SHIFT, 11),
    (
        THEDEEPCHECKER,
        {"samples": smooth()[:14], "epochs": every_epoch(training_loss=2.3)},
        Cause.LABELS_UNRELATED,
        STEPS,
    ),
    (BTTACKLER, DIVERGED, Cause.DIVERGED_LR, 120),
    (BTTACKLER, {"epochs": every_epoch(training_loss=math.nan)}, Cause.DIVERGED_LR, 60),
    (BTTACKLER, {"samples": every_look(first=1e9)}, Cause.EXPLODING_GRAD, 60),
    (BTTACKLER, {"samples": every_look(first=1e-5)}, Cause.VANISHING_GRAD, 60),
    (BTTACKLER, {"samples": every_look(dead=0.7)}, Cause.DEAD_RELU_PARTIAL, 300),
    (BTTACKLER, {"epochs": every_epoch(training_loss=2.3)}, Cause.LR_TOO_LOW, 180),
    (BTTACKLER, {"epochs": [epoch(n, training_loss=1.0 + n % 5) for n in range(10)]}, Cause.LR_TOO_HIGH, 360),
    (BTTACKLER, {"epochs": [epoch(n, training_loss=1.0 + n / 9) for n in range(10)]}, Cause.PLATEAU, 360),
    (BTTACKLER, {"epochs": [epoch(n, validation_loss=1.0 + n / 9) for n in range(10)]}, Cause.OVERFIT, 360),
]


@pytest.mark.parametrize(("detector", "ill", "cause", "step"), RULES)
def test_a_rule_fires(detector: Detector, ill: dict[str, Any], cause: Cause, step: int) -> None:
    """A run that has what the rule looks for is called so, at the step at which the system would have looked."""
    call = detector.call(run(**ill))
    assert (call.step, cause in call.causes) == (step, True), call


def test_half_dead_units_escape_autotrainer() -> None:
    """At half the units dead and 35 % of the columns zero its statistic is 0.67, and it fires from 55 % dead on."""
    stuck: dict[str, Any] = {"epochs": every_epoch(**STUCK), "zero_column_share": 0.349, "family": "mnist/64"}
    half = run(samples=every_look(accuracy=0.1, dead=0.5), **stuck)
    assert statistics.zero_gradient_share(half, half.telemetry.samples[0]) == pytest.approx(0.67, abs=0.005)
    assert AUTOTRAINER.call(half).cause is Cause.LR_TOO_LOW
    more = run(samples=every_look(accuracy=0.1, dead=0.57), **stuck)
    assert AUTOTRAINER.call(more).cause is Cause.DEAD_RELU_PARTIAL


def test_the_best_tenth_is_protected_from_bttackler() -> None:
    """A run whose training loss is among the best of its base's is not called for its gradients."""
    vanishing: dict[str, Any] = {"samples": every_look(first=1e-5)}
    best = run(**vanishing)
    others = [run(epochs=every_epoch(training_loss=5.0 - n / 100)) for n in range(12)]
    assert BTTACKLER.call(best).is_alarm
    assert not BTTackler(losses=losses_of([best, *others])).call(best).is_alarm
    assert BTTackler(losses=losses_of([best, *others[:9]])).call(best).is_alarm, "ten are too few"


def test_zero_gradients_multiply_through_layers() -> None:
    """Of layer 1 the share is 1 - (1 - columns)(1 - dead), of layer l 1 - (1 - dead below)(1 - dead)."""
    layers = [LayerSample(dead_share=dead, gradient_norm=1.0, weight_norm=1.0) for dead in (0.5, 0.25, 0.0)]
    look = replace(sample(0), layers=tuple(layers))
    shares = statistics.zero_gradient_shares(run(zero_column_share=0.2), look)
    assert shares == pytest.approx([0.6, 0.625, 0.25])
    tanh = run(zero_column_share=0.2, known=facts(activation="tanh"))
    assert statistics.zero_gradient_shares(tanh, look) == pytest.approx([0.2, 0.0, 0.0])


def test_mean_gradients_are_those_of_normal_elements() -> None:
    """|g| = 0.5 over 64 x 64 elements without zeros has the mean magnitude 0.5 / 64 x sqrt(2 / pi)."""
    means = statistics.mean_gradients(run(zero_column_share=0.0), sample(0))
    assert means[0] == pytest.approx(0.5 / 64 * math.sqrt(2 / math.pi))
    assert statistics.mean_gradients(run(), sample(0, first=0.0))[0] == 0.0


def test_curves_are_described_by_deviation_and_slope() -> None:
    """1, 2, 3 vary by sqrt(2/3) / 2 and rise by 1 per epoch."""
    assert statistics.deviation([1, 2, 3]) == pytest.approx(math.sqrt(2 / 3) / 2)
    assert statistics.slope([1, 2, 3]) == pytest.approx(1.0)


def test_constant_answers() -> None:
    """One never says anything, the other always says what most ill runs have."""
    runs = [run(), run(Cause.OVERFIT), run(Cause.PLATEAU), run(Cause.OVERFIT)]
    assert commonest_fault(runs) is Cause.OVERFIT
    call = AlwaysIll(cause=Cause.OVERFIT).call(runs[0])
    assert (call.causes, call.step) == ((Cause.OVERFIT,), 0)


def field_of_runs() -> list[Run]:
    """Return runs of one base: eight that learn, one that stays at chance, one whose loss is NaN from epoch 1 on."""
    learning = [
        run(epochs=[epoch(n, validation_accuracy=0.5 + n / 25 + i / 100) for n in range(10)])
        for i in range(8)
    ]
    stuck = run(Cause.LR_TOO_LOW, epochs=every_epoch(**STUCK))
    return [*learning, stuck, run(Cause.DIVERGED_LR, **DIVERGED)]


def test_optunas_pruners_rank() -> None:
    """Each stops the run that stays at chance, none names a cause, and the best run is never stopped."""
    runs = field_of_runs()
    called = {pruner.name: [pruner.call(r) for r in runs] for pruner in pruners(runs)}
    assert {call.cause for calls in called.values() for call in calls} == {Cause.HEALTHY, Cause.OUTRANKED}
    for name in ("Optuna median", "Optuna percentile"):
        assert called[name][8].step == 60
        assert called[name][0].is_alarm
        assert not called[name][7].is_alarm
    assert [call.is_alarm for call in called["Optuna threshold"]] == [False] * 8 + [False, True]
    assert called["Optuna threshold"][9].step == 120
    assert any(call.is_alarm for call in called["Optuna hyperband"])


def test_a_run_among_itself_is_not_its_own_rival() -> None:
    """With four others there are too few startup trials, so median and percentile stop nothing."""
    runs = field_of_runs()[4:9]
    assert len(runs) == 5
    for pruner in pruners(runs)[:2]:
        assert not any(pruner.call(r).is_alarm for r in runs)


def test_everybody_is_asked() -> None:
    """All baselines answer for every run, under names of their own."""
    runs = [*field_of_runs(), run(is_held_out=False), run(Cause.OVERFIT, is_held_out=False)]
    everybody = baselines(runs)
    assert len({detector.name for detector in everybody}) == len(everybody) == 15
    assert "always overfit" in {detector.name for detector in everybody}
    for detector in everybody:
        for asked in runs:
            call = detector.call(asked)
            assert call.is_alarm == (call.step is not None)
