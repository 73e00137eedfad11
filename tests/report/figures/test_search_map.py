"""The search map."""

import math
from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.search_map import search_map
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Fate, TrialState
from tests.report.synthetic import SPEC, empty, only_deaths, searching, snapshot_of, with_early_stop


def test_every_trial_with_parameters_is_in_the_map(study: Snapshot) -> None:
    """Trials with NaN, without a result, running and waiting are there with their fate; none is dropped."""
    study = with_early_stop(study)
    data = search_map(study)
    assert data is not None
    expected = {trial.number: trial.fate for trial in study.trials if trial.params}
    assert {mark.number: mark.fate for mark in data.marks} == expected
    assert set(expected.values()) == set(Fate)


def test_a_trial_without_a_finite_value_has_no_colour(study: Snapshot) -> None:
    """Only finite results have a place on the scale of colours."""
    data = search_map(study)
    assert data is not None
    trials = {trial.number: trial for trial in study.trials}
    for mark in data.marks:
        last = trials[mark.number].value
        if mark.fate is Fate.DIVERGED:
            assert mark.result is None
        elif last is not None and math.isfinite(last):
            assert mark.result is not None
            assert data.scale.low <= mark.result <= data.scale.high


def test_the_axes_are_the_search_space(study: Snapshot) -> None:
    """Axes come from the specification, with one trial as with a hundred."""
    one = search_map(snapshot_of([study.trials[0]]))
    whole = search_map(study)
    assert one is not None
    assert whole is not None
    assert (one.x, one.y) == (whole.x, whole.y)
    assert (one.x.low, one.x.high, one.y.low, one.y.high) == (1e-6, 1.0, 1e-8, 1e-1)


def test_the_star_is_the_best_trial(study: Snapshot) -> None:
    """The best is the ranked trial with the highest value; if none is ranked there is none."""
    data = search_map(study)
    assert data is not None
    assert data.best is not None
    assert study.progress.best is not None
    assert data.best.number == study.progress.best.number
    deaths = search_map(only_deaths())
    assert deaths is not None
    assert deaths.best is None


def test_the_caption_counts_trials_that_are_not_drawn_in_place(study: Snapshot) -> None:
    """Trials without parameters, and those drawn at the edge, are counted in words."""
    far = replace(study.trials[0], number=900, params={"learning_rate": 50.0, "weight_decay": 1e-4})
    unsampled = replace(study.trials[1], number=901, params={}, state=TrialState.WAITING)
    data = search_map(snapshot_of([study.trials[2], far, unsampled]))
    assert data is not None
    assert data.caption == (
        "2 trials over the whole search space. Not drawn, because they have no parameters yet: 1 trial."
        " Drawn at the edge, because they are outside: 1 trial."
    )
    assert max(mark.x for mark in data.marks) == 1.0


def test_choices_have_an_axis(study: Snapshot) -> None:
    """A map of categories has all trials too, and names what else is searched."""
    activation = Choices(name="model.activation", choices=("relu", "elu"))
    norm = Choices(name="model.batch_norm", choices=(True, False))
    data = search_map(searching(activation, norm, SPEC.search[0]))
    assert data is not None
    assert len(data.marks) == 60
    assert [tick.text for tick in data.y.ticks] == ["true", "false"]
    assert data.caption.endswith("Also searched: learning_rate.")


def test_the_axes_are_parameters_that_nearly_all_trials_have(study: Snapshot) -> None:
    """A conditional parameter is on the map only if there are not two others; trials that lack it are counted."""
    momentum = Range(0.5, 0.99, name="momentum", when={"training.optimizer": "momentum"})
    snapshot = searching(momentum, *SPEC.search)
    half = [
        replace(trial, params={**trial.params, **({"momentum": 0.9} if trial.number % 2 else {})})
        for trial in study.trials
        if trial.params
    ]
    whole = search_map(replace(snapshot, trials=half))
    assert whole is not None
    assert [whole.x.title, whole.y.title] == ["learning_rate", "weight_decay"]
    assert "Also searched: momentum." in whole.caption
    two = search_map(replace(searching(momentum, SPEC.search[0]), trials=half))
    assert two is not None
    assert (two.x.title, two.y.title) == ("learning_rate", "momentum")
    absent = sum("momentum" not in trial.params for trial in half)
    assert f"Not drawn, because they lack one of the two parameters: {absent} trials." in two.caption


def test_hovering_names_trial_parameters_verdict_and_remedy(study: Snapshot) -> None:
    """The hover text of a diverged trial has its number, its parameters, its verdict and its remedy."""
    data = search_map(study)
    assert data is not None
    mark = next(mark for mark in data.marks if mark.fate is Fate.DIVERGED)
    text = " ".join(mark.hover)
    assert mark.hover[0] == f"trial {mark.number}: diverged"
    assert "learning_rate 0." in text
    assert "val acc NaN" in text
    assert "diverged_lr from step" in text
    assert "Lower the learning rate to a tenth, or add batch normalization." in text


def test_less_than_two_dimensions_make_no_map() -> None:
    """One dimension is a strip and none is nothing; an empty study has an empty map."""
    assert search_map(searching(SPEC.search[0])) is None
    assert search_map(searching()) is None
    nothing = search_map(empty())
    assert nothing is not None
    assert nothing.marks == ()
