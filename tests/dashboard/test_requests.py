"""Malformed requests to Optuna's dashboard: each gets a 4xx with its reason, and none a 500."""

import gzip
import json
import logging
from typing import Any

import pytest

from hpsearch.dashboard.application import guards, protected
from hpsearch.dashboard.options import Options
from tests.dashboard.asking import Asked, ask
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
def asked(site: Site, caplog: pytest.LogCaptureFixture) -> Any:
    """Return what asks the site behind its guards. Optuna's dashboard logs what it refuses, which is not ours."""
    caplog.set_level(logging.CRITICAL)
    whole = protected(site.site, guards(Options(url="sqlite:///x.db")))
    return lambda path, **request: ask(whole, path, **request)


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
def test_no_body_is_an_error_of_ours(asked: Any, method: str, path: str) -> None:
    """Whatever is sent in place of what a path takes, the answer states what is wrong with it."""
    for body in BODIES:
        answer: Asked = asked(path, method=method, body=body)
        assert 400 <= answer.status < 500, (body, answer.body)
        assert answer.json["reason"]


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
        ("/%ff%fe", 302),
        ("/static/%00", 404),
    ],
)
def test_no_address_is_an_error_of_ours(asked: Any, path: str, status: int) -> None:
    """Numbers that no column holds, studies that do not exist and bytes that are no text are the client's errors."""
    assert asked(path).status == status


def test_all_problems_of_a_body_are_named(asked: Any) -> None:
    """A body with several wrong fields names each, with what it must be and what it was."""
    body = json.dumps({"study_name": "", "directions": ["up"]}).encode()
    assert asked("/api/studies", method="POST", body=body).json["reason"] == (
        "study_name: must be a name of 1 to 200 characters (got ''); "
        """directions: must be a list of "minimize" and "maximize" (got ['up'])"""
    )


def test_good_requests_pass(asked: Any, site: Site) -> None:
    """Requests of the dashboard's own pages are answered as before."""
    body = json.dumps({"study_name": "new", "directions": ["minimize"]}).encode()
    assert asked("/api/studies", method="POST", body=body).status == 201
    note = json.dumps({"version": 1, "body": "a note"}).encode()
    assert asked("/api/studies/4/note", method="PUT", body=note).status == 204
    assert asked("/api/studies/4", method="DELETE").status == 204
    assert [study.spec.name for study in site.store.studies.all()] == [
        "digits",
        site.hostile.spec.name,
        "diabetes",
    ]


@pytest.mark.parametrize("path", ["/static/bundle.js", "/static/bundle.js.LICENSE.txt", "/favicon.ico"])
def test_files_need_no_header(asked: Any, path: str) -> None:
    """A client that accepts no compression, or does not say, gets the file as it is, also its head and a range."""
    plain, head = asked(path), asked(path, method="HEAD")
    assert (plain.status, "content-encoding" in plain.headers) == (200, False)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(plain.body)))
    refused = asked(path, headers={"Accept-Encoding": "br, gzip;q=0"})
    assert (refused.status, refused.body) == (200, plain.body)
    part = asked(path, headers={"Range": "bytes=0-9"})
    assert (part.status, part.body) == (206, plain.body[:10])
    packed = asked(path, headers={"Accept-Encoding": "gzip, deflate"})
    assert gzip.decompress(packed.body) == plain.body
