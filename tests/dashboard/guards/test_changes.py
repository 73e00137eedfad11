"""Refused changes (other origins, read-only, long bodies), and the headers of every response."""

import json
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest
from werkzeug import Request

from hpsearch.dashboard.application import make_site, protected
from hpsearch.dashboard.guards.changes import SizeGuard, refuse_changes, refuse_other_origins
from hpsearch.dashboard.guards.headers import normalized, with_headers
from tests.dashboard.client import environ, fetch, greeting, request
from tests.dashboard.conftest import Site

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
    """Our own pages may change things, also behind a proxy that terminates TLS, and so may programs."""
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


def test_every_response_has_the_security_headers() -> None:
    """No other site may frame, sniff or read a response; artifacts are sandboxed."""
    site = with_headers(greeting)
    page, artifact = fetch(site, "/dashboard"), fetch(site, "/artifacts/1/abc")
    for response in (page, artifact):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'self'" in response.headers["content-security-policy"]
        assert "access-control-allow-origin" not in response.headers
    assert "sandbox" in artifact.headers["content-security-policy"]
    assert "sandbox" not in page.headers["content-security-policy"]


def test_no_spelling_of_a_path_evades_a_check(site: Site, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, which Bottle drops from a path, do not make an artifact run as a page of ours."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    whole = protected(make_site(site.store, site.storage, folder), [])
    body = json.dumps({"file": "data:text/html;base64,PGI+", "filename": "x.html"}).encode()
    made = fetch(whole, "/api/artifacts/1", method="POST", body=body).json["artifacts"][0]["artifact_id"]
    served = fetch(whole, f"/artifacts/1/{made}")
    assert (served.body, "sandbox" in served.headers["content-security-policy"]) == (b"<b>", True)
    for path in (f"/art%ffifacts/1/{made}", f"//artifacts/1/{made}", f"/%feartifacts/1/{made}"):
        assert fetch(whole, path).status == 404


@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("http, HTTPS", "https"), ("https, http", "http"), ("", "http"), ("ftp", "http")],
)
def test_only_the_scheme_of_a_proxy_is_trusted(forwarded: str, scheme: str) -> None:
    """Behind a proxy that terminates TLS the scheme is https; other forwarded headers, which a client may forge, go."""
    received: list[WSGIEnvironment] = []

    def application(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        received.append(environ)
        return greeting(environ, start_response)

    headers = {
        "X-Forwarded-Proto": forwarded,
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
    }
    assert fetch(normalized(application), headers=headers).status == 200
    assert received[0]["wsgi.url_scheme"] == scheme
    assert [name for name in received[0] if "FORWARDED" in name] == []
