"""The scale of results and its rails."""

import math
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.scales import (
    INFINITE,
    NO_EPOCH,
    NOT_A_NUMBER,
    ScalePlace,
    measured,
    metric_scale,
    place_of,
    rails_of,
    result_scale,
    scale_of,
    study_scale,
)
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import snapshot_of

ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=20)
LOSSES = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)
RUNNING = Trial(number=0, state=TrialState.RUNNING, params={})


@given(ACCURACIES)
def test_every_accuracy_is_in_the_frame(values: list[float]) -> None:
    """Every accuracy is on the scale, and a better one is never lower."""
    scale = scale_of("validation_accuracy", values)
    places = [scale.place(value).position for value in sorted(values)]
    inside = [place for place in places if place is not None and scale.low <= place <= scale.high]
    assert len(inside) == len(values)
    assert inside == sorted(inside)


@given(LOSSES)
def test_every_loss_is_in_the_frame(values: list[float]) -> None:
    """If no trial survived, every finite loss is in the frame, 0 included."""
    scale = scale_of("validation_loss", values)
    places = [scale.place(value).position for value in values]
    assert all(place is not None and scale.low <= place <= scale.high for place in places)


@given(st.one_of(ACCURACIES.map(lambda v: ("accuracy", v)), LOSSES.map(lambda v: ("loss", v))))
@example(("accuracy", [1.0]))
def test_a_scale_has_labelled_ticks_inside_its_frame(drawn: tuple[str, list[float]]) -> None:
    """Every scale has at least one tick, and none outside."""
    scale = scale_of(f"validation_{drawn[0]}", drawn[1])
    assert scale.ticks
    assert all(scale.low <= tick.at <= scale.high for tick in scale.ticks)
    assert len({tick.text for tick in scale.ticks}) == len(scale.ticks)


def test_good_accuracies_are_distinguished() -> None:
    """From 0.9 to 0.99 is as far as from 0.99 to 0.999: the scale is that of the error."""
    scale = scale_of("validation_accuracy", [0.0, 0.9, 0.99, 0.999])
    a, b, c = (scale.place(value).position or 0.0 for value in (0.9, 0.99, 0.999))
    assert b - a == pytest.approx(c - b)
    assert "0.99" in [tick.text for tick in scale.ticks]


@pytest.mark.parametrize(
    ("value", "rail"),
    [(None, NO_EPOCH), (math.nan, NOT_A_NUMBER), (math.inf, INFINITE), (-math.inf, INFINITE)],
)
def test_values_that_are_not_finite_are_on_a_rail(value: float | None, rail: str) -> None:
    """NaN, infinities and missing results have a labelled rail on every scale."""
    for metric in ("validation_accuracy", "validation_loss"):
        scale = scale_of(metric, [0.5])
        assert scale.place(value) == ScalePlace(position=None, rail=rail)
        assert rail in scale.rails


def test_huge_losses_do_not_compress_the_others() -> None:
    """A loss far above all survivors is on a rail whose label is the true limit."""
    survivors = [0.02, 0.5, 2.17]
    scale = scale_of("training_loss", [*survivors, 30.0, 31.0, 1e30], survivors=[*survivors, 2.1])
    assert scale.rails[0] == "above 30"
    assert scale.place(30.0).position is not None
    assert scale.place(31.0).rail == scale.place(1e30).rail == "above 30"
    assert 10.0**scale.high < 100


def test_one_survivor_with_a_huge_loss_does_not_set_the_scale() -> None:
    """A diverging trial that was outranked does not set the scale."""
    usual = [0.1 + 0.01 * i for i in range(40)]
    scale = scale_of("validation_loss", [*usual, 1e30], survivors=[*usual, 1e30])
    assert scale.place(1e30).rail == "above 5"


def test_a_result_is_the_value_or_the_last_report() -> None:
    """A running trial is drawn at its last report; a value takes precedence over the curve."""
    assert measured(RUNNING) is None
    assert measured(replace(RUNNING, curve={0: 0.2, 1: 0.4})) == 0.4
    assert measured(replace(RUNNING, curve={0: 0.2}, value=0.9)) == 0.9


def test_a_trial_that_has_not_ended_is_on_no_rail() -> None:
    """A trial that still may get a result has no place; one that ended without has the rail of that name."""
    scale = scale_of("validation_accuracy", [0.5])
    assert place_of(RUNNING, scale) is None
    assert place_of(replace(RUNNING, state=TrialState.WAITING), scale) is None
    failed = place_of(replace(RUNNING, state=TrialState.FAILED), scale)
    assert failed == ScalePlace(position=None, rail=NO_EPOCH)


def test_rails_are_those_in_use(study: Snapshot) -> None:
    """A figure has the rails that some trial is on, in the scale's order."""
    scale = study_scale(study)
    places = [place_of(trial, scale) for trial in study.trials]
    assert rails_of(scale, places) == (NOT_A_NUMBER, NO_EPOCH)
    assert rails_of(scale, []) == ()


def complete(*values: float) -> Snapshot:
    """Return a study of complete trials with these accuracies."""
    return snapshot_of(
        [
            Trial(number=number, state=TrialState.COMPLETE, params={"learning_rate": 0.1}, value=value)
            for number, value in enumerate(values)
        ]
    )


GOOD = (0.70, 0.72, 0.73, 0.74, 0.75, 0.76, 0.77, 0.78, 0.79, 0.80)


def test_bad_accuracies_do_not_squeeze_the_good_ones() -> None:
    """The better half of the complete trials takes a third of the scale or more; what is far below is on a rail."""
    snapshot = complete(0.0, 0.1, 0.12, *GOOD)
    scale = result_scale(snapshot)
    best, median = (scale.place(value).position or 0.0 for value in (0.80, 0.74))
    assert best - median > (scale.high - scale.low) / 3
    whole = study_scale(snapshot)
    assert (whole.place(0.8).position or 0.0) - (whole.place(0.74).position or 0.0) < (
        whole.high - whole.low
    ) / 4
    for value in (0.0, 0.1, 0.12):
        assert scale.place(value).rail == scale.rails[0]
    assert scale.rails[0].startswith("below 0.")
    assert len(scale.ticks) >= 3
    assert scale.place(math.nan).rail == NOT_A_NUMBER


def test_results_that_can_be_distinguished_have_no_rail() -> None:
    """Few trials, and trials without bad ones, use the whole scale, and so does a loss."""
    for values in (GOOD, (0.1, *GOOD[:4]), (0.5,) * 20, (1.0,) * 20):
        snapshot = complete(*values)
        assert result_scale(snapshot) == study_scale(snapshot)
    snapshot = complete(0.1, 0.12, *GOOD)
    loss = replace(snapshot.study.spec, metric="validation_loss")
    snapshot = replace(snapshot, study=replace(snapshot.study, spec=loss))
    assert result_scale(snapshot) == study_scale(snapshot)


def test_r2_has_a_linear_scale_from_minus_one() -> None:
    """R2 of a diverged network is on a rail, and does not compress the others; more is better."""
    scale = metric_scale("r2", [-1e12, -0.4, 0.2, 0.9])
    assert (scale.kind, scale.maximize, scale.title) == ("linear", True, "validation R2")
    assert scale.place(-1e12) == ScalePlace(position=None, rail="below -1")
    assert scale.place(None) == ScalePlace(position=None, rail=NO_EPOCH)
    assert [scale.place(value).position for value in (-0.4, 0.9)] == [-0.4, 0.9]
    assert -1 < scale.low < -0.4
    assert metric_scale("rmse", [2.0, 3.0]).kind == "logarithm"
    assert metric_scale("balanced_accuracy", [0.2, 0.9]).kind == "accuracy"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_every_result_is_on_the_scale_or_on_its_rail(values: list[float]) -> None:
    """Every result is inside the frame or on a rail, and the best is never on a rail."""
    scale = result_scale(complete(*values))
    for value in values:
        place = scale.place(value)
        assert (place.position is None) == (place.rail is not None)
        assert place.position is None or scale.low <= place.position <= scale.high
    assert scale.place(max(values)).position is not None
