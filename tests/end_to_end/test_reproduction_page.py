"""The page of a reproduction, opened in Chromium."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from hpsearch.reproduction.claims import every_claim, judge
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.page import Reproduction, render
from hpsearch.reproduction.runner import run_one
from tests.end_to_end.browser import sight
from tests.end_to_end.drawings import overview

LAB = Lab(source="digits", size="small", seed=11)
PAST_THE_EDGE = """() => [...document.querySelectorAll("#claims td > div")]
    .filter((cell) => cell.getBoundingClientRect().right > document.documentElement.clientWidth).length"""


@pytest.fixture(scope="module")
def page() -> str:
    """Return the page of one small study, with every claim in its table."""
    outcomes = {"losses": run_one("losses", LAB)}
    judged = [judge(claim, outcomes, is_mnist=False, is_full=False) for claim in every_claim()]
    return render(
        Reproduction(lab=LAB, judged=judged, outcomes=outcomes, taken=datetime(2026, 7, 26, tzinfo=UTC))
    )


@pytest.mark.parametrize("width", [400, 1280])
def test_measurements_and_judgements_are_read_without_scrolling_sideways(
    browser: Browser, tmp_path: Path, page: str, width: int
) -> None:
    """No cell of the claims ends beyond the window, on a telephone as on a desk; no button lies over a drawing."""
    with sight(browser, width=width) as seen:
        shown = seen.read(page, tmp_path)
        assert shown.locator("#claims tbody tr").count() == len(every_claim())
        assert shown.evaluate(PAST_THE_EDGE) == 0
        assert overview(shown).covered == []
        assert seen.errors == []
