"""Patches of Optuna's dashboard: completed study details, a rename that loses nothing, and links to our pages.

The detail of a study is the parsed JSON of `/api/studies/ID`. Functions that take one change it in place.
"""

import contextlib
import hashlib
import json
import operator
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore
from optuna.exceptions import DuplicatedStudyError
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from werkzeug import Request, Response

from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.figures import LONG_WAIT_S, WAIT_S, FigureRenderer, Figures
from hpsearch.dashboard.guards import query_value
from hpsearch.dashboard.links import HOME
from hpsearch.dashboard.live import LiveStudies, StudyView
from hpsearch.dashboard.notes import is_ours, study_note, trial_note
from hpsearch.dashboard.pages import optuna_links
from hpsearch.dashboard.request_checks import RENAME, CheckedRequests, json_refusal
from hpsearch.storage.optuna.storage import OptunaStorage

Detail: TypeAlias = dict[str, Any]

MAX_CURVES: Final = 200
"""Maximum number of trials for which Optuna's plot of intermediate values is shown."""

MAX_RESPONSES: Final = 8
"""Maximum number of responses in memory; one about a large study takes 10 MB."""

_STUDY: Final = re.compile(r"/api/studies/(\d+)/?")
_CONDITIONS: Final = frozenset({"HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"})
_ATTEMPTS: Final = 4
"""Maximum number of requests to Optuna's dashboard while a study changes."""


def patched_dashboard(
    storage: OptunaStorage, live: LiveStudies, artifacts: Path | None = None
) -> WSGIApplication:
    """Return Optuna's dashboard on our storage, with checks of requests and with patches.

    `artifacts` is the folder of artifacts; without it there are none.
    """
    store = None if artifacts is None else FileSystemArtifactStore(artifacts)
    stock: WSGIApplication = optuna_dashboard.wsgi(storage, artifact_store=store)
    patched = PatchedDashboard(stock, live, storage, refresh_trials=partial(_refresh_trials, stock))
    return CheckedRequests(patched, storage)


def _refresh_trials(stock: Any, study_id: int) -> None:
    """Make Optuna's dashboard read the trials of a study again. It caches them for 2 to 10 s, but not its best trial.

    Our storage caches unchanged trials, so this costs little. A version with another cache is left alone.
    """
    with contextlib.suppress(AttributeError):
        cache = stock._inmemory_cache  # noqa: SLF001  # Optuna's dashboard has no other name for it
        with cache._trials_cache_lock:  # noqa: SLF001
            cache._trials_last_fetched_at.pop(study_id, None)  # noqa: SLF001


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _StudyState:
    """A study as Optuna's dashboard reads it. Its storage has a new object for each change of a trial."""

    name: str
    directions: Sequence[StudyDirection]
    attributes: tuple[Mapping[str, Any], Mapping[str, Any]]
    trials: Sequence[FrozenTrial]

    @property
    def without_trials(self) -> tuple[object, ...]:
        """Everything but the trials, of which it has the number."""
        return self.name, self.directions, self.attributes, len(self.trials)


def _is_same_state(one: _StudyState | None, other: _StudyState | None) -> bool:
    return (
        one is not None
        and other is not None
        and one.without_trials == other.without_trials
        and all(map(operator.is_, one.trials, other.trials))
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _StockDetail:
    """The details of a study in one state, as Optuna's dashboard returned them."""

    state: _StudyState | None
    body: bytes
    headers: Sequence[tuple[str, str]]


@final
class PatchedDashboard:
    """Optuna's dashboard with our patches. `refresh_trials` makes it read a study's trials again."""

    def __init__(
        self,
        stock: WSGIApplication,
        live: LiveStudies,
        storage: OptunaStorage,
        *,
        refresh_trials: Callable[[int], object],
    ) -> None:
        self._stock = stock
        self._refresh_trials = refresh_trials
        self._stock_details: OrderedDict[tuple[int, str], _StockDetail] = OrderedDict()
        self._live = live
        self._storage = storage
        self._figures = FigureRenderer()
        self._cache = ResponseCache()
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond as Optuna's dashboard does."""
        response = self._patched(Request(environ))
        application = self._stock if response is None else response
        return application(environ, start_response)

    def _patched(self, request: Request) -> Response | None:
        """Return the response of Optuna's dashboard with patches, or None if it needs none."""
        if request.method == "GET" and request.path.startswith(HOME):
            return self._page(request)
        if request.method == "GET" and (found := _STUDY.fullmatch(request.path)):
            return self._detail(int(found[1]), request)
        if request.method == "POST" and (found := RENAME.fullmatch(request.path)):
            return self._rename(int(found[1]), request)
        return None

    def _stock_response(self, request: Request, **changes: str) -> Response:
        """Return the response of Optuna's dashboard to the request with these changes of its environment."""
        return Response.from_app(self._stock, {**request.environ, **changes}, buffered=True)

    def _page(self, request: Request) -> Response:
        """Return a page of Optuna's dashboard with links to ours."""
        # A cached copy of Optuna's own page would lack our links, so the browser must load it again.
        environ = {key: value for key, value in request.environ.items() if key not in _CONDITIONS}
        response = Response.from_app(self._stock, environ, buffered=True)
        for name in ("Last-Modified", "ETag"):
            response.headers.remove(name)
        response.set_data(add_links(response.get_data()))
        return response

    def _rename(self, study_id: int, request: Request) -> Response:
        """Rename a study in place and return its entry in the list of Optuna's dashboard.

        Optuna's own way copies and deletes the study, and thereby loses saved figures, artifacts, and workers' trials.
        """
        try:
            self._storage.rename_study(study_id, json.loads(request.get_data())["study_name"])
        except KeyError:
            return json_refusal(HTTPStatus.NOT_FOUND, f"study_id={study_id} is not found")
        except (DuplicatedStudyError, ValueError) as error:
            return json_refusal(HTTPStatus.BAD_REQUEST, str(error))
        listing = self._stock_response(
            request, REQUEST_METHOD="GET", PATH_INFO="/api/studies", CONTENT_LENGTH="0"
        )
        summaries = json.loads(listing.get_data())["study_summaries"]
        summary = next(one for one in summaries if one["study_id"] == study_id)
        return Response(json.dumps(summary), HTTPStatus.CREATED, mimetype="application/json")

    def _detail(self, study_id: int, request: Request) -> Response:
        """Return the details of a study with our notes, figures and corrections."""
        response, view = self._consistent(study_id, request)
        if response.status_code == HTTPStatus.OK:
            response.set_data(self._completed(study_id, response.get_data(), view, request))
        return response

    def _consistent(self, study_id: int, request: Request) -> tuple[Response, StudyView | None]:
        """Return Optuna's details of a study and our view of it, both of one state unless it keeps changing.

        A study that was the same before and after the request to Optuna's dashboard was the same during it. Details of
        an unchanged study come from memory: Optuna's dashboard takes 0.2 ms for each trial.
        """
        place = (study_id, request.environ.get("QUERY_STRING", ""))
        for _ in range(_ATTEMPTS):
            state = self._state(study_id)
            kept = self._stock_details.get(place)
            if kept is not None and _is_same_state(kept.state, state):
                response = Response(kept.body, headers=kept.headers)
            else:
                self._refresh_trials(study_id)
                response = self._stock_response(request)
            if response.status_code != HTTPStatus.OK:
                return response, None
            view = self._live.by_id(study_id)
            if _is_same_state(state, self._state(study_id)):
                detail = _StockDetail(state=state, body=response.get_data(), headers=list(response.headers))
                self._keep(place, detail)
                break
        return response, view

    def _keep(self, place: tuple[int, str], detail: "_StockDetail") -> None:
        with self._lock:
            self._stock_details[place] = detail
            self._stock_details.move_to_end(place)
            while len(self._stock_details) > MAX_RESPONSES:
                self._stock_details.popitem(last=False)

    def _state(self, study_id: int) -> "_StudyState | None":
        """Return everything of a study that Optuna's details of it depend on; None if it does not exist."""
        try:
            return _StudyState(
                name=self._storage.get_study_name_from_id(study_id),
                directions=self._storage.get_study_directions(study_id),
                attributes=(
                    self._storage.get_study_user_attrs(study_id),
                    self._storage.get_study_system_attrs(study_id),
                ),
                trials=self._storage.get_all_trials(study_id, deepcopy=False),
            )
        except KeyError:
            return None

    def _completed(self, study_id: int, body: bytes, view: StudyView | None, request: Request) -> bytes:
        # A page that already shows the study requests only trials newer than its own, and can wait for figures.
        is_on_screen = (query_value(request, "after") or "0") != "0"
        wait_s = LONG_WAIT_S if is_on_screen else WAIT_S
        figures = {} if view is None else self._figures.figures(view, wait_s=wait_s)
        sources = (
            study_id,
            hashlib.sha256(body).digest(),
            None if view is None else view.version,
            tuple(figures.items()),
        )

        def complete() -> bytes:
            detail = self._with_confirmed_best(json.loads(body), view, request)
            self._patch(study_id, detail, view, figures)
            return json.dumps(detail, separators=(",", ":")).encode()

        return self._cache.get(sources, complete)

    def _with_confirmed_best(self, detail: Detail, view: StudyView | None, request: Request) -> Detail:
        """Return the detail with the best trial by fresh seeds as the best one, as on all our pages."""
        best = [] if view is None or not view.snapshot.evaluations else best_of(view.snapshot, 1)
        if not best or [best[0].number] == [trial["number"] for trial in detail["best_trials"]]:
            return detail
        response = self._stock_response(request, QUERY_STRING=f"after={best[0].number}")
        return {**detail, "best_trials": json.loads(response.get_data())["trials"][:1]}

    def _patch(self, study_id: int, detail: Detail, view: StudyView | None, figures: Figures) -> None:
        add_time_zones(detail)
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        keep_axes(detail, trials)
        if view is not None:
            add_notes(detail, view.cached("study note", study_note), view.cached("trial notes", trial_notes))
            add_figures(detail, figures)
            drop_crowded_curves(detail, trials)


def trial_notes(snapshot: Snapshot) -> Mapping[int, str]:
    """Return number -> note of the trials that have ended."""
    return {
        trial.number: trial_note(trial, snapshot.study) for trial in snapshot.trials if trial.state.is_final
    }


def add_links(page: bytes) -> bytes:
    """Return a page of Optuna's dashboard with links to our reports and workers; anything else unchanged."""
    before, end, after = page.rpartition(b"</body>")
    return before + optuna_links().encode() + end + after if end else page


def add_time_zones(detail: Detail) -> None:
    """Add the time zone to every time, in place: without it a browser elsewhere interprets it as local time."""
    for trial in (*detail["trials"], *detail["best_trials"]):
        for name in ("datetime_start", "datetime_complete"):
            if name in trial:
                trial[name] = datetime.fromisoformat(trial[name]).astimezone().isoformat()


def keep_axes(detail: Detail, trials: Sequence[FrozenTrial]) -> None:
    """Keep the axes, in place, of parameters that every trial with parameters has.

    Optuna's dashboard drops all axes if there is a waiting trial without parameters.
    """
    chosen = [set(t.params) for t in trials if t.params and t.state is not TrialState.FAIL]
    common = set.intersection(*chosen) if chosen else set()
    detail["intersection_search_space"] = [
        axis for axis in detail["union_search_space"] if axis["name"] in common
    ]


def drop_crowded_curves(detail: Detail, trials: Sequence[FrozenTrial]) -> None:
    """Remove, in place, the plot of intermediate values of a large study: our learning curves replace it.

    It has a line and a legend entry for every trial; 5,000 of them keep a browser busy for half a minute.
    """
    if len(trials) > MAX_CURVES:
        detail["has_intermediate_values"] = False


def add_notes(detail: Detail, study_note: str, trial_notes: Mapping[int, str]) -> None:
    """Add our notes, in place, if no user wrote one. `trial_notes` are by trial number.

    Version 0 has no author: the first that a user writes is version 1, and is kept, even if empty. A published note
    (`publishing`) is ours, and older.
    """
    if _is_free(detail["note"]):
        detail["note"]["body"] = study_note
    for trial in (*detail["trials"], *detail["best_trials"]):
        if trial["number"] in trial_notes and _is_free(trial["note"]):
            trial["note"]["body"] = trial_notes[trial["number"]]


def _is_free(note: Mapping[str, Any]) -> bool:
    return note["version"] == 0 or is_ours(note["body"])


def add_figures(detail: Detail, figures: Mapping[str, str]) -> None:
    """Add our figures, in place, preceding those that others saved; replace one with the same id."""
    others = [one for one in detail["plotly_graph_objects"] if one["id"] not in figures]
    ours = [{"id": name, "graph_object": text} for name, text in figures.items()]
    detail["plotly_graph_objects"] = [*ours, *others]


@final
class ResponseCache:
    """The last responses, by all their sources. Threads may share it.

    Pages request updates every few seconds, and usually nothing has changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bodies: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, sources: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the body made from these sources: from the cache, or from `make`.

        Two simultaneous requests may both make it.
        """
        with self._lock:
            if (body := self._bodies.get(sources)) is not None:
                self._bodies.move_to_end(sources)
                return body
        made = make()
        with self._lock:
            self._bodies[sources] = made
            while len(self._bodies) > MAX_RESPONSES:
                self._bodies.popitem(last=False)
        return made
