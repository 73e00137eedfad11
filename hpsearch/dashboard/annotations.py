"""Optuna's dashboard with our notes and figures added to its study details."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import BaseStorage

from hpsearch.analysis.confirmation import best_of
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.answers import Answers
from hpsearch.dashboard.cures import (
    Detail,
    add_figures,
    add_links,
    add_notes,
    drop_crowded_curves,
    keep_axes,
    name_zones,
)
from hpsearch.dashboard.drawings import LONG_PATIENCE_S, PATIENCE_S, Drawings, Figures
from hpsearch.dashboard.links import HOME
from hpsearch.dashboard.live import LiveStudies, Seen
from hpsearch.dashboard.notes import study_note, trial_note
from hpsearch.dashboard.wsgi import Header, method_of, number_of, path_of

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
