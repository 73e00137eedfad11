"""What rules ask of a trial's course."""

import math
from dataclasses import replace

import pytest

from hpsearch.diagnosis.facts import facts_about
from hpsearch.diagnosis.progress import (
    FALLEN_BACK,
    LEARNED_SHARE,
    LOWEST_FACTOR,
    ROUNDING,
    better_learning_rate,
    current_loss,
    finite_evidence,
    has_learned,
    last_samples,
    lower_learning_rate,
    median_of,
    probes,
)
from hpsearch.study.spec import Configuration, DataSpec, ModelSpec, StudySpec, TrainingSpec
from tests.diagnosis.written import CHANCE, CLASSES, epoch, facts, sample, samples, telemetry


@pytest.mark.parametrize(("first", "bound"), [(1.0, 1.0), (5.0, CHANCE)])
def test_half_of_the_first_loss_and_of_chances_is_learned(first: float, bound: float) -> None:
    """A trial has learned when its loss is at most half of the smaller of the first one and that of chance."""
    at, above = (
        telemetry([sample(0, loss=first), *samples((5, 10, 15), loss=LEARNED_SHARE * bound * factor)])
        for factor in (0.999, 1.01)
    )
    assert has_learned(at, facts())
    assert not has_learned(above, facts())
    assert has_learned(above, facts(), share=LEARNED_SHARE * 1.02)


def test_a_trial_that_was_never_seen_is_spared() -> None:
    """Without samples nothing says that a trial has not learned; with a loss that is NaN it has not."""
    assert has_learned(telemetry([], steps=100), facts())
    assert not has_learned(telemetry(samples((0, 5, 10), loss=math.nan)), facts())


def test_the_last_epoch_says_where_the_loss_stands() -> None:
    """One minibatch says little, so the epoch's mean counts, unless the last samples are far above it or NaN."""
    ends = [epoch(0, training=0.5, validation=0.6)]
    for loss, expected in ((0.1, 0.5), (0.5 * FALLEN_BACK, 0.5), (0.51 * FALLEN_BACK, 0.51 * FALLEN_BACK)):
        assert current_loss(telemetry(samples((0, 5, 10), loss=loss), epochs=ends)) == expected
    assert math.isnan(current_loss(telemetry(samples((0, 5, 10), loss=math.nan), epochs=ends)))


def test_samples_from_before_a_fall_are_old() -> None:
    """If one of the last samples is near the epoch's loss, those far above it were taken on the way down."""
    looks = [*samples((0, 5), loss=2.3), *samples((10,), loss=0.4)]
    assert current_loss(telemetry(looks, epochs=[epoch(0, training=0.3, validation=0.35)])) == 0.3


def test_validation_shows_what_was_learned() -> None:
    """The mean over an epoch lags behind a loss that falls; validation is measured at its end."""
    looks = samples((0, 5, 10), loss=0.9)
    assert current_loss(telemetry(looks, epochs=[epoch(0, training=0.9, validation=0.2)])) == 0.2
    assert current_loss(telemetry(looks, epochs=[epoch(0, training=0.9, validation=math.nan)])) == 0.9


def test_three_samples_say_where_the_loss_stands_before() -> None:
    """Before the first epoch the median of the last three samples counts, so one of them may be off."""
    assert (
        current_loss(telemetry([sample(i, loss=loss) for i, loss in enumerate((9.0, 1.0, 8.0, 2.0))])) == 2.0
    )
    assert current_loss(telemetry([sample(0, loss=3.0)])) == 3.0


def test_last_samples_are_all_or_none() -> None:
    """A rule gets as many samples as it asks for, or none."""
    measured = telemetry(samples(range(4)))
    assert [look.step for look in last_samples(measured, 3)] == [1, 2, 3]
    assert len(last_samples(measured, 4)) == 4
    assert not last_samples(measured, 5)


def test_probes_promise_more_than_rounding() -> None:
    """A probe whose promised fall is lost in the sums of float32 says nothing, nor does a sample that is no probe."""
    measured = telemetry(
        [
            sample(0, loss=2.0, gain=0.5, promise=2.0 * ROUNDING * 1.01),
            sample(1, loss=2.0, gain=0.5, promise=2.0 * ROUNDING),
            sample(2, loss=2.0, gain=0.5, promise=-0.1),
            sample(3, loss=2.0),
        ]
    )
    assert [look.step for look in probes(measured)] == [0]


def test_the_middle_leaves_out_what_was_not_measured() -> None:
    """The median is over the samples that have the statistic, and NaN if none has."""
    looks = [sample(0, accuracy=0.1), sample(1), sample(2, accuracy=0.5), sample(3, accuracy=0.3)]
    assert median_of(looks, lambda look: look.accuracy) == 0.3
    assert math.isnan(median_of(looks, lambda look: look.coherence))
    assert math.isnan(median_of([], lambda look: look.loss))


@pytest.mark.parametrize(
    ("gains", "factor"),
    [
        ((), LOWEST_FACTOR),
        ((0.3, 0.9), LOWEST_FACTOR),
        ((-1.0,), LOWEST_FACTOR),
        ((-49.0,), 0.01),
        ((0.5, -49.0, -9.0, -999.0), 0.01),
        ((-math.inf,), LOWEST_FACTOR),
    ],
)
def test_a_better_rate_is_the_best_step_of_a_quadratic(gains: tuple[float, ...], factor: float) -> None:
    """The first probe that overshot says how much shorter steps should be: lr / (2 (1 - rho)), and a tenth at most."""
    measured = telemetry([sample(i, gain=gain) for i, gain in enumerate(gains)])
    assert better_learning_rate(measured, facts(rate=0.5)) == pytest.approx(0.5 * factor)


def test_the_remedy_names_both_rates() -> None:
    """A remedy says from where to where the learning rate should go."""
    measured = telemetry([sample(0, gain=-49.0)])
    assert lower_learning_rate(measured, facts(rate=0.5)) == "Lower the learning rate from 0.5 to 0.005"


def test_evidence_is_finite() -> None:
    """What is NaN or infinite is no evidence."""
    assert finite_evidence(loss=1.0, gain=math.nan, limit=math.inf, least=-math.inf) == {"loss": 1.0}


def test_weighted_classes_have_the_chance_of_guessing() -> None:
    """With balanced weights, chance is that of one of the classes at random: rare ones count as much as others."""
    data = replace(CLASSES, class_shares=(0.97, 0.02, 0.01, 0.0), validation_shares=(0.9, 0.05, 0.05, 0.0))
    configuration = Configuration(
        model=ModelSpec(loss="cross_entropy"), training=TrainingSpec(class_weight="balanced")
    )
    spec = StudySpec(name="x", data=DataSpec(source="x"))
    weighted = facts_about(spec, data, configuration)
    assert weighted.chance_loss == pytest.approx(math.log(3))
    assert weighted.data.majority_share == pytest.approx(1 / 3)
    plain = replace(configuration, training=TrainingSpec())
    assert facts_about(spec, data, plain).data is data
