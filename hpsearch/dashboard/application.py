"""The whole dashboard as one WSGI application: our pages by their paths, and Optuna's dashboard for all other paths."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
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
from hpsearch.dashboard.guards import Guard, guarded, is_read, query_values, refusal
from hpsearch.dashboard.guards.headers import normalized, with_headers
from hpsearch.dashboard.live import LiveStudies, StudyView
from hpsearch.dashboard.metrics import CONTENT_TYPE, metrics_text
from hpsearch.dashboard.operations import Fields, confirmation_size, operate
from hpsearch.dashboard.pages import Page, error_page
from hpsearch.dashboard.pages.studies import comparison_page, confirmation_page, studies_page, study_page
from hpsearch.dashboard.pages.trial import replay_pending_page, trial_page
from hpsearch.dashboard.pages.workers import workers_page
from hpsearch.dashboard.patches import patched_dashboard
from hpsearch.dashboard.trainings import (
    Key,
    QueueFullError,
    TrainingQueue,
    confirm_best,
    replay_key,
    replay_page,
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
    UsageError,
)
from hpsearch.report.request import FEWEST_COMPARED, ReportRequest, check_request
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.workflows.trials import read_trial

_PRIVATE: Final = {"Cache-Control": "private, no-cache"}
_NO_STORE: Final = {"Cache-Control": "no-store"}
_MAX_NUMBER: Final = 2**31 - 1
_MAX_DIGITS: Final = 10
_QUEUE_FULL: Final = "The queue of trainings is full: try again in a minute"

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
        self._trainings = TrainingQueue()
        self._plotly = get_plotlyjs().encode()
        self._plotly_tag = hashlib.sha256(self._plotly).hexdigest()
        self._paths = _paths(
            {
                "/": self._home,
                links.STUDIES: self._studies,
                f"{links.STUDIES}<study:name>": self._study,
                "/reports/": self._redirect,
                "/reports/<study:name>": self._redirect,
                links.COMPARE: self._comparison,
                "/confirmations/<study:name>": self._confirmation,
                "/trials/<study:name>/<digits:number>": self._trial,
                links.WORKERS: self._workers,
                "/healthz": self._health,
                "/metrics": self._metrics,
                links.PLOTLY: self._plotly_script,
            },
            {"/trials/<study:name>/<digits:number>/replay": self._replay},
            {"/operations/<study:name>": self._operate},
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
        return redirect(links.STUDIES, HTTPStatus.SEE_OTHER)

    def _redirect(self, request: Request, name: str | None = None) -> Response:
        """Redirect from an address of earlier versions."""
        address = links.STUDIES if name is None else links.study_link(name)
        return redirect(address, HTTPStatus.PERMANENT_REDIRECT)

    def _studies(self, request: Request) -> Response:
        return _page_response(request, studies_page(self._live.store.studies.listing()))

    def _study(self, request: Request, name: str) -> Response:
        view = self._live.by_name(name)
        tag = self._tag(view)
        return _drawn_response(request, tag, lambda: study_page(view, tag, can_operate=not self._read_only))

    def _comparison(self, request: Request) -> Response:
        names = list(dict.fromkeys(query_values(request, "study")))
        if len(names) < FEWEST_COMPARED:
            raise UsageError(
                f"study: must name two studies or more (got {len(names)}): select them in the list"
            )
        views = [self._live.by_name(name) for name in names]
        snapshots = [view.snapshot for view in views]
        try:
            check_request(snapshots[0], ReportRequest(others=tuple(snapshots[1:])))
        except HpsearchError as error:
            raise UsageError(str(error)) from error
        tag = self._tag(*views)
        return _drawn_response(request, tag, lambda: comparison_page(snapshots, tag))

    def _tag(self, *views: StudyView) -> str:
        """Return the tag of the studies' state; it differs after each start of the server."""
        states = (f"{view.snapshot.study.key} {view.version}" for view in views)
        return hashlib.sha256(" ".join((self._live.start_id, *states)).encode()).hexdigest()

    def _operate(self, request: Request, name: str) -> Response:
        """Carry out the operation of a form: return its sentence to our script, or lead a browser to the study."""
        fields = request.form.to_dict()
        try:
            if fields.get("operation") == "confirm":
                page = self._confirm(name, fields)
                done = {"sentence": "", "page": page}
            else:
                done = {"sentence": operate(self._live.store, name, fields), "page": ""}
        except HpsearchError as error:
            status, headers = _status_of(error, other=HTTPStatus.CONFLICT)
            if not _wants_json(request):
                return _error_response(status, str(error), headers)
            return _json_response({"sentence": str(error), "page": ""}, status, headers)
        if _wants_json(request):
            return _json_response(done)
        return redirect(done["page"] or links.study_link(name), HTTPStatus.SEE_OTHER)

    def _confirm(self, name: str, fields: Fields) -> str:
        """Queue the confirmation of a study's best trials, and return the path of its progress."""
        best, seeds = confirmation_size(fields)
        study, store = self._live.store.studies.get(name), self._live.store
        make = partial(confirm_best, store, name, best=best, seeds=seeds)
        if not self._trainings.submit(_confirmation_key(study), make, again=True):
            raise QueueFullError(_QUEUE_FULL)
        return links.confirmation_link(name)

    def _confirmation(self, request: Request, name: str) -> Response:
        training = self._trainings.get(_confirmation_key(self._live.store.studies.get(name)))
        if training is None:
            return redirect(links.study_link(name), HTTPStatus.SEE_OTHER)
        if training.result.done():
            training.result.result()  # raises what went wrong
            return redirect(f"{links.study_link(name)}#best", HTTPStatus.SEE_OTHER)
        return _page_response(request, confirmation_page(name, training.words))

    def _trial(self, request: Request, name: str, number: str) -> Response:
        trial_number = _number(number)
        view = self._live.by_name(name)
        study, store = view.snapshot.study, self._live.store
        trial, attempts = store.trials.get(study, trial_number), store.trials.attempts(study, trial_number)
        can_operate = not self._read_only and study.foreign is None
        return _page_response(request, trial_page(view.snapshot, trial, attempts, can_operate=can_operate))

    def _replay(self, request: Request, name: str, number: str) -> Response:
        """Train a trial again if the request is a POST, and show the result."""
        stored = read_trial(self._live.store, name, _number(number))
        trial_number = stored.trial.number
        if not is_read(request):
            if self._trainings.submit(replay_key(stored), lambda _: replay_page(stored)):
                return redirect(links.replay_link(name, trial_number), HTTPStatus.SEE_OTHER)
            raise QueueFullError(_QUEUE_FULL)
        replay = self._trainings.get(replay_key(stored))
        if replay is None:
            return redirect(links.trial_link(name, trial_number), HTTPStatus.SEE_OTHER)
        if not replay.result.done():
            return _page_response(request, replay_pending_page(stored.study, trial_number))
        return Response(replay.result.result(), headers=_PRIVATE, mimetype="text/html")

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


def _paths(*handlers: dict[str, _Handler]) -> Map:
    """Return the map of paths to their handlers: those for GET, for GET and POST, and for POST."""
    methods = (["GET"], ["GET", "POST"], ["POST"])
    rules = [
        Rule(path, endpoint=handler, methods=allowed)
        for allowed, some in zip(methods, handlers, strict=True)
        for path, handler in some.items()
    ]
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


def _drawn_response(request: Request, tag: str, draw: Callable[[], str]) -> Response:
    """Return a page of that version, drawn only if it is sent."""
    response = _cacheable_response(tag)
    if request.method != "HEAD" and not request.if_none_match.contains_weak(tag):
        response.set_data(draw())
    return response.make_conditional(request)


def _json_response(
    body: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(json.dumps(body), status, headers, mimetype="application/json")


def _wants_json(request: Request) -> bool:
    return request.accept_mimetypes.best == "application/json"


def _confirmation_key(study: StoredStudy) -> Key:
    return "confirmation", study.key, 0


def _cacheable_response(tag: str, *, mimetype: str = "text/html") -> Response:
    """Return an empty response that a browser keeps until the tag of its version changes."""
    response = Response(headers=_PRIVATE, mimetype=mimetype)
    response.set_etag(tag)
    return response


def _error_response(status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page of ours that explains why the requested one is not shown."""
    return Response(error_page(status, message), status, headers, mimetype="text/html")


_STATUSES: Final[Sequence[tuple[type[HpsearchError], HTTPStatus, dict[str, str]]]] = (
    (StudyNotFoundError, HTTPStatus.NOT_FOUND, {}),
    (TrialNotFoundError, HTTPStatus.NOT_FOUND, {}),
    (StudyUnreadableError, HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    (ForeignStudyError, HTTPStatus.UNPROCESSABLE_ENTITY, {}),
    (StorageUnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}),
    (StorageReadOnlyError, HTTPStatus.FORBIDDEN, {}),
    (StorageError, HTTPStatus.INTERNAL_SERVER_ERROR, {}),
    (UsageError, HTTPStatus.BAD_REQUEST, {}),
    (QueueFullError, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "60"}),
)


def _status_of(
    error: HpsearchError, *, other: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
) -> tuple[HTTPStatus, dict[str, str]]:
    """Return the status of a response that reports the error, `other` for an unlisted one, and its headers."""
    found = ((status, headers) for kind, status, headers in _STATUSES if isinstance(error, kind))
    return next(found, (other, {}))
