"""Optuna's dashboard on our storage, with patches."""

import contextlib
import json
import re
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import optuna_dashboard
from optuna.artifacts import FileSystemArtifactStore
from optuna.exceptions import DuplicatedStudyError

from hpsearch.dashboard.annotations import Annotations, bare, hear
from hpsearch.dashboard.live import LiveStudies
from hpsearch.dashboard.requests import CheckedRequests
from hpsearch.dashboard.wsgi import JSON, Answer, method_of, number_of, path_of, send
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.study.schema import STUDY

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
