"""The key of a figure: the names of its lines, each in its colour, which a phone and paper can show."""

import pytest

from hpsearch.report.figures.drawing import KeyEntry, key_height_px, key_words
from hpsearch.report.figures.replay_lines import draw_lines
from hpsearch.report.figures.replay_tracks import STEP_PANELS, step_panel
from tests.report.replays import recording

_PHONE_PX = 280


@pytest.mark.parametrize("name", STEP_PANELS)
def test_lines_of_a_replay_are_named_in_their_colours(name: str) -> None:
    """If a panel has several lines its figure shows, without hovering, which colour and dash each has."""
    data = step_panel(name, recording("batch norm"), None)
    assert data is not None
    made = draw_lines(data, heading="trial 3")
    words = {
        note.text.split(" ", 1)[1]: note for note in made.layout.annotations if note.text.startswith("&#")
    }
    assert set(words) == ({line.name for line in data.lines} if len(data.lines) > 1 else set())
    for trace in made.data:
        if trace.name in words and trace.mode == "lines":
            assert words[trace.name].font.color == trace.line.color
            assert (words[trace.name].text.startswith("&#9477;")) == (trace.line.dash == "dot")


def test_a_key_breaks_into_rows_for_a_phone() -> None:
    """Names are next to each other if there is room, in their order, and never overlap."""
    entries = [KeyEntry(name=f"output {unit}", colour="#000000") for unit in range(10)]
    words = key_words(entries, shift_px=16)
    assert len({word["yshift"] for word in words}) * 17 == key_height_px(entries)
    rows: dict[float, list[float]] = {}
    for word in words:
        assert word["xshift"] + 6 * len(f"# {word['text'].split(' ', 1)[1]}") <= _PHONE_PX
        rows.setdefault(word["yshift"], []).append(word["xshift"])
    assert all(at == sorted(set(at)) for at in rows.values())
    assert key_words([]) == []
    assert key_height_px([]) == 0


def test_a_name_with_markup_stays_a_name() -> None:
    """A name in a key is escaped."""
    (word,) = key_words([KeyEntry(name="<b>x</b>", colour="#000000")])
    assert "<b>" not in word["text"]
