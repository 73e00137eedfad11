"""What all our pages have in common: the way to the others, and a script that shows what is new."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import final

from hpsearch.dashboard.links import HOME, PLOTLY, REPORTS, WORKERS
from hpsearch.dashboard.wsgi import version_tag
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.page import Serving, document
from hpsearch.report.parts import rows_of, table_of, text


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page as HTML, and the tag of its version: two pages with one tag show the same."""

    tag: str
    html: str


def framed(title: str, body: str, *, shown: Sequence[Exhibit] = (), stock: str = HOME) -> Page:
    """Return a page whose version is its body. `title` is text, `body` is HTML, `stock` a path of Optuna's pages."""
    tag = version_tag(body.encode())
    return Page(tag=tag, html=document(title, body, shown, serving(tag, stock=stock)))


def serving(tag: str, *, stock: str = HOME) -> Serving:
    """Return what makes a page one of ours: it looks every few seconds whether its version is still `tag`."""
    places = ((stock, "Optuna's dashboard"), (REPORTS, "Reports"), (WORKERS, "Workers"))
    links = " ".join(f'<a href="{text(path)}">{text(name)}</a>' for path, name in places)
    return Serving(
        plotly=PLOTLY,
        navigation=f'<nav class="served" data-version="{text(tag)}">{links} <span role="status"></span></nav>',
        script=resources.files("hpsearch.dashboard.pages").joinpath("live.js").read_text(encoding="utf-8"),
    )


def head(kicker: str, title: str, lead: str = "") -> str:
    """Return the heading of a page. All three are text."""
    below = f'<p class="lead">{text(lead)}</p>' if lead else ""
    return f'<header><p class="kicker">{text(kicker)}</p><h1>{text(title)}</h1>{below}</header>'


def link(path: str, words: object) -> str:
    """Return a link to a path of this server."""
    return f'<a href="{text(path)}">{text(words)}</a>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table. Heads are text, cells are HTML."""
    return table_of("", heads, rows_of(rows))
