"""Headers added to every answer of any application."""

from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from hpsearch.dashboard.guards import Header, header_of, path_of

_EVERYWHERE: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_FRAMES = "frame-ancestors 'self'"


def with_headers(application: WSGIApplication) -> WSGIApplication:
    """Return the application with headers that keep other sites out, and artifacts from running as one of our pages.

    Optuna's dashboard lets every site read artifacts (`Access-Control-Allow-Origin: *`); that header is removed.
    """

    def answering(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_artifact = path_of(environ).startswith("/artifacts/")

        def start(status: str, headers: list[Header], info: Any = None, /) -> Callable[[bytes], object]:
            return start_response(status, completed(headers, is_artifact=is_artifact), info)

        return application(environ, start)

    return answering


def behind_proxy(application: WSGIApplication) -> WSGIApplication:
    """Return the application with the scheme that a proxy reports, and without its other headers.

    Any client may send these headers, so only a harmless one is trusted: with `X-Forwarded-Proto: https` the client's
    own cookie is marked `Secure`, and is therefore not sent over plain connections.
    """

    def answering(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scheme = header_of(environ, "X-Forwarded-Proto") or ""
        if scheme.rpartition(",")[2].strip().lower() == "https":
            environ["wsgi.url_scheme"] = "https"
        for name in [key for key in environ if key.startswith(("HTTP_X_FORWARDED_", "HTTP_FORWARDED"))]:
            del environ[name]
        return application(environ, start_response)

    return answering


def completed(headers: Iterable[Header], *, is_artifact: bool) -> list[Header]:
    """Return the headers of an answer with ours; a page's own policy applies in addition to ours."""
    ours = {name.lower() for name, _ in _EVERYWHERE}
    kept = [
        (name, value)
        for name, value in headers
        if name.lower() not in ours and not name.lower().startswith("access-control-")
    ]
    policy = f"sandbox; {_FRAMES}" if is_artifact else _FRAMES
    return [*kept, *_EVERYWHERE, ("Content-Security-Policy", policy)]
