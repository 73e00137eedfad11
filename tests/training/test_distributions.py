"""Distributions: every number is counted once, in the bin that contains it."""

import numpy as np
import pytest

from hpsearch.training.distributions import BIN_EDGES, BINS, ZERO_BIN, distribution_of


def test_bins_mirror_each_other() -> None:
    """Zero has a bin of its own in the middle, and there are as many bins below as above it."""
    assert BINS == 2 * ZERO_BIN + 1
    np.testing.assert_array_equal(BIN_EDGES[:33], -BIN_EDGES[-33:][::-1])


@pytest.mark.parametrize(
    ("value", "bin_"),
    [
        (0.0, ZERO_BIN),
        (-0.0, ZERO_BIN),
        (5e-324, ZERO_BIN + 1),
        (-5e-324, ZERO_BIN - 1),
        (9e5, BINS - 2),
        (2e6, BINS - 1),
        (np.inf, BINS - 1),
        (-2e6, 0),
        (-np.inf, 0),
    ],
)
def test_a_number_is_in_its_bin(value: float, bin_: int) -> None:
    """Exact zero and the smallest number have different bins, and infinity is in the outer bins."""
    counts = distribution_of(np.array([value])).counts
    assert counts.sum() == 1
    assert counts[bin_] == 1


def test_nan_is_counted_separately() -> None:
    """NaN is in no bin and in `nans`, and makes the moments NaN."""
    found = distribution_of(np.array([[1.0, np.nan], [-1.0, 0.0]], np.float32))
    assert found.nans == 1
    assert found.counts.sum() == 3
    assert np.isnan(found.mean)


def test_moments_are_those_of_statistics() -> None:
    """Mean, variance and kurtosis are the textbook's, after the division by `scale`."""
    values = np.random.default_rng(5).standard_normal(40_000)
    found = distribution_of(4 * values, scale=2)
    assert found.mean == pytest.approx(2 * values.mean())
    assert found.variance == pytest.approx(4 * values.var())
    assert found.kurtosis == pytest.approx(3, abs=0.1)
    assert np.isnan(distribution_of(np.ones(9)).kurtosis)
