"""The best trials one by one, each as a small figure."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from hpsearch.report.figure_data.axes import Tick
from hpsearch.report.figure_data.best_curves import BestCurve, BestCurves, PartCurve
from hpsearch.report.figures.drawing import (
    domains,
    escaped,
    fate_trace,
    figure,
    hover,
    lowest_axis,
    plain_axis,
    rail_rows,
    result_axes,
    result_bands,
    rounded,
    ticked,
)
from hpsearch.report.formats import format_result
from hpsearch.report.palette import INK, LOOKS, SOFT_INK
from hpsearch.trials import Fate

_PLOT_PX: Final = 92
_LABELS: Final = 3
_MARGIN: Final = {"l": 40, "r": 8, "t": 24, "b": 24}


def draw_best_curve(trial: BestCurve, data: BestCurves) -> go.Figure:
    """Return the curves of one of the best trials; all of them have the axes of `data`."""
    places, height = domains(result_bands(data.scale, data.rails, _PLOT_PX))
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "",
            anchor=lowest_axis(data.scale, data.rails),
            range=[0, 1.04 * data.epochs],
            **ticked(_few(data.ticks)),
        ),
        **result_axes(data.scale, data.rails, places),
        "title": {"text": escaped(trial.title), "x": 0, "xanchor": "left", "y": 1, "yanchor": "top"},
        "margin": _MARGIN,
        "height": height + _MARGIN["t"] + _MARGIN["b"],
    }
    layout["title"] |= {"font": {"size": 12, "color": INK}, "pad": {"t": 4}}
    layout["yaxis"] |= {"title": None, **ticked(_few(data.scale.ticks))}
    return figure(_traces(trial, data), layout, plot_px=height)


def _few(ticks: Sequence[Tick]) -> tuple[Tick, ...]:
    """Return at most three ticks, evenly spread, so that labels keep apart in a small figure."""
    stride = max(-(-(len(ticks) - 1) // (_LABELS - 1)), 1)
    return tuple(ticks[::stride])


def _traces(trial: BestCurve, data: BestCurves) -> Iterator[go.Scatter]:
    rows = rail_rows(data.rails, data.scale)
    for curve in trial.curves:
        if curve.points:
            yield _line(curve, trial)
        railed = [point for point in curve.points if point.place.rail is not None]
        if railed:
            yield fate_trace(
                Fate.COMPLETE,
                mode="markers",
                x=[point.epoch for point in railed],
                y=[rows[point.place.rail or ""] for point in railed],
                yaxis="y2",
                hovertext=[_words(curve, trial, point.epoch, point.value) for point in railed],
                marker={"size": 4, "color": _colour(curve)},
            )


def _line(curve: PartCurve, trial: BestCurve) -> go.Scatter:
    """Return the line of one part; what is on a rail is a gap in it, and a single point is a dot."""
    heights = [
        None if point.place.position is None else rounded(point.place.position) for point in curve.points
    ]
    return fate_trace(
        Fate.COMPLETE,
        mode="lines" if len(heights) > 1 else "lines+markers",
        x=[point.epoch for point in curve.points],
        y=heights,
        hovertext=[_words(curve, trial, point.epoch, point.value) for point in curve.points],
        line={"width": 1.6, "color": _colour(curve), "dash": "dot" if curve.part == "training" else "solid"},
        connectgaps=False,
    )


def _colour(curve: PartCurve) -> str:
    return SOFT_INK if curve.part == "training" else LOOKS[Fate.COMPLETE].colour


def _words(curve: PartCurve, trial: BestCurve, epoch: int, value: float | None) -> str:
    """Return what hovering says: the point, and at its end the whole trial."""
    here = f"epoch {epoch}: {curve.part} loss {format_result(value, 'loss')}"
    return hover((here, *trial.hover) if epoch == len(curve.points) else (here, *trial.hover[:2]))
