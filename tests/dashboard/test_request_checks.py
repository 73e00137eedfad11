"""Malformed requests to Optuna's dashboard: each gets a 4xx status with the reason, none a 500."""

import gzip
import json
import logging
from typing import Any

import pytest
from werkzeug.test import run_wsgi_app

from hpsearch.dashboard.application import protected
from hpsearch.dashboard.server import Options, guards
from tests.dashboard.client import Received, environ, fetch
from tests.dashboard.conftest import Site

HUGE = "99999999999999999999999"
BODIES = (
    *(b"", b"{", b"[]", b"null", b'"x"', b"{}", b"\xff\xfe", b"[" * 5000),
    *(b'{"study_name":null}', b'{"study_name":1,"directions":["x"]}', b'{"study_name":"a","directions":[]}'),
    *(b'{"study_name":"\\ud800","directions":["minimize"]}', b'{"body":1,"version":"x"}'),
    *(b'{"body":"x","version":1e400}', b'{"body":"\\u0000","version":1}', b'{"state":"x"}'),
    *(b'{"state":"Complete","values":["x"]}', b'{"state":"Complete","values":[NaN]}', b'{"user_attrs":[1]}'),
    *(
        b'{"user_attrs":{"\\ud800":1}}',
        b'{"mode":"x"}',
        b'{"candidates":[1],"clicked":9,"mode":"ChooseWorst"}',
    ),
    *(b'{"file":"x","filename":"y"}', b'{"file":"data:;base64,!!","filename":"../../x"}'),
)


@pytest.fixture
def fetch_guarded(site: Site, caplog: pytest.LogCaptureFixture) -> Any:
    """Provide a function that requests pages of the guarded site. Optuna's dashboard logs refusals, which we ignore."""
    caplog.set_level(logging.CRITICAL)
    whole = protected(site.site, guards(Options(url="sqlite:///x.db")))
    return lambda path, **request: fetch(whole, path, **request)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/studies"),
        ("PUT", "/api/studies/1/note"),
        ("PUT", "/api/studies/1/1/note"),
        ("POST", "/api/studies/1/preference"),
        ("PUT", "/api/studies/1/preference_feedback_component"),
        ("POST", "/api/trials/1/tell"),
        ("POST", "/api/trials/1/user-attrs"),
        ("POST", "/api/artifacts/1"),
        ("POST", "/api/artifacts/1/1"),
        ("DELETE", "/api/studies/999"),
        ("DELETE", "/api/studies/-1"),
        ("POST", "/api/studies/999/rename"),
        ("POST", f"/api/trials/{HUGE}/tell"),
    ],
)
def test_no_body_is_a_server_error(fetch_guarded: Any, method: str, path: str) -> None:
    """Every malformed body gets a response with the reason."""
    for body in BODIES:
        response: Received = fetch_guarded(path, method=method, body=body)
        assert 400 <= response.status < 500, (body, response.body)
        assert response.json["reason"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_is_not_sent_as_json_is_refused(site: Site, content_type: str) -> None:
    """Optuna's dashboard reads bodies of the type JSON only, and answers all others with status 500."""
    sent = environ("/api/studies", method="POST", body=b'{"study_name":"a","directions":["minimize"]}')
    refused = run_wsgi_app(site.site, {**sent, "CONTENT_TYPE": content_type})
    assert refused[1] == "415 UNSUPPORTED MEDIA TYPE"
    assert b"Content-Type: must be application/json" in b"".join(refused[0])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/studies/1?after=abc", 400),
        ("/api/studies/1?after=-5", 400),
        (f"/api/studies/1?after={HUGE}", 400),
        (f"/api/studies/{HUGE}", 404),
        ("/api/studies/999/plot/contour", 404),
        ("/api/studies/-1/plot/slice", 404),
        (f"/csv/{HUGE}", 404),
        ("/csv/999", 404),
        (f"/artifacts/{HUGE}/1/ab", 404),
        ("/%ff%fe", 404),
        ("/api/studies/1?token=\xff&after=\xfe", 400),
        ("/static/%00", 404),
    ],
)
def test_no_address_is_a_server_error(fetch_guarded: Any, path: str, status: int) -> None:
    """Numbers too large for a column, unknown studies, and bytes that are not UTF-8 are errors of the client."""
    assert fetch_guarded(path).status == status


def test_all_problems_of_a_body_are_named(fetch_guarded: Any) -> None:
    """The response to a body with several wrong fields has the rule and the value of each."""
    body = json.dumps({"study_name": "", "directions": ["up"]}).encode()
    assert fetch_guarded("/api/studies", method="POST", body=body).json["reason"] == (
        "study_name: must be a name of 1 to 200 characters (got ''); "
        """directions: must be a list of "minimize" and "maximize" (got ['up'])"""
    )


def test_valid_requests_are_accepted(fetch_guarded: Any, site: Site) -> None:
    """Requests of the dashboard's own pages pass the checks."""
    body = json.dumps({"study_name": "new", "directions": ["minimize"]}).encode()
    assert fetch_guarded("/api/studies", method="POST", body=body).status == 201
    note = json.dumps({"version": 1, "body": "a note"}).encode()
    assert fetch_guarded("/api/studies/4/note", method="PUT", body=note).status == 204
    assert fetch_guarded("/api/studies/4", method="DELETE").status == 204
    assert [study.spec.name for study in site.store.studies.all()] == [
        "digits",
        site.hostile.spec.name,
        "diabetes",
    ]


@pytest.mark.parametrize("path", ["/static/bundle.js", "/static/bundle.js.LICENSE.txt", "/favicon.ico"])
def test_files_are_sent_without_an_encoding_header(fetch_guarded: Any, path: str) -> None:
    """A client that does not accept compression, or sends no such header, gets the plain file, its head and a range."""
    plain, head = fetch_guarded(path), fetch_guarded(path, method="HEAD")
    assert (plain.status, "content-encoding" in plain.headers) == (200, False)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(plain.body)))
    refused = fetch_guarded(path, headers={"Accept-Encoding": "br, gzip;q=0"})
    assert (refused.status, refused.body) == (200, plain.body)
    part = fetch_guarded(path, headers={"Range": "bytes=0-9"})
    assert (part.status, part.body) == (206, plain.body[:10])
    packed = fetch_guarded(path, headers={"Accept-Encoding": "gzip, deflate"})
    assert gzip.decompress(packed.body) == plain.body
