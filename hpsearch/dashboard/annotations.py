"""Optuna's dashboard with our notes and figures in what it says of a study."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import BaseStorage

from hpsearch.dashboard.answers import Answers
from hpsearch.dashboard.cures import (
    Detail,
    add_figures,
    add_notes,
    drop_crowded_curves,
    keep_axes,
    name_zones,
)
from hpsearch.dashboard.drawings import Drawings, Figures
from hpsearch.dashboard.live import LiveStudies, Seen
from hpsearch.dashboard.notes import study_note, trial_note
from hpsearch.dashboard.wsgi import Header, method_of, number_of, path_of
from hpsearch.report.snapshot import Snapshot

_STUDY: Final = re.compile(r"/api/studies/(\d+)/?")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A whole answer of another application."""

    status: str
    headers: list[Header]
    body: bytes


def hear(application: WSGIApplication, environ: WSGIEnvironment) -> Heard:
    """Return the whole answer of an application to a request."""
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


@final
class Annotations:
    """Optuna's dashboard, whose details of studies are put right and completed on their way."""

    def __init__(self, stock: WSGIApplication, live: LiveStudies, storage: BaseStorage) -> None:
        self._stock = stock
        self._live = live
        self._storage = storage
        self._drawings = Drawings()
        self._answers = Answers()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as Optuna's dashboard does."""
        asked = _STUDY.fullmatch(path_of(environ))
        if asked is None or method_of(environ) != "GET":
            return self._stock(environ, start_response)
        heard = hear(self._stock, environ)
        body = (
            self._annotated(number_of(asked[1]), heard.body) if heard.status.startswith("200") else heard.body
        )
        headers = [header for header in heard.headers if header[0].lower() != "content-length"]
        start_response(heard.status, [*headers, ("Content-Length", str(len(body)))], None)
        return [body]

    def _annotated(self, study_id: int, body: bytes) -> bytes:
        seen = self._live.numbered(study_id)
        figures = {} if seen is None else self._drawings.of(seen)
        sources = (
            study_id,
            hashlib.sha256(body).digest(),
            None if seen is None else seen.version,
            tuple(figures.items()),
        )
        return self._answers.once(sources, lambda: self._written(study_id, json.loads(body), seen, figures))

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
