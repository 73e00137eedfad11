"""Checks of requests to Optuna's dashboard, which answers malformed ones with status 500."""

import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias, final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import BaseStorage
from werkzeug import Request, Response

from hpsearch.dashboard.guards import is_read, query_value
from hpsearch.storage.stored_values import UNSTORABLE
from hpsearch.study.schema import STUDY

_MOST_ID: Final = 2**31 - 1

Fits: TypeAlias = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    """Return True for text that every database accepts: no NUL, no half of a surrogate pair."""
    return isinstance(value, str) and UNSTORABLE.search(value) is None


def _is_whole(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and value == int(value) and abs(value) <= _MOST_ID


def _is_optional(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _is_list_of(fits: Fits, *, least: int = 0) -> Fits:
    return lambda value: isinstance(value, list) and len(value) >= least and all(map(fits, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_name(value: Any) -> bool:
    return not STUDY["name"].problems("study_name", value)


def _is_attributes(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(json.dumps(value, ensure_ascii=False))
        and all(map(_is_text, value))
    )


_NOTE: Final[Mapping[str, tuple[Fits, str]]] = {
    "version": (_is_whole, "a whole number"),
    "body": (_is_text, "text"),
}
_FILE: Final[Mapping[str, tuple[Fits, str]]] = {
    "file": (lambda value: _is_text(value) and re.match(r"data:[^,]*,", value) is not None, "a data URL"),
    "filename": (_is_text, "text"),
}

RENAME: Final = re.compile(r"/api/studies/(\d+)/rename/?")

_NAME: Final = (_is_name, "a name of 1 to 200 characters")
_FIELDS: Final[tuple[tuple[str, re.Pattern[str], Mapping[str, tuple[Fits, str]]], ...]] = (
    (
        "POST",
        re.compile(r"/api/studies/?"),
        {
            "study_name": _NAME,
            "directions": (
                _is_list_of(lambda value: value in ("minimize", "maximize"), least=1),
                'a list of "minimize" and "maximize"',
            ),
        },
    ),
    ("POST", RENAME, {"study_name": _NAME}),
    ("PUT", re.compile(r"/api/studies/\d+(/\d+)?/note/?"), _NOTE),
    (
        "POST",
        re.compile(r"/api/studies/\d+/preference/?"),
        {
            "mode": (_is_text, "text"),
            "candidates": (_is_list_of(_is_whole), "a list of trial numbers"),
            "clicked": (_is_whole, "a trial number"),
        },
    ),
    (
        "PUT",
        re.compile(r"/api/studies/\d+/preference_feedback_component/?"),
        {"output_type": (_is_text, "text"), "artifact_key": (_is_optional(_is_text), "text or null")},
    ),
    (
        "POST",
        re.compile(r"/api/trials/\d+/tell/?"),
        {"state": (_is_text, "text"), "values": (_is_optional(_is_list_of(_is_number)), "a list of numbers")},
    ),
    ("POST", re.compile(r"/api/trials/\d+/user-attrs/?"), {"user_attrs": (_is_attributes, "an object")}),
    ("POST", re.compile(r"/api/artifacts/\d+(/\d+)?/?"), _FILE),
)
"""Method, path -> the required fields of the body, each as a test and in words."""

_IDS: Final = re.compile(
    r"/(?:api/studies|api/artifacts|artifacts|csv)/(?P<study>-?\d+)(?:/(?P<trial>-?\d+))?(?:/.*)?"
)
_TRIAL: Final = re.compile(r"/api/trials/(?P<trial>-?\d+)(?:/.*)?")
_PREFERENCE: Final = re.compile(r"/api/studies/(?P<study>\d+)/preference")
_PREFERENTIAL: Final = "preference:is_preferential"
"""The system attribute that marks a study of preferences for Optuna's dashboard."""
_PLOT: Final = re.compile(r"/api/studies/\d+/plot/[^/]*/?")


@final
class CheckedRequests:
    """Optuna's dashboard after a check of paths, queries and bodies; requests that it cannot use get 400 or 404."""

    def __init__(self, stock: WSGIApplication, storage: BaseStorage) -> None:
        self._stock = stock
        self._storage = storage

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as Optuna's dashboard does."""
        request = Request(environ)
        refused = (
            self._missing(request) or _bad_query(request) or _bad_body(request) or self._impossible(request)
        )
        if refused is not None:
            return refused(environ, start_response)
        _set_encoding(environ)
        return self._stock(environ, start_response)

    def _missing(self, request: Request) -> Response | None:
        """Return the refusal if the study or trial of the path does not exist.

        Optuna's dashboard checks this itself for reads, except for plots and for numbers too large for a column.
        """
        path = request.path
        found = _IDS.fullmatch(path) or _TRIAL.fullmatch(path)
        if found is None:
            return None
        ids = {kind: number for kind, number in found.groupdict().items() if number is not None}
        asks_storage = not is_read(request) or _PLOT.fullmatch(path) is not None
        for kind, number in ids.items():
            is_there = len(number) <= 10 and 0 <= int(number) <= _MOST_ID
            if not is_there or (asks_storage and not self._has(kind, int(number))):
                return json_refusal(HTTPStatus.NOT_FOUND, f"{kind}_id={number[:40]} is not found")
        return None

    def _impossible(self, request: Request) -> Response | None:
        """Return the refusal of a change to a trial that has ended, or to preferences of a study that has none."""
        if is_read(request):
            return None
        path = request.path
        if (trial := _TRIAL.fullmatch(path)) and self._storage.get_trial(
            int(trial["trial"])
        ).state.is_finished():
            return json_refusal(
                HTTPStatus.CONFLICT, f"trial_id={trial['trial']} has ended and cannot be changed"
            )
        if study := _PREFERENCE.match(path):
            attributes = self._storage.get_study_system_attrs(int(study["study"]))
            if not attributes.get(_PREFERENTIAL):
                return json_refusal(HTTPStatus.BAD_REQUEST, "The study is not preferential.")
        return None

    def _has(self, kind: str, number: int) -> bool:
        try:
            if kind == "study":
                self._storage.get_study_name_from_id(number)
            else:
                self._storage.get_trial(number)
        except KeyError:
            return False
        return True


_NO_GZIP: Final = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)")


def _set_encoding(environ: WSGIEnvironment) -> None:
    """Set `Accept-Encoding`, in place, to a value that Optuna's dashboard understands.

    It fails without that header, which curl and health checks omit, and takes `gzip;q=0` for a request.
    """
    accepted = environ.get(_ENCODING, "")
    environ[_ENCODING] = "" if _NO_GZIP.search(accepted) else accepted


_ENCODING: Final = "HTTP_ACCEPT_ENCODING"


_JSON: Final = "application/json"


def _bad_query(request: Request) -> Response | None:
    after = query_value(request, "after")
    if after is None or (after.isascii() and after.isdecimal() and len(after) <= 10):
        return None
    return json_refusal(
        HTTPStatus.BAD_REQUEST, f"after: must be a whole number from 0 on (got {after[:40]!r})"
    )


def _bad_body(request: Request) -> Response | None:
    """Return the refusal of a malformed body of a change, or None; the body can be read again afterwards."""
    if is_read(request):
        return None
    content = request.environ["wsgi.input"].read(int(request.environ.get("CONTENT_LENGTH") or 0))
    request.environ["wsgi.input"] = io.BytesIO(content)
    fields = next(
        (f for method, pattern, f in _FIELDS if method == request.method and pattern.fullmatch(request.path)),
        {},
    )
    if not content and not fields:
        return None
    if request.mimetype != _JSON:
        return json_refusal(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type: must be {_JSON} (got {request.mimetype[:40]!r})",
        )
    try:
        body = json.loads(content) if content else None
    except (ValueError, RecursionError) as error:
        return json_refusal(
            HTTPStatus.BAD_REQUEST, f"body: must be JSON (got {type(error).__name__}: {error})"
        )
    if not isinstance(body, dict):
        return json_refusal(HTTPStatus.BAD_REQUEST, f"body: must be a JSON object (got {_kind(body)})")
    problems = [
        f"{name}: must be {words} (got {_kind(body.get(name))})"
        for name, (fits, words) in fields.items()
        if not fits(body.get(name))
    ]
    return json_refusal(HTTPStatus.BAD_REQUEST, "; ".join(problems)) if problems else None


def _kind(value: Any) -> str:
    """Return a short form of a JSON value for a message."""
    return ascii(value)[:60]


def json_refusal(status: HTTPStatus, reason: str) -> Response:
    """Return a refusal in the form of Optuna's dashboard."""
    return Response(json.dumps({"reason": reason}), status, mimetype="application/json")
