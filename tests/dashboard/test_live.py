"""Data kept in memory, and figures drawn in the background."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.drawings import WAITING_MOST, Drawings, Figures
from hpsearch.dashboard.links import report_link
from hpsearch.dashboard.live import LiveStudies, Seen
from hpsearch.dashboard.options import Options
from hpsearch.dashboard.warming import warm_in_background
from hpsearch.dashboard.wsgi import Header, path_of
from hpsearch.errors import StorageError, StudyNotFoundError, UsageError
from tests.dashboard.asking import ask
from tests.dashboard.conftest import Site
from tests.report import synthetic


def seen_of(snapshot: Snapshot, version: int = 0) -> Seen:
    """Return a look at a snapshot."""
    return Seen(version=version, snapshot=snapshot)


def test_an_unchanged_study_is_the_same(site: Site) -> None:
    """Two looks at a study in which nothing happened are one; a new budget makes another version."""
    live = LiveStudies(site.store)
    first = live.named("digits")
    assert live.named("digits") is first
    site.store.studies.set_budget(site.digits, 70)
    assert live.named("digits").version != first.version


def test_a_look_sees_what_the_database_has(site: Site) -> None:
    """Trials, series and progress of a look are those of the database."""
    snapshot = LiveStudies(site.store).named("digits").snapshot
    trials = site.store.trials.all(site.digits)
    assert list(snapshot.trials) == trials
    # Compared as text: NaN is not equal to itself.
    assert repr(snapshot.series) == repr(
        site.store.trials.series(site.digits, [trial.number for trial in trials])
    )
    assert snapshot.progress == site.store.studies.progress(site.digits)


def test_a_deleted_study_is_gone(site: Site) -> None:
    """A study that is deleted is not shown from memory."""
    live = LiveStudies(site.store)
    live.named("digits")
    site.store.studies.delete(site.digits.name)
    with pytest.raises(StudyNotFoundError):
        live.named("digits")
    assert ask(site.site, "/reports/digits").status == 404


def test_what_is_made_is_kept() -> None:
    """What is made of a look is made once, and makers of other things do not wait for it."""
    seen = seen_of(synthetic.empty())
    made = [seen.once("a", lambda _: seen.once("b", lambda _: object())) for _ in range(2)]
    assert made[0] is made[1]


def test_a_page_does_not_wait_for_a_picture() -> None:
    """While figures are drawn a page gets none, never older ones; when they are done it gets them."""
    allowed, begun = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def draw(seen: Seen) -> Figures:
        begun[seen.version].set()
        assert allowed[seen.version].wait(60)
        return {"figure": str(seen.version)}

    drawings = Drawings(draw)
    first, second = (seen_of(synthetic.empty(), version) for version in range(2))
    assert drawings.of(first, patience_s=0.01) == {}
    allowed[0].set()
    assert drawings.of(first, patience_s=60) == {"figure": "0"}
    assert drawings.of(second, patience_s=0.01) == {}
    assert begun[1].wait(60)
    allowed[1].set()
    assert drawings.of(second, patience_s=60) == {"figure": "1"}


def test_few_requests_wait_for_a_picture() -> None:
    """However many pages wait for figures that take long, those beyond a few are answered at once, without figures."""
    allowed = threading.Event()

    def draw(seen: Seen) -> Figures:
        assert allowed.wait(60)
        return {"figure": "drawn"}

    drawings, seen = Drawings(draw), seen_of(synthetic.empty())
    with ThreadPoolExecutor(WAITING_MOST + 1) as pages:
        asked = [pages.submit(drawings.of, seen, patience_s=60) for _ in range(WAITING_MOST + 1)]
        done, _ = wait(asked, timeout=30, return_when=FIRST_COMPLETED)
        assert [one.result() for one in done] == [{}]
        allowed.set()
        assert sorted(len(one.result(60)) for one in asked) == [0, *[1] * WAITING_MOST]


def test_a_picture_that_fails_does_not_take_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """A figure that cannot be drawn is missing, and the log has the reason."""

    def draw(seen: Seen) -> Figures:
        raise RuntimeError("no ink")

    assert Drawings(draw).of(seen_of(synthetic.empty()), patience_s=20) == {}
    assert "no ink" in caplog.text


def test_the_newest_study_is_asked_for_before_visitors_do(site: Site) -> None:
    """The page of the newest study and its report are asked for, and answered; without a study nothing is."""
    answers: dict[str, str] = {}

    def listening(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[Header], info: Any = None, /) -> Callable[[bytes], object]:
            answers[path_of(environ)] = status
            return start_response(status, headers, info)

        return site.site(environ, start)

    newest = site.store.studies.all()[-1]
    warm_in_background(listening, site.store).join(20)
    assert answers == {f"/api/studies/{newest.study_id}": "200 OK", report_link(newest.spec.name): "200 OK"}
    for study in site.store.studies.all():
        site.store.studies.delete(study.name)
    answers.clear()
    warm_in_background(listening, site.store).join(20)
    assert answers == {}


@pytest.mark.parametrize(
    ("error", "level"), [(ZeroDivisionError("a bug"), logging.ERROR), (StorageError("gone"), logging.INFO)]
)
def test_what_cannot_be_prepared_stops_nothing(
    site: Site, caplog: pytest.LogCaptureFixture, error: Exception, level: int
) -> None:
    """A fault while a study is prepared ends the preparation alone, and one of ours stands in the log as an error."""

    def broken(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise error

    with caplog.at_level(logging.DEBUG):
        warm_in_background(broken, site.store).join(20)
    (entry,) = [entry for entry in caplog.records if "nothing could be prepared" in entry.getMessage()]
    assert entry.levelno == level
    assert str(error) in caplog.text


def test_an_open_address_needs_a_token(tmp_path: Path) -> None:
    """Without a token only this machine is served; a short token and a missing folder are refused."""
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
