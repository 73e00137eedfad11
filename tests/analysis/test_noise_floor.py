"""The effect of seeds alone on a result."""

import math
from dataclasses import replace
from statistics import stdev

import pytest

from hpsearch.analysis.intervals import wilson_interval
from hpsearch.analysis.noise_floor import noise_floor
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_so_far import best_so_far
from hpsearch.storage.records import Evaluation, Part
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.reader import parse_study
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import CREATED, only_deaths, snapshot_of


def _evaluation(number: int, seed: int, accuracy: float | None, part: Part = "validation") -> Evaluation:
    return Evaluation(number=number, part=part, seed=seed, loss=0.1, accuracy=accuracy, made=CREATED)


def test_fresh_seeds_measure_the_noise(study: Snapshot) -> None:
    """For one configuration with three seeds the band is Student's: 4.30 standard deviations around the best."""
    values = (0.97, 0.98, 0.984)
    again = [_evaluation(7, seed, value) for seed, value in enumerate(values)]
    floor = noise_floor(replace(study, evaluations=again), 0.9)
    assert floor is not None
    assert not floor.is_estimate
    reach = 4.302653 * stdev(values)
    assert (floor.low, floor.high) == pytest.approx((0.9 - reach, 0.9 + reach))
    assert "1 configuration trained again with fresh seeds, 3 runs" in floor.words


def test_configurations_differ_without_being_noise(study: Snapshot) -> None:
    """The deviation is that within configurations: how far apart these are changes nothing."""
    noise = [(0, -0.01), (1, 0.0), (2, 0.01)]
    near = [_evaluation(number, seed, 0.9 + n) for number in (1, 2) for seed, n in noise]
    far = [_evaluation(number, seed, 0.3 * number + n) for number in (1, 2) for seed, n in noise]
    floors = [noise_floor(replace(study, evaluations=again), 0.9) for again in (near, far)]
    assert floors[0] is not None
    assert floors[1] is not None
    assert (floors[0].low, floors[0].high) == pytest.approx((floors[1].low, floors[1].high))


def test_other_evaluations_do_not_measure_the_noise(study: Snapshot) -> None:
    """Results on the test part, without a number, or of a single seed do not replace the estimate."""
    other = [_evaluation(1, 0, 0.9, "test"), _evaluation(1, 1, 0.2, "test"), _evaluation(2, 0, None)]
    floor = noise_floor(replace(study, evaluations=[*other, _evaluation(2, 1, 0.9)]), 0.9)
    assert floor is not None
    assert floor.is_estimate


def test_seeds_of_listed_configurations_measure_the_noise() -> None:
    """If a study lists configurations with several seeds each, no other training or estimate is needed."""
    text = 'name = "x"\nseeds = 2\nmetric = "validation_loss"\ndata.source = "digits"\n' + "".join(
        f'[[configurations]]\nname = "{name}"\nlearning_rate = {rate}\n'
        for name, rate in (("a", 0.1), ("b", 0.2))
    )
    spec = parse_study(text, source="x")
    values = (0.50, 0.90, 0.52, 0.96)  # of a, b, a, b
    trials = tuple(
        Trial(
            number=number,
            state=TrialState.COMPLETE,
            params=params_of_trial(spec, number),
            value=value,
        )
        for number, value in enumerate(values)
    )
    floor = noise_floor(snapshot_of(trials, spec=spec), 0.5)
    assert floor is not None
    assert not floor.is_estimate
    reach = 4.302653 * math.sqrt((2 * 0.01**2 + 2 * 0.03**2) / 2)
    assert (floor.low, floor.high) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert "2 configurations trained with several seeds each, 4 runs" in floor.words


def test_without_fresh_seeds_the_size_of_the_validation_part_gives_an_estimate(study: Snapshot) -> None:
    """Accuracies in steps of 1/360 give Wilson's interval of 360 examples, labelled as an estimate."""
    floor = noise_floor(study, 0.95)
    assert floor is not None
    assert floor.is_estimate
    assert (floor.low, floor.high) == wilson_interval(0.95, 360)
    assert "an estimate" in floor.words
    assert "360 validation examples" in floor.words


def test_only_accuracies_are_estimated_from_their_examples(study: Snapshot) -> None:
    """The binomial interval is of shares of examples, which a balanced accuracy and R2 are not."""
    for metric in ("balanced_accuracy", "roc_auc", "r2"):
        spec = replace(study.study.spec, metric=metric)
        assert noise_floor(replace(study, study=replace(study.study, spec=spec)), 0.95) is None


def test_an_unknown_noise_is_stated(regression: Snapshot) -> None:
    """A loss has no estimate, which the caption states; without a best there is no band and no text."""
    data = best_so_far(regression)
    assert data is not None
    assert (data.noise, data.band) == (None, None)
    assert data.caption.endswith("no configuration was trained again with fresh seeds.")
    deaths = best_so_far(only_deaths())
    assert deaths is not None
    assert deaths.noise is None


def test_the_band_stays_on_the_scale(study: Snapshot) -> None:
    """Even a wide band is drawn between the ends of the scale, with the best inside."""
    again = [_evaluation(7, seed, value) for seed, value in enumerate((0.2, 0.9))]
    data = best_so_far(replace(study, evaluations=again))
    assert data is not None
    assert data.band is not None
    low, high = data.band
    assert data.scale.low <= low < high <= data.scale.high
