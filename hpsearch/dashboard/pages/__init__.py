"""Our pages, filled from templates and framed like the report. Each module has the pages of one subject."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any, Final, TypeAlias, final

from werkzeug.http import quote_etag

from hpsearch.dashboard.links import (
    HOME,
    PLOTLY,
    STUDIES,
    WORKERS,
    stock_trial_link,
    study_link,
    trial_link,
)
from hpsearch.report import parts
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.page import ServerParts, document
from hpsearch.storage.records import StoredStudy

Link: TypeAlias = tuple[str, str]
"""A path of this server, and its text."""

_PACKAGE: Final = "hpsearch.dashboard"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page as HTML, and the tag of its version: two pages with one tag have the same contents."""

    tag: str
    html: str


def fill(template: str, **values: Any) -> str:
    """Return a template of the dashboard as HTML; texts among the values are escaped."""
    return str(parts.render(f"{_PACKAGE}:{template}", **values))


def page_of(title: str, body: str, *, shown: Sequence[Exhibit] = (), stock: str = HOME) -> Page:
    """Return a page whose version is its body. `title` is text, `body` is HTML, `stock` a path of Optuna's pages."""
    tag = hashlib.sha256(body.encode()).hexdigest()
    return Page(tag=tag, html=document(title, body, shown, server_parts(tag, stock=stock)))


def server_parts(tag: str, *, stock: str = HOME, trials: str = "", controls: str = "") -> ServerParts:
    """Return the server's parts of a page, which checks every few seconds whether its version is still `tag`.

    With `trials`, the prefix of the trial pages' paths, a click on a trial in a figure opens its page. `controls` is
    HTML below the heading.
    """
    return ServerParts(
        plotly=PLOTLY,
        navigation=_navigation(_everywhere(stock), version=quote_etag(tag), trials=trials),
        script=resources.files(_PACKAGE).joinpath("templates/update.js").read_text(encoding="utf-8"),
        controls=controls,
    )


def replay_navigation(study: StoredStudy, number: int) -> str:
    """Return links from the page of a replay to the trial's own page, its study's and all others, as HTML."""
    name = study.spec.name
    near = [(trial_link(name, number), f"Trial {number}"), (study_link(name), f"Study {name}")]
    return _navigation([*near, *_everywhere(stock_trial_link(study.study_id, number))])


def error_page(status: HTTPStatus, message: str) -> str:
    """Return a page that explains why the requested one is not shown, with links to others."""
    title = "This page does not exist" if status is HTTPStatus.NOT_FOUND else status.phrase
    body = fill("error.html", status=status.value, title=title, message=message)
    return document(f"hpsearch: {title}", body, (), navigation=_navigation(_everywhere(HOME)))


def optuna_links() -> str:
    """Return the links to our pages for those of Optuna's dashboard, as HTML."""
    return fill("optuna_links.html", links=_OURS)


_OURS: Final[list[Link]] = [(STUDIES, "Studies"), (WORKERS, "Workers")]


def _everywhere(stock: str) -> list[Link]:
    return [(stock, "Optuna's dashboard"), *_OURS]


def _navigation(links: Sequence[Link], *, version: str = "", trials: str = "") -> str:
    return str(parts.piece(f"{_PACKAGE}:frame.html", "navigation", links, version=version, trials=trials))
