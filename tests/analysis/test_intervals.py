"""Intervals of means and shares."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import sem, t, ttest_ind

from hpsearch.analysis.intervals import (
    difference_interval,
    mean_interval,
    metric_bounds,
    share_interval,
    wilson_interval,
)


@given(st.lists(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), min_size=2, max_size=20))
def test_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    """The mean's interval is that of the t distribution with n - 1 degrees of freedom."""
    low, high = mean_interval(values) or (math.nan, math.nan)
    error = float(sem(values))
    if error == 0:
        assert (low, high) == pytest.approx((values[0], values[0]))
    else:
        assert (low, high) == pytest.approx(
            t.interval(0.95, len(values) - 1, loc=math.fsum(values) / len(values), scale=error),
            abs=1e-12,
        )


def test_one_value_has_no_interval() -> None:
    """A single draw gives no spread; equal ones have an interval without width."""
    assert mean_interval([0.5]) is None
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5)


def test_an_interval_stays_within_its_bounds() -> None:
    """Impossible values of an accuracy or a loss are not part of an interval; a wider confidence makes it wider."""
    assert mean_interval([0.2, 1.0], bounds=metric_bounds("validation_accuracy")) == (0.0, 1.0)
    low, high = mean_interval([0.2, 1.0], bounds=metric_bounds("validation_loss")) or (math.nan, math.nan)
    assert low == 0.0
    assert high > 1.0
    narrow, wide = (mean_interval([1.0, 2.0, 4.0], confidence=share) for share in (0.5, 0.99))
    assert narrow is not None
    assert wide is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_interval_of_a_difference_is_welchs() -> None:
    """It is that of Welch's test, for unlike spreads and counts; a single draw has none, equal draws have no width."""
    one, other = [0.91, 0.93, 0.97, 0.92], [0.80, 0.81, 0.805, 0.79, 0.82, 0.8]
    wanted = ttest_ind(one, other, equal_var=False).confidence_interval(0.99)
    assert difference_interval(one, other, confidence=0.99) == pytest.approx((wanted.low, wanted.high))
    assert difference_interval(one, [0.5]) is None
    assert difference_interval([0.5, 0.5], [0.25, 0.25]) == (0.25, 0.25)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (1, 10, 0.0025, 0.4450), (8, 10, 0.4439, 0.9748)],
)
def test_the_interval_is_clopper_and_pearsons(hits: int, of: int, low: float, high: float) -> None:
    """Tabulated bounds of the exact 95 % interval, and 1 - 0.025^(1/n) if nothing was hit."""
    assert share_interval(hits, of) == pytest.approx((low, high), abs=5e-5)
    if not hits:
        assert share_interval(hits, of)[1] == pytest.approx(1 - 0.025 ** (1 / of))


@given(st.integers(1, 2000), st.data())
def test_the_interval_contains_the_rate(of: int, data: st.DataObject) -> None:
    """The interval is within 0..1 and contains the observed rate."""
    hits = data.draw(st.integers(0, of))
    low, high = share_interval(hits, of)
    assert 0 <= low <= hits / of <= high <= 1


def test_wilsons_interval_is_the_published_one() -> None:
    """Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(0 / 20, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilsons_interval_is_exact_if_all_draws_agree() -> None:
    """The bounds 0 and 1 are exact for any number of draws: 0 is not shown as 2.8e-17."""
    for of in range(1, 100):
        assert wilson_interval(0.0, of)[0] == 0.0
        assert wilson_interval(1.0, of)[1] == 1.0


def test_wilsons_interval_has_its_coverage() -> None:
    """Of 2,000 accuracies on 400 examples, 93 to 97 in 100 have the truth in their interval."""
    hits = np.random.default_rng(1).binomial(400, 0.93, size=2000)
    held = sum(low <= 0.93 <= high for low, high in (wilson_interval(hit / 400, 400) for hit in hits))
    assert 1860 <= held <= 1940
