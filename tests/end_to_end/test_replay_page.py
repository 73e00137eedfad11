"""The page of a replay in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from hpsearch.report.replay_page import render_replay
from tests.end_to_end.browser import Paper, sight
from tests.end_to_end.drawings import assert_fits, hover, overview
from tests.report.replays import TAKEN, replay_of


@pytest.mark.parametrize(
    ("case", "width", "paper"),
    [("dying", 400, "light"), ("diverging", 1280, "dark"), ("no hidden layer", 400, "dark")],
)
def test_replays_are_drawn_beside_a_change(
    case: str, width: int, paper: Paper, browser: Browser, tmp_path: Path
) -> None:
    """NaN, exact zeros and dead units break nothing: every figure is drawn inside the page, labels apart, silently."""
    shown = render_replay(replay_of(case, altered={"learning_rate": 0.01}), taken=TAKEN)
    with sight(browser, width=width, paper=paper) as seen:
        page = seen.read(shown, tmp_path)
        found = overview(page)
        assert page.title() == "blobs: trial 3: hpsearch replay"
        assert found.figures >= 20
        assert_fits(found)
        assert found.paper == ("rgb(21, 24, 28)" if paper == "dark" else "rgb(255, 255, 255)")
        assert (seen.errors, seen.outside("file://")) == ([], [])


def test_a_dead_units_mark_says_when(browser: Browser, tmp_path: Path) -> None:
    """Over the mark of a unit that died stands its number and the step of its last firing."""
    with sight(browser) as seen:
        page = seen.read(render_replay(replay_of("dying"), taken=TAKEN), tmp_path)
        assert "last fired at step" in hover(page, "first-biases-0", "last fired")
        assert (seen.errors, seen.outside("file://")) == ([], [])
