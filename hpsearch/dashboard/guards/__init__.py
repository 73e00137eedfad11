"""Requests and answers in WSGI's terms; and guards, which may refuse a request."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, final
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PLAIN = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"

_MOST_DIGITS = 18

Header: TypeAlias = tuple[str, str]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A response with a complete body."""

    status: HTTPStatus = HTTPStatus.OK
    body: bytes = b""
    kind: str = PLAIN
    headers: tuple[Header, ...] = ()


Guard: TypeAlias = Callable[[WSGIEnvironment], Answer | None]
"""Refuses a request with an answer, or accepts it with None."""


def refusal(status: HTTPStatus, message: str, *headers: Header) -> Answer:
    """Return an answer with the reason for a refusal."""
    return Answer(status=status, body=f"{message}\n".encode(), headers=headers)


def redirect(location: str, *headers: Header) -> Answer:
    """Return an answer that redirects the browser to a path of this server."""
    return Answer(status=HTTPStatus.SEE_OTHER, headers=(("Location", location), *headers))


def send(answer: Answer, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Send an answer, without its body for a HEAD request."""
    length = [] if answer.status is HTTPStatus.NOT_MODIFIED else [("Content-Length", str(len(answer.body)))]
    kind = [("Content-Type", answer.kind)] if answer.body else []
    start_response(f"{answer.status.value} {answer.status.phrase}", [*kind, *length, *answer.headers], None)
    return [] if method_of(environ) == "HEAD" else [answer.body]


def guarded(application: WSGIApplication, guards: Sequence[Guard]) -> WSGIApplication:
    """Return the application with guards: the first that refuses a request answers it."""

    def guarding(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        for guard in guards:
            if (answer := guard(environ)) is not None:
                return send(answer, environ, start_response)
        return application(environ, start_response)

    return guarding


def method_of(environ: WSGIEnvironment) -> str:
    """Return the request's method in capitals."""
    return str(environ.get("REQUEST_METHOD", "GET")).upper()


def is_reading(environ: WSGIEnvironment) -> bool:
    """Return True if the request's method changes nothing."""
    return method_of(environ) in ("GET", "HEAD", "OPTIONS")


def path_of(environ: WSGIEnvironment) -> str:
    """Return the request's path as text. WSGI decodes its bytes as Latin-1."""
    return str(environ.get("PATH_INFO", "")).encode("latin-1").decode("utf-8", "replace")


def header_of(environ: WSGIEnvironment, name: str) -> str | None:
    """Return a header of the request; None if it is missing."""
    value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
    return None if value is None else str(value)


def query_of(environ: WSGIEnvironment, name: str) -> str | None:
    """Return the first value of a name in the request's query; None if it is missing."""
    values = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True).get(name)
    return None if values is None else values[0]


def number_of(digits: str) -> int:
    """Return the number of digits in a path, or 10**18 for a larger one: it is unused, and fits into columns."""
    return int(digits) if len(digits) <= _MOST_DIGITS else 10**_MOST_DIGITS


def version_tag(content: bytes) -> str:
    """Return an entity tag for content."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def is_known(environ: WSGIEnvironment, tag: str) -> bool:
    """Return True if the client already has the version with that tag, also if a proxy compressed it."""
    given = header_of(environ, "If-None-Match") or ""
    return tag in (one.strip().removeprefix("W/") for one in given.split(","))
