"""One figure of the report as a file of its own."""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.report.export import json_text
from hpsearch.report.figures.catalogue import Exhibit, Panel, exhibits
from hpsearch.report.images import image_of
from hpsearch.report.page import render_exhibit
from hpsearch.report.request import Request
from hpsearch.report.snapshot import Snapshot
from hpsearch.study.messages import nearest

FigureFormat: TypeAlias = Literal["html", "json", "png", "svg"]

_NOTHING_ASKED: Final = Request()


def figure_file(
    snapshot: Snapshot, name: str, form: FigureFormat, request: Request = _NOTHING_ASKED
) -> bytes:
    """Return the content of a file that holds the figure `name` alone: a page, Plotly's JSON, or a picture.

    `name` is that of an exhibit, which HTML shows with all its panels, or of a panel. Raises UsageError for a name that
    is none, and for an exhibit of several panels where one is needed; HpsearchError where there is nothing to draw,
    or nothing to draw a picture with.
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
            found.setdefault(panel.name, _alone(exhibit, panel))
    if name not in found:
        guess = nearest(name, list(found))
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f"--figure: must be one of {', '.join(exhibit.name for exhibit in shown)}, or a drawing of one "
            f'(got "{name}"): name one of them{hint}'
        )
    return found[name]


def _alone(exhibit: Exhibit, panel: Panel) -> Exhibit:
    return Exhibit(name=panel.name, title=exhibit.title, caption=exhibit.caption, panels=(panel,))


def _one_panel(shown: Exhibit, form: FigureFormat) -> Panel:
    """Return the panel that has the exhibit's own name, or is its only one."""
    named = [panel for panel in shown.panels if panel.name == shown.name] or shown.panels
    if len(named) == 1:
        return named[0]
    names = ", ".join(panel.name for panel in shown.panels)
    raise UsageError(
        f"--figure {shown.name}: --format {form} holds one drawing (got {len(shown.panels)}): "
        f"name one of {names}, or write html"
    )
