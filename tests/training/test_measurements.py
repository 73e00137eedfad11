"""The measurements of training: their steps, their values, and their correctness."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import Configuration, Initializer
from hpsearch.telemetry import LayerSample, NonFinite, Sample
from hpsearch.training.row import Row
from hpsearch.training.sampling_schedule import alarm_streak, is_alarming, next_sample_step
from tests.training.cases import classification, cohort_of, configuration, regression, stepped, trained

SCHEDULE = [0, 5, 10, 15, 20, 25, *range(50, 201, 25), 300, 400]


def sample(step: int, *, dead: float = 0.0, logit: float = 1.0) -> Sample:
    """Return a sample of a network with one hidden layer."""
    layers = (
        LayerSample(dead_share=dead, gradient_norm=1.0, weight_norm=1.0),
        LayerSample(dead_share=0.0, gradient_norm=1.0, weight_norm=1.0),
    )
    return Sample(step=step, loss=1.0, logit_max=logit, predicted_decrease=0.1, layers=layers, examples=100)


def row(**values: Any) -> Row:
    """Return a row without any step."""
    return Row(number=0, configuration=configuration(**values), dropout=np.random.default_rng(0))


def sampled_steps(data: PreparedData, chosen: Configuration) -> list[int]:
    """Return the steps at which a trial is sampled."""
    observation, _ = trained(cohort_of(data, [chosen]))[0]
    return [sample.step for sample in observation.telemetry.samples]


def test_the_sampling_schedule() -> None:
    """A healthy trial is sampled every 5 steps until 25, every 25 until 200, every 100 from there."""
    steps = [0]
    while steps[-1] < 400:
        steps.append(next_sample_step(steps[-1]))
    assert steps == SCHEDULE
    # from any step, the next sample is one of these
    assert {next_sample_step(age) for age in range(400)} | {0} == set(SCHEDULE)
    assert all(next_sample_step(age) > age for age in range(1000))


@given(st.integers(1, 60))
def test_every_minibatch_has_its_turn_to_be_sampled(cycle: int) -> None:
    """If the same minibatches follow in every epoch, samples of later epochs are of all of them, not of a few."""
    steps = [200]
    while len(steps) <= cycle:
        steps.append(next_sample_step(steps[-1], cycle=cycle))
    assert {step % cycle for step in steps[1:]} == set(range(cycle))


def test_a_cohort_follows_the_schedule() -> None:
    """A trial has exactly one sample at each step of the schedule, and none in between."""
    chosen = configuration(learning_rate=0.01, epochs=70)
    cohort = cohort_of(classification(), [chosen])
    seen = []
    while cohort.numbers:
        for observation in cohort.advance():
            seen.append((observation.telemetry.steps, observation.ended_epoch))
            if observation.is_finished:
                assert [sample.step for sample in observation.telemetry.samples] == SCHEDULE
                cohort.leave(0)
    steps_to_sample = {step + 1 for step in SCHEDULE}
    assert seen == [
        (steps, steps % 6 == 0) for steps in range(1, 421) if steps in steps_to_sample or steps % 6 == 0
    ]


@pytest.mark.parametrize(("examples", "streak"), [(1, 1200), (10, 120), (99, 13), (100, 12), (500, 12)])
def test_an_alarm_is_sampled_for_1200_examples(examples: int, streak: int) -> None:
    """After an alarm every step is sampled, for 1,200 examples and at least 12 steps."""
    assert alarm_streak(examples) == streak


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (sample(0, dead=0.84), False),
        (sample(0, dead=0.85), True),
        (sample(0, logit=9.9e4), False),
        (sample(0, logit=1e5), True),
        (sample(0, logit=math.inf), True),
        (sample(0, logit=math.nan), False),
    ],
)
def test_silent_layers_and_huge_logits_alarm(sample: Sample, expected: bool) -> None:  # noqa: FBT001 - a parametrized case
    """A nearly silent hidden layer is an alarm, and so are huge outputs."""
    assert is_alarming(sample) is expected


def test_the_output_layer_does_not_alarm() -> None:
    """A network without hidden layers has no silent layer."""
    only = replace(sample(0, dead=1.0), layers=sample(0, dead=1.0).layers[:1])
    assert not is_alarming(only)


def test_an_alarm_is_sampled_step_by_step() -> None:
    """Alarming samples are taken at every step, up to the streak; then the schedule continues."""
    here = row(batch_size=100)
    steps_to_sample = []
    for _ in range(26):
        steps_to_sample.append(here.next_sample_at)
        here.add_sample(sample(here.next_sample_at, dead=1.0))
    assert steps_to_sample == [*range(12), *range(15, 27), 50, 51]


def test_an_alarm_that_ends_is_forgotten() -> None:
    """After a sample without alarm the schedule continues, and the next alarm has a whole streak again."""
    here = row(batch_size=100)
    for step in range(7):
        assert here.next_sample_at == step
        here.add_sample(sample(step, dead=1.0))
    here.add_sample(sample(7))
    assert here.next_sample_at == 10
    for step in range(10, 22):
        assert here.next_sample_at == step
        here.add_sample(sample(step, dead=1.0))
    assert here.next_sample_at == 25


def test_a_silent_network_moves_no_hidden_weight() -> None:
    """If no unit ever fires the dead share is 1, the gradient of the hidden weights exactly 0, and they stay."""
    data = classification(training=600)
    silent = replace(
        data, training=DataPart(inputs=np.abs(data.training.inputs), targets=data.training.targets)
    )
    chosen = configuration(batch_size=100, epochs=5)
    cohort = cohort_of(silent, [chosen])
    hidden = cohort.network.views(cohort._state.parameters)[0].w
    hidden[...] = -1
    before = hidden.copy()
    observation, _ = trained(cohort)[0]
    samples = observation.telemetry.samples
    assert [sample.step for sample in samples] == [*range(12), *range(15, 27)]
    assert all(sample.layers[0].dead_share == 1 for sample in samples)
    assert all(sample.layers[0].gradient_norm == 0 for sample in samples)
    assert all(sample.layers[1].gradient_norm == 0 for sample in samples)
    np.testing.assert_array_equal(hidden, before)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_norms_do_not_depend_on_the_learning_rate(optimizer: str, reduction: str) -> None:
    """The gradient's norm is that of the mean loss, with any optimizer, learning rate and reduction."""
    data = classification()
    first = []
    for learning_rate in (1e-6, 1e-2, 1e3):
        chosen = configuration(
            optimizer=optimizer, reduction=reduction, learning_rate=learning_rate, weight_decay=0.1
        )
        cohort = cohort_of(data, [chosen])
        stepped(cohort)
        first.append([layer.gradient_norm for layer in cohort._rows[0].samples[0].layers])
    reference = cohort_of(data, [configuration(optimizer="adagrad")])
    stepped(reference)
    expected = [layer.gradient_norm for layer in reference._rows[0].samples[0].layers]
    np.testing.assert_allclose(first, [expected] * 3, rtol=1e-5)


def test_a_vanishing_gradient_is_not_a_dead_one() -> None:
    """A norm whose squares are too small for float32 is measured; only zeros have the norm 0."""
    chosen = configuration(
        hidden=(5, 5, 5, 5),
        activation="sigmoid",
        learning_rate=1e-6,
        initializer=Initializer(name="normal", scale=1e-5),
    )
    cohort = cohort_of(classification(), [chosen])
    stepped(cohort)
    norms = [layer.gradient_norm for layer in cohort._rows[0].samples[0].layers]
    wide = cohort_of(
        classification(precision="float64"),
        [replace(chosen, training=replace(chosen.training, precision="float64"))],
    )
    stepped(wide)
    expected = [layer.gradient_norm for layer in wide._rows[0].samples[0].layers]
    assert 0 < norms[0] < 1e-15
    np.testing.assert_allclose(norms, expected, rtol=1e-3)


def test_a_huge_norm_is_not_infinite() -> None:
    """A weight matrix in float32 has a finite norm, though the squares of its elements overflow."""
    chosen = configuration(initializer=Initializer(name="normal", scale=1e20), output="tanh", loss="mse")
    cohort = cohort_of(classification(), [chosen])
    stepped(cohort)
    weight_norm = cohort._rows[0].samples[0].layers[0].weight_norm
    assert 1e20 < weight_norm < 1e22


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"])
def test_the_predicted_decrease_is_the_actual_one(optimizer: str, reduction: str) -> None:
    """A small step lowers the loss of its own minibatch by the predicted decrease, to first order."""
    data = classification(precision="float64", training=20)
    chosen = configuration(
        precision="float64",
        activation="tanh",
        optimizer=optimizer,
        reduction=reduction,
        learning_rate=1e-7,
        weight_decay=0.1,
        batch_size=20,
        epochs=2,
    )
    cohort = cohort_of(data, [chosen])
    stepped(cohort)
    cohort._rows[0].next_sample_at = 1
    stepped(cohort)
    # one minibatch is the whole fold, so both steps see the same examples
    first, second = cohort._rows[0].samples
    assert first.predicted_decrease > 0
    assert first.loss - second.loss == pytest.approx(first.predicted_decrease, rel=1e-4)


def in_huge_units() -> PreparedData:
    """Return a regression whose targets are near 1e30."""
    data = regression()
    return replace(
        data, training=DataPart(inputs=data.training.inputs, targets=data.training.targets * np.float32(1e30))
    )


@pytest.mark.parametrize(
    ("data", "chosen", "expected"),
    [
        pytest.param(
            in_huge_units(), configuration(loss="mse"), NonFinite(step=0, array="loss"), id="targets"
        ),
        pytest.param(
            classification(),
            configuration(hidden=(5, 5), initializer=Initializer(name="normal", scale=1e30)),
            NonFinite(step=0, array="activations"),
            id="weights of two layers",
        ),
        pytest.param(
            classification(),
            configuration(hidden=(5,), initializer=Initializer(name="normal", scale=1e30)),
            NonFinite(step=0, array="logits"),
            id="weights of one layer",
        ),
        pytest.param(
            classification(),
            configuration(hidden=(), initializer=Initializer(name="normal", scale=1e3), output="sigmoid"),
            NonFinite(step=0, array="loss"),
            id="log 0",
        ),
        pytest.param(
            classification(),
            configuration(learning_rate=3e38, reduction="sum"),
            NonFinite(step=1, array="weights"),
            id="learning rate",
        ),
    ],
)
def test_the_first_nonfinite_array_is_named(
    data: PreparedData, chosen: Configuration, expected: NonFinite
) -> None:
    """A trial's first non-finite number is recorded once, with its step and array."""
    cohort = cohort_of(data, [chosen])
    for step in range(6):
        observations = stepped(cohort)
        found = cohort._rows[0].telemetry.nonfinite
        assert found == (None if step < expected.step else expected)
        if step == expected.step:
            assert [observation.number for observation in observations] == [0]
            assert observations[0].telemetry.nonfinite == expected


def test_a_learning_rate_of_1e9_ends_in_weights_that_are_not_finite() -> None:
    """Before the recorded step all weights are finite; at that step they are not if they are the named array."""
    chosen = configuration(hidden=(20, 20), learning_rate=1e9, epochs=20)
    cohort = cohort_of(classification(training=200, validation=50), [chosen])
    snapshots = []
    while cohort._rows[0].nonfinite is None:
        snapshots.append(cohort.parameters(0))
        stepped(cohort)
    found = cohort._rows[0].nonfinite
    assert found.step == len(snapshots) - 1 > 0
    assert all(np.isfinite(parameters).all() for parameters in snapshots[:-1])
    assert np.isfinite(snapshots[-1]).all() == (found.array != "weights")


def test_one_trials_nan_stays_its_own() -> None:
    """Next to a trial that diverges at once, another one stays finite and has no finding."""
    cohort = cohort_of(
        classification(), [configuration(learning_rate=rate, reduction="sum") for rate in (0.01, 3e38, 0.01)]
    )
    finished = trained(cohort)
    assert finished[1][0].telemetry.nonfinite is not None
    for number in (0, 2):
        assert finished[number][0].telemetry.nonfinite is None
        assert np.isfinite(finished[number][1]).all()


def test_a_diverged_trial_has_the_accuracy_of_the_first_class() -> None:
    """Outputs that are all NaN count as the first class, and the validation loss is NaN."""
    data = classification(validation=200)
    (observation, _), *_ = trained(
        cohort_of(data, [configuration(learning_rate=3e38, reduction="sum")])
    ).values()
    epoch = observation.telemetry.epochs[-1]
    assert math.isnan(epoch.validation_loss)
    assert math.isnan(epoch.training_loss)
    assert epoch.validation_accuracy == float((data.validation.targets == 0).mean())


def test_sampling_changes_nothing() -> None:
    """A trial that is sampled in every step has the weights of one that never is."""

    def parameters(next_sample_at: int) -> Any:
        shape: dict[str, Any] = {"optimizer": "nesterov", "weight_decay": 0.1, "batch_norm": True}
        cohort = cohort_of(classification(), [configuration(**shape, dropout=0.2)])
        for _ in range(12):
            cohort._rows[0].next_sample_at = next_sample_at
            stepped(cohort)
        return np.concatenate([cohort.parameters(0), cohort._state.running[0]])

    np.testing.assert_array_equal(parameters(0), parameters(10**9))


def test_samples_are_taken_at_most_once_per_step() -> None:
    """Steps of samples rise strictly, also during alarms."""
    steps = sampled_steps(
        classification(training=500),
        configuration(learning_rate=30.0, epochs=10, initializer=Initializer(name="normal", scale=3.0)),
    )
    assert steps == sorted(set(steps))
    assert len(steps) > len([step for step in SCHEDULE if step < 500])


def test_telemetry_of_a_cohort_is_each_rows_own() -> None:
    """Samples of trials that are sampled together have their own numbers."""
    rates = (0.01, 0.1, 1.0)
    together = trained(cohort_of(classification(), [configuration(learning_rate=rate) for rate in rates]))
    promised = [together[number][0].telemetry.samples[0].predicted_decrease for number in range(3)]
    losses = [together[number][0].telemetry.samples[0].loss for number in range(3)]
    assert len(set(losses)) == 3
    assert promised == sorted(promised)
