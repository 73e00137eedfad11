"""Guards of requests that change something: they come from our own pages or no page, and never with `--read-only`."""

from http import HTTPStatus
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.wsgi import Answer, header_of, is_reading, method_of, refusal


def refuse_other_origins(environ: WSGIEnvironment) -> Answer | None:
    """Refuse a request that changes something and was sent by a page of another site.

    Browsers report this in `Sec-Fetch-Site` or else in `Origin`, and no page can forge that. A request with neither
    comes from a program, which no site can control.
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
    # The scheme is not compared: behind a proxy that terminates TLS it differs.
    try:
        return urlsplit(origin).netloc.lower() == (header_of(environ, "Host") or "").lower()
    except ValueError:
        return False


def refuse_changes(environ: WSGIEnvironment) -> Answer | None:
    """Refuse a request that would change something."""
    if is_reading(environ):
        return None
    return refusal(
        HTTPStatus.FORBIDDEN,
        f"This dashboard is read-only (got {method_of(environ)}): it was started with --read-only, and nothing was "
        "changed",
    )
