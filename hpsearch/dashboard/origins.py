"""Requests that change something come from our own pages, or from no page at all."""

from http import HTTPStatus
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.wsgi import Answer, header_of, is_reading, refusal


def refuse_other_origins(environ: WSGIEnvironment) -> Answer | None:
    """Refuse a request that changes something and was sent by a page of another site.

    Browsers say so themselves, in `Sec-Fetch-Site` or else in `Origin`, and no page can forge that. A request with
    neither comes from a program, which no site can make use of.
    """
    if is_reading(environ) or _is_same(environ):
        return None
    return refusal(
        HTTPStatus.FORBIDDEN,
        f"Origin: must be this server for a change (got {header_of(environ, 'Origin')}): nothing was changed",
    )


def _is_same(environ: WSGIEnvironment) -> bool:
    site, origin = header_of(environ, "Sec-Fetch-Site"), header_of(environ, "Origin")
    if site is not None:
        return site == "same-origin"
    if origin is None:
        return True
    # Not the scheme: behind a proxy that ends TLS it is another one here.
    try:
        return urlsplit(origin).netloc.lower() == (header_of(environ, "Host") or "").lower()
    except ValueError:
        return False
