"""The page of a replay in a real browser."""

from pathlib import Path

import pytest

from hpsearch.report.replay_page import render_replay
from tests.end_to_end.chromium import Paper, visit
from tests.end_to_end.test_report_page import OVERVIEW
from tests.report.replays import TAKEN, replay_of

HOVER = """
const place = page.querySelector("[data-figure=first-biases-0]");
const curve = place.data.findIndex((trace) => (trace.name ?? "").includes("last fired"));
view.Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: 0 }]);
await pause(200);
return [...place.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ");
"""


@pytest.mark.parametrize(
    ("case", "width", "paper"),
    [("dying", 400, "light"), ("diverging", 1280, "dark"), ("no hidden layer", 400, "dark")],
)
def test_replays_are_drawn_beside_a_change(case: str, width: int, paper: Paper, tmp_path: Path) -> None:
    """NaN, exact zeros and dead units break nothing: every figure is drawn inside the page, labels apart, silently."""
    page = render_replay(replay_of(case, altered={"learning_rate": 0.01}), taken=TAKEN)
    found = visit(page, OVERVIEW, tmp_path, width=width, paper=paper)
    assert (found.console, found.requests) == ((), ())
    assert found.seen["title"] == "blobs: trial 3: hpsearch replay"
    assert found.seen["drawn"] == found.seen["figures"] >= 20
    assert (found.seen["wider"], found.seen["scrolls"], found.seen["overlaps"]) == (0, False, [])
    assert found.seen["paper"] == ("rgb(21, 24, 28)" if paper == "dark" else "rgb(255, 255, 255)")
    assert found.seen["sheet"] == found.seen["paper"]


def test_a_dead_units_mark_says_when(tmp_path: Path) -> None:
    """Over the mark of a unit that died stands its number and the step of its last firing."""
    found = visit(render_replay(replay_of("dying"), taken=TAKEN), HOVER, tmp_path)
    assert "last fired at step" in found.seen
    assert (found.console, found.requests) == ((), ())
