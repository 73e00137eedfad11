"""Routing: our paths precede those of Optuna's dashboard."""

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from plotly.offline import get_plotlyjs

from hpsearch.dashboard import links
from hpsearch.dashboard.live import LiveStudies, Seen
from hpsearch.dashboard.metrics import KIND, metrics_text
from hpsearch.dashboard.pages.frame import Page
from hpsearch.dashboard.pages.reports import report_page, reports_page
from hpsearch.dashboard.pages.trial import trial_page, waiting_page
from hpsearch.dashboard.pages.workers import workers_page
from hpsearch.dashboard.replays import Replays
from hpsearch.dashboard.wsgi import (
    HTML,
    Answer,
    Header,
    is_known,
    is_reading,
    method_of,
    number_of,
    path_of,
    redirect,
    refusal,
    send,
    version_tag,
)
from hpsearch.errors import (
    ForeignStudyError,
    HpsearchError,
    StorageError,
    StorageReadOnlyError,
    StorageUnavailableError,
    StudyNotFoundError,
    StudyUnreadableError,
    TrialNotFoundError,
)
from hpsearch.workflows.replay import read_trial

_PRIVATE: Final[Header] = ("Cache-Control", "private, no-cache")
_NO_STORE: Final[Header] = ("Cache-Control", "no-store")
_MOST_NUMBER: Final = 2**31 - 1


@final
class Routes:
    """The whole site: our pages by their paths, and `stock` for all other paths."""

    def __init__(self, live: LiveStudies, stock: WSGIApplication, *, read_only: bool = False) -> None:
        self._live = live
        self._read_only = read_only
        self._stock = stock
        self._replays = Replays()
        self._plotly = get_plotlyjs().encode()
        self._plotly_tag = version_tag(self._plotly)
        self._paths: tuple[
            tuple[re.Pattern[str], Callable[[WSGIEnvironment, re.Match[str]], Answer]], ...
        ] = (
            (re.compile(r"/"), self._home),
            (re.compile(r"/reports/?"), self._reports),
            (re.compile(r"/reports/(?P<name>.+)", re.DOTALL), self._report),
            (re.compile(r"/trials/(?P<name>.+)/(?P<number>\d+)", re.DOTALL), self._trial),
            (re.compile(r"/trials/(?P<name>.+)/(?P<number>\d+)/replay", re.DOTALL), self._replay),
            (re.compile(r"/workers/?"), self._workers),
            (re.compile(r"/healthz"), self._health),
            (re.compile(r"/metrics"), self._metrics),
            (re.compile(re.escape(links.PLOTLY)), self._script),
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = path_of(environ)
        for pattern, answering in self._paths:
            if (found := pattern.fullmatch(path)) is not None:
                return send(_answer(environ, found, answering), environ, start_response)
        try:
            return self._stock(environ, start_response)
        except HpsearchError as error:
            return send(_refused(error), environ, start_response)

    def _home(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        return redirect(links.HOME)

    def _reports(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        return _shown(environ, reports_page(self._live.store.studies.listing()))

    def _report(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        seen = self._live.named(links.name_of(found["name"]))
        tag = self._tag(seen)
        headers = (("ETag", tag), _PRIVATE)
        if is_known(environ, tag):
            return Answer(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        # A HEAD request only checks for changes, so nothing is drawn for it.
        body = b"" if method_of(environ) == "HEAD" else report_page(seen, tag).encode()
        return Answer(body=body, kind=HTML, headers=headers)

    def _tag(self, seen: Seen) -> str:
        """Return the tag of a study's state; it differs after each start of the server."""
        study = seen.snapshot.study
        return version_tag(f"{self._live.began} {study.key} {seen.version}".encode())

    def _trial(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        number = _number(found)
        seen = self._live.named(links.name_of(found["name"]))
        study, store = seen.snapshot.study, self._live.store
        trial, attempts = store.trials.get(study, number), store.trials.attempts(study, number)
        can_replay = not self._read_only and study.foreign is None
        return _shown(environ, trial_page(seen.snapshot, trial, attempts, can_replay=can_replay))

    def _replay(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        """Train a trial again if the request is a POST, and show the result."""
        name, number = links.name_of(found["name"]), _number(found)
        stored = read_trial(self._live.store, name, number)
        if not is_reading(environ):
            if self._replays.ask(stored):
                return redirect(links.replay_link(name, number))
            return refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "Other replays wait already: try again in a minute."
            )
        made = self._replays.of(stored.study.key, number)
        if made is None:
            return redirect(links.trial_link(name, number))
        if not made.done():
            return _shown(environ, waiting_page(stored.study, number))
        return Answer(body=made.result().encode(), kind=HTML, headers=(_PRIVATE,))

    def _workers(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        return _shown(environ, workers_page(self._live.store.workers.all()))

    def _health(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        try:
            self._live.store.studies.foreign_names()
        except StorageError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), _NO_STORE)
        return Answer(body=b"ok\n", headers=(_NO_STORE,))

    def _metrics(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        return Answer(body=metrics_text(self._live.store), kind=KIND, headers=(_NO_STORE,))

    def _script(self, environ: WSGIEnvironment, found: re.Match[str]) -> Answer:
        headers = (("ETag", self._plotly_tag), _PRIVATE)
        if is_known(environ, self._plotly_tag):
            return Answer(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Answer(body=self._plotly, kind="text/javascript; charset=utf-8", headers=headers)


def _answer(
    environ: WSGIEnvironment,
    found: re.Match[str],
    answering: Callable[[WSGIEnvironment, re.Match[str]], Answer],
) -> Answer:
    """Return the answer, or the reason for its absence."""
    if not (is_reading(environ) or found.re.pattern.endswith("/replay")):
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.", ("Allow", "GET, HEAD"))
    try:
        return answering(environ, found)
    except HpsearchError as error:
        return _refused(error)


def _refused(error: HpsearchError) -> Answer:
    """Return the error's message as an answer."""
    match error:
        case StudyNotFoundError() | TrialNotFoundError():
            return refusal(HTTPStatus.NOT_FOUND, str(error))
        case StudyUnreadableError() | ForeignStudyError():
            return refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        case StorageUnavailableError():
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), ("Retry-After", "5"))
        case StorageReadOnlyError():
            return refusal(HTTPStatus.FORBIDDEN, str(error))
        case _:
            return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))


def _number(found: re.Match[str]) -> int:
    """Return the trial number in a path. Raises TrialNotFoundError for a number too large for a database."""
    number = number_of(found["number"])
    if number > _MOST_NUMBER:
        raise TrialNotFoundError(
            f"trial: there is none of that number (got {found['number']}): see the report"
        )
    return number


def _shown(environ: WSGIEnvironment, page: Page) -> Answer:
    headers = (("ETag", page.tag), _PRIVATE)
    if is_known(environ, page.tag):
        return Answer(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Answer(body=page.html.encode(), kind=HTML, headers=headers)
