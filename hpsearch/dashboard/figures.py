"""Our figures among those of a study in Optuna's dashboard: the search map, the failures, the curves."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figures.catalogue import Exhibit, Panel

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
    return {name: json.dumps(plain(figure.to_plotly_json())) for name, figure in study_figures(drawn).items()}


def plain(value: Any) -> Any:
    """Return a result of `to_plotly_json` as plain JSON values."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
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
    look = {"symbol": trace.marker.symbol, "size": trace.marker.size, "color": trace.marker.line.color}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=trace.name, legendgroup=trace.legendgroup, marker=look
    )
