"""Other origins, changes of what is read-only, long bodies, and the headers of every answer."""

import json
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest
from werkzeug import Request

from hpsearch.dashboard.application import make_site, protected
from hpsearch.dashboard.guards.changes import SizeGuard, refuse_changes, refuse_other_origins
from hpsearch.dashboard.guards.headers import normalized, with_headers
from tests.dashboard.asking import ask, environ, greeting, request
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
    answer = refuse_other_origins(request(method=method, headers=headers))
    assert answer is not None
    assert answer.status_code == 403


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
    """Our own pages may, behind a proxy that ends TLS too, and programs, which no site sends."""
    assert refuse_other_origins(request(method="POST", headers=headers)) is None


def test_other_sites_may_link_here() -> None:
    """Reading is never refused because of a request's origin."""
    assert refuse_other_origins(request(headers={"Sec-Fetch-Site": "cross-site"})) is None


@pytest.mark.parametrize("method", CHANGES)
def test_read_only_refuses_every_change(method: str) -> None:
    """A read-only dashboard states that it is read-only."""
    answer = refuse_changes(request(method=method))
    assert answer is not None
    assert (answer.status_code, "--read-only" in answer.get_data(as_text=True)) == (403, True)
    assert refuse_changes(request(method="GET")) is None
    assert refuse_changes(request(method="HEAD")) is None


def test_long_bodies_are_refused() -> None:
    """A body may have a megabyte, an artifact 128 of them if artifacts are kept, and must state its length."""
    with_artifacts, without = SizeGuard(has_artifacts=True), SizeGuard(has_artifacts=False)

    def status(guard: SizeGuard, path: str, length: str) -> int:
        answer = guard(Request({**environ(path), "CONTENT_LENGTH": length}))
        return 200 if answer is None else answer.status_code

    note, artifact = "/api/studies/1/note", "/api/artifacts/1/2"
    assert [status(without, note, length) for length in ("", "0", "1048576", "1048577", "-1", "x")] == [
        *[200] * 3,
        *[413] * 3,
    ]
    assert [status(guard, artifact, "2000000") for guard in (with_artifacts, without)] == [200, 413]
    assert status(with_artifacts, artifact, str((128 << 20) + 1)) == 413
    assert (with_artifacts.max_bytes, without.max_bytes) == (128 << 20, 1 << 20)


def test_every_answer_keeps_other_sites_out() -> None:
    """No answer may be framed, sniffed or read by another site; artifacts run nothing."""
    site = with_headers(greeting)
    page, artifact = ask(site, "/dashboard"), ask(site, "/artifacts/1/abc")
    for answer in (page, artifact):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    assert "sandbox" in artifact.headers["content-security-policy"]
    assert "sandbox" not in page.headers["content-security-policy"]


def test_no_spelling_of_a_path_evades_a_check(site: Site, tmp_path: Path) -> None:
    """Bytes that are not UTF-8, which Bottle drops from a path, do not make an artifact run as a page of ours."""
    folder = tmp_path / "artifacts"
    folder.mkdir()
    whole = protected(make_site(site.store, site.storage, folder), [])
    body = json.dumps({"file": "data:text/html;base64,PGI+", "filename": "x.html"}).encode()
    made = ask(whole, "/api/artifacts/1", method="POST", body=body).json["artifacts"][0]["artifact_id"]
    served = ask(whole, f"/artifacts/1/{made}")
    assert (served.body, "sandbox" in served.headers["content-security-policy"]) == (b"<b>", True)
    for path in (f"/art%ffifacts/1/{made}", f"//artifacts/1/{made}", f"/%feartifacts/1/{made}"):
        assert ask(whole, path).status == 404


@pytest.mark.parametrize(
    ("forwarded", "scheme"),
    [("https", "https"), ("http, HTTPS", "https"), ("https, http", "http"), ("", "http"), ("ftp", "http")],
)
def test_the_scheme_is_the_one_that_a_proxy_was_asked_with(forwarded: str, scheme: str) -> None:
    """Behind a proxy that ends TLS the cookie is Secure; nothing else that a client may forge is believed."""
    seen: list[WSGIEnvironment] = []

    def application(environ: WSGIEnvironment, start_response: Any) -> list[bytes]:
        seen.append(environ)
        return greeting(environ, start_response)

    headers = {
        "X-Forwarded-Proto": forwarded,
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
    }
    assert ask(normalized(application), headers=headers).status == 200
    assert seen[0]["wsgi.url_scheme"] == scheme
    assert [name for name in seen[0] if "FORWARDED" in name] == []
