"""Dates as texts."""

import pytest

from hpsearch.data.dates import date_number, day_first_of

DAY_S = 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", DAY_S),
        ("1970/1/2", DAY_S),
        ("2.1.1970", DAY_S),
        ("02.01.70", DAY_S),
        ("1/2/1970", DAY_S),
        ("1970-01-01 00:01", 60),
        ("1970-01-01T01:00:05.25Z", 3605),
        ("1970-01-01 02:00+02:00", 0),
        ("1970-01-01T00:00:00-0130", 5400),
        ("1969-12-31", -DAY_S),
        ("1.1.69", -365 * DAY_S),
    ],
)
def test_dates_are_seconds(text: str, seconds: int) -> None:
    """The usual forms are read, with times and zones; years of two digits are those of strptime."""
    assert date_number(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "1970", "1970-13-01", "30.2.1970", "1-2/1970", "1970-01-01 25:00", "soon"]
)
def test_other_texts_are_no_dates(text: str) -> None:
    """What is no day of a calendar is no date."""
    assert date_number(text) is None


def test_the_order_of_day_and_month_is_that_of_all_dates() -> None:
    """One day above 12 decides; without any it is not sure, unless day and month are always equal."""
    assert day_first_of(["1/2/2024", "13/2/2024"]) is True
    assert day_first_of(["1/2/2024", "2/13/2024"]) is False
    assert day_first_of(["1/2/2024", "3/4/2024"]) is None
    assert day_first_of(["1/1/2024", "2024-05-06"]) is False
    assert date_number("1/2/2024", day_first=True) == date_number("2024-02-01")
