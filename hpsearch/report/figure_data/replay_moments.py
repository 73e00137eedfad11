"""Distributions over time and by depth: heat maps of one layer each, and moments of all layers side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np

from hpsearch.report.figure_data.replay_lines import Line, LinePanel, Point, ScaleKind, Span, panel
from hpsearch.report.formats import format_tick
from hpsearch.training.distributions import BIN_EDGES, BINS, ZERO_BIN, Distribution
from hpsearch.training.recorder import LayerMoment
from hpsearch.training.recording import Recording, evenly_spaced

_DEPTH_LINES = 4
_MOST_LAYERS = 6


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """How the numbers of one array were distributed at each kept step.

    `shares` has a row for each of the `bins`, which are named from the lowest up, and a column for each of the
    `steps`; shares are in 0..1, of all numbers, NaN included in those but in no bin but `NaN`, which is the last.
    """

    title: str
    steps: tuple[int, ...]
    bins: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


def heat_map(recording: Recording, layer: int, name: str) -> HeatMap | None:
    """Return the map of a dense layer (from 0): `before` or `after` its activation, or its `gradient`.

    None where no moment was kept.
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
    return HeatMap(
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
"""The heat maps of a layer, by name; the output layer has its logits before and after."""

_Measure: TypeAlias = Callable[[LayerMoment], float]

DEPTH_PANELS: Final[Mapping[str, tuple[str, ScaleKind | None, _Measure]]] = {
    "depth-mean": ("mean of activations", None, lambda layer: layer.after.mean),
    "depth-variance": ("variance of activations", "log", lambda layer: layer.after.variance),
    "depth-gradient-mean": ("mean of gradients", None, lambda layer: layer.gradient.mean),
    "depth-gradient-variance": ("variance of gradients", "log", lambda layer: layer.gradient.variance),
    "depth-kurtosis": ("kurtosis of gradients", "log", lambda layer: layer.gradient.kurtosis),
}
"""What is drawn against depth: a title, a scale, and what of a layer."""


def depth_panel(name: str, recording: Recording) -> LinePanel | None:
    """Return the panel of that name: a line over all dense layers for each of four steps; None without moments."""
    if not recording.moments:
        return None
    title, kind, measure = DEPTH_PANELS[name]
    lines = [
        Line(
            name=f"step {moment.step:,}",
            points=tuple(
                Point(x=depth, value=measure(layer)) for depth, layer in enumerate(moment.layers, start=1)
            ),
        )
        for moment in (
            recording.moments[place] for place in evenly_spaced(len(recording.moments), _DEPTH_LINES)
        )
    ]
    span = Span(title="layer", low=1, high=max(len(recording.network.blocks), 2))
    return panel(title, lines, span, kind)


def shown_layers(recording: Recording) -> tuple[int, ...]:
    """Return the layers that have heat maps: all, or six of them, the first and the last among them."""
    return evenly_spaced(len(recording.network.blocks), _MOST_LAYERS)
