"""The report in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.figures.sample import sample
from hpsearch.report.page import render, render_exhibit
from hpsearch.report.request import ReportRequest
from hpsearch.trials import Fate
from tests.end_to_end.browser import Paper, Sight, comes_to, press, sight
from tests.end_to_end.drawings import assert_fits, hover, overview
from tests.report import synthetic

FOLDS = """() => {
  const folds = () => [...document.querySelectorAll("details")].map((one) => one.open);
  document.querySelector("details").open = true;
  const seen = [folds()];
  for (const moment of ["beforeprint", "afterprint"]) {
    dispatchEvent(new Event(moment));
    seen.push(folds());
  }
  return seen;
}"""

FIGURES = 45
DARK, LIGHT = "rgb(21, 24, 28)", "rgb(255, 255, 255)"

DYING = """() => [
  [...document.querySelectorAll(".plots:not(.small) > [data-figure]")].map((place) =>
    place.data.filter((trace) => trace.visible !== false && trace.meta?.fate === "dying").length),
  [...document.querySelectorAll("tr[data-fate='dying']")].filter((row) => !row.hidden).length,
]"""

COMPARED = """() => [
  [...new Set(document.querySelector("[data-figure=comparison-weight-norm]").data
    .filter((trace) => trace.visible !== false).map((trace) => trace.meta.trial))],
  [...document.querySelectorAll("#comparison thead [data-trial]")]
    .filter((cell) => !cell.hidden).map((cell) => Number(cell.dataset.trial)),
]"""

SHOWN = """() => Number(getComputedStyle(
  document.querySelector("[data-figure=learning-curves-metric] .modebar")).opacity)"""
MOVES = """() => document.querySelector("[data-figure=learning-curves-metric]").layout.dragmode"""

NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined })"


@pytest.fixture(scope="module")
def report() -> str:
    """Return the report of a study of 120 trials with every fate in it, which compares trials of four fates."""
    snapshot = synthetic.synthetic()
    fates = (Fate.COMPLETE, Fate.OUTRANKED, Fate.DIVERGED, Fate.DYING)
    named = [next(trial.number for trial in snapshot.trials if trial.fate is fate) for fate in fates]
    return render(snapshot, ReportRequest(trials=tuple(named)))


def is_silent(seen: Sight) -> bool:
    """Return True if the pages had no errors and made no network requests."""
    assert (seen.errors, seen.outside("file://")) == ([], [])
    return True


def filtering(page: Page) -> None:
    """Assert that a click on a fate hides it in all figures and tables, and a second one shows it again."""
    before: list[Any] = page.evaluate(DYING)
    # All but the two panels of importance, which are sums over trials, have a dying trial.
    assert sorted(count > 0 for count in before[0]) == [False] * 2 + [True] * (FIGURES - 22)
    assert before[1] == 1
    chip = page.locator(".chip", has_text="dying")
    press(chip)
    comes_to(page, DYING, [[0] * (FIGURES - 20), 0])
    press(chip)
    comes_to(page, DYING, before)


@pytest.mark.parametrize(("width", "paper"), [(400, "light"), (1280, "dark"), (2560, "light")])
def test_the_report_is_drawn_at_every_width(
    report: str, browser: Browser, width: int, paper: Paper, tmp_path: Path
) -> None:
    """Every figure is drawn inside the page, labels apart, in the reader's colours, without any noise.

    The buttons on a figure save, zoom, pan and reset: one of Plotly's own would send it to its makers.
    """
    with sight(browser, width=width, paper=paper) as seen:
        page = seen.read(report, tmp_path)
        found = overview(page)
        assert page.title() == "digits: hpsearch report"
        assert found.labels > 50
        assert found.figures == FIGURES
        assert_fits(found)
        assert found.paper == (DARK if paper == "dark" else LIGHT)
        assert found.buttons == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
        assert is_silent(seen)


@pytest.mark.parametrize("width", [400, 1280])
def test_the_star_is_seen_while_the_mouse_is_on_it(
    report: str, browser: Browser, width: int, tmp_path: Path
) -> None:
    """Over the best trial's star its figure's buttons come, beside it; the mouse gets to them, and they work."""
    with sight(browser, width=width) as seen:
        page = seen.read(report, tmp_path)
        figure = page.locator("[data-figure=learning-curves-metric]")
        star = figure.locator(".points path[style*='fill: rgb(255, 207, 51)']")
        star.scroll_into_view_if_needed()
        star.hover(force=True)
        bar = figure.locator(".modebar")
        comes_to(page, SHOWN, 1)
        above, below = bar.bounding_box(), star.bounding_box()
        assert above is not None
        assert below is not None
        assert above["y"] + above["height"] < below["y"]
        figure.get_by_label("Pan").click()
        comes_to(page, MOVES, "pan")
        assert is_silent(seen)


def test_a_page_that_loads_or_complains_is_noticed(browser: Browser, tmp_path: Path) -> None:
    """The checks of this file can fail: a request and an error of a page are both seen."""
    script = "document.documentElement.dataset.drawn = '1'; console.error('noise');"
    noisy = f"<html><img src='http://example.invalid/x.png'><script>{script}</script></html>"
    with sight(browser) as seen:
        seen.read(noisy, tmp_path)
        assert seen.outside("file://") == ["http://example.invalid/x.png"]
        assert any("noise" in line for line in seen.errors)


def test_hovering_explains_and_the_filter_filters(report: str, browser: Browser, tmp_path: Path) -> None:
    """Over a trial stand its parameters, verdict and remedy; a click on a fate hides it in all figures and tables."""
    with sight(browser) as seen:
        page = seen.read(report, tmp_path)
        said = hover(page, "search-map", "dying")
        for words in (
            ": dying",
            "learning_rate 0.",
            "val acc 0.1",
            "dead_relu_total from step",
            "Lower the learning",
        ):
            assert words in said
        filtering(page)
        assert is_silent(seen)


def test_the_reader_chooses_trials_and_copies_commands(report: str, browser: Browser, tmp_path: Path) -> None:
    """A click on a compared trial hides its lines and its column; a button copies a command, without any network."""
    with sight(browser, width=400) as seen:
        page = seen.read(report, tmp_path)
        before: list[list[int]] = page.evaluate(COMPARED)
        assert len(before[0]) == 4
        assert sorted(before[0]) == sorted(before[1])
        chip = page.locator(".chooser label").first
        press(chip)
        comes_to(page, COMPARED, [[n for n in side if n != before[1][0]] for side in before])
        press(chip)
        comes_to(page, COMPARED, before)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = page.locator(".copy").first
        press(button)
        page.get_by_role("button", name="Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("hpsearch trial replay digits ")
        # A page that comes over the network without encryption has no clipboard: the command is selected.
        page.get_by_role("button", name="Copied").wait_for(state="hidden")
        page.evaluate(NO_CLIPBOARD)
        press(button)
        comes_to(page, "() => getSelection().toString()", copied)
        assert is_silent(seen)


def test_nothing_is_folded_on_paper(report: str, browser: Browser, tmp_path: Path) -> None:
    """Study files and JSON are printed, folded or not; afterwards the page is as the reader left it."""
    with sight(browser) as seen:
        left, printed, after = seen.read(report, tmp_path).evaluate(FOLDS)
        assert left == [True, *[False] * (len(left) - 1)]
        assert len(printed) >= 3
        assert all(printed)
        assert after == left
        assert is_silent(seen)


def test_compared_studies_and_single_figures_are_drawn(browser: Browser, tmp_path: Path) -> None:
    """A report with another study has its figure and table; a page of one figure has that one, and its filter."""
    snapshot, other = synthetic.synthetic(), synthetic.synthetic(60, seed=9)
    (shown,) = [exhibit for exhibit in exhibits(snapshot) if exhibit.name == "best-so-far"]
    with sight(browser, width=400) as seen:
        found = overview(seen.read(render(snapshot, ReportRequest(others=(other,))), tmp_path))
        assert found.figures == FIGURES + 1
        assert_fits(found)
        assert is_silent(seen)
    with sight(browser, paper="dark") as seen:
        alone = overview(seen.read(render_exhibit(snapshot, shown), tmp_path))
        assert alone.drawn == alone.figures == 3
        assert alone.paper == DARK
        assert is_silent(seen)


@pytest.mark.parametrize("name", ["empty", "only deaths", "categories", "regression"])
def test_special_studies_are_drawn(name: str, browser: Browser, tmp_path: Path) -> None:
    """Studies without trials, survivors, a learning rate or finite values break nothing, on a phone too."""
    snapshot = synthetic.regression() if name == "regression" else synthetic.SPECIAL[name]()
    with sight(browser, width=400) as seen:
        assert_fits(overview(seen.read(render(snapshot), tmp_path)))
        assert is_silent(seen)


def test_markup_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    """A study whose every text is markup shows it, also over its figures, and runs none of it."""
    with sight(browser) as seen:
        page = seen.read(render(synthetic.hostile()), tmp_path)
        said = hover(page, "search-map", "dying")
        assert page.title() == f"{synthetic.MARKUP}: hpsearch report"
        assert "<script>document.title='run'</script>" in said.replace(" ", "")
        assert is_silent(seen)


def test_a_large_study_is_drawn_by_its_sample(browser: Browser, tmp_path: Path) -> None:
    """The map of 5,000 trials has those of the sample that have parameters, and the star; the page says so."""
    snapshot = synthetic.synthetic(5000)
    with sight(browser) as seen:
        page = seen.read(render(snapshot), tmp_path)
        marks = page.locator("[data-figure=search-map] .scatterlayer .point").count()
        drawn = sum(bool(trial.params) for trial in sample(snapshot))
        assert marks == drawn + 1
        assert f"{drawn:,} of 4,998 trials (a sample with the best of them)" in page.content()
        assert is_silent(seen)
