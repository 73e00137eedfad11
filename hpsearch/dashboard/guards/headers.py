"""Requests in one form for all readers, and headers that every response has."""

from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug import Request
from werkzeug.datastructures import Headers

_EVERYWHERE: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_FRAMES: Final = "frame-ancestors 'self'"


def with_headers(application: WSGIApplication) -> WSGIApplication:
    """Return the application with headers that keep other sites out, and artifacts from running as one of our pages.

    Optuna's dashboard lets every site read artifacts (`Access-Control-Allow-Origin: *`); that header is removed.
    """

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_artifact = Request(environ).path.startswith("/artifacts/")

        def start(status: str, headers: list[tuple[str, str]], info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, completed(headers, is_artifact=is_artifact), info)

        return application(environ, start)

    return respond


def completed(headers: Iterable[tuple[str, str]], *, is_artifact: bool) -> list[tuple[str, str]]:
    """Return the headers of a response with ours; a page's own policy applies in addition to ours."""
    kept = Headers(pair for pair in headers if not pair[0].lower().startswith("access-control-"))
    kept.update(_EVERYWHERE)
    kept.add("Content-Security-Policy", f"sandbox; {_FRAMES}" if is_artifact else _FRAMES)
    return kept.to_wsgi_list()


def normalized(application: WSGIApplication) -> WSGIApplication:
    """Return the application for requests in one form: with a decodable path, and the scheme that a proxy reports.

    Bottle drops bytes of a path that are not UTF-8, Werkzeug replaces them: `/art%FFifacts/` would be a path of
    artifacts for Optuna's dashboard, but not for our checks. Here they are replaced for both.

    Any client may send the headers of a proxy, so only a harmless one is trusted: with `X-Forwarded-Proto: https` the
    client's own cookie is marked `Secure`, and is therefore not sent over plain connections. All are removed.
    """

    def respond(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
        environ["PATH_INFO"] = path.encode().decode("latin-1")
        schemes = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")
        if schemes[2].strip().lower() == "https":
            environ["wsgi.url_scheme"] = "https"
        for name in [key for key in environ if key.startswith(("HTTP_X_FORWARDED_", "HTTP_FORWARDED"))]:
            del environ[name]
        return application(environ, start_response)

    return respond
