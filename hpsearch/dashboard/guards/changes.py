"""Guards of requests that change something: their origin, `--read-only`, and the size of their bodies."""

from http import HTTPStatus
from typing import Final, final
from urllib.parse import urlsplit

from werkzeug import Request, Response

from hpsearch.dashboard.guards import is_read, refusal

BODY_BYTES: Final = 1 << 20
"""A note of a megabyte is as long as a book."""
ARTIFACT_BYTES: Final = 128 << 20


def refuse_other_origins(request: Request) -> Response | None:
    """Refuse a request that changes something and was sent by a page of another site.

    Browsers report this in `Sec-Fetch-Site` or else in `Origin`, and no page can forge that. A request with neither
    comes from a program, which no site can control.
    """
    if is_read(request) or _has_own_origin(request):
        return None
    origin = request.headers.get("Origin", f"a {request.headers.get('Sec-Fetch-Site')} request")
    return refusal(
        HTTPStatus.FORBIDDEN,
        f"Origin: must be this server for a change (got {origin}): nothing was changed",
    )


def _has_own_origin(request: Request) -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "same-origin"
    if origin is None:
        return True
    # The scheme is not compared: behind a proxy that terminates TLS it differs.
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()
    except ValueError:
        return False


def refuse_changes(request: Request) -> Response | None:
    """Refuse a request that would change something."""
    if is_read(request):
        return None
    return refusal(
        HTTPStatus.FORBIDDEN,
        f"This dashboard is read-only (got {request.method}): it was started with --read-only, and nothing was "
        "changed",
    )


@final
class SizeGuard:
    """Accepts bodies up to a megabyte; artifacts, if they are stored, up to 128."""

    def __init__(self, *, has_artifacts: bool) -> None:
        self._has_artifacts = has_artifacts

    @property
    def max_bytes(self) -> int:
        """The maximum size of any request's body."""
        return ARTIFACT_BYTES if self._has_artifacts else BODY_BYTES

    def __call__(self, request: Request) -> Response | None:
        """Refuse a request whose body is too long, or whose length is missing."""
        # `Request.content_length` reads a malformed length as 0.
        length = str(request.environ.get("CONTENT_LENGTH") or "0")
        is_artifact = request.path.startswith("/api/artifacts/")
        max_bytes = self.max_bytes if is_artifact else BODY_BYTES
        if length.isdecimal() and len(length) < 20 and int(length) <= max_bytes:
            return None
        if length == "chunked":
            return (
                None if is_artifact else refusal(HTTPStatus.LENGTH_REQUIRED, "Content-Length: must be given")
            )
        return refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"Content-Length: must be at most {max_bytes:,} bytes (got {length[:40]}): send less",
        )
