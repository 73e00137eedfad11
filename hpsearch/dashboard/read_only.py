"""`--read-only`: all clients may read, none may change anything."""

from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from hpsearch.dashboard.wsgi import Answer, is_reading, method_of, refusal


def refuse_changes(environ: WSGIEnvironment) -> Answer | None:
    """Refuse a request that would change something."""
    if is_reading(environ):
        return None
    return refusal(
        HTTPStatus.FORBIDDEN,
        f"This dashboard is read-only (got {method_of(environ)}): it was started with --read-only, and nothing was "
        "changed",
    )
