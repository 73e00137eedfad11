"""Numbers as people write them."""

import pytest

from hpsearch.data.numerals import (
    decimal_comma_number,
    has_decimal_comma,
    is_ambiguous,
    is_local_number,
    is_number,
    plain,
)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("0,5", "0.5"),
        ("-1,5e3", "-1.5e3"),
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1,234", "1234"),
        ("1.234.567", "1234567"),
        ("1,00,000", "100000"),
        ("1 000", "1000"),
        ("1\u00a0000,5", "1000.5"),
        ("1'000", "1000"),
        ("1_000", "1000"),
        ("$200,000", "200000"),
        ("-$5", "-5"),
        ("3,50 €", "3.50"),
        ("USD 12", "12"),
        ("US$ 1,200", "1200"),
        ("1.200,50 kr", "1200.50"),
        ("12 zł", "12"),
        ("12 %", "12"),
        ("\u22123,5", "-3.5"),
        ("(1,000)", "-1000"),
        ("5k", "5000"),
        ("$1.5M", "1500000"),
        ("2,5 Mio. €", "2500000"),
    ],
)
def test_local_numbers_are_known_and_written_plainly(cell: str, number: str) -> None:
    """A number in another notation is no number of Python, and `plain` is the one to write."""
    assert is_local_number(cell)
    assert plain(cell) == number
    assert is_number(plain(cell))


@pytest.mark.parametrize(
    "cell", ["", "1", "1.5", "1e3", "nan", "1st", "10-20", "01.02.2020", "1.2.3", "12:30", "B2", "%"]
)
def test_other_cells_are_no_local_numbers(cell: str) -> None:
    """Plain numbers, ranges, ordinals, dates, versions and times are something else."""
    assert not is_local_number(cell)


def test_decimal_commas() -> None:
    """In a table with decimal commas, points separate thousands; a comma that may do so is no evidence of one."""
    cells = ["0,5", "1.234,56", "1.234.567", "7", "2.5", "-3,25"]
    assert list(map(decimal_comma_number, cells)) == [0.5, 1234.56, 1234567, 7, 2.5, -3.25]
    assert [cell for cell in [*cells, "1,234", "0,500", "1,2345"] if has_decimal_comma(cell)] == [
        "0,5",
        "1.234,56",
        "-3,25",
        "0,500",
        "1,2345",
    ]
    assert [cell for cell in ("1.234", "0.123", "12.5", "1234.567") if is_ambiguous(cell)] == ["1.234"]
    with pytest.raises(ValueError, match="1_000"):
        decimal_comma_number("1_000")
