"""Single figures as files."""

import json
from importlib.util import find_spec
from xml.etree import ElementTree as ET

import pytest

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.report.figure_file import FigureFormat, figure_file, find_exhibit
from hpsearch.report.figures.catalogue import exhibits
from tests.end_to_end.browser import find_chromium
from tests.report.synthetic import empty


def test_every_panel_can_be_had_as_json(study: Snapshot, regression: Snapshot) -> None:
    """The JSON is Plotly's figure and nothing else, strict, with the figure's own data."""
    for snapshot in (study, regression):
        panels = [panel for exhibit in exhibits(snapshot) for panel in exhibit.panels]
        for panel in panels:
            shown = json.loads(json_text(panel.figure.to_plotly_json()), parse_constant=pytest.fail)
            assert set(shown) == {"data", "layout"}
            assert len(shown["data"]) == len(panel.figure.data)
        assert json.loads(figure_file(snapshot, panels[-1].name, "json")) == shown


def test_an_exhibit_of_one_panel_has_its_own_name(study: Snapshot) -> None:
    """The names of an exhibit and of its only panel mean the same drawing; otherwise only HTML takes the exhibit's."""
    assert json.loads(figure_file(study, "ledger", "json"))["data"]
    with pytest.raises(UsageError) as caught:
        figure_file(study, "best-so-far", "json")
    assert str(caught.value) == (
        "--figure best-so-far: --format json holds one drawing (got 3): "
        "name one of best-so-far-trials, best-so-far-epochs, best-so-far-time, or write html"
    )
    page = figure_file(study, "best-so-far", "html").decode()
    for name in ("best-so-far-trials", "best-so-far-epochs", "best-so-far-time"):
        assert f'data-figure="{name}"' in page
    assert "default-src 'none'" in page


def test_a_page_of_one_figure_is_labelled(study: Snapshot, hostile: Snapshot) -> None:
    """Study, figure and time are on the page, and the title names figure and study; names are escaped."""
    page = figure_file(study, "learning-curves-metric", "html").decode()
    shown = page.partition("<main>")[2].partition("</header>")[0]
    assert "<h1>digits</h1>" in shown
    assert "<code>learning-curves-metric</code>" in shown
    assert "Learning curves, as of 2026-07-26 14:02" in shown
    assert "<title>digits: Learning curves: hpsearch report</title>" in page
    assert "<script>document" not in figure_file(hostile, "ledger", "html").decode()


def test_an_unknown_name_lists_the_names(study: Snapshot) -> None:
    """Exhibits and panels are listed, with the nearest one."""
    with pytest.raises(UsageError, match=r'must be one of search-map, .*did you mean "ledger"\?') as caught:
        figure_file(study, "ledgr", "html")
    for exhibit in exhibits(study):
        assert exhibit.name in str(caught.value)
        assert find_exhibit(exhibits(study), exhibit.name) == exhibit


def test_nothing_to_draw_is_an_error() -> None:
    """A figure that has nothing to show is no empty file; the error has the reason."""
    with pytest.raises(HpsearchError, match=r"--figure ledger: there is nothing to draw: No epoch has been"):
        figure_file(empty(), "ledger", "json")


@pytest.mark.parametrize(
    ("form", "variables", "words"),
    [
        ("png", {"BROWSER_PATH": "/nowhere/chromium"}, "needs Chromium or Chrome (got none"),
        ("svg", {"BROWSER_PATH": "/bin/false"}, "the browser must draw it (got Browser"),
    ],
)
def test_a_missing_browser_is_an_error_with_a_remedy(
    study: Snapshot,
    form: FigureFormat,
    variables: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a browser, or with one that ends at once, the error states what to install or to set."""
    if find_spec("kaleido") is None:
        pytest.skip("needs the extra `images`")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HpsearchError) as caught:
        figure_file(study, "ledger", form)
    assert f"--format {form}: {words}" in str(caught.value)
    assert "BROWSER_PATH" in str(caught.value)


def test_a_figure_becomes_a_picture(study: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """PNG and SVG have the promised size, and the SVG contains the figure's texts."""
    pytest.importorskip("kaleido", reason="needs the extra `images`")
    monkeypatch.setenv("BROWSER_PATH", find_chromium())
    picture = figure_file(study, "ledger", "png")
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(picture[16:20]) == 1800
    drawing = ET.fromstring(figure_file(study, "ledger", "svg"))
    assert drawing.get("width") == "900"
    assert "dead_relu_total" in "".join(drawing.itertext())
