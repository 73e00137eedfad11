"""No telemetry, however broken, keeps diagnosis from a verdict."""

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hpsearch.diagnosis.calibration import may_stop
from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.verdicts import CATALOGUE, SURE, fatal_finding, judge
from hpsearch.study.spec import DIAGNOSED_CAUSES, Initializer
from hpsearch.telemetry import DataFacts, Epoch, LayerSample, NonFinite, Sample, Telemetry
from tests.diagnosis.written import CLASSES, NUMBERS, asked, check_complete, facts

SPECIAL = (0.0, math.nan, math.inf, 1e-45, 1.0, 2.3, 1e6)
sizes = st.sampled_from(SPECIAL) | st.floats(0.0, 1e308)
"""Norms and losses, which are never negative."""
numbers = sizes | st.just(-math.inf) | st.floats(-1e308, 1e308)
shares = st.sampled_from((0.0, 1.0, math.nan)) | st.floats(0.0, 1.0)
causes = st.frozensets(st.sampled_from(DIAGNOSED_CAUSES))

layers = st.builds(
    LayerSample,
    dead_share=shares,
    gradient_norm=sizes,
    weight_norm=sizes,
    silent_share=shares,
    saturated_share=shares,
    update_norm=sizes,
)


def looks(depth: int) -> st.SearchStrategy[Sample]:
    """Return samples, at step 0, of networks with `depth` hidden layers."""
    return st.builds(
        Sample,
        step=st.just(0),
        loss=sizes,
        logit_max=sizes,
        predicted_decrease=numbers,
        layers=st.tuples(*(layers for _ in range(depth + 1))),
        accuracy=shares,
        top_share=shares,
        output_range=sizes,
        gradient_cosine=st.just(math.nan) | st.floats(-1.0, 1.0),
        coherence=sizes,
        actual_decrease=numbers,
        evaluation_loss=sizes,
    )


@st.composite
def measured(draw: st.DrawFn, depth: int) -> Telemetry:
    """Return telemetry in stretches of equal samples, since rules ask for several in a row."""
    stretches = draw(st.lists(st.tuples(looks(depth), st.integers(1, 22)), max_size=4))
    stride = draw(st.sampled_from((1, 5, 25)))
    plain = [look for look, count in stretches for _ in range(count)]
    samples = [replace(look, step=place * stride) for place, look in enumerate(plain)]
    ends = draw(st.lists(st.tuples(sizes, sizes, st.none() | shares), max_size=3))
    epochs = [
        Epoch(epoch=number, training_loss=end[0], validation_loss=end[1], validation_accuracy=end[2])
        for number, end in enumerate(end for end in ends for _ in range(3))
    ]
    steps = max(len(samples) * stride, draw(st.sampled_from((0, 50, 200, 300))))
    array = draw(st.none() | st.sampled_from(("weights", "activations", "logits", "loss", "gradients")))
    nonfinite = None if array is None else NonFinite(step=draw(st.sampled_from((0, steps))), array=array)
    return Telemetry(steps=steps, samples=samples, epochs=epochs, nonfinite=nonfinite)


def data() -> st.SearchStrategy[DataFacts]:
    """Return the facts of classes and numbers, of one class alone, of equal targets, and of broken inputs."""
    tasks = (
        CLASSES,
        NUMBERS,
        replace(CLASSES, class_shares=(0.95, 0.05)),
        replace(CLASSES, class_shares=(1.0,)),
        replace(NUMBERS, target_low=0.0, target_high=0.0, target_variance=0.0),
    )
    broken = st.builds(
        replace,
        st.sampled_from(tasks),
        input_largest=sizes,
        input_mean_square=sizes,
        input_nonzero_share=st.floats(0.0, 1.0),
        input_is_binary=st.booleans(),
    )
    return st.sampled_from(tasks) | broken


@st.composite
def trials(draw: st.DrawFn) -> tuple[Telemetry, TrialFacts]:
    """Return telemetry, and facts of a network as deep as it shows."""
    depth = draw(st.integers(0, 3))
    task = draw(data())
    losses = ("cross_entropy", "binary_cross_entropy", "mse") if task.is_classification else ("mse",)
    known = facts(
        steps=draw(st.sampled_from((20, 300, 10_000))),
        data=task,
        rate=draw(st.floats(1e-10, 1e3)),
        expected=tuple(draw(causes)),
        hidden=(draw(st.sampled_from((1, 64))),) * depth,
        activation=draw(st.sampled_from(("relu", "leaky_relu", "elu", "selu", "tanh", "sigmoid"))),
        initializer=draw(st.sampled_from((Initializer(), Initializer(name="normal", scale=0.0)))),
        batch_norm=draw(st.booleans()),
        dropout=draw(st.sampled_from((0.0, 0.5))),
        loss=draw(st.sampled_from(losses)),
        output=draw(st.sampled_from(("auto", "softmax", "sigmoid", "identity", "relu"))),
        batch_size=draw(st.sampled_from((1, 10, 100, 2000))),
        weight_decay=draw(st.sampled_from((0.0, 1e-4, 10.0))),
        reduction=draw(st.sampled_from(("mean", "sum"))),
        precision=draw(st.sampled_from(("float32", "float64"))),
    )
    return draw(measured(depth)), known


@given(trials())
def test_every_telemetry_has_a_verdict(trial: tuple[Telemetry, TrialFacts]) -> None:
    """A verdict has complete findings, each cause that the study expects behind those that it does not."""
    telemetry, known = trial
    findings = judge(telemetry, known).findings
    for finding in findings:
        check_complete(finding)
    are_expected = [finding.cause in known.expected for finding in findings]
    assert are_expected == sorted(are_expected)
    assert not are_expected[0]


@given(trials(), causes)
def test_what_stops_a_trial_is_sure_and_fatal(
    trial: tuple[Telemetry, TrialFacts], fatal: frozenset[str]
) -> None:
    """Whatever was measured, a trial is stopped for a complete finding of a fatal cause that may stop trials."""
    telemetry, known = trial
    finding = fatal_finding(
        telemetry, known, frozenset(cause for cause in DIAGNOSED_CAUSES if cause in fatal)
    )
    if finding is not None:
        check_complete(finding)
        assert finding.cause in fatal
        assert may_stop(finding.cause)


@given(trials())
def test_a_rule_finds_what_it_declares(trial: tuple[Telemetry, TrialFacts]) -> None:
    """A rule answers with a complete finding of a cause of its entry, as sure as that allows, or not at all."""
    for entry in CATALOGUE:
        finding = asked(entry.rule, *trial)
        assert finding is None or entry.sure or finding.confidence < SURE
