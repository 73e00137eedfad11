"""Curves in a terminal: every epoch is shown, and values that are not finite are marked."""

import math

import pytest

from hpsearch.cli.trial_curves import plot


def body(lines: list[str]) -> list[str]:
    """Return the drawn part of a plot's lines, without labels and epochs."""
    return [line.partition("|")[2] for line in lines[:-1]]


@pytest.mark.parametrize("is_braille", [True, False])
def test_a_rising_curve_rises(*, is_braille: bool) -> None:
    """The first value is at the bottom left, the last at the top right; the ends of both axes are labelled."""
    lines = plot({epoch: float(epoch) for epoch in range(5)}, is_braille=is_braille)
    assert len(lines) == 7
    assert lines[0].startswith("4 |")
    assert lines[5].startswith("0 |")
    assert lines[6].split() == ["0", "4"]
    drawn = body(lines)
    assert len(drawn[0]) == 56
    assert drawn[0][-1] != " "
    assert drawn[5][0] != " "
    assert drawn[0][:40].strip() == drawn[5][20:].strip() == ""


def test_without_braille_it_is_ascii() -> None:
    """An output without Braille gets stars."""
    text = "\n".join(plot({0: 1.0, 1: 3.0, 2: 2.0}, is_braille=False))
    assert text.isascii()
    assert "*" in text


def test_what_is_not_finite_is_marked() -> None:
    """NaN and both infinities are in a separate row at their epochs, and the line has gaps there."""
    curve = {0: 1.0, 1: math.nan, 2: math.inf, 3: -math.inf, 4: 2.0}
    *rows, marks, _ = plot(curve, is_braille=False)
    assert marks.startswith("not finite |")
    row = marks.partition("|")[2]
    assert [row.index(mark) for mark in "N+-"] == [14, 28, 41]
    assert sum(line.partition("|")[2].count("*") for line in rows) == 2


def test_nothing_finite_is_marks_alone() -> None:
    """A curve of NaN alone has no values to draw, and a line states that."""
    lines = plot({0: math.nan, 1: math.nan}, is_braille=True)
    assert len(lines) == 2
    assert lines[0].partition("|")[2].split("  (")[0].split() == ["N", "N"]


def test_a_constant_curve_is_level() -> None:
    """Equal values are a line on one row, however large they are."""
    for value in (0.0, 0.5, 1.7e308, -1.7e308):
        drawn = body(plot({0: value, 1: value}, is_braille=False))
        assert [set(row) for row in drawn].count({"*"}) == 1


def test_huge_spans_are_logarithmic() -> None:
    """A loss that falls by a factor in each epoch is a straight line."""
    drawn = body(plot({epoch: 10.0**-epoch for epoch in range(6)}, is_braille=False))
    assert [row.index("*") for row in drawn] == sorted(row.index("*") for row in drawn)
    assert all(row.count("*") > 4 for row in drawn)


def test_the_widest_numbers_can_be_drawn() -> None:
    """The distance of the two largest doubles overflows, without an error."""
    drawn = body(plot({0: -1.7e308, 1: 1.7e308}, is_braille=False))
    assert drawn[5][0] == drawn[0][-1] == "*"


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("is_braille", [True, False])
def test_a_plot_fits_a_narrow_terminal(width: int, *, is_braille: bool) -> None:
    """From 40 columns on no line is wider than the terminal, and the first and the last epoch are there."""
    for curve in (
        {epoch: 0.1 + epoch / 7 for epoch in range(300)},
        {0: -1.234e-300, 1: math.nan, 2: math.inf, 1299: -5.678e-300},
        {0: math.nan, 1: math.nan},
    ):
        lines = plot(curve, is_braille=is_braille, width=width)
        assert max(map(len, lines)) <= width
        assert lines[-1].split() == ["0", f"{max(curve):,}"]
