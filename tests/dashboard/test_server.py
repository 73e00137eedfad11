"""The warm-up of the server, and its options."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug import Request

from hpsearch.dashboard.links import study_link
from hpsearch.dashboard.server import Options, warm_up_in_background
from hpsearch.errors import StorageError, UsageError
from tests.dashboard.conftest import Site


def test_the_warm_up_requests_the_newest_study(site: Site) -> None:
    """The warm-up requests the page and the report of the newest study; without a study it requests nothing."""
    responses: dict[str, str] = {}

    def recording(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], info: Any = None, /
        ) -> Callable[[bytes], object]:
            responses[Request(environ).path] = status
            return start_response(status, headers, info)

        return site.site(environ, start)

    newest = site.store.studies.all()[-1]
    warm_up_in_background(recording, site.store).join(20)
    assert responses == {f"/api/studies/{newest.study_id}": "200 OK", study_link(newest.spec.name): "200 OK"}
    for study in site.store.studies.all():
        site.store.studies.delete(study.name)
    responses.clear()
    warm_up_in_background(recording, site.store).join(20)
    assert responses == {}


@pytest.mark.parametrize(
    ("error", "level"), [(ZeroDivisionError("a bug"), logging.ERROR), (StorageError("gone"), logging.INFO)]
)
def test_an_error_in_the_warm_up_is_logged(
    site: Site, caplog: pytest.LogCaptureFixture, error: Exception, level: int
) -> None:
    """An error in the warm-up ends only the warm-up; one that is a bug is logged as an error."""

    def broken(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    with caplog.at_level(logging.DEBUG):
        warm_up_in_background(broken, site.store).join(20)
    (entry,) = [entry for entry in caplog.records if "the warm-up failed" in entry.getMessage()]
    assert entry.levelno == level
    assert str(error) in caplog.text


def test_an_open_address_needs_a_token(tmp_path: Path) -> None:
    """Without a token the server listens on localhost only; a short token and a missing folder are refused."""
    Options(url="sqlite://", host="::1")
    Options(url="sqlite://", host="0.0.0.0", token="x" * 12)
    for host in ("0.0.0.0", "::", "10.0.0.5", "lab.example", ""):
        with pytest.raises(UsageError, match="HPSEARCH_TOKEN"):
            Options(url="sqlite://", host=host)
    with pytest.raises(UsageError, match=r"--allow-host: .*needs a token \(got lab.example\)"):
        Options(url="sqlite://", allowed_hosts=("lab.example",))
    with pytest.raises(UsageError, match=r"--token: must have 12 characters or more \(got 5\)"):
        Options(url="sqlite://", token="short")
    for token in ("x" * 12 + " ", " " * 20, "one line\nand another"):
        with pytest.raises(UsageError, match="without spaces around"):
            Options(url="sqlite://", token=token)
    with pytest.raises(UsageError, match="--artifacts: must be a folder"):
        Options(url="sqlite://", artifacts=tmp_path / "missing")
