"""Lines of a replay as a figure: ten of them told apart, and words of events that do not cover each other."""

from dataclasses import replace

from hpsearch.report.figure_data.replay_lines import Event, Line, Point, Span, panel
from hpsearch.report.figures.replay_lines import draw_lines


def lines(count: int) -> list[Line]:
    """Return so many lines of three points."""
    return [
        Line(name=f"unit {unit}", points=tuple(Point(x=x, value=float(unit + x)) for x in range(3)))
        for unit in range(count)
    ]


def test_ten_units_have_ten_colours() -> None:
    """No two of ten lines share a colour, and the key has each in its own."""
    figure = draw_lines(panel("weights", lines(10), Span(title="step", low=0, high=2), None))
    assert len({trace.line.color for trace in figure.data}) == 10
    key = [note.font.color for note in figure.layout.annotations if "unit" in note.text]
    assert len(set(key)) == 10


def test_events_side_by_side_do_not_overprint() -> None:
    """The words of two events have rows of their own, and the key and the heading stand above both."""
    data = panel("loss", lines(2), Span(title="step", low=0, high=100), None)
    events = (Event(x=50, text="diverged_lr"), Event(x=52, text="not finite"))
    one, two = (draw_lines(replace(data, events=some), heading="trial 3") for some in (events[:1], events))
    words = {note.text: note.yshift or 0 for note in two.layout.annotations}
    assert words["diverged_lr"] - words["not finite"] >= 14
    others = [shift for text, shift in words.items() if text not in ("diverged_lr", "not finite")]
    assert min(others) >= words["diverged_lr"] + 14
    assert two.layout.margin.t - one.layout.margin.t == words["diverged_lr"] - words["not finite"]
