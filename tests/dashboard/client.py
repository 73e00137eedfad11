"""Requests to a WSGI application without a server, and its responses."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import unquote
from wsgiref.types import WSGIApplication, WSGIEnvironment

from werkzeug import Request

Started = tuple[str, list[tuple[str, str]]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A response. `headers` has the last value of each name, in lower case; `all_headers` has all values."""

    status: int
    all_headers: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The headers by name."""
        return {name.lower(): value for name, value in self.all_headers}

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def environ(
    address: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    scheme: str = "http",
    remote: str = "127.0.0.1",
    content_type: str = "application/json",
) -> WSGIEnvironment:
    """Return a server's environment for a request to a quoted path with an optional query."""
    path, _, query = address.partition("?")
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in (headers or {}).items()}
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": content_type,
        "REMOTE_ADDR": remote,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "HTTP_HOST": "127.0.0.1:8080",
        **named,
    }


def request(address: str = "/", **values: Any) -> Request:
    """Return the request with this `environ` in the form that guards read."""
    return Request(environ(address, **values))


def fetch(application: WSGIApplication, address: str = "/", **request: Any) -> Received:
    """Return the application's response to a request with this `environ`."""
    started: list[Started] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
        started.append((status, headers))
        return lambda _: None

    parts = application(environ(address, **request), start)
    body = b"".join(parts)
    if callable(close := getattr(parts, "close", None)):
        close()
    status, headers = started[-1]
    return Received(status=int(status.split()[0]), all_headers=headers, body=body)


def greeting(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
    """Respond to every request with 200."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*")])
    return [b"hello"]
