"""Charts: what has a place on their axes, and what is counted as left out."""

import math

from hpsearch.report.figure_data.chart import ChartPoint, ChartSeries, chart, over_seeds, share_over_seeds


def points(*pairs: tuple[float, float]) -> tuple[ChartPoint, ...]:
    """Return points without ranges."""
    return tuple(ChartPoint(x=x, y=y) for x, y in pairs)


def test_what_has_no_place_is_left_out_and_counted() -> None:
    """NaN, infinity and, on a log axis, 0 have no place; the series stays, the points are counted."""
    series = ChartSeries(name="s", points=points((1, 0.0), (1, math.nan), (1, math.inf), (0, 1.0), (1, 2.0)))
    linear = chart(("x", "y"), [series])
    assert (len(linear.series[0].points), linear.left_out) == (3, 2)
    both = chart(("x", "y"), [series], ("log", "log"))
    assert (both.series[0].points, both.left_out) == (points((1, 2.0)), 4)


def test_a_point_over_seeds_is_the_median_with_the_range() -> None:
    """The median stands at x between the lowest and the highest seed; one NaN makes it NaN."""
    assert over_seeds(3.0, [5.0, 1.0, 2.0]) == ChartPoint(x=3.0, y=2.0, low=1.0, high=5.0)
    assert math.isnan(over_seeds(3.0, [1.0, math.nan]).y)


def test_a_share_has_its_interval() -> None:
    """A share over seeds stands between the bounds of Wilson's interval, at 0 and at 1 too, where it is on one."""
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
