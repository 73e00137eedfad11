"""One figure of the report as a separate file: a page, Plotly's JSON, or a picture.

Pictures are made with Kaleido, which runs the installed Chromium or Chrome.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

import plotly.graph_objects as go

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.installation import install_command
from hpsearch.report.figures.catalogue import Exhibit, Panel, exhibits
from hpsearch.report.page import render_exhibit
from hpsearch.report.request import ReportRequest
from hpsearch.study.messages import nearest

FigureFormat: TypeAlias = Literal["html", "json", "png", "svg"]

_NOTHING_ASKED: Final = ReportRequest()


def figure_file(
    snapshot: Snapshot, name: str, form: FigureFormat, request: ReportRequest = _NOTHING_ASKED
) -> bytes:
    """Return the content of a file with only the figure `name`: a page, Plotly's JSON, or a picture.

    `name` is that of an exhibit, which HTML shows with all its panels, or of a panel. Raises UsageError for an unknown
    name, and for an exhibit of several panels if one is needed; HpsearchError if there is nothing to draw, or if the
    software for pictures is missing.
    """
    shown = find_exhibit(exhibits(snapshot, request), name)
    if not shown.panels:
        raise HpsearchError(f"--figure {name}: there is nothing to draw: {shown.caption}")
    if form == "html":
        return render_exhibit(snapshot, shown).encode()
    panel = _one_panel(shown, form)
    if form == "json":
        return (json_text(panel.figure.to_plotly_json()) + "\n").encode()
    return image_of(panel.figure, form)


def find_exhibit(shown: Sequence[Exhibit], name: str) -> Exhibit:
    """Return the exhibit `name`, or the panel `name` as an exhibit of its own. Raises UsageError for another name."""
    found: dict[str, Exhibit] = {exhibit.name: exhibit for exhibit in shown}
    for exhibit in shown:
        for panel in exhibit.panels:
            found.setdefault(panel.name, _exhibit_of_panel(exhibit, panel))
    if name not in found:
        guess = nearest(name, list(found))
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f"--figure: must be one of {', '.join(exhibit.name for exhibit in shown)}, or a drawing of one "
            f'(got "{name}"): name one of them{hint}'
        )
    return found[name]


def _exhibit_of_panel(exhibit: Exhibit, panel: Panel) -> Exhibit:
    return Exhibit(name=panel.name, title=exhibit.title, caption=exhibit.caption, panels=(panel,))


def _one_panel(shown: Exhibit, form: FigureFormat) -> Panel:
    """Return the panel with the exhibit's own name, or its only panel."""
    named = [panel for panel in shown.panels if panel.name == shown.name] or shown.panels
    if len(named) == 1:
        return named[0]
    names = ", ".join(panel.name for panel in shown.panels)
    raise UsageError(
        f"--figure {shown.name}: --format {form} holds one drawing (got {len(shown.panels)}): "
        f"name one of {names}, or write html"
    )


ImageFormat: TypeAlias = Literal["png", "svg"]

WIDTH_PX: Final = 900
PNG_SCALE: Final = 2
"""Pixels of a PNG per pixel of the drawing: sharp on current screens, and on paper."""

LONGEST_S: Final = 90


def image_of(figure: go.Figure, form: ImageFormat) -> bytes:
    """Return the picture of a drawing on light paper. Nothing is loaded from a network.

    Raises HpsearchError if kaleido or the browser is missing, or if the browser fails.
    """
    if find_spec("kaleido") is None:
        raise HpsearchError(
            f"--format {form}: needs kaleido, which is not installed: {install_command('images')}, "
            "or write json or html"
        )
    import kaleido  # noqa: PLC0415 # an extra, and slow to import
    from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError  # noqa: PLC0415

    settings = {
        "format": form,
        "width": WIDTH_PX,
        "height": figure.layout.height,
        "scale": PNG_SCALE if form == "png" else 1,
    }
    # MathJax would be loaded from its makers' server.
    options = {"mathjax": False, "timeout": LONGEST_S}
    try:
        picture: bytes = kaleido.calc_fig_sync(figure.to_plotly_json(), opts=settings, kopts=options)
    except ChromeNotFoundError as error:
        raise HpsearchError(
            f"--format {form}: needs Chromium or Chrome (got none in PATH, and none in BROWSER_PATH): install it "
            "(apt-get install chromium), set BROWSER_PATH to its program, or write json or html"
        ) from error
    except (BrowserClosedError, BrowserFailedError, TimeoutError) as error:
        raise HpsearchError(
            f"--format {form}: the browser must draw it (got {type(error).__name__}): set BROWSER_PATH to another "
            "Chromium, or write json or html"
        ) from error
    return picture
