"""The report in a real browser."""

from pathlib import Path

import pytest

from hpsearch.records import Fate
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.page import render, render_exhibit
from hpsearch.report.request import Request
from tests.end_to_end.chromium import Paper, visit
from tests.report import synthetic

OVERVIEW = """
const box = (element) => element.getBoundingClientRect();
const places = [...page.querySelectorAll("[data-figure]")];
const overlaps = places.flatMap((place) => ["x", "y"].flatMap((axis) => {
  const ticks = [...place.querySelectorAll(`.${axis}tick text`)].map(box);
  ticks.sort((a, b) => (axis === "x" ? a.left - b.left : a.top - b.top));
  const meet = (a, b) => (axis === "x" ? a.right > b.left : a.bottom > b.top + 2);
  return ticks.slice(1).some((tick, i) => meet(ticks[i], tick)) ? [`${place.dataset.figure} ${axis}`] : [];
}));
return {
  title: page.title,
  figures: places.length,
  drawn: places.filter((place) => place.querySelector(".main-svg")).length,
  wider: places.filter((place) => box(place.querySelector(".main-svg")).right > view.innerWidth).length,
  scrolls: page.documentElement.scrollWidth > page.documentElement.clientWidth,
  labels: page.querySelectorAll(".xtick text, .ytick text").length,
  overlaps,
  paper: view.getComputedStyle(page.body).backgroundColor,
  sheet: view.getComputedStyle(page.querySelector(".main-svg") ?? page.body).backgroundColor,
  buttons: [...new Set([...page.querySelectorAll(".modebar-btn")].map((button) => button.dataset.title))],
};
"""

HOVER = """
const place = page.querySelector("[data-figure=search-map]");
const curve = place.data.findIndex((trace) => trace.name === "FATE");
view.Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: 0 }]);
await pause(200);
return [...place.querySelectorAll(".hoverlayer text")].map((text) => text.textContent).join(" ");
"""

FILTER = """
const count = () => [...page.querySelectorAll(".plots:not(.small) > [data-figure]")].map((place) =>
  place.data.filter((trace) => trace.visible !== false && trace.meta?.fate === "FATE").length);
const rows = () => [...page.querySelectorAll("tr[data-fate='FATE']")].filter((row) => !row.hidden).length;
const chip = page.querySelector(".chip input[value='FATE']");
const seen = [[count(), rows()]];
for (let click = 0; click < 2; click += 1) {
  chip.click();
  await pause(3000);
  seen.push([count(), rows()]);
}
return seen;
"""

CHOOSER = """
const drawn = () => page.querySelector("[data-figure=comparison-weight-norm]").data
  .filter((trace) => trace.visible !== false).map((trace) => trace.meta.trial);
const columns = () => [...page.querySelectorAll("#comparison thead [data-trial]")]
  .filter((cell) => !cell.hidden).map((cell) => Number(cell.dataset.trial));
const look = () => [[...new Set(drawn())], columns()];
const chip = page.querySelector(".chooser input");
const seen = [look()];
for (let click = 0; click < 2; click += 1) {
  chip.click();
  await pause(3000);
  seen.push(look());
}
return seen;
"""

COPY = """
const [button] = page.querySelectorAll(".copy");
const shown = !button.hidden;
button.click();
await pause(200);
return { shown, label: button.textContent, selected: view.getSelection().toString() };
"""

FOLDS = """
const folds = () => [...page.querySelectorAll("details")].map((one) => one.open);
page.querySelector("details").open = true;
const seen = [folds()];
for (const moment of ["beforeprint", "afterprint"]) {
  view.dispatchEvent(new Event(moment));
  seen.push(folds());
}
return seen;
"""

MARKS = """return page.querySelectorAll("[data-figure=search-map] .scatterlayer .point").length;"""


FIGURES = 45


def _script(fate: Fate = Fate.COMPLETE, **parts: str) -> str:
    """Return a script that runs the parts one after the other and returns what each of them saw."""
    made = [f"{name}: await (async () => {{ {part} }})()" for name, part in parts.items()]
    return f"return {{ {', '.join(made)} }};".replace("FATE", fate.value)


@pytest.fixture(scope="module")
def page() -> str:
    """Return the report of a study of 120 trials with every fate in it, which compares trials of four fates."""
    snapshot = synthetic.synthetic()
    fates = (Fate.COMPLETE, Fate.OUTRANKED, Fate.DIVERGED, Fate.DYING)
    named = [next(trial.number for trial in snapshot.trials if trial.fate is fate) for fate in fates]
    return render(snapshot, Request(trials=tuple(named)))


@pytest.mark.parametrize(("width", "paper"), [(400, "light"), (1280, "dark"), (2560, "light")])
def test_the_report_is_drawn_at_every_width(page: str, width: int, paper: Paper, tmp_path: Path) -> None:
    """Every figure is drawn inside the page, labels apart, in the reader's colours, without any noise.

    The buttons on a figure save, zoom, pan and reset: one of Plotly's own would send it to its makers.
    """
    found = visit(page, OVERVIEW, tmp_path, width=width, paper=paper)
    assert (found.console, found.requests) == ((), ())
    assert found.seen["title"] == "digits: hpsearch report"
    assert found.seen["labels"] > 50
    assert found.seen["drawn"] == found.seen["figures"] == FIGURES
    assert (found.seen["wider"], found.seen["scrolls"], found.seen["overlaps"]) == (0, False, [])
    assert found.seen["paper"] == ("rgb(21, 24, 28)" if paper == "dark" else "rgb(255, 255, 255)")
    assert found.seen["sheet"] == found.seen["paper"]
    assert found.seen["buttons"] == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]


def test_a_page_that_loads_or_complains_is_noticed(tmp_path: Path) -> None:
    """The checks of this file can fail: a request and an error of a page are both seen."""
    script = "document.documentElement.dataset.drawn = '1'; console.error('noise');"
    noisy = f"<html><img src='http://example.invalid/x.png'><script>{script}</script></html>"
    found = visit(noisy, "return 1;", tmp_path)
    assert found.requests == ("http://example.invalid/x.png",)
    assert any("noise" in line for line in found.console)


def test_hovering_explains_and_the_filter_filters(page: str, tmp_path: Path) -> None:
    """Over a trial stand its parameters, verdict and remedy; a click on a fate hides it in all figures and tables."""
    found = visit(page, _script(Fate.DYING, hover=HOVER, filter=FILTER), tmp_path)
    for words in (
        ": dying",
        "learning_rate 0.",
        "val acc 0.1",
        "dead_relu_total from step",
        "Lower the learning",
    ):
        assert words in found.seen["hover"]
    before, hidden, after = found.seen["filter"]
    # All but the two panels of importance, which are sums over trials, have a dying trial.
    assert sorted(count > 0 for count in before[0]) == [False] * 2 + [True] * (FIGURES - 22)
    assert before[1] == 1
    assert hidden == [[0] * (FIGURES - 20), 0]
    assert after == before
    assert (found.console, found.requests) == ((), ())


def test_the_reader_chooses_trials_and_copies_commands(page: str, tmp_path: Path) -> None:
    """A click on a compared trial hides its lines and its column; a button copies a command, without any network."""
    found = visit(page, _script(choose=CHOOSER, copy=COPY), tmp_path, width=400)
    before, hidden, after = found.seen["choose"]
    assert len(before[0]) == 4
    assert sorted(before[0]) == sorted(before[1])
    assert hidden == [[n for n in side if n != before[1][0]] for side in before]
    assert after == before
    assert (found.seen["copy"]["shown"], found.seen["copy"]["label"]) == (True, "Copied")
    # A frame may not write to the clipboard, so the command is selected.
    assert found.seen["copy"]["selected"].startswith("hpsearch trial replay digits ")
    assert (found.console, found.requests) == ((), ())


def test_nothing_is_folded_on_paper(page: str, tmp_path: Path) -> None:
    """Study files and JSON are printed, folded or not; afterwards the page is as the reader left it."""
    found = visit(page, FOLDS, tmp_path)
    left, printed, after = found.seen
    assert left == [True, *[False] * (len(left) - 1)]
    assert len(printed) >= 3
    assert all(printed)
    assert after == left
    assert (found.console, found.requests) == ((), ())


def test_compared_studies_and_single_figures_are_drawn(tmp_path: Path) -> None:
    """A report with another study has its figure and table; a page of one figure has that one, and its filter."""
    snapshot, other = synthetic.synthetic(), synthetic.synthetic(60, seed=9)
    found = visit(render(snapshot, Request(others=(other,))), OVERVIEW, tmp_path / "compared", width=400)
    assert (found.console, found.requests) == ((), ())
    assert found.seen["drawn"] == found.seen["figures"] == FIGURES + 1
    assert (found.seen["wider"], found.seen["scrolls"], found.seen["overlaps"]) == (0, False, [])
    (shown,) = [exhibit for exhibit in exhibits(snapshot) if exhibit.name == "best-so-far"]
    alone = visit(render_exhibit(snapshot, shown), OVERVIEW, tmp_path / "single", paper="dark")
    assert (alone.console, alone.requests) == ((), ())
    assert alone.seen["drawn"] == alone.seen["figures"] == 3
    assert alone.seen["paper"] == "rgb(21, 24, 28)"


@pytest.mark.parametrize("name", ["empty", "only deaths", "categories", "regression"])
def test_special_studies_are_drawn(name: str, tmp_path: Path) -> None:
    """Studies without trials, survivors, a learning rate or finite values break nothing, on a phone too."""
    snapshot = synthetic.regression() if name == "regression" else synthetic.SPECIAL[name]()
    found = visit(render(snapshot), OVERVIEW, tmp_path, width=400)
    assert (found.console, found.requests) == ((), ())
    assert found.seen["drawn"] == found.seen["figures"]
    assert (found.seen["wider"], found.seen["scrolls"], found.seen["overlaps"]) == (0, False, [])


def test_markup_runs_nothing(tmp_path: Path) -> None:
    """A study whose every text is markup shows it, also over its figures, and runs none of it."""
    script = _script(Fate.DYING, hover=HOVER, title="return page.title;")
    found = visit(render(synthetic.hostile()), script, tmp_path)
    assert (found.console, found.requests) == ((), ())
    assert found.seen["title"] == f"{synthetic.MARKUP}: hpsearch report"
    assert "<script>document.title='run'</script>" in found.seen["hover"].replace(" ", "")


def test_five_thousand_trials_are_all_drawn(tmp_path: Path) -> None:
    """A large study has every trial that has parameters in its map, and the star."""
    snapshot = synthetic.synthetic(5000)
    found = visit(render(snapshot), MARKS, tmp_path)
    assert found.seen == sum(bool(trial.params) for trial in snapshot.trials) + 1
    assert (found.console, found.requests) == ((), ())
