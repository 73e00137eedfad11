"""Our figures among those of a study in Optuna's dashboard: the search map, the failures, the curves."""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.dashboard.live import StudyView
from hpsearch.report.figures.catalogue import Exhibit, Panel, exhibits

SHOWN: Final = ("search-map", "learning-rates", "learning-curves")
PREFIX: Final = "hpsearch-"

_LEGEND: Final = -0.24
"""The top of the legend in heights of the plot: in Optuna's dashboard the plot is low, and the axis has a title."""


def study_figures(drawn: Sequence[Exhibit]) -> dict[str, go.Figure]:
    """Return id -> figure, with a title, and in the size of its place in Optuna's dashboard."""
    return {
        f"{PREFIX}{panel.name}": _placed(panel.figure, _title(exhibit, panel))
        for exhibit in drawn
        if exhibit.name in SHOWN
        for panel in exhibit.panels
    }


def figure_texts(drawn: Sequence[Exhibit]) -> Mapping[str, str]:
    """Return id -> figure as JSON text."""
    return {
        name: json.dumps(plain_json(figure.to_plotly_json())) for name, figure in study_figures(drawn).items()
    }


def plain_json(value: Any) -> Any:
    """Return a result of `to_plotly_json` as plain JSON values."""
    if isinstance(value, Mapping):
        return {key: plain_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _title(exhibit: Exhibit, panel: Panel) -> str:
    """Return a title that fits half of a phone: the exhibit's, or the panel's label if there are several."""
    label = panel.label.removesuffix(".")
    return exhibit.title if len(exhibit.panels) == 1 else f"{label[:1].upper()}{label[1:]}"


def _placed(figure: go.Figure, title: str) -> go.Figure:
    placed = go.Figure(figure)
    placed.add_traces([_key(trace) for trace in placed.data if _is_coloured_by_result(trace)])
    placed.update_traces({"showlegend": False}, selector=_is_coloured_by_result)
    margin = placed.layout.margin.t or 0
    return placed.update_layout(
        title={"text": title, "font": {"size": 14}},
        height=None,
        width=None,
        margin={"t": max(margin, 60)},
        legend={"y": _LEGEND},
    )


def _is_coloured_by_result(trace: Any) -> bool:
    return trace.type == "scatter" and trace.marker.coloraxis is not None


def _key(trace: go.Scatter) -> go.Scatter:
    """Return the trace's legend entry in the colour of its fate: Plotly would draw it black."""
    style = {"symbol": trace.marker.symbol, "size": trace.marker.size, "color": trace.marker.line.color}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=trace.name, legendgroup=trace.legendgroup, marker=style
    )


WAIT_S: Final = 0.3
"""How long a new page waits for figures. If they take longer, its next request, some seconds later, gets them."""

LONG_WAIT_S: Final = 10.0
"""How long a visible page waits for newer figures; until they are ready it shows the previous state."""

MAX_WAITING: Final = 4
"""Maximum number of requests that wait that long: the server's other threads answer all others."""

_log: Final = logging.getLogger(__name__)
_NAME: Final = "figures"

Figures = Mapping[str, str]


def render_figures(view: StudyView) -> Figures:
    """Return id -> figure as JSON text."""
    return view.cached(_NAME, lambda _: figure_texts(view.cached("exhibits", exhibits)))


@final
class FigureRenderer:
    """The figures of studies, by id as JSON text. One thread draws them, so they use one core at most.

    Figures are those of the requested state, or none: older ones next to newer numbers would contradict them.
    """

    def __init__(self, draw: Callable[[StudyView], Figures] = render_figures) -> None:
        self._draw = draw
        self._lock = threading.Lock()
        self._newest: dict[str, tuple[int, Future[Figures]]] = {}
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="hpsearch-drawings")

    def figures(self, view: StudyView, *, wait_s: float = WAIT_S) -> Figures:
        """Return the figures of a study's state, or none if drawing them takes longer than `wait_s`."""
        key = view.snapshot.study.key
        with self._lock:
            version, drawing = self._newest.get(key, (None, None))
            if drawing is None or version != view.version:
                if drawing is not None:
                    drawing.cancel()  # it has not begun, or it continues without a waiting request
                drawing = self._pool.submit(self._render, view)
                self._newest[key] = (view.version, drawing)
        waits_long = wait_s > WAIT_S and self._waiting.acquire(blocking=False)
        try:
            return drawing.result(timeout=wait_s if waits_long else min(wait_s, WAIT_S))
        except (TimeoutError, CancelledError):
            return {}
        finally:
            if waits_long:
                self._waiting.release()

    def _render(self, view: StudyView) -> Figures:
        try:
            return self._draw(view)
        except Exception:  # noqa: BLE001 # a failed picture must not prevent the page
            _log.exception("study %s: its figures could not be drawn", view.snapshot.study.spec.name)
            return {}
