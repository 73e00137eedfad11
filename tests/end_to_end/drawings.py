"""Inspection of a page of figures: scripts of the page, each a function whose value is JSON."""

from dataclasses import dataclass
from typing import Any, final

from playwright.sync_api import Page

_OVERVIEW = """() => {
  const box = (element) => element.getBoundingClientRect();
  const places = [...document.querySelectorAll("[data-figure]")];
  const overlaps = places.flatMap((place) => ["x", "y"].flatMap((axis) => {
    const ticks = [...place.querySelectorAll(`.${axis}tick text`)].map(box);
    ticks.sort((a, b) => (axis === "x" ? a.left - b.left : a.top - b.top));
    const meet = (a, b) => (axis === "x" ? a.right > b.left : a.bottom > b.top + 2);
    return ticks.slice(1).some((tick, i) => meet(ticks[i], tick)) ? [`${place.dataset.figure} ${axis}`] : [];
  }));
  const shown = [...document.querySelectorAll("figcaption, [data-figure] .main-svg")];
  const meets = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const ground = (element) => getComputedStyle(element).backgroundColor;
  const isClear = (bar) => [bar, ...bar.children].every((one) => ground(one).endsWith(", 0)"));
  const covered = places.flatMap((place) => [...place.querySelectorAll(".modebar")]
    .filter((bar) => !isClear(bar) || shown.some((one) => meets(box(bar), box(one))))
    .map(() => place.dataset.figure));
  return {
    figures: places.length,
    drawn: places.filter((place) => place.querySelector(".main-svg")).length,
    wider: places.filter((place) => box(place.querySelector(".main-svg")).right > innerWidth).length,
    scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    labels: document.querySelectorAll(".xtick text, .ytick text").length,
    overlaps,
    covered,
    paper: getComputedStyle(document.body).backgroundColor,
    sheet: getComputedStyle(document.querySelector(".main-svg") ?? document.body).backgroundColor,
    buttons: [...new Set([...document.querySelectorAll(".modebar-btn")].map((one) => one.dataset.title))],
  };
}"""

_HOVER = """([name, trace]) => {
  const place = document.querySelector(`[data-figure=${name}]`);
  const curveNumber = place.data.findIndex((one) => (one.name ?? "").includes(trace));
  Plotly.Fx.hover(place, [{ curveNumber, pointNumber: 0 }]);
}"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """A page of figures: how many there are and how many are drawn, what does not fit, and the colours.

    `wider` counts figures that reach beyond the screen; `overlaps` names figures whose labels touch, with the axis;
    `covered` names those whose buttons lie over a drawing or a caption, or have a ground that hides what is below.
    `paper` is the colour of the page and `sheet` that of the figures; `buttons` are what the figures offer.
    """

    figures: int
    drawn: int
    wider: int
    scrolls: bool
    labels: int
    overlaps: list[str]
    covered: list[str]
    paper: str
    sheet: str
    buttons: list[str]


def overview(page: Page) -> Overview:
    """Return the overview of the page."""
    return Overview(**page.evaluate(_OVERVIEW))


def assert_fits(seen: Overview) -> None:
    """Assert that every figure is drawn inside the page, labels apart, buttons aside, in the page's own colours."""
    assert seen.drawn == seen.figures
    assert (seen.wider, seen.scrolls, seen.overlaps, seen.covered) == (0, False, [], [])
    assert seen.sheet == seen.paper


def hover(page: Page, figure: str, trace: str) -> str:
    """Return the text shown over the first point of the first trace whose name has `trace` in it."""
    page.evaluate(_HOVER, [figure, trace])
    shown = page.locator(f"[data-figure={figure}] .hoverlayer text")
    shown.first.wait_for(state="attached")
    texts: Any = shown.all_text_contents()
    return " ".join(texts)
