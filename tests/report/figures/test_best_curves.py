"""The best trials one by one."""

import math
from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_curves import best_curves
from hpsearch.trials import best_trials
from tests.report.synthetic import empty, only_deaths, snapshot_of


def test_the_best_twenty_are_there_best_first(study: Snapshot) -> None:
    """Each of the best 20 has a panel, named by its rank and its number."""
    data = best_curves(study)
    assert data is not None
    best = best_trials(study.trials, maximize=True, count=20)
    assert [trial.number for trial in data.trials] == [trial.number for trial in best]
    assert data.trials[0].title == f"Best-1 (trial {best[0].number})"
    assert data.trials[19].title == f"Best-20 (trial {best[19].number})"


def test_both_losses_are_whole(study: Snapshot) -> None:
    """Training and validation loss have every recorded epoch, and the axes contain all panels."""
    data = best_curves(study)
    assert data is not None
    assert data.epochs == 20
    for trial in data.trials:
        training, validation = trial.curves
        series = study.series[trial.number]
        assert [point.value for point in training.points] == list(series["training_loss"])
        assert [point.value for point in validation.points] == list(series["validation_loss"])
        for point in (*training.points, *validation.points):
            assert point.place.position is not None
            assert data.scale.low <= point.place.position <= data.scale.high


def test_an_infinite_loss_of_a_good_trial_is_on_a_rail(study: Snapshot) -> None:
    """An accurate trial can have an infinite loss, which is on the rail that all panels share."""
    best = best_trials(study.trials, maximize=True, count=1)[0]
    series = study.series[best.number]
    odd = {**series, "validation_loss": [*series["validation_loss"][:-1], math.inf]}
    data = best_curves(replace(study, series={**study.series, best.number: odd}))
    assert data is not None
    assert data.rails == ("infinite",)
    assert data.trials[0].curves[1].points[-1].place.rail == "infinite"


def test_trials_without_series_keep_their_rank(study: Snapshot) -> None:
    """A trial of another program has no losses: it has no panel, and the next keeps its own rank."""
    first, second = best_trials(study.trials, maximize=True, count=2)
    data = best_curves(snapshot_of([first, second], series={second.number: study.series[second.number]}))
    assert data is not None
    assert [trial.title for trial in data.trials] == [f"Best-2 (trial {second.number})"]


def test_without_survivors_there_are_no_panels() -> None:
    """A study of deaths and an empty one have nothing to show."""
    assert best_curves(only_deaths()) is None
    assert best_curves(empty()) is None
