"""Refused changes: other origins, read-only, long bodies."""

import pytest
from werkzeug import Request

from hpsearch.dashboard.guards.changes import SizeGuard, refuse_changes, refuse_other_origins
from tests.dashboard.client import environ, request

CHANGES = ["POST", "PUT", "PATCH", "DELETE", "post", "PROPFIND"]


@pytest.mark.parametrize("method", CHANGES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://[127.0.0.1:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_other_sites_change_nothing(method: str, headers: dict[str, str]) -> None:
    """A request from another site, or another port, is refused if it would change something."""
    response = refuse_other_origins(request(method=method, headers=headers))
    assert response is not None
    assert response.status_code == 403
    assert b"None" not in response.data


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://127.0.0.1:8080"},
        {"Origin": "https://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
)
def test_own_pages_and_programs_change(headers: dict[str, str]) -> None:
    """Our own pages may change things, also through a proxy that terminates TLS, and so may programs."""
    assert refuse_other_origins(request(method="POST", headers=headers)) is None


def test_other_sites_may_link_to_our_pages() -> None:
    """A request that only reads is never refused because of its origin."""
    assert refuse_other_origins(request(headers={"Sec-Fetch-Site": "cross-site"})) is None


@pytest.mark.parametrize("method", CHANGES)
def test_read_only_refuses_every_change(method: str) -> None:
    """A read-only dashboard refuses every method that changes something, and reports why."""
    response = refuse_changes(request(method=method))
    assert response is not None
    assert (response.status_code, "--read-only" in response.get_data(as_text=True)) == (403, True)
    assert refuse_changes(request(method="GET")) is None
    assert refuse_changes(request(method="HEAD")) is None


def test_long_bodies_are_refused() -> None:
    """A body may have 1 MB, an artifact 128 MB if artifacts are stored, and its length must be given."""
    with_artifacts, without = SizeGuard(has_artifacts=True), SizeGuard(has_artifacts=False)

    def status(guard: SizeGuard, path: str, length: str) -> int:
        response = guard(Request({**environ(path), "CONTENT_LENGTH": length}))
        return 200 if response is None else response.status_code

    note, artifact = "/api/studies/1/note", "/api/artifacts/1/2"
    assert [status(without, note, length) for length in ("", "0", "1048576", "1048577", "-1", "x")] == [
        *[200] * 3,
        *[413] * 3,
    ]
    assert [status(guard, artifact, "2000000") for guard in (with_artifacts, without)] == [200, 413]
    assert status(with_artifacts, artifact, str((128 << 20) + 1)) == 413
    assert (with_artifacts.max_bytes, without.max_bytes) == (128 << 20, 1 << 20)
