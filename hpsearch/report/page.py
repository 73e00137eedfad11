"""The report: one self-contained HTML file."""

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report import palette, parts, sections
from hpsearch.report.best_card import best_card_section
from hpsearch.report.figures import drawing
from hpsearch.report.figures.catalogue import Exhibit, exhibits
from hpsearch.report.parts import asset
from hpsearch.report.request import ReportRequest, origin_text
from hpsearch.trials import Fate

_NOTHING_ASKED: Final = ReportRequest()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ServerParts:
    """The parts of a page that only a server sends.

    `plotly` is the path of Plotly's script on the server; `navigation` is HTML above the page, `controls` below its
    heading, and `script` runs last.
    """

    plotly: str
    navigation: str
    script: str
    controls: str = ""


def render(
    snapshot: Snapshot,
    request: ReportRequest = _NOTHING_ASKED,
    *,
    server_parts: ServerParts | None = None,
    drawn: Sequence[Exhibit] | None = None,
) -> str:
    """Return the report as one HTML page: self-contained, or with the server's parts.

    `drawn` is `exhibits(snapshot, request)` if the caller has it already.
    """
    shown = exhibits(snapshot, request) if drawn is None else drawn
    body = _body(
        snapshot, shown, request, controls=parts.as_markup(server_parts.controls if server_parts else "")
    )
    return document(_title(snapshot), body, shown, server_parts, origin=origin_text(snapshot, request))


def render_exhibit(snapshot: Snapshot, shown: Exhibit) -> str:
    """Return one figure of the report as a self-contained HTML page."""
    body = [
        sections.figure_header(snapshot, shown),
        sections.fate_filter(snapshot),
        sections.exhibit(shown),
        sections.footer(snapshot),
    ]
    return document(f"{snapshot.study.spec.name}: {shown.title}: hpsearch report", "\n".join(body), [shown])


def document(  # noqa: PLR0913  # the parts of a page
    title: str,
    body: str,
    shown: Sequence[Exhibit],
    server_parts: ServerParts | None = None,
    *,
    navigation: str = "",
    origin: str = "",
) -> str:
    """Return an HTML page with the drawings of the exhibits that its `body` contains.

    `title` and `origin` are text, `body` is HTML, `navigation` is HTML above a page without `server_parts`. Without
    `server_parts` the page needs no network.
    """
    has_own_plotly = bool(shown) and server_parts is None
    inline = [
        *([asset("unpack.js")] if has_own_plotly else []),
        *([asset("page.js")] if shown else []),
        *([server_parts.script] if server_parts else []),
    ]
    digests = [_digest(script) for script in inline] + ([_plotly_digest()] if has_own_plotly else [])
    page = parts.render(
        "page.html",
        policy=_policy(digests, is_served=bool(server_parts)),
        title=title,
        origin=origin,
        style=f"{_variables()}\n{asset('page.css')}",
        navigation=server_parts.navigation if server_parts else navigation,
        body=body,
        data=_packed(_data(shown)) if has_own_plotly else _data(shown),
        packed_plotly=_packed_plotly() if has_own_plotly else "",
        plotly=server_parts.plotly if server_parts and shown else "",
        scripts=inline,
    )
    return str(page)


def prepare() -> None:
    """Do now what the first report of a process does only once, which takes longer than the report itself."""
    parts.compile_templates("best_card.html", "page.html", "parts.html", "report.html", "sections.html")
    drawing.figure([go.Bar(), go.Heatmap(), go.Scatter()], {"xaxis": drawing.plain_axis("")}, plot_px=1)
    _packed_plotly()
    _plotly_digest()


@cache
def _packed_plotly() -> str:
    """Return Plotly's script, compressed to a third of its 4.8 MB."""
    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    """Return a text compressed, as base64: `unpack.js` reads it. Browsers unpack no denser format than deflate."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


@cache
def _plotly_digest() -> str:
    return _digest(get_plotlyjs())


def _title(snapshot: Snapshot) -> str:
    return f"{snapshot.study.spec.name}: hpsearch report"


def _body(
    snapshot: Snapshot, shown: Sequence[Exhibit], request: ReportRequest, *, controls: Markup
) -> Markup:
    """Return the report; for a study of another Optuna client, the parts that its data supports."""
    named = {one.name: one for one in shown}
    values: dict[str, Any] = {}
    if snapshot.study.foreign is None:
        values = {
            "best_card": best_card_section(snapshot),
            "is_map_alone": not all(named[name].panels for name in ("search-map", "learning-rates")),
            "budget": sections.budget(snapshot),
            "verdicts": sections.verdicts(snapshot),
            "comparison": sections.comparison(snapshot, request, named["comparison"]),
            "studies": sections.studies(snapshot, request, named["studies"]),
            "specification": sections.specification(snapshot),
        }
    return parts.render(
        "report.html",
        is_foreign=snapshot.study.foreign is not None,
        header=sections.header(snapshot),
        controls=controls,
        best=sections.best(snapshot),
        fate_filter=sections.fate_filter(snapshot),
        shown=named,
        footer=sections.footer(snapshot),
        **values,
    )


def _data(shown: Sequence[Exhibit]) -> str:
    """Return the drawings and dark colours as JSON that no HTML parser mistakes for markup.

    Hover texts are stored once in `texts` and numbered in `hovertext`: most trials are in every figure.
    """
    numbers: dict[str, int] = {}
    figures = {panel.name: panel.figure.to_plotly_json() for exhibit in shown for panel in exhibit.panels}
    for figure in figures.values():
        for trace in figure["data"]:
            if "hovertext" in trace:
                trace["hovertext"] = _numbered(trace["hovertext"], numbers)
    data: dict[str, Any] = {"figures": figures, "texts": list(numbers), "dark": dict(palette.DARK)}
    return json_text(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _numbered(texts: Sequence[Any], numbers: dict[str, int]) -> list[Any]:
    """Return the number of every text, row by row if there are rows; add new texts to `numbers` in place."""
    return [
        numbers.setdefault(text, len(numbers)) if isinstance(text, str) else _numbered(text, numbers)
        for text in texts
    ]


def _digest(script: str) -> str:
    """Return the base64 of a script's SHA-256, by which a policy allows it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _policy(digests: Sequence[str], *, is_served: bool) -> str:
    """Return a policy that allows only the scripts with these digests, and loads only from the page's own server."""
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    served, own = (" 'self'", "'self'") if is_served else ("", "'none'")
    return (
        f"default-src 'none'; script-src {allowed}{served}; style-src 'unsafe-inline'; img-src data: blob:;"
        f" connect-src {own}; base-uri 'none'; form-action {own}"
    )


def _variables() -> str:
    """Return the colours as CSS variables, once for light and once for dark paper."""
    named = {
        "--ink": palette.INK,
        "--soft-ink": palette.SOFT_INK,
        "--grid": palette.GRID,
        "--rail": palette.RAIL,
        "--paper": palette.PAPER,
        **{palette.variable(fate): palette.LOOKS[fate].colour for fate in Fate},
    }
    light = ";".join(f"{name}:{colour}" for name, colour in named.items())
    dark = ";".join(f"{name}:{palette.DARK[colour]}" for name, colour in named.items())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
