"""Guards: checks of a request, each of which can refuse it before a page reads it.

`host`, `token` and `changes` (origin, read-only, size) have the checks; `headers` completes requests and responses.
They read requests as Werkzeug parses them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug import Request, Response

Guard: TypeAlias = Callable[[Request], Response | None]
"""Refuses a request with a response, or accepts it with None."""


def refusal(status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with the reason for a refusal as plain text."""
    return Response(f"{message}\n", status, headers, mimetype="text/plain")


def is_read(request: Request) -> bool:
    """Return True if the request's method changes nothing."""
    return request.method in ("GET", "HEAD", "OPTIONS")


def query_value(request: Request, name: str) -> str | None:
    """Return the first value of a name in the request's query; None if it is missing."""
    return next(iter(query_values(request, name)), None)


def query_values(request: Request, name: str) -> list[str]:
    """Return the values of a name in the request's query, in order."""
    # `Request.args` raises if the query has bytes that are not UTF-8.
    query = request.query_string.decode("utf-8", "replace")
    return parse_qs(query, keep_blank_values=True).get(name, [])


def guarded(application: WSGIApplication, guards: Sequence[Guard]) -> WSGIApplication:
    """Return the application with guards: the first that refuses a request responds to it."""

    def check(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        for guard in guards:
            if (response := guard(request)) is not None:
                return response(environ, start_response)
        return application(environ, start_response)

    return check
