"""Numbers and sizes for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study.amounts import format_number, format_size


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


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (931, "931 bytes"),
        (2**10, "1.0 KiB"),
        (12 * 2**20, "12.0 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**51, "2,048.0 TiB"),
    ],
)
def test_a_size_has_its_largest_unit(size_bytes: float, text: str) -> None:
    """Sizes are in powers of 1024, with the unit's name."""
    assert format_size(size_bytes) == text
