"""Results and fates along one dimension."""

from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.result_strip import learning_rate_strip, result_strip
from hpsearch.report.figures.scales import NOT_A_NUMBER
from hpsearch.study.spec import Choices, Dimension, Range
from hpsearch.trials import Fate
from tests.report.synthetic import SPEC, searching, snapshot_of


def test_bins_are_half_decades_of_the_whole_range(study: Snapshot) -> None:
    """Six decades have twelve bins, from bound to bound, without a gap."""
    data = learning_rate_strip(study)
    assert data is not None
    assert len(data.bins) == 12
    assert (data.bins[0].low, data.bins[-1].high) == (1e-6, 1.0)
    assert data.bins[0].label == "1e-6 to 3.2e-6"
    assert [part.high for part in data.bins[:-1]] == [part.low for part in data.bins[1:]]


def test_every_ended_trial_is_in_one_bin(study: Snapshot) -> None:
    """The bins count each ended trial once, by its fate; trials in training are in none."""
    data = learning_rate_strip(study)
    assert data is not None
    ended = [trial.fate for trial in study.trials if trial.state.is_final]
    for fate in Fate:
        assert sum(part.fates.get(fate, 0) for part in data.bins) == ended.count(fate)


def test_trials_with_nan_are_on_the_rail(study: Snapshot) -> None:
    """Every diverged trial is at its learning rate on the rail of NaN."""
    data = learning_rate_strip(study)
    assert data is not None
    diverged = [trial for trial in study.trials if trial.fate is Fate.DIVERGED]
    railed = [mark for mark in data.marks if mark.place.rail == NOT_A_NUMBER]
    assert {mark.number for mark in railed} == {trial.number for trial in diverged}
    assert NOT_A_NUMBER in data.rails


@pytest.mark.parametrize("value", [1e-6, 1.0, 1e-3, 10**-0.5])
def test_bounds_belong_to_a_bin(study: Snapshot, value: float) -> None:
    """A trial on an edge is counted once: in the bin above it, on the last edge in the last."""
    trial = replace(study.trials[0], params={"learning_rate": value, "weight_decay": 1e-4})
    data = learning_rate_strip(snapshot_of([trial]))
    assert data is not None
    filled = [part for part in data.bins if part.fates]
    assert len(filled) == 1
    assert filled[0].low * (1 - 1e-9) <= value <= filled[0].high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("dimension", "bins"),
    [
        (Choices(name="model.activation", choices=("relu", "elu", "tanh")), 3),
        (Range(name="model.dropout", low=0.0, high=0.5), 12),
        (Range(name="training.batch_size", low=20, high=700, log=True, integer=True), 4),
    ],
)
def test_other_dimensions_have_bins_too(dimension: Dimension, bins: int) -> None:
    """Choices have a bin each, linear ranges twelve, log ranges half decades cut at the bounds."""
    snapshot = searching(dimension)
    data = result_strip(snapshot, dimension)
    assert len(data.bins) == bins
    ended = sum(trial.state.is_final for trial in snapshot.trials)
    assert sum(sum(part.fates.values()) for part in data.bins) == ended


def test_a_study_without_learning_rates_has_no_strip() -> None:
    """If the learning rate is not searched there is no figure of it."""
    assert learning_rate_strip(searching(SPEC.search[1])) is None
