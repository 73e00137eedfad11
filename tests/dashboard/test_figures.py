"""Figures drawn in the background."""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from hpsearch.dashboard.figures import MAX_WAITING, FigureRenderer, Figures
from hpsearch.dashboard.live import StudyView
from tests.report import synthetic


def test_a_page_does_not_wait_for_figures() -> None:
    """A page gets no figures while they are drawn, never older ones, and gets them when they are ready."""
    allowed, begun = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]

    def draw(view: StudyView) -> Figures:
        begun[view.version].set()
        assert allowed[view.version].wait(60)
        return {"figure": str(view.version)}

    renderer = FigureRenderer(draw)
    first, second = (StudyView(version=version, snapshot=synthetic.empty()) for version in range(2))
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

    renderer, view = FigureRenderer(draw), StudyView(version=0, snapshot=synthetic.empty())
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

    assert FigureRenderer(draw).figures(StudyView(version=0, snapshot=synthetic.empty()), wait_s=20) == {}
    assert "no ink" in caplog.text
