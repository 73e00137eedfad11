"""Numbers for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study.amounts import format_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001234, "0.0012"),
        (99.6, "100"),
        (8100.0, "8100"),
        (123456.0, "120000"),
        (math.nan, "NaN"),
        (math.inf, "infinite"),
        (-math.inf, "minus infinite"),
    ],
)
def test_a_number_is_written_as_people_write_it(value: float, text: str) -> None:
    """Between a ten-thousandth and a million nothing has an exponent, and what is not finite is a word."""
    assert format_number(value) == text


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_short_number_is_within_half_a_digit(value: float) -> None:
    """Reading a short number back gives the value to 2 significant digits."""
    assert float(format_number(value)) == pytest.approx(value, rel=0.051)
