"""Limits on the length of request bodies to the dashboard's needs."""

from http import HTTPStatus
from typing import final
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.wsgi import Answer, path_of, refusal

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
