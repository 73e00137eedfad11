"""The token: who has it may look, and nothing is served to anybody else."""

import base64
import binascii
import hashlib
import hmac
from http import HTTPStatus
from typing import final
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.wsgi import Answer, header_of, is_reading, path_of, query_of, redirect, refusal

_NO_STORE = ("Cache-Control", "no-store")


@final
class TokenGuard:
    """Lets requests pass that bring the token: as a cookie, a bearer token, or a password with any name.

    `?token=` sets the cookie and sends the browser on, so that the token stays in no address. The cookie is not the
    token: it is made of it, and its name too, since cookies do not know ports.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._cookie = hmac.digest(self._token, b"hpsearch dashboard: cookie", hashlib.sha256).hex()
        name = hmac.digest(self._token, b"hpsearch dashboard: name", hashlib.sha256).hex()
        self._cookie_name = f"hpsearch-{name[:12]}"

    def __call__(self, environ: WSGIEnvironment) -> Answer | None:
        """Refuse a request without the token."""
        given = query_of(environ, "token")
        if given is not None and is_reading(environ) and self._is_token(given):
            return redirect(_without_token(environ), ("Set-Cookie", self._set_cookie(environ)), _NO_STORE)
        if self._has_cookie(environ) or self._is_authorized(header_of(environ, "Authorization") or ""):
            return None
        return refusal(
            HTTPStatus.UNAUTHORIZED,
            "A token is needed: open this address with ?token=TOKEN behind it, or give the token as the password. "
            "Programs send `Authorization: Bearer TOKEN`.",
            ("WWW-Authenticate", 'Basic realm="hpsearch", charset="UTF-8"'),
            _NO_STORE,
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def _is_authorized(self, header: str) -> bool:
        scheme, _, credentials = header.partition(" ")
        match scheme.lower():
            case "bearer":
                return self._is_token(credentials.strip())
            case "basic":
                return self._is_token(_password(credentials.strip()))
            case _:
                return False

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        # Not `http.cookies`, which reads nothing where another program of this host has a cookie that it dislikes.
        pairs = (pair.strip().partition("=") for pair in (header_of(environ, "Cookie") or "").split(";"))
        given = [value for name, _, value in pairs if name == self._cookie_name]
        return any(hmac.compare_digest(value.encode(), self._cookie.encode()) for value in given)

    def _set_cookie(self, environ: WSGIEnvironment) -> str:
        is_secure = environ.get("wsgi.url_scheme") == "https"
        secure = "; Secure" if is_secure else ""
        return f"{self._cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"


def _password(credentials: str) -> str:
    """Return the password of Basic credentials; empty where they are malformed."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _without_token(environ: WSGIEnvironment) -> str:
    """Return the request's address without the token, always a path of this server."""
    pairs = parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    query = urlencode([pair for pair in pairs if pair[0] != "token"])
    # Two slashes in front would name another server.
    path = "/" + quote(path_of(environ).lstrip("/"), safe="/")
    return f"{path}?{query}" if query else path
