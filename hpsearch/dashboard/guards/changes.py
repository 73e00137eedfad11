"""Guards of requests that change something: they come from our own pages or no page, and never with `--read-only`."""

from http import HTTPStatus
from typing import final
from urllib.parse import urlsplit
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.guards import Answer, header_of, is_reading, method_of, path_of, refusal


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


BODY_BYTES = 1 << 20
"""A note of a megabyte is as long as a book."""
ARTIFACT_BYTES = 128 << 20


@final
class LimitGuard:
    """Accepts bodies up to a megabyte; artifacts, if they are stored, up to 128."""

    def __init__(self, *, has_artifacts: bool) -> None:
        self._has_artifacts = has_artifacts

    @property
    def largest_bytes(self) -> int:
        """The maximum length of any request's body."""
        return ARTIFACT_BYTES if self._has_artifacts else BODY_BYTES

    def __call__(self, environ: WSGIEnvironment) -> Answer | None:
        """Refuse a request whose body is too long, or whose length is missing."""
        length = str(environ.get("CONTENT_LENGTH") or "0")
        is_artifact = path_of(environ).startswith("/api/artifacts/")
        most = self.largest_bytes if is_artifact else BODY_BYTES
        if length.isdecimal() and len(length) < 20 and int(length) <= most:
            return None
        if length == "chunked":
            return (
                None if is_artifact else refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length: must be given")
            )
        return refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"Content-Length: must be at most {most:,} bytes (got {length[:40]}): send less",
        )
