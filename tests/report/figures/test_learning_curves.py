"""Learning curves."""

import math
from collections import Counter
from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.learning_curves import (
    BEST,
    OTHERS_PER_FATE,
    draw_learning_curves,
    learning_curves,
)
from hpsearch.report.figures.scales import NO_EPOCH
from hpsearch.storage.records import Foreign
from hpsearch.trials import Fate, Trial, TrialState, best_trials
from tests.report.synthetic import CREATED, empty, snapshot_of, synthetic, with_early_stop


def test_the_best_twenty_and_some_of_every_fate_are_drawn(study: Snapshot) -> None:
    """The best 20 are in, at most 12 others of each fate, and the caption counts both."""
    data = learning_curves(study)
    assert data is not None
    best = {trial.number for trial in best_trials(study.trials, maximize=True, count=BEST)}
    curves = data.metric.curves
    assert {curve.number for curve in curves if curve.is_best} == best
    others = Counter(curve.fate for curve in curves if not curve.is_best)
    assert max(others.values()) == OTHERS_PER_FATE
    assert data.caption.startswith(f"{data.shown} of 116 trials that began an epoch: the best 20")


def test_five_thousand_trials_have_few_curves() -> None:
    """The number of curves is bounded for any number of trials, and every fate is among them."""
    data = learning_curves(with_early_stop(synthetic(5000)))
    assert data is not None
    assert data.shown <= BEST + OTHERS_PER_FATE * len(Fate)
    assert {curve.fate for curve in data.metric.curves} >= set(Fate) - {Fate.WAITING}
    assert data.caption.startswith(f"{data.shown} of 4,996 trials")


def test_small_studies_are_drawn_whole(study: Snapshot) -> None:
    """If every trial fits, all are drawn and the caption states that."""
    trials = [trial for trial in study.trials if trial.epochs][:15]
    data = learning_curves(snapshot_of(trials, series=study.series))
    assert data is not None
    assert data.shown == data.total == 15
    assert data.caption == "All 15 trials that began an epoch; strong lines are the best 20."


def test_no_value_is_dropped(study: Snapshot) -> None:
    """Every recorded value is a point: finite ones on the scale, all others on a rail."""
    data = learning_curves(study)
    assert data is not None
    for curve in data.training.curves:
        recorded = study.series.get(curve.number, {}).get("training_loss", ())
        assert len(curve.points) == len(recorded)
        for point, value in zip(curve.points, recorded, strict=True):
            assert (point.place.rail is None) is (math.isfinite(value) and value <= data.training.scale.cap)
    assert data.training.rails == ("above 20", "NaN", NO_EPOCH)


def test_a_run_ends_at_its_last_value(study: Snapshot) -> None:
    """The end marker is on the last epoch; its hover text has the reason and the epoch of the end."""
    data = learning_curves(study)
    assert data is not None
    trials = {trial.number: trial for trial in study.trials}
    for curve in data.metric.curves:
        trial = trials[curve.number]
        if not trial.state.is_final:
            assert curve.end is None
        elif curve.points:
            assert curve.end == curve.points[-1]
            assert curve.hover[-1] == f"ended after epoch {trial.epochs}"


def test_a_run_without_a_finished_epoch_ends_on_its_rail(study: Snapshot) -> None:
    """A trial that died in its first epoch is marked at epoch 0 on a rail, in both panels."""
    died = next(trial for trial in study.trials if trial.fate is Fate.CRASHED and trial.epochs == 1)
    other = next(trial for trial in study.trials if trial.is_ranked)
    data = learning_curves(snapshot_of([died, other], series=study.series))
    assert data is not None
    for panel in (data.training, data.metric):
        (curve,) = (curve for curve in panel.curves if curve.number == died.number)
        assert curve.points == ()
        assert curve.end is not None
        assert (curve.end.epoch, curve.end.place.rail) == (0, NO_EPOCH)
        assert curve.hover[-1] == "ended in epoch 1"


def test_a_trial_of_another_client_is_only_in_the_metric(study: Snapshot) -> None:
    """A trial with reported values and no recorded series has no line of training loss, and no false end."""
    foreign = replace(
        study.trials[0], state=TrialState.COMPLETE, curve={0: 0.3, 1: 0.6}, value=0.6, finding=None
    )
    data = learning_curves(snapshot_of([foreign]))
    assert data is not None
    assert data.training.curves == ()
    assert [point.epoch for point in data.metric.curves[0].points] == [1, 2]


def test_steps_of_another_clients_study_are_as_it_reported_them() -> None:
    """They are not counted from 1, end the axis, and are called steps everywhere; so is what has no value."""
    trials = [
        Trial(
            number=0, state=TrialState.COMPLETE, params={}, value=0.6, curve={0: 0.3, 4: 0.6}, started=CREATED
        ),
        Trial(number=1, state=TrialState.FAILED, params={}, curve={0: math.nan}, started=CREATED),
    ]
    foreign = Foreign(metrics=("score",), maximize=(True,))
    drawn = snapshot_of(trials)
    snapshot = replace(drawn, study=replace(drawn.study, foreign=foreign))
    data = learning_curves(snapshot)
    assert data is not None
    panel = data.metric
    assert ([point.epoch for point in panel.curves[0].points], panel.epochs) == ([0, 4], 4)
    assert panel.curves[0].hover[-1] == "ended after step 4"
    figure = draw_learning_curves(panel)
    assert figure.layout.xaxis.title.text == "steps"
    said = "\n".join(str(text) for trace in figure.data for text in trace.hovertext)
    assert "step 0: 0.3" in said
    assert "epoch" not in f"{said} {data.caption} {' '.join(panel.scale.rails)}"


def test_the_axis_is_as_long_as_a_trial_may_be(study: Snapshot) -> None:
    """The axis ends at the study's number of epochs, even if all trials died early."""
    short = next(trial for trial in study.trials if trial.epochs == 3)
    data = learning_curves(snapshot_of([short], series=study.series))
    assert data is not None
    assert data.metric.epochs == data.training.epochs == 20


def test_before_the_first_epoch_there_are_no_curves() -> None:
    """A study in which no trial began an epoch has no curves."""
    assert learning_curves(empty()) is None


def test_without_a_finished_epoch_there_are_no_axes() -> None:
    """Trials that ended in their first epoch have no number, and two empty panels would have two odd heights."""
    trial = Trial(number=0, state=TrialState.PRUNED, params={"learning_rate": 0.1}, epochs=1)
    assert learning_curves(snapshot_of([trial])) is None
    other = replace(trial, number=1, state=TrialState.COMPLETE, curve={0: 0.5}, value=0.5)
    both = learning_curves(snapshot_of([trial, other]))
    assert both is not None
    assert {curve.number for curve in both.metric.curves} == {0, 1}


def test_a_single_trial_has_a_strong_line(study: Snapshot) -> None:
    """The page of one trial shows its curve as strongly as those of the best, with any fate."""
    dying = next(trial for trial in study.trials if trial.fate is Fate.DYING and len(trial.curve) > 1)
    data = learning_curves(snapshot_of([dying], series=study.series))
    assert data is not None
    assert [curve.is_best for curve in (*data.training.curves, *data.metric.curves)] == [True, True]
