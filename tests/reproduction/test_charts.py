"""Charts: the points on their axes, and the count of omitted ones."""

import itertools
import math

import pytest

from hpsearch.reproduction.charts import (
    ChartPoint,
    ChartSeries,
    chart,
    draw_chart,
    over_seeds,
    share_over_seeds,
)


def points(*pairs: tuple[float, float]) -> tuple[ChartPoint, ...]:
    """Return points without ranges."""
    return tuple(ChartPoint(x=x, y=y) for x, y in pairs)


def test_points_without_a_place_are_left_out_and_counted() -> None:
    """NaN, infinity and, on a log axis, 0 have no place; the series stays, and the points are counted."""
    series = ChartSeries(name="s", points=points((1, 0.0), (1, math.nan), (1, math.inf), (0, 1.0), (1, 2.0)))
    linear = chart(("x", "y"), [series])
    assert (len(linear.series[0].points), linear.left_out) == (3, 2)
    both = chart(("x", "y"), [series], ("log", "log"))
    assert (both.series[0].points, both.left_out) == (points((1, 2.0)), 4)


def test_a_point_over_seeds_is_the_median_with_the_range() -> None:
    """The median is at x between the lowest and the highest seed; one NaN makes it NaN."""
    assert over_seeds(3.0, [5.0, 1.0, 2.0]) == ChartPoint(x=3.0, y=2.0, low=1.0, high=5.0)
    assert math.isnan(over_seeds(3.0, [1.0, math.nan]).y)


def test_a_share_has_its_interval() -> None:
    """A share over seeds is between the bounds of Wilson's interval, and on a bound at 0 and at 1."""
    some = share_over_seeds(0.057, [1.0, 1.0, 0.0, 1.0])
    assert some.low is not None
    assert some.high is not None
    assert (some.x, some.y) == (0.057, 0.75)
    assert (round(some.low, 4), round(some.high, 4)) == (0.3006, 0.9544)
    for value in (0.0, 1.0):
        end = share_over_seeds(0.03, [value] * 20)
        assert end.low is not None
        assert end.high is not None
        assert end.low <= end.y == value <= end.high
        assert end.high - end.low > 0.1


POINTS = (ChartPoint(x=1, y=2, low=1, high=5), ChartPoint(x=2, y=3))


def series(count: int) -> list[ChartSeries]:
    """Return so many series with the same points."""
    return [ChartSeries(name=f"a long name {n}", points=POINTS) for n in range(count)]


def test_bars_reach_from_the_lowest_to_the_highest_seed() -> None:
    """A point with a range has its bars, one without has none."""
    bars = draw_chart(chart(("x", "y"), series(1))).data[0].error_y
    assert (list(bars.array), list(bars.arrayminus)) == ([3, 0], [1, 0])


@pytest.mark.parametrize(("count", "named"), [(1, 0), (2, 2), (8, 8), (9, 0)])
def test_several_series_are_named(count: int, named: int) -> None:
    """Two to eight series are named above the plot, each in the colour of its line; one has no name."""
    figure = draw_chart(chart(("x", "y"), series(count)))
    words = [one for one in figure.layout.annotations if "a long name" in one.text]
    assert len(words) == named
    for one, trace in zip(sorted(words, key=lambda word: word.text), figure.data, strict=False):
        assert one.font.color == trace.line.color


def test_names_and_heading_do_not_overlap() -> None:
    """Names that do not fit next to each other are in rows, and the heading is above all of them."""
    figure = draw_chart(chart(("x", "y"), series(6)), heading="Heading")
    *names, heading = sorted(figure.layout.annotations, key=lambda word: word.yshift)
    assert "Heading" in heading.text
    assert heading.yshift > max(name.yshift for name in names) + 10
    for first, second in itertools.combinations(names, 2):
        assert first.yshift != second.yshift or abs(first.xshift - second.xshift) > 60


def test_text_is_no_markup() -> None:
    """A name with markup in it is shown as it is."""
    named = [ChartSeries(name="<b>x</b>", points=POINTS), ChartSeries(name="y", points=POINTS)]
    figure = draw_chart(chart(("x", "y"), named))
    assert any("&lt;b&gt;" in one.text for one in figure.layout.annotations)
