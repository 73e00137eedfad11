"""The whole dashboard as one WSGI application: our pages by their paths, and Optuna's dashboard for all other paths."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from plotly.offline import get_plotlyjs
from werkzeug import Request, Response
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.utils import redirect

from hpsearch.dashboard import links
from hpsearch.dashboard.guards import Guard, guarded, is_read, refusal
from hpsearch.dashboard.guards.headers import normalized, with_headers
from hpsearch.dashboard.live import LiveStudies, StudyView
from hpsearch.dashboard.metrics import CONTENT_TYPE, metrics_text
from hpsearch.dashboard.pages import Page, error_page
from hpsearch.dashboard.pages.reports import report_page, reports_page
from hpsearch.dashboard.pages.trial import replay_pending_page, trial_page
from hpsearch.dashboard.pages.workers import workers_page
from hpsearch.dashboard.patches import patched_dashboard
from hpsearch.dashboard.replays import ReplayQueue
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
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.store import Store
from hpsearch.workflows.trials import read_trial

_PRIVATE: Final = {"Cache-Control": "private, no-cache"}
_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_NUMBER: Final = 2**31 - 1
_MAX_DIGITS: Final = 10

_Handler: TypeAlias = Callable[..., Response]


def make_site(
    store: Store, storage: OptunaStorage, artifacts: Path | None = None, *, read_only: bool = False
) -> WSGIApplication:
    """Return all pages of the database of `store` and `storage`, without guards.

    With `read_only`, our pages omit actions that would be refused; `protected` refuses them.
    """
    live = LiveStudies(store)
    return Routes(live, patched_dashboard(storage, live, artifacts), read_only=read_only)


def protected(site: WSGIApplication, guards: Sequence[Guard]) -> WSGIApplication:
    """Return the site with these guards, for requests that a proxy may have forwarded."""
    return normalized(with_headers(guarded(site, guards)))


@final
class Routes:
    """Our pages by their paths, and `stock`, Optuna's dashboard, for all other paths."""

    def __init__(self, live: LiveStudies, stock: WSGIApplication, *, read_only: bool = False) -> None:
        self._live = live
        self._read_only = read_only
        self._stock = stock
        self._replays = ReplayQueue()
        self._plotly = get_plotlyjs().encode()
        self._plotly_tag = hashlib.sha256(self._plotly).hexdigest()
        self._paths = _paths(
            {
                "/": self._home,
                links.REPORTS: self._reports,
                f"{links.REPORTS}<study:name>": self._report,
                "/trials/<study:name>/<digits:number>": self._trial,
                links.WORKERS: self._workers,
                "/healthz": self._health,
                "/metrics": self._metrics,
                links.PLOTLY: self._plotly_script,
            },
            {"/trials/<study:name>/<digits:number>/replay": self._replay},
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond to a request."""
        return self._response(Request(environ))(environ, start_response)

    def _response(self, request: Request) -> Response:
        try:
            handler, values = self._paths.bind("").match(request.path, request.method)
            response: Response = handler(request, **values)
        except NotFound:
            return self._stock_response(request)
        except MethodNotAllowed as error:
            allowed = {"Allow": ", ".join(error.valid_methods or ())}
            return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.", allowed)
        except HpsearchError as error:
            status, headers = _status_of(error)
            return _error_response(status, str(error), headers)
        return response

    def _stock_response(self, request: Request) -> Response:
        """Return the response of Optuna's dashboard, with our page for a path that it does not serve either."""
        try:
            response = Response.from_app(self._stock, request.environ)
        except HpsearchError as error:
            status, headers = _status_of(error)
            return refusal(status, str(error), headers)
        if response.status_code == HTTPStatus.NOT_FOUND and response.mimetype == "text/html":
            response.close()
            return _error_response(
                HTTPStatus.NOT_FOUND, f"No page of this server has the path {request.path}"
            )
        return response

    def _home(self, request: Request) -> Response:
        return redirect(links.HOME, HTTPStatus.SEE_OTHER)

    def _reports(self, request: Request) -> Response:
        return _page_response(request, reports_page(self._live.store.studies.listing()))

    def _report(self, request: Request, name: str) -> Response:
        view = self._live.by_name(name)
        tag = self._tag(view)
        response = _cacheable_response(tag)
        # A HEAD request only checks for changes, so nothing is drawn for it.
        if request.method != "HEAD" and not request.if_none_match.contains_weak(tag):
            response.set_data(report_page(view, tag))
        return response.make_conditional(request)

    def _tag(self, view: StudyView) -> str:
        """Return the tag of a study's state; it differs after each start of the server."""
        state = f"{self._live.start_id} {view.snapshot.study.key} {view.version}"
        return hashlib.sha256(state.encode()).hexdigest()

    def _trial(self, request: Request, name: str, number: str) -> Response:
        trial_number = _number(number)
        view = self._live.by_name(name)
        study, store = view.snapshot.study, self._live.store
        trial, attempts = store.trials.get(study, trial_number), store.trials.attempts(study, trial_number)
        can_replay = not self._read_only and study.foreign is None
        return _page_response(request, trial_page(view.snapshot, trial, attempts, can_replay=can_replay))

    def _replay(self, request: Request, name: str, number: str) -> Response:
        """Train a trial again if the request is a POST, and show the result."""
        stored = read_trial(self._live.store, name, _number(number))
        trial_number = stored.trial.number
        if not is_read(request):
            if self._replays.submit(stored):
                return redirect(links.replay_link(name, trial_number), HTTPStatus.SEE_OTHER)
            return _error_response(
                HTTPStatus.SERVICE_UNAVAILABLE, "The queue of replays is full: try again in a minute."
            )
        replay = self._replays.get(stored.study.key, trial_number)
        if replay is None:
            return redirect(links.trial_link(name, trial_number), HTTPStatus.SEE_OTHER)
        if not replay.done():
            return _page_response(request, replay_pending_page(stored.study, trial_number))
        return Response(replay.result(), headers=_PRIVATE, mimetype="text/html")

    def _workers(self, request: Request) -> Response:
        return _page_response(request, workers_page(self._live.store.workers.all()))

    def _health(self, request: Request) -> Response:
        try:
            self._live.store.studies.foreign_names()
        except StorageError as error:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error), _NO_STORE)
        return Response("ok\n", headers=_NO_STORE, mimetype="text/plain")

    def _metrics(self, request: Request) -> Response:
        return Response(metrics_text(self._live.store), headers=_NO_STORE, content_type=CONTENT_TYPE)

    def _plotly_script(self, request: Request) -> Response:
        response = _cacheable_response(self._plotly_tag, mimetype="text/javascript")
        response.set_data(self._plotly)
        return response.make_conditional(request)


@final
class _StudyConverter(BaseConverter):
    """The name of a study in a path: any characters, slashes too."""

    regex = "(?s:.+)"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return the name from a part of a path."""
        return links.name_of(value)


@final
class _DigitsConverter(BaseConverter):
    """Digits, also more than Python converts to a number."""

    regex = r"\d+"


def _paths(read: dict[str, _Handler], changed: dict[str, _Handler]) -> Map:
    """Return the map of paths to their handlers: `read` for GET, `changed` for GET and POST."""
    rules = [Rule(path, endpoint=handler, methods=["GET"]) for path, handler in read.items()]
    rules += [Rule(path, endpoint=handler, methods=["GET", "POST"]) for path, handler in changed.items()]
    converters = {"study": _StudyConverter, "digits": _DigitsConverter}
    return Map(rules, converters=converters, strict_slashes=False, merge_slashes=False)


def _number(digits: str) -> int:
    """Return the trial number in a path. Raises TrialNotFoundError for a number too large for a database."""
    number = int(digits) if len(digits) <= _MAX_DIGITS else _MAX_NUMBER + 1
    if number > _MAX_NUMBER:
        raise TrialNotFoundError(f"trial: no trial has that number (got {digits}): see the report")
    return number


def _page_response(request: Request, page: Page) -> Response:
    response = _cacheable_response(page.tag)
    response.set_data(page.html)
    return response.make_conditional(request)


def _cacheable_response(tag: str, *, mimetype: str = "text/html") -> Response:
    """Return an empty response that a browser keeps until the tag of its version changes."""
    response = Response(headers=_PRIVATE, mimetype=mimetype)
    response.set_etag(tag)
    return response


def _error_response(status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page of ours that explains why the requested one is not shown."""
    return Response(error_page(status, message), status, headers, mimetype="text/html")


def _status_of(error: HpsearchError) -> tuple[HTTPStatus, dict[str, str]]:
    """Return the status of a response that reports the error, and its headers."""
    match error:
        case StudyNotFoundError() | TrialNotFoundError():
            return HTTPStatus.NOT_FOUND, {}
        case StudyUnreadableError() | ForeignStudyError():
            return HTTPStatus.UNPROCESSABLE_ENTITY, {}
        case StorageUnavailableError():
            return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
        case StorageReadOnlyError():
            return HTTPStatus.FORBIDDEN, {}
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR, {}
