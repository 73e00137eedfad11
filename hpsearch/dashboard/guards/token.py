"""The token guard: requests without the token are refused."""

import base64
import binascii
import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import final
from urllib.parse import parse_qsl, quote, urlencode
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.guards import Answer, header_of, is_reading, path_of, query_of, redirect, refusal

FREE_FAILURES = 10
"""Number of wrong tokens an address may send in quick succession."""
MOST_ADDRESSES = 10_000

_NO_STORE = ("Cache-Control", "no-store")


@final
class TokenGuard:
    """Accepts requests with the token: as a cookie, a bearer token, or a password with any name.

    `?token=` sets the cookie and redirects the browser, so that no address contains the token. The cookie is derived
    from the token, and so is its name, since cookies are not separated by port.

    An address that has sent `FREE_FAILURES` wrong tokens may try one more each second. In between, its tokens are not
    compared, right or wrong, so guessing is no faster; cookies, which cannot be guessed, are still accepted.
    """

    def __init__(self, token: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures = _Failures(clock)
        self._token = token.encode()
        self._cookie = hmac.digest(self._token, b"hpsearch dashboard: cookie", hashlib.sha256).hex()
        name = hmac.digest(self._token, b"hpsearch dashboard: name", hashlib.sha256).hex()
        self._cookie_name = f"hpsearch-{name[:12]}"

    def __call__(self, environ: WSGIEnvironment) -> Answer | None:
        """Refuse a request without the token."""
        in_address = query_of(environ, "token") if is_reading(environ) else None
        if self._has_cookie(environ):
            return None if in_address is None else redirect(_without_token(environ), _NO_STORE)
        given = in_address if in_address is not None else _authorization(environ)
        if given is None:
            return self._refusal()
        address = str(environ.get("REMOTE_ADDR", ""))
        if (wait_s := self._failures.wait_s(address)) > 0:
            return self._refusal_for_now(wait_s)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            self._failures.add(address)
            return self._refusal()
        if in_address is None:
            return None
        return redirect(_without_token(environ), ("Set-Cookie", self._set_cookie(environ)), _NO_STORE)

    @staticmethod
    def _refusal_for_now(wait_s: float) -> Answer:
        return refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many wrong tokens came from this address: wait a moment, then give the right one.",
            ("Retry-After", str(math.ceil(wait_s))),
            _NO_STORE,
        )

    @staticmethod
    def _refusal() -> Answer:
        return refusal(
            HTTPStatus.UNAUTHORIZED,
            "A token is needed: open this address with ?token=TOKEN after it, or give the token as the password. "
            "Programs send `Authorization: Bearer TOKEN`.",
            ("WWW-Authenticate", 'Basic realm="hpsearch", charset="UTF-8"'),
            _NO_STORE,
        )

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        # `http.cookies` is not used: it reads nothing if another program of this host sets a cookie that it cannot
        # parse.
        pairs = (pair.strip().partition("=") for pair in (header_of(environ, "Cookie") or "").split(";"))
        given = [value for name, _, value in pairs if name == self._cookie_name]
        return any(hmac.compare_digest(value.encode(), self._cookie.encode()) for value in given)

    def _set_cookie(self, environ: WSGIEnvironment) -> str:
        is_secure = environ.get("wsgi.url_scheme") == "https"
        secure = "; Secure" if is_secure else ""
        return f"{self._cookie_name}={self._cookie}; Path=/; HttpOnly; SameSite=Strict{secure}"


@final
class _Failures:
    """The number of wrong tokens from each address; one is forgiven each second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._empty_at: OrderedDict[str, float] = OrderedDict()
        """Address -> time at which all of its failures are forgiven; the last address to fail comes last."""

    def wait_s(self, address: str) -> float:
        """Return how long this address must wait until its next try; 0 or less if it need not."""
        with self._lock:
            return self._empty_at.get(address, -math.inf) - self._clock() - (FREE_FAILURES - 1)

    def add(self, address: str) -> None:
        """Count a failure of this address."""
        with self._lock:
            now = self._clock()
            self._empty_at[address] = max(now, self._empty_at.pop(address, now)) + 1
            while len(self._empty_at) > MOST_ADDRESSES:
                self._empty_at.popitem(last=False)


def _authorization(environ: WSGIEnvironment) -> str | None:
    """Return the token in the header Authorization; None if there is none."""
    scheme, _, credentials = (header_of(environ, "Authorization") or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return credentials.strip()
        case "basic":
            return _password(credentials.strip())
        case _:
            return None


def _password(credentials: str) -> str:
    """Return the password of Basic credentials; empty if they are malformed."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _without_token(environ: WSGIEnvironment) -> str:
    """Return the request's address without the token, always a path of this server."""
    pairs = parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    query = urlencode([pair for pair in pairs if pair[0] != "token"])
    # Two leading slashes would refer to another server.
    path = "/" + quote(path_of(environ).lstrip("/"), safe="/")
    return f"{path}?{query}" if query else path
