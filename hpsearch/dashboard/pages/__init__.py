"""Our pages, as HTML: each module makes one. They have the report's look."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import final

from werkzeug.http import quote_etag

from hpsearch.dashboard.links import (
    HOME,
    PLOTLY,
    REPORTS,
    WORKERS,
    report_link,
    stock_trial_link,
    trial_link,
)
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.page import Serving, document
from hpsearch.report.parts import rows_of, table_of, text
from hpsearch.storage.records import StoredStudy


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page as HTML, and the tag of its version: two pages with one tag have the same contents."""

    tag: str
    html: str


def framed(title: str, body: str, *, shown: Sequence[Exhibit] = (), stock: str = HOME) -> Page:
    """Return a page whose version is its body. `title` is text, `body` is HTML, `stock` a path of Optuna's pages."""
    tag = hashlib.sha256(body.encode()).hexdigest()
    return Page(tag=tag, html=document(title, body, shown, serving(tag, stock=stock)))


def serving(tag: str, *, stock: str = HOME, trials: str = "") -> Serving:
    """Return the server's parts of a page, which checks every few seconds whether its version is still `tag`.

    With `trials`, the prefix of the trial pages' paths, a click on a trial in a figure opens its page.
    """
    data = f' data-version="{text(quote_etag(tag))}"' + (f' data-trials="{text(trials)}"' if trials else "")
    return Serving(
        plotly=PLOTLY,
        navigation=f'<nav class="served"{data}>{_ways(stock)} <span role="status"></span></nav>',
        script=resources.files("hpsearch.dashboard.pages").joinpath("live.js").read_text(encoding="utf-8"),
    )


def way_back(study: StoredStudy, number: int) -> str:
    """Return links from a page about a trial to the trial's own page, the report and all others."""
    name = study.spec.name
    near = ((trial_link(name, number), f"Trial {number}"), (report_link(name), f"Report of {name}"))
    return f'<nav class="served">{_links(near)} {_ways(stock_trial_link(study.study_id, number))}</nav>'


def _ways(stock: str) -> str:
    return _links(((stock, "Optuna's dashboard"), (REPORTS, "Reports"), (WORKERS, "Workers")))


def _links(places: Iterable[tuple[str, str]]) -> str:
    return " ".join(link(path, name) for path, name in places)


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
