"""Charts as figures: ranges, names and axes."""

import itertools

import pytest

from hpsearch.report.figure_data.chart import ChartPoint, ChartSeries, chart
from hpsearch.report.figures.chart import draw_chart

POINTS = (ChartPoint(x=1, y=2, low=1, high=5), ChartPoint(x=2, y=3))


def series(count: int) -> list[ChartSeries]:
    """Return so many series with the same points."""
    return [ChartSeries(name=f"a long name {n}", points=POINTS) for n in range(count)]


def test_bars_reach_from_the_lowest_to_the_highest_seed() -> None:
    """A point with a range has its bars, one without has none."""
    bars = draw_chart(chart(("x", "y"), series(1))).data[0].error_y
    assert (list(bars.array), list(bars.arrayminus)) == ([3, 0], [1, 0])


@pytest.mark.parametrize(("count", "named"), [(1, 0), (2, 2), (8, 8), (9, 0)])
def test_series_are_named_where_names_tell_them_apart(count: int, named: int) -> None:
    """Two to eight series are named above the plot, each in the colour of its line; one needs no name."""
    figure = draw_chart(chart(("x", "y"), series(count)))
    words = [one for one in figure.layout.annotations if "a long name" in one.text]
    assert len(words) == named
    for one, trace in zip(sorted(words, key=lambda word: word.text), figure.data, strict=False):
        assert one.font.color == trace.line.color


def test_names_never_lie_on_each_other_or_on_the_heading() -> None:
    """Names that do not fit beside each other stand in rows, and the heading stands above all of them."""
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
