"""Distributions over time and by depth: heat maps of one layer each, and moments of all layers side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import numpy as np
import plotly.graph_objects as go

from hpsearch.analysis.formats import format_tick
from hpsearch.report.figures.drawing import figure, heading_words, plain_axis
from hpsearch.report.figures.replay_lines import Line, LineAxis, LinePanel, LinePoint, LineScaleKind, panel
from hpsearch.report.palette import PAPER, RESULT_COLOURS
from hpsearch.training.distributions import BIN_EDGES, BINS, ZERO_BIN, Distribution
from hpsearch.training.recording import LayerMoment, Recording, evenly_spaced

_DEPTH_LINES = 4
_MOST_LAYERS = 6


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DistributionMap:
    """The distribution of one array's numbers at each kept step.

    `shares` (bins, steps) has a row for each of the `bins`, which are named from the lowest up, and a column for each
    of the `steps`; shares are in 0..1 of all numbers. NaN counts only in the last bin, `NaN`.
    """

    title: str
    steps: tuple[int, ...]
    bins: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


def distribution_map(recording: Recording, layer: int, name: str) -> DistributionMap | None:
    """Return the map of a dense layer (from 0): `before` or `after` its activation, or its `gradient`.

    Return None if no moment was kept.
    """
    title, pick = HEAT_MAPS[name]
    found = [pick(moment.layers[layer]) for moment in recording.moments]
    if not found:
        return None
    counts = np.stack([np.append(one.counts, one.nans) for one in found], axis=1).astype(float)
    counts /= counts.sum(axis=0)
    used = np.flatnonzero(counts[:-1].any(axis=1))
    rows = list(range(used[0], used[-1] + 1)) if len(used) else []
    rows += [BINS] if counts[-1].any() else []
    return DistributionMap(
        title=title,
        steps=tuple(moment.step for moment in recording.moments),
        bins=tuple(bin_name(row) for row in rows),
        shares=tuple(tuple(float(f"{share:.4g}") for share in counts[row]) for row in rows),
    )


def bin_name(row: int) -> str:
    """Return the name of a bin of `BIN_EDGES`: `1e-3 to 3e-3`, `exactly 0`, `NaN`."""
    if row == BINS:
        return "NaN"
    if row == ZERO_BIN:
        return "exactly 0"
    if row == 0:
        return f"below {_edge(0)}"
    if row == BINS - 1:
        return f"from {_edge(BINS - 2)}"
    low = "0" if row == ZERO_BIN + 1 else _edge(row - 1)
    return f"{low} to {_edge(row)}"


def _edge(place: int) -> str:
    value = float(BIN_EDGES[place])
    return format_tick(float(f"{value:.1g}"))


Pick: TypeAlias = Callable[[LayerMoment], Distribution]

HEAT_MAPS: Final[Mapping[str, tuple[str, Pick]]] = {
    "before": ("before the activation", lambda layer: layer.before),
    "after": ("after the activation", lambda layer: layer.after),
    "gradient": ("gradient of the weights", lambda layer: layer.gradient),
}
"""The heat maps of a layer, by name; for the output layer, both activation maps show its logits."""

_Measure: TypeAlias = Callable[[LayerMoment], float]

DEPTH_PANELS: Final[Mapping[str, tuple[str, LineScaleKind | None, _Measure]]] = {
    "depth-mean": ("mean of activations", None, lambda layer: layer.after.mean),
    "depth-variance": ("variance of activations", "log", lambda layer: layer.after.variance),
    "depth-gradient-mean": ("mean of gradients", None, lambda layer: layer.gradient.mean),
    "depth-gradient-variance": ("variance of gradients", "log", lambda layer: layer.gradient.variance),
    "depth-kurtosis": ("kurtosis of gradients", "log", lambda layer: layer.gradient.kurtosis),
}
"""The quantities drawn against depth: a title, a scale, and a function of a layer."""


def depth_panel(name: str, recording: Recording) -> LinePanel | None:
    """Return the panel of that name: a line over all dense layers for each of four steps; None without moments."""
    if not recording.moments:
        return None
    title, kind, measure = DEPTH_PANELS[name]
    lines = [
        Line(
            name=f"step {moment.step:,}",
            points=tuple(
                LinePoint(x=depth, value=measure(layer)) for depth, layer in enumerate(moment.layers, start=1)
            ),
        )
        for moment in (
            recording.moments[place] for place in evenly_spaced(len(recording.moments), _DEPTH_LINES)
        )
    ]
    span = LineAxis(title="layer", low=1, high=max(len(recording.network.blocks), 2))
    return panel(title, lines, span, kind)


def shown_layers(recording: Recording) -> tuple[int, ...]:
    """Return the layers that have heat maps: all, or six of them including the first and the last."""
    return evenly_spaced(len(recording.network.blocks), _MOST_LAYERS)


_ROW_PX: Final = 7
_LEAST_PX: Final = 110
_MOST_LABELS: Final = 9


def draw_distributions(data: DistributionMap, *, heading: str = "") -> go.Figure:
    """Draw the map, with `heading` above it."""
    labels = [*range(0, len(data.bins), -(-len(data.bins) // _MOST_LABELS))]
    layout: dict[str, Any] = {
        "xaxis": plain_axis("step", tickformat=",d", nticks=7),
        "yaxis": plain_axis(
            data.title,
            type="category",
            automargin=True,
            tickmode="array",
            tickvals=labels,
            ticktext=[data.bins[place] for place in labels],
        ),
        "annotations": list(heading_words(heading)),
    }
    height = max(_LEAST_PX, _ROW_PX * len(data.bins))
    return figure([_trace(data)], layout, plot_px=height, top_px=22 if heading else 0)


def _trace(data: DistributionMap) -> go.Heatmap:
    last = len(RESULT_COLOURS)
    # Squared positions show shares by their roots, so that one hundredth of the numbers is still visible.
    stops = [(place / last) ** 2 for place in range(last + 1)]
    return go.Heatmap(
        x=list(data.steps),
        y=list(data.bins),
        z=[list(row) for row in data.shares],
        zmin=0,
        zmax=1,
        colorscale=list(map(list, zip(stops, (PAPER, *RESULT_COLOURS), strict=True))),
        showscale=False,
        hovertemplate="step %{x:,d}<br>%{y}: %{z:.1%}<extra></extra>",
    )
