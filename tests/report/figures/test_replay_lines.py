"""Lines of a replay: no value is dropped, and growing values stay on the scale."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.report.figures.replay_lines import (
    POINTS,
    Line,
    LineAxis,
    LineEvent,
    LinePoint,
    draw_lines,
    panel,
    rail_of,
    scale_over,
    track_points,
)
from hpsearch.training.tracks import Tape


def line(*values: float) -> Line:
    """Return a line through the values, one a step."""
    return Line(name="a", points=tuple(LinePoint(x=x, value=value) for x, value in enumerate(values)))


def test_a_short_track_is_drawn_as_it_is() -> None:
    """Each step is a point, and NaN is one too."""
    tape = Tape(columns=2)
    for values in ([1, 5], [math.nan, 6], [math.inf, 7]):
        tape.append(np.array(values, float))
    points = track_points(tape.track(), 0)
    assert [point.x for point in points] == [0, 1, 2]
    assert [repr(point.value) for point in points] == ["1.0", "nan", "inf"]
    assert [point.value for point in track_points(tape.track(), 1)] == [5, 6, 7]


def test_a_long_track_keeps_its_spikes() -> None:
    """If many steps are drawn as one, the highest, the lowest and NaN are among the points."""
    values = np.random.default_rng(1).standard_normal(10_000)
    values[[137, 5_023, 7_001]] = 1e6, -1e6, math.nan
    tape = Tape(columns=1)
    for value in values:
        tape.append(np.array([value]))
    points = track_points(tape.track(), 0)
    assert len(points) <= 2 * POINTS + 1
    found = [point.value for point in points]
    assert {1e6, -1e6} <= set(found)
    assert sum(math.isnan(value) for value in found) == 1
    assert [point.x for point in points] == sorted(point.x for point in points)


def test_growing_lines_are_drawn_logarithmically() -> None:
    """A line that ends beyond a hundred times its beginning gets a symmetric logarithmic scale, others a linear one."""
    assert scale_over([line(0.1, -0.5, 9.0)]).kind == "linear"
    scale = scale_over([line(0.1, -100.0, 1e30, math.inf, math.nan)])
    assert scale.kind == "symlog"
    places = [scale.place(value) for value in (-1e30, -100.0, -0.1, 0.0, 0.1, 100.0, 1e30)]
    assert places == sorted(place for place in places if place is not None)
    assert places[0] == -(places[-1] or 0.0)
    assert all(scale.low <= scale.place(value) <= scale.high for value in (-100.0, 1e30))  # type: ignore[operator]
    assert 0 in [tick.at for tick in scale.ticks]
    gaps = np.diff([tick.at for tick in scale.ticks])
    assert (gaps > (scale.high - scale.low) / 10).all()


@pytest.mark.parametrize("largest", [1e12, 1e300, 1.7e308])
def test_numbers_that_begin_huge_have_a_place(largest: float) -> None:
    """The ends of the scale are numbers, even if the first values are huge."""
    scale = scale_over([line(-largest, largest)])
    assert math.isfinite(scale.low)
    assert math.isfinite(scale.high)
    assert scale.low < scale.high


def test_nothing_is_dropped() -> None:
    """Each number has a place or a rail, and the panel has exactly the rails that its numbers need."""
    values = (1.0, 0.0, math.nan, math.inf, -math.inf, 1e-30)
    made = panel("gradient", [line(*values)], LineAxis(title="step", low=0, high=5), "log")
    assert made.rails == ("exactly 0", "-infinite", "infinite", "NaN")
    for value in values:
        assert (made.scale.place(value) is None) == (rail_of(value, "log") is not None)
    assert panel("accuracy", [line(0.0, 1.0)], LineAxis(title="step", low=0, high=5)).rails == ()


def test_a_panel_without_a_finite_number_has_a_scale() -> None:
    """If all values are NaN, they are on their rail, and there is still a scale."""
    made = panel("loss", [line(math.nan)], LineAxis(title="step", low=0, high=1))
    assert made.rails == ("NaN",)
    assert made.scale.low < made.scale.high


def lines(count: int) -> list[Line]:
    """Return so many lines of three points."""
    return [
        Line(name=f"unit {unit}", points=tuple(LinePoint(x=x, value=float(unit + x)) for x in range(3)))
        for unit in range(count)
    ]


def test_ten_units_have_ten_colours() -> None:
    """No two of ten lines share a colour, and the key has each in its own."""
    figure = draw_lines(panel("weights", lines(10), LineAxis(title="step", low=0, high=2), None))
    assert len({trace.line.color for trace in figure.data}) == 10
    key = [note.font.color for note in figure.layout.annotations if "unit" in note.text]
    assert len(set(key)) == 10


def test_labels_of_close_events_do_not_overlap() -> None:
    """The labels of two events have separate rows, and the key and the heading are above both."""
    data = panel("loss", lines(2), LineAxis(title="step", low=0, high=100), None)
    events = (LineEvent(x=50, text="diverged_lr"), LineEvent(x=52, text="not finite"))
    one, two = (draw_lines(replace(data, events=some), heading="trial 3") for some in (events[:1], events))
    words = {note.text: note.yshift or 0 for note in two.layout.annotations}
    assert words["diverged_lr"] - words["not finite"] >= 14
    others = [shift for text, shift in words.items() if text not in ("diverged_lr", "not finite")]
    assert min(others) >= words["diverged_lr"] + 14
    assert two.layout.margin.t - one.layout.margin.t == words["diverged_lr"] - words["not finite"]
