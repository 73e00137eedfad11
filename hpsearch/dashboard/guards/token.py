"""The token guard: requests without the token are refused."""

import hashlib
import hmac
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qsl, quote, urlencode

from werkzeug import Request, Response
from werkzeug.utils import redirect

from hpsearch.dashboard.guards import is_read, query_value, refusal

FREE_FAILURES: Final = 10
"""Number of wrong tokens an address may send in quick succession."""
MAX_ADDRESSES: Final = 10_000

_NO_STORE: Final = {"Cache-Control": "no-store"}


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

    def __call__(self, request: Request) -> Response | None:
        """Refuse a request without the token."""
        in_address = query_value(request, "token") if is_read(request) else None
        if self._has_cookie(request):
            return None if in_address is None else _redirect_without_token(request)
        given = in_address if in_address is not None else _authorization(request)
        if given is None:
            return self._refusal()
        address = request.remote_addr or ""
        if (wait_s := self._failures.wait_s(address)) > 0:
            return self._refusal_for_now(wait_s)
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            self._failures.add(address)
            return self._refusal()
        if in_address is None:
            return None
        response = _redirect_without_token(request)
        response.set_cookie(
            self._cookie_name, self._cookie, secure=request.is_secure, httponly=True, samesite="Strict"
        )
        return response

    @staticmethod
    def _refusal_for_now(wait_s: float) -> Response:
        return refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many wrong tokens came from this address: wait a moment, then send the right one.",
            {"Retry-After": str(math.ceil(wait_s)), **_NO_STORE},
        )

    @staticmethod
    def _refusal() -> Response:
        return refusal(
            HTTPStatus.UNAUTHORIZED,
            "This dashboard requires a token: add ?token=TOKEN to the address, or enter the token as the password. "
            "Programs send `Authorization: Bearer TOKEN`.",
            {"WWW-Authenticate": 'Basic realm="hpsearch", charset="UTF-8"', **_NO_STORE},
        )

    def _has_cookie(self, request: Request) -> bool:
        # Neither `Request.cookies` nor `http.cookies` is used: a cookie that another program of this host has set, such
        # as one with a single quotation mark, can hide ours from both.
        pairs = (pair.strip().partition("=") for pair in request.headers.get("Cookie", "").split(";"))
        given = [value for name, _, value in pairs if name == self._cookie_name]
        return any(hmac.compare_digest(value.encode(), self._cookie.encode()) for value in given)


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
            while len(self._empty_at) > MAX_ADDRESSES:
                self._empty_at.popitem(last=False)


def _authorization(request: Request) -> str | None:
    """Return the token in the header Authorization; None if there is none."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":  # Werkzeug mistakes a token that contains `=` for parameters
        return credentials.strip()
    return None if request.authorization is None else request.authorization.password


def _redirect_without_token(request: Request) -> Response:
    """Return a redirect to the request's address without the token, always a path of this server."""
    pairs = parse_qsl(request.query_string.decode("utf-8", "replace"), keep_blank_values=True)
    query = urlencode([pair for pair in pairs if pair[0] != "token"])
    # Two leading slashes would refer to another server.
    path = "/" + quote(request.path.lstrip("/"), safe="/")
    response = redirect(f"{path}?{query}" if query else path, HTTPStatus.SEE_OTHER)
    response.headers.update(_NO_STORE)
    return response
