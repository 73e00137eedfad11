"""Patches of Optuna's dashboard. Each function but `add_links` changes the detail of a study in place.

A detail is the parsed JSON answer of `/api/studies/ID`.
"""

import contextlib
import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias, final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.figures import LONG_PATIENCE_S, PATIENCE_S, Drawings, Figures
from hpsearch.dashboard.guards import JSON, Answer, Header, method_of, number_of, path_of, send
from hpsearch.dashboard.links import HOME, REPORTS, WORKERS
from hpsearch.dashboard.live import LiveStudies, Seen
from hpsearch.dashboard.notes import is_ours, study_note, trial_note
from hpsearch.dashboard.request_checks import CheckedRequests
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.study.schema import STUDY

Detail: TypeAlias = dict[str, Any]

MOST_CURVES: Final = 200

_LINKS: Final = f"""<style>
#hpsearch-links {{
  position: fixed; right: 12px; bottom: 12px; z-index: 1050; display: flex; gap: 14px; padding: 6px 14px;
  border: 1px solid #8a939c; border-radius: 999px; background: #ffffff; box-shadow: 0 1px 4px rgba(0, 0, 0, .25);
  font: 14px/1.4 Roboto, system-ui, sans-serif;
}}
#hpsearch-links a {{ color: #1c2126; }}
@media print {{ #hpsearch-links {{ display: none; }} }}
</style>
<nav id="hpsearch-links" aria-label="hpsearch"><a href="{REPORTS}">Reports</a> <a href="{WORKERS}">Workers</a></nav>
"""
"""Outside the element that Optuna's script draws in, so the script does not change it."""


def add_links(page: bytes) -> bytes:
    """Return a page of Optuna's dashboard with links to our reports and workers; anything else unchanged."""
    before, end, after = page.rpartition(b"</body>")
    return before + _LINKS.encode() + end + after if end else page


def name_zones(detail: Detail) -> None:
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
    if len(trials) > MOST_CURVES:
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


_STUDY: Final = re.compile(r"/api/studies/(\d+)/?")
_CONDITIONS: Final = frozenset({"HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"})
_LOOKS: Final = 4
"""Maximum number of requests to Optuna's dashboard while a study changes."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A complete answer of another application."""

    status: str
    headers: list[Header]
    body: bytes


def hear(application: WSGIApplication, environ: WSGIEnvironment) -> Heard:
    """Return an application's complete answer to a request."""
    heads: list[tuple[str, list[Header]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[Header], *_: Any) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return written.append

    parts = application(environ, start)
    try:
        body = b"".join([*written, *parts])
    finally:
        if callable(close := getattr(parts, "close", None)):
            close()
    status, headers = heads[-1]
    return Heard(status=status, headers=headers, body=body)


def _sent(heard: Heard, body: bytes, start_response: StartResponse) -> list[bytes]:
    headers = [header for header in heard.headers if header[0].lower() != "content-length"]
    start_response(heard.status, [*headers, ("Content-Length", str(len(body)))], None)
    return [body]


def bare(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return a request in its original state, without objects stored in it by an application."""
    return {key: value for key, value in environ.items() if not key.startswith(("bottle.", "route."))}


def _is_on_screen(environ: WSGIEnvironment) -> bool:
    """Return True if the requesting page already shows the study: it requests only trials newer than its own."""
    after = parse_qs(str(environ.get("QUERY_STRING", ""))).get("after", ["0"])
    return after[-1] != "0"


@final
class Annotations:
    """Optuna's dashboard with corrected and completed study details."""

    def __init__(
        self,
        stock: WSGIApplication,
        live: LiveStudies,
        storage: BaseStorage,
        *,
        forget_trials: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Annotate the answers of `stock`; `forget_trials` makes it read a study's trials again."""
        self._stock = stock
        self._forget_trials = forget_trials
        self._looked: dict[int, int] = {}
        self._live = live
        self._storage = storage
        self._drawings = Drawings()
        self._answers = Answers()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as Optuna's dashboard does."""
        path = path_of(environ)
        if path.startswith(HOME) and method_of(environ) == "GET":
            return self._landing(environ, start_response)
        asked = _STUDY.fullmatch(path)
        if asked is None or method_of(environ) != "GET":
            return self._stock(environ, start_response)
        study_id = number_of(asked[1])
        heard, seen = self._at_one_moment(study_id, environ)
        body = (
            self._annotated(study_id, heard.body, seen, environ)
            if heard.status.startswith("200")
            else heard.body
        )
        return _sent(heard, body, start_response)

    def _landing(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer with a page of Optuna's dashboard that has links to ours."""
        # A cached copy of Optuna's own page would lack our links, so the browser must load it again.
        asked = {key: value for key, value in environ.items() if key not in _CONDITIONS}
        heard = hear(self._stock, asked)
        kept = [header for header in heard.headers if header[0].lower() not in ("last-modified", "etag")]
        return _sent(replace(heard, headers=kept), add_links(heard.body), start_response)

    def _at_one_moment(self, study_id: int, environ: WSGIEnvironment) -> tuple[Heard, Seen | None]:
        """Return Optuna's details of a study and our view of it, both of one state unless it keeps changing.

        A study that was the same before and after the request to Optuna's dashboard was the same during it.
        """
        for _ in range(_LOOKS):
            before = self._looked.get(study_id)
            self._forget_trials(study_id)
            heard = hear(self._stock, bare(environ))
            if not heard.status.startswith("200"):
                return heard, None
            seen = self._live.numbered(study_id)
            if seen is None:
                return heard, None
            self._looked[study_id] = seen.version
            if seen.version == before:
                break
        return heard, seen

    def _annotated(self, study_id: int, body: bytes, seen: Seen | None, environ: WSGIEnvironment) -> bytes:
        patience_s = LONG_PATIENCE_S if _is_on_screen(environ) else PATIENCE_S
        figures = {} if seen is None else self._drawings.of(seen, patience_s=patience_s)
        sources = (
            study_id,
            hashlib.sha256(body).digest(),
            None if seen is None else seen.version,
            tuple(figures.items()),
        )
        return self._answers.once(
            sources,
            lambda: self._written(study_id, self._confirmed(json.loads(body), seen, environ), seen, figures),
        )

    def _confirmed(self, detail: Detail, seen: Seen | None, environ: WSGIEnvironment) -> Detail:
        """Return the detail with the best trial by fresh seeds as the best one, as on all our pages."""
        best = [] if seen is None or not seen.snapshot.evaluations else best_of(seen.snapshot, 1)
        if not best or [best[0].number] == [trial["number"] for trial in detail["best_trials"]]:
            return detail
        asked = {"QUERY_STRING": f"after={best[0].number}"}
        trials = json.loads(hear(self._stock, {**bare(environ), **asked}).body)["trials"]
        return {**detail, "best_trials": trials[:1]}

    def _written(self, study_id: int, detail: Detail, seen: Seen | None, figures: Figures) -> bytes:
        name_zones(detail)
        trials = self._storage.get_all_trials(study_id, deepcopy=False)
        keep_axes(detail, trials)
        if seen is not None:
            add_notes(detail, seen.once("study note", study_note), seen.once("trial notes", trial_notes))
            add_figures(detail, figures)
            drop_crowded_curves(detail, trials)
        return json.dumps(detail, separators=(",", ":")).encode()


def trial_notes(snapshot: Snapshot) -> Mapping[int, str]:
    """Return number -> note of the trials that have ended."""
    return {
        trial.number: trial_note(trial, snapshot.study) for trial in snapshot.trials if trial.state.is_final
    }


_RENAME: Final = re.compile(r"/api/studies/(\d+)/rename/?")


def stock_dashboard(storage: OptunaStorage, live: LiveStudies, artifacts: Path | None) -> WSGIApplication:
    """Return Optuna's dashboard, with our notes and figures, and with renaming that does not copy the study.

    `artifacts` is the folder of artifacts; without it there are none.
    """
    kept = None if artifacts is None else FileSystemArtifactStore(artifacts)
    stock: WSGIApplication = optuna_dashboard.wsgi(storage, artifact_store=kept)
    annotated = Annotations(stock, live, storage, forget_trials=partial(_forget_trials, stock))
    return CheckedRequests(Renaming(annotated, storage), storage)


def _forget_trials(stock: Any, study_id: int) -> None:
    """Make Optuna's dashboard read the trials of a study again. It caches them for 2 to 10 s, but not its best trial.

    Our storage caches unchanged trials, so this costs little. A version with another cache is left alone.
    """
    with contextlib.suppress(AttributeError):
        cache = stock._inmemory_cache  # noqa: SLF001  # Optuna's dashboard has no other name for it
        with cache._trials_cache_lock:  # noqa: SLF001
            cache._trials_last_fetched_at.pop(study_id, None)  # noqa: SLF001


@final
class Renaming:
    """Optuna's dashboard with a renaming that keeps everything else of the study.

    Optuna's own way copies and deletes the study, and thereby loses saved figures, artifacts, and workers' trials.
    """

    def __init__(self, stock: WSGIApplication, storage: OptunaStorage) -> None:
        self._stock = stock
        self._storage = storage

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as Optuna's dashboard does."""
        asked = _RENAME.fullmatch(path_of(environ))
        if asked is None or method_of(environ) != "POST":
            return self._stock(environ, start_response)
        return send(self._rename(number_of(asked[1]), environ), environ, start_response)

    def _rename(self, study_id: int, environ: WSGIEnvironment) -> Answer:
        name = _asked_name(environ)
        if not name:
            return _said(
                HTTPStatus.BAD_REQUEST, {"reason": "study_name: must be a name (got none): give one"}
            )
        if problems := STUDY["name"].problems("study_name", name):
            return _said(HTTPStatus.BAD_REQUEST, {"reason": str(problems[0])})
        try:
            self._storage.rename_study(study_id, name)
        except KeyError:
            return _said(HTTPStatus.NOT_FOUND, {"reason": f"study_id={study_id} is not found"})
        except (DuplicatedStudyError, ValueError) as error:
            return _said(HTTPStatus.BAD_REQUEST, {"reason": str(error)})
        return _said(HTTPStatus.CREATED, self._summary(study_id, environ))

    def _summary(self, study_id: int, environ: WSGIEnvironment) -> Any:
        """Return the study's entry in the list of Optuna's dashboard."""
        asked = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "CONTENT_LENGTH": "0"}
        listed = json.loads(hear(self._stock, {**bare(environ), **asked}).body)["study_summaries"]
        return next(one for one in listed if one["study_id"] == study_id)


def _asked_name(environ: WSGIEnvironment) -> str | None:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        asked = json.loads(environ["wsgi.input"].read(length))
    except (ValueError, RecursionError):
        return None
    name = asked.get("study_name") if isinstance(asked, dict) else None
    return name if isinstance(name, str) else None


def _said(status: HTTPStatus, what: Any) -> Answer:
    return Answer(status=status, body=json.dumps(what).encode(), kind=JSON)


KEPT: Final = 8
"""Maximum number of answers in memory; one about a large study takes 10 MB."""


@final
class Answers:
    """The last answers, by all their sources. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, bytes] = OrderedDict()

    def once(self, sources: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return the answer from these sources: from the cache, or made now.

        Two simultaneous requests may both make it.
        """
        with self._lock:
            if (kept := self._kept.get(sources)) is not None:
                self._kept.move_to_end(sources)
                return kept
        made = make()
        with self._lock:
            self._kept[sources] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made
