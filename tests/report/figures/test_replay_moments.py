"""Distributions over time and by depth."""

import pytest

from hpsearch.report.figures.replay_moments import (
    DEPTH_PANELS,
    HEAT_MAPS,
    bin_name,
    depth_panel,
    distribution_map,
    shown_layers,
)
from hpsearch.training.distributions import BINS, ZERO_BIN
from tests.report.replays import CASES, recording


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", HEAT_MAPS)
def test_every_number_is_in_the_map(name: str, case: str) -> None:
    """The shares of each moment add up to 1, NaN and infinity among them, in every layer of every network."""
    made = recording(case)
    for layer in shown_layers(made):
        data = distribution_map(made, layer, name)
        assert data is not None
        assert data.steps == tuple(moment.step for moment in made.moments)
        assert len(set(data.bins)) == len(data.bins) == len(data.shares)
        for column in range(len(data.steps)):
            assert sum(row[column] for row in data.shares) == pytest.approx(1, abs=1e-3)


def test_a_dead_gradient_is_exactly_0() -> None:
    """At the end all numbers of a dead layer's gradient are in the bin of zeros."""
    data = distribution_map(recording("dying"), 0, "gradient")
    assert data is not None
    assert data.shares[data.bins.index("exactly 0")][-1] == 1


def test_nan_has_a_row() -> None:
    """If numbers are NaN they are in a row of their own, the last."""
    data = distribution_map(recording("diverging"), 0, "before")
    assert data is not None
    assert data.bins[-1] == "NaN"
    assert data.shares[-1][-1] == 1


def test_bins_have_names_of_their_own() -> None:
    """Each bin is named by its edges, with both signs and the open ends."""
    names = [bin_name(row) for row in range(BINS + 1)]
    assert len(set(names)) == len(names)
    assert names[0] == "below -1e6"
    assert names[ZERO_BIN - 1 : ZERO_BIN + 2] == ["-1e-10 to 0", "exactly 0", "0 to 1e-10"]
    assert names[-2:] == ["from 1e6", "NaN"]


@pytest.mark.parametrize("name", DEPTH_PANELS)
def test_depth_panels_have_every_layer(name: str) -> None:
    """Four lines over all layers, of the first and the last moment among others."""
    made = recording("deep")
    data = depth_panel(name, made)
    assert data is not None
    assert [line.name for line in data.lines][0::3] == ["step 0", f"step {made.steps - 1:,}"]
    for line in data.lines:
        assert [point.x for point in line.points] == list(range(1, 10))


def test_of_deep_networks_six_layers_have_maps() -> None:
    """The first and the last are among them."""
    assert shown_layers(recording("deep")) == (0, 2, 3, 5, 6, 8)
    assert shown_layers(recording("no hidden layer")) == (0,)
