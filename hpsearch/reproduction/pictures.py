"""Pictures of runs and recordings for the page."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from hpsearch.nn.arrays import Array
from hpsearch.report.figures.chart import Chart, ChartPoint, ChartSeries, draw_chart
from hpsearch.report.figures.replay_lines import LinePanel, draw_lines
from hpsearch.report.figures.replay_tracks import step_panel
from hpsearch.reproduction.records import Drawing, Picture
from hpsearch.training.recording import Recording

FIVE_PANELS = ("accuracy", "output-weights", "output-biases", "first-weights", "first-biases")
"""The panels of the articles: accuracy by minibatch, then mean weights and biases of both layers."""

_TITLES = {
    "accuracy": "Training accuracy",
    "output-weights": "Mean weights of layer 2",
    "output-biases": "Biases of layer 2",
    "first-weights": "Mean weights of layer 1",
    "first-biases": "Biases of layer 1",
}
_POINTS = 300


def five_panels(name: str, title: str, recording: Recording) -> Picture:
    """Return the articles' five panels of one recorded run."""
    drawings = [
        drawing(f"{name}-{panel}", f"{_TITLES[panel]} by minibatch: {title}", data, heading=_TITLES[panel])
        for panel in FIVE_PANELS
        if (data := step_panel(panel, recording, None)) is not None
    ]
    return Picture(
        name=name,
        title=title,
        caption=(
            "By minibatch: accuracy; mean weight and bias of each of ten units of layer 2, and of ten watched units of "
            "layer 1. A triangle marks where a unit fired for the last time. What outgrows its beginning a hundredfold "
            "is drawn on a logarithmic scale of either sign; what is not finite has a rail of its own."
        ),
        drawings=tuple(drawings),
    )


def charts(name: str, title: str, caption: str, shown: Mapping[str, Chart]) -> Picture:
    """Return charts side by side, each under its heading, which is empty for a single chart."""
    drawings = [
        drawing(
            f"{name}-{place}",
            f"{data.y_title} against {data.x_title}. {heading}".strip(),
            data,
            heading=heading,
        )
        for place, (heading, data) in enumerate(shown.items())
    ]
    left_out = sum(data.left_out for data in shown.values())
    missing = f" Not drawn: {left_out} points that are not finite or have no place." if left_out else ""
    return Picture(name=name, title=title, caption=caption + missing, drawings=tuple(drawings))


def drawing(name: str, label: str, data: LinePanel | Chart, *, heading: str = "") -> Drawing:
    """Return one drawing, as JSON for Plotly."""
    figure = (
        draw_chart(data, heading=heading) if isinstance(data, Chart) else draw_lines(data, heading=heading)
    )
    return Drawing(name=name, label=label, figure=_json_of(figure))


def curve(name: str, values: Array | Sequence[float], *, first: int = 0) -> ChartSeries:
    """Return successive numbers as a line of at most 300 evenly spread points."""
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), _POINTS)).astype(int))
    points = (ChartPoint(x=float(place + first), y=float(values[place])) for place in places.tolist())
    return ChartSeries(name=name, points=tuple(points))


def dots(name: str, pairs: Iterable[tuple[float, float]]) -> ChartSeries:
    """Return points alone."""
    return ChartSeries(name=name, points=tuple(ChartPoint(x=x, y=y) for x, y in pairs), style="dots")


def smoothed(values: Array, width: int) -> Array:
    """Return the means (S - width + 1,) of `width` neighbours; all of `values` (S,) if there are fewer."""
    if len(values) <= width:
        return values
    kernel = np.full(width, 1 / width)
    means: Array = np.convolve(values, kernel, mode="valid")
    return means


def _json_of(figure: go.Figure) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(figure.to_json())
    return made
