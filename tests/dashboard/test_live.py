"""Data kept in memory, and figures drawn in the background."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from werkzeug import Request

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.figures import MAX_WAITING, FigureRenderer, Figures
from hpsearch.dashboard.links import report_link
from hpsearch.dashboard.live import LiveStudies, StudyView
from hpsearch.dashboard.server import Options, warm_up_in_background
from hpsearch.errors import StorageError, StudyNotFoundError, UsageError
from tests.dashboard.client import fetch
from tests.dashboard.conftest import Site
from tests.report import synthetic


def view_of(snapshot: Snapshot, version: int = 0) -> StudyView:
    """Return a view of a snapshot."""
    return StudyView(version=version, snapshot=snapshot)


def test_an_unchanged_study_has_the_same_view(site: Site) -> None:
    """The view of an unchanged study is the same object; a new budget makes another version."""
    live = LiveStudies(site.store)
    first = live.by_name("digits")
    assert live.by_name("digits") is first
    site.store.set_budget(site.digits, 70)
    assert live.by_name("digits").version != first.version


def test_a_view_agrees_with_the_database(site: Site) -> None:
    """Trials, series and progress of a view are those of the database."""
    snapshot = LiveStudies(site.store).by_name("digits").snapshot
    trials = site.store.trials(site.digits)
    assert list(snapshot.trials) == trials
    # Compared as text: NaN is not equal to itself.
    assert repr(snapshot.series) == repr(site.store.series(site.digits, [trial.number for trial in trials]))
    assert snapshot.progress == site.store.progress(site.digits)


def test_a_deleted_study_is_not_shown(site: Site) -> None:
    """A deleted study is not shown from memory."""
    live = LiveStudies(site.store)
    live.by_name("digits")
    site.store.delete_named(site.digits.name)
    with pytest.raises(StudyNotFoundError):
        live.by_name("digits")
    assert fetch(site.site, "/reports/digits").status == 404


def test_a_view_caches_results_by_name() -> None:
    """A result is computed once for each name, and one computation can request another."""
    view = view_of(synthetic.empty())
    made = [view.cached("a", lambda _: view.cached("b", lambda _: object())) for _ in range(2)]
    assert made[0] is made[1]


def test_a_page_does_not_wait_for_figures() -> None:
    """A page gets no figures while they are drawn, never older ones, and gets them when they are ready."""
    allowed, begun = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def draw(view: StudyView) -> Figures:
        begun[view.version].set()
        assert allowed[view.version].wait(60)
        return {"figure": str(view.version)}

    renderer = FigureRenderer(draw)
    first, second = (view_of(synthetic.empty(), version) for version in range(2))
    assert renderer.figures(first, wait_s=0.01) == {}
    allowed[0].set()
    assert renderer.figures(first, wait_s=60) == {"figure": "0"}
    assert renderer.figures(second, wait_s=0.01) == {}
    assert begun[1].wait(60)
    allowed[1].set()
    assert renderer.figures(second, wait_s=60) == {"figure": "1"}


def test_few_requests_wait_for_figures() -> None:
    """If many pages wait for slow figures, those beyond a few get a response at once, without figures."""
    allowed = threading.Event()

    def draw(view: StudyView) -> Figures:
        assert allowed.wait(60)
        return {"figure": "drawn"}

    renderer, view = FigureRenderer(draw), view_of(synthetic.empty())
    with ThreadPoolExecutor(MAX_WAITING + 1) as pages:
        futures = [pages.submit(renderer.figures, view, wait_s=60) for _ in range(MAX_WAITING + 1)]
        done, _ = wait(futures, timeout=30, return_when=FIRST_COMPLETED)
        assert [one.result() for one in done] == [{}]
        allowed.set()
        assert sorted(len(one.result(60)) for one in futures) == [0, *[1] * MAX_WAITING]


def test_a_figure_that_fails_does_not_prevent_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """A figure that cannot be drawn is absent, and the log has the reason."""

    def draw(view: StudyView) -> Figures:
        raise RuntimeError("no ink")

    assert FigureRenderer(draw).figures(view_of(synthetic.empty()), wait_s=20) == {}
    assert "no ink" in caplog.text


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

    newest = site.store.studies()[-1]
    warm_up_in_background(recording, site.store).join(20)
    assert responses == {f"/api/studies/{newest.study_id}": "200 OK", report_link(newest.spec.name): "200 OK"}
    for study in site.store.studies():
        site.store.delete_named(study.name)
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
