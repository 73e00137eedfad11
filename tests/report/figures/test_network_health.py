"""The networks' internal statistics."""

import math
import re
from dataclasses import replace

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.network_health import HEAT, ROWS, TITLES, network_health
from hpsearch.report.figures.sample import MOST_MARKS
from hpsearch.report.figures.scales import INFINITE, NO_EPOCH, NOT_A_NUMBER
from hpsearch.study.spec import Choices
from hpsearch.trials import Fate, TrialState
from tests.report.synthetic import SPEC, empty, searching, snapshot_of, synthetic


def test_every_ended_trial_is_in_every_panel(study: Snapshot) -> None:
    """All ended trials with parameters have a mark for each statistic, those without an epoch on their rail."""
    data = network_health(study)
    assert data is not None
    assert [panel.name for panel in data.panels] == list(TITLES)
    ended = {trial.number: trial.fate for trial in study.trials if trial.state.is_final and trial.params}
    for panel in data.panels:
        assert {mark.number: mark.fate for mark in panel.marks} == ended
        assert NO_EPOCH in panel.rails
        assert (panel.x.low, panel.x.high) == (1e-6, 1.0)


def test_overflowing_values_are_on_a_rail(study: Snapshot) -> None:
    """Diverged trials, whose numbers are NaN, infinite or huge, are on rails; survivors are on the scale."""
    data = network_health(study)
    assert data is not None
    rails = {
        panel.name: {mark.place.rail for mark in panel.marks if mark.fate is Fate.DIVERGED}
        for panel in data.panels
    }
    assert rails["weight_norm"] == {INFINITE}
    assert rails["output_range"] == {NOT_A_NUMBER}
    for panel in data.panels:
        assert all(mark.place.rail is None for mark in panel.marks if mark.fate is Fate.COMPLETE)


def test_a_gradient_of_exactly_zero_is_below_all_others(study: Snapshot) -> None:
    """A logarithmic scale has no 0: it has a labelled place below the smallest positive gradient."""
    data = network_health(study)
    assert data is not None
    panel = next(panel for panel in data.panels if panel.name == "gradient_norm")
    zeros = {
        trial.number
        for trial in study.trials
        if study.series.get(trial.number, {}).get("gradient_norm", [1])[-1] == 0
    }
    bottom = next(tick.at for tick in panel.scale.ticks if tick.text == "0")
    assert zeros
    for mark in panel.marks:
        if mark.place.position is not None:
            assert (mark.place.position == bottom) is (mark.number in zeros)
            assert mark.place.position >= bottom


def test_every_epoch_of_every_row_has_a_cell(study: Snapshot) -> None:
    """Rows contain each recorded number, NaN and infinity too, and are ordered by the learning rate."""
    data = network_health(study)
    assert data is not None
    trials = {trial.number: trial for trial in study.trials}
    assert tuple(heat.name for heat in data.maps) == HEAT
    for heat in data.maps:
        for row in heat.rows:
            assert len(row.places) == len(row.texts) == len(study.series[row.number][heat.name])
        rates = [float(trials[row.number].params["learning_rate"]) for row in heat.rows]
        assert rates == sorted(rates)


def test_row_labels_are_between_learning_rates(study: Snapshot) -> None:
    """A label is between the last row below it and the first above it."""
    data = network_health(study)
    assert data is not None
    trials = {trial.number: trial for trial in study.trials}
    heat = data.maps[0]
    rates = [float(trials[row.number].params["learning_rate"]) for row in heat.rows]
    assert len(heat.ticks) > 2
    for tick in heat.ticks:
        assert sum(rate < float(tick.text) for rate in rates) == tick.at + 0.5


def test_large_studies_have_few_rows() -> None:
    """Of 5,000 trials a sample is drawn, from the lowest to the highest learning rate, as the caption states."""
    data = network_health(synthetic(5000))
    assert data is not None
    assert all(len(heat.rows) == ROWS for heat in data.maps)
    assert f"{ROWS} of them, spread evenly" in data.caption
    assert MOST_MARKS <= len(data.panels[0].marks) < 1.1 * MOST_MARKS
    assert re.search(r"the last epoch of 1,\d{3} of 4,\d{3} trials \(a sample", data.caption)


def test_older_databases_lack_a_series(study: Snapshot) -> None:
    """Trials recorded before a statistic existed have no panel of it, and the caption has the reason."""
    older = {
        number: {name: values for name, values in series.items() if name != "output_range"}
        for number, series in study.series.items()
    }
    data = network_health(replace(study, series=older))
    assert data is not None
    assert "output_range" not in [panel.name for panel in data.panels]
    assert data.caption.endswith(
        "Not recorded by the version that trained these trials: spread of the outputs."
    )


def test_trials_recorded_by_two_versions_share_a_figure(study: Snapshot) -> None:
    """If only some trials have a statistic, its panel has only those, and no others on a rail."""
    first = next(trial for trial in study.trials if trial.fate is Fate.COMPLETE)
    older = {name: values for name, values in study.series[first.number].items() if name != "output_range"}
    data = network_health(replace(study, series={**study.series, first.number: older}))
    assert data is not None
    panel = next(panel for panel in data.panels if panel.name == "output_range")
    assert first.number not in {mark.number for mark in panel.marks}


def test_without_a_learning_rate_another_dimension_is_the_axis() -> None:
    """The first searched dimension replaces it; if nothing is searched, rows are ordered by number."""
    activation = Choices(name="model.activation", choices=("relu", "elu"))
    data = network_health(searching(activation))
    assert data is not None
    assert {panel.x.title for panel in data.panels} == {"model.activation"}
    assert [tick.text for tick in data.maps[0].ticks] == ["relu", "elu"]
    nothing = network_health(searching())
    assert nothing is not None
    assert nothing.panels == ()
    numbers = [row.number for row in nothing.maps[0].rows]
    assert numbers == sorted(numbers)


def test_without_series_there_is_no_figure(study: Snapshot) -> None:
    """A study without ended trials, and one that other programs ran, have no figure."""
    foreign = replace(study.trials[0], state=TrialState.COMPLETE, finding=None)
    assert network_health(empty()) is None
    assert network_health(snapshot_of([foreign], spec=SPEC)) is None


def test_a_single_number_has_a_scale(study: Snapshot) -> None:
    """One trial with one epoch is drawn on a scale of at least a decade."""
    first = next(trial for trial in study.trials if trial.fate is Fate.COMPLETE)
    series = {name: values[:1] for name, values in study.series[first.number].items()}
    data = network_health(snapshot_of([first], series={first.number: series}))
    assert data is not None
    for panel in data.panels:
        assert panel.scale.high - panel.scale.low >= 1.0
        assert all(math.isfinite(tick.at) for tick in panel.scale.ticks)
