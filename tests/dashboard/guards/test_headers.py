"""The headers of every response, and requests in one form for all checks."""

import json
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest

from hpsearch.dashboard.application import make_site, protected
from hpsearch.dashboard.guards.headers import normalized, with_headers
from tests.dashboard.client import fetch, greeting
from tests.dashboard.conftest import Site


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
    """With a proxy that terminates TLS the scheme is https; other forwarded headers, which a client may forge, go."""
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
