"""Trials on several folds."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.study.spec import Configuration, DataSpec
from hpsearch.telemetry import Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.folds import FoldedCohort, mean_series, trainer_for
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import Observation, shape_of
from tests.training.cases import SEED, configuration

DATA = prepare(
    DataSpec(source="iris", folds=3, test_fraction=0.1), seed=SEED, precision="float32", environment={}
)


def config(rate: float, *, epochs: int = 3) -> Configuration:
    """Return a configuration with minibatches that leave a rest."""
    made = configuration(hidden=(8,))
    training = replace(made.training, learning_rate=rate, epochs=epochs, batch_size=16)
    return replace(made, training=training)


def alone(data: PreparedData, number: int, chosen: Configuration) -> Telemetry:
    """Return the telemetry of a trial alone on one fold."""
    cohort = Cohort(shape_of(chosen), data, capacity=1, seed=SEED)
    (end,) = train_to_end(cohort, {number: chosen})
    return end.telemetry


def folded(trials: dict[int, Configuration]) -> dict[int, Observation]:
    """Return the last observations of trials that share a folded cohort."""
    shape = shape_of(next(iter(trials.values())))
    trainer = trainer_for(shape, DATA, capacity=len(trials), seed=SEED)
    return {end.number: end for end in train_to_end(trainer, trials)}


def test_each_fold_is_a_training_of_its_own() -> None:
    """On every fold a trial has the numbers of a training alone, and its epochs are the means over the folds."""
    chosen = {5: config(0.1), 9: config(0.5, epochs=2), 2: config(1e-3)}
    ends = folded(chosen)
    for number, own in chosen.items():
        end, folds = ends[number], [alone(data, number, own) for data in DATA.folds]
        assert [repr(one) for one in end.measured] == [repr(one) for one in folds]
        assert end.telemetry.steps == sum(one.steps for one in folds)
        assert len(end.telemetry.epochs) == own.training.epochs
        for epoch, mean in enumerate(end.telemetry.epochs):
            losses = [one.epochs[epoch].validation_loss for one in folds]
            assert mean.validation_loss == sum(losses) / len(losses)


def test_trials_join_between_rounds_and_leave_at_any_time() -> None:
    """A trial that joins or leaves in the middle of a round changes no other."""
    cohort = FoldedCohort(shape_of(config(0.1)), DATA.folds, capacity=3, seed=SEED)
    cohort.join(1, config(0.1))
    seen: list[Observation] = []
    while len(seen) < 3:
        seen += cohort.advance()
    cohort.join(2, config(0.2, epochs=2))
    cohort.join(3, config(0.2))
    cohort.leave(3)
    assert set(cohort.numbers) == {1, 2}
    ends: dict[int, Observation] = {}
    left = False
    while cohort.numbers:
        for one in cohort.advance():
            if one.number == 1 and len(one.telemetry.epochs) == 2 and not left:
                cohort.leave(1)
                left = True
            elif one.is_finished:
                cohort.leave(one.number)
                ends[one.number] = one
    assert repr(ends[2].measured) == repr(folded({2: config(0.2, epochs=2)})[2].measured)


def test_a_trial_joins_once() -> None:
    """A trial with a row cannot join again, nor can any trial join a full cohort."""
    cohort = FoldedCohort(shape_of(config(0.1)), DATA.folds, capacity=2, seed=SEED)
    cohort.join(4, config(0.1))
    with pytest.raises(ValueError, match="in this cohort already"):
        cohort.join(4, config(0.1))
    cohort.join(5, config(0.1))
    with pytest.raises(ValueError, match="is full"):
        cohort.join(6, config(0.1))


def test_an_interrupted_round_continues() -> None:
    """Interruptions at any step leave the numbers unchanged."""
    cohort = FoldedCohort(shape_of(config(0.1)), DATA.folds, capacity=1, seed=SEED)
    cohort.join(1, config(0.1))
    generator = np.random.default_rng(1)

    def is_interrupted() -> bool:
        return bool(generator.random() < 0.3)

    end = None
    while end is None:
        end = next((one for one in cohort.advance(is_interrupted=is_interrupted) if one.is_finished), None)
    assert repr(end.measured) == repr(folded({1: config(0.1)})[1].measured)


def test_series_are_means_of_the_epochs_that_all_folds_finished() -> None:
    """A fold that is one epoch ahead does not count in it; NaN of one fold is NaN of the mean."""
    folds: Sequence[Telemetry] = folded({1: config(0.1)})[1].measured
    ahead = [folds[0], replace(folds[1], epochs=folds[1].epochs[:2])]
    series = mean_series(ahead, steps_per_epoch=[6, 6])
    assert {len(values) for values in series.values()} == {2}
    expected = (folds[0].epochs[1].training_loss + folds[1].epochs[1].training_loss) / 2
    assert series["training_loss"][1] == expected
    broken = replace(folds[1], epochs=[replace(folds[1].epochs[0], training_loss=math.nan)])
    assert math.isnan(mean_series([folds[0], broken], steps_per_epoch=[6, 6])["training_loss"][0])
