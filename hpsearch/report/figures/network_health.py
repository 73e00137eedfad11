"""Network health: figures of the statistics against the learning rate and per trial and epoch."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import (
    Axis,
    Tick,
    axis_of,
    coordinate,
    count_ticks,
    learning_rate_of,
    ticks_between,
)
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import (
    colour_bar,
    domains,
    figure,
    hover,
    hover_lines,
    lowest_axis,
    placed_marks,
    plain_axis,
    result_axes,
    result_bands,
    rounded,
    search_axis,
    ticked,
)
from hpsearch.report.figures.sample import count_words, sample
from hpsearch.report.figures.scales import (
    INFINITE,
    NOT_A_NUMBER,
    PlacedMark,
    ScalePlace,
    cap_over,
    placed,
    rails_beyond,
    rails_of,
)
from hpsearch.report.palette import RAIL_COLOURS, RESULT_COLOURS
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Series
from hpsearch.trials import SURVIVED, Fate, Trial

ROWS: Final = 150
"""Maximum number of heat map rows; more trials than this are sampled evenly over the learning rates."""

SHARE: Final = "dead_share"
TITLES: Final[Mapping[str, str]] = {
    SHARE: "dead units",
    "gradient_norm": "gradient norm",
    "weight_norm": "weight norm",
    "output_range": "spread of the outputs",
}
"""The statistics drawn against the learning rate: series -> title."""

HEAT: Final = (SHARE, "gradient_norm")
"""The statistics drawn per trial and epoch."""

_CAP_OVER_SURVIVORS: Final = 1e3
_SHARE_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_LABELS: Final = 8


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HealthScale:
    """The scale of one statistic: linear over 0..1 for shares (`floor` is None), else logarithmic.

    On a logarithmic scale, 0 is drawn at `floor`, below all other values, with its own label. Values above `cap` are
    drawn on a rail.
    """

    title: str
    low: float
    high: float
    ticks: tuple[Tick, ...]
    floor: float | None
    cap: float

    @property
    def maximize(self) -> bool:
        """False: the rails are above the scale, next to overflowing values."""
        return False

    @property
    def rails(self) -> tuple[str, ...]:
        """All possible rails of the scale, the nearest to the scale first."""
        return rails_beyond(self.cap)

    def place(self, value: float | None) -> ScalePlace:
        """Return the place of a value; None, NaN and infinities are on rails."""
        return placed(value, cap=self.cap, position=self._position)

    def _position(self, value: float) -> float:
        return value if self.floor is None else math.log10(max(value, self.floor))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HealthPanel:
    """One statistic of the ended trials, of all or of a sample, against one searched dimension."""

    name: str
    x: Axis
    scale: HealthScale
    rails: tuple[str, ...]
    marks: tuple[PlacedMark, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HeatRow:
    """One trial: a place and a text for each finished epoch."""

    number: int
    fate: Fate
    places: tuple[ScalePlace, ...]
    texts: tuple[str, ...]
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HeatMap:
    """One statistic per trial and epoch, with the lowest learning rate in the first row; `ticks` label rows."""

    name: str
    title: str
    scale: HealthScale
    rows: tuple[HeatRow, ...]
    ticks: tuple[Tick, ...]
    rows_title: str
    epochs: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkHealth:
    """Panels against the learning rate (empty if nothing is searched), and heat maps per trial and epoch."""

    panels: tuple[HealthPanel, ...]
    maps: tuple[HeatMap, ...]
    caption: str


def network_health(snapshot: Snapshot) -> NetworkHealth | None:
    """Return the health of all ended trials with recorded series; None if there are none.

    If no learning rate is searched, the first searched dimension replaces it.
    """
    recorded = [trial for trial in snapshot.trials if snapshot.series.get(trial.number, {}).get(SHARE)]
    if not recorded:
        return None
    search = snapshot.study.spec.search
    dimension = learning_rate_of(search) or next(iter(search), None)
    axis = None if dimension is None else axis_of(dimension)
    drawn = sample(snapshot)
    names = [name for name in TITLES if any(name in snapshot.series[trial.number] for trial in recorded)]
    return NetworkHealth(
        panels=() if axis is None else tuple(_panel(snapshot, drawn, axis, name) for name in names),
        maps=tuple(_map(snapshot, recorded, axis, name) for name in HEAT if name in names),
        caption=_caption(recorded, drawn, names, axis),
    )


def _panel(snapshot: Snapshot, drawn: Sequence[Trial], axis: Axis, name: str) -> HealthPanel:
    last = {trial.number: _last(snapshot.series.get(trial.number), name) for trial in snapshot.trials}
    usual = [last[trial.number] for trial in snapshot.trials if _has_survived(trial)]
    scale = _scale(name, last.values(), survivors=usual)
    marks = []
    for trial in drawn:
        x = coordinate(trial, axis)
        if x is not None and _has_statistic(trial, snapshot, name):
            place, hover = scale.place(last[trial.number]), hover_lines(trial, snapshot.study.spec)
            marks.append(PlacedMark(number=trial.number, fate=trial.fate, x=x, place=place, hover=hover))
    rails = rails_of(scale, (mark.place for mark in marks))
    return HealthPanel(name=name, x=axis, scale=scale, rails=rails, marks=tuple(marks))


def _has_statistic(trial: Trial, snapshot: Snapshot, name: str) -> bool:
    """Return True for an ended trial whose statistic is recorded, or that finished no epoch."""
    series = snapshot.series.get(trial.number, {})
    return trial.state.is_final and (name in series or not (trial.curve or any(map(len, series.values()))))


def _has_survived(trial: Trial) -> bool:
    return trial.fate in SURVIVED


def _last(series: Series | None, name: str) -> float | None:
    values = (series or {}).get(name, ())
    return float(values[-1]) if len(values) else None


def _scale(name: str, values: Iterable[float | None], *, survivors: Iterable[float | None]) -> HealthScale:
    if name == SHARE:
        ticks = tuple(Tick(at=share, text=f"{100 * share:.0f} %") for share in _SHARE_TICKS)
        return HealthScale(
            title=f"{TITLES[name]} (worst layer)", low=-0.03, high=1.03, ticks=ticks, floor=None, cap=math.inf
        )
    known = [value for value in survivors if value is not None]
    cap = cap_over(known, times=_CAP_OVER_SURVIVORS)
    seen = [value for value in values if value is not None and math.isfinite(value) and value <= cap]
    return _log_scale(TITLES[name], seen, cap)


def _log_scale(title: str, values: Sequence[float], cap: float) -> HealthScale:
    """Return a scale over the positive `values`, at least one decade long, with a label for 0 below it."""
    positive = [value for value in values if value > 0] or [1.0]
    first, last = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    last = max(last, first + 1)
    marks = [
        Tick(at=math.log10(tick.at), text=tick.text)
        for tick in ticks_between(10.0**first, 10.0**last, log=True)
    ]
    low, has_zero = float(first), len(positive) < len(values)
    if has_zero:
        low -= max(0.08 * (last - first), 0.3)
        marks.insert(0, Tick(at=low, text="0"))
    margin = 0.03 * (last - low)
    return HealthScale(
        title=title, low=low - margin, high=last + margin, ticks=tuple(marks), floor=10.0**low, cap=cap
    )


def _map(snapshot: Snapshot, trials: Sequence[Trial], axis: Axis | None, name: str) -> HeatMap:
    ordered = _spread(sorted(trials, key=lambda trial: _order(trial, axis)))
    values = {trial.number: snapshot.series[trial.number].get(name, ()) for trial in ordered}
    flat = [float(value) for numbers in values.values() for value in numbers]
    usual = [float(v) for trial in ordered if _has_survived(trial) for v in values[trial.number]]
    scale = _scale(name, flat, survivors=usual)
    rows = tuple(_row(trial, values[trial.number], scale, snapshot) for trial in ordered)
    return HeatMap(
        name=name,
        title=scale.title,
        scale=scale,
        rows=rows,
        ticks=_row_ticks(ordered, axis),
        rows_title="trials by number" if axis is None else f"trials by {axis.title}",
        epochs=max(len(row.places) for row in rows),
    )


def _order(trial: Trial, axis: Axis | None) -> tuple[float, int]:
    x = None if axis is None else coordinate(trial, axis)
    return (-math.inf if x is None else x, trial.number)


def _spread(trials: Sequence[Trial]) -> list[Trial]:
    if len(trials) <= ROWS:
        return list(trials)
    return [trials[index * (len(trials) - 1) // (ROWS - 1)] for index in range(ROWS)]


def _row(trial: Trial, values: Sequence[float], scale: HealthScale, snapshot: Snapshot) -> HeatRow:
    return HeatRow(
        number=trial.number,
        fate=trial.fate,
        places=tuple(scale.place(float(value)) for value in values),
        texts=tuple(format_number(float(value)) for value in values),
        hover=hover_lines(trial, snapshot.study.spec),
    )


def _row_ticks(trials: Sequence[Trial], axis: Axis | None) -> tuple[Tick, ...]:
    """Return row labels: each axis tick at the first row that reaches it, or trial numbers if there is no axis."""
    if axis is None:
        stride = max(1, len(trials) // _LABELS)
        return tuple(Tick(at=row, text=str(trials[row].number)) for row in range(0, len(trials), stride))
    places = [_order(trial, axis)[0] for trial in trials]
    found: list[Tick] = []
    for tick in axis.ticks:
        row = bisect_left(places, tick.at - (0.5 if axis.kind == "category" else 0.0))
        is_apart = not found or row - found[-1].at >= len(trials) / (2 * _LABELS)
        if row < len(trials) and is_apart:
            found.append(Tick(at=row - 0.5, text=tick.text))
    return tuple(found)


def _caption(trials: Sequence[Trial], drawn: Sequence[Trial], names: Sequence[str], axis: Axis | None) -> str:
    sentences = []
    if axis is not None:
        recorded = {trial.number for trial in trials}
        count = count_words(sum(trial.number in recorded for trial in drawn), len(trials))
        sentences.append(f"Above: the last epoch of {count} against {axis.title}.")
    shown = "each of them" if len(trials) <= ROWS else f"{ROWS} of them, spread evenly over the order,"
    order = "number" if axis is None else axis.title
    sentences.append(
        f"Below: {shown} as a row, epoch by epoch, ordered by {order}; empty after the trial's end."
    )
    missing = [TITLES[name] for name in TITLES if name not in names]
    if missing:
        sentences.append(f"Not recorded by the version that trained these trials: {', '.join(missing)}.")
    return " ".join(sentences)


_ROW_PX = 4
_STEP = 0.15
"""Share of the colour scale that each rail occupies."""


def draw_health_panel(data: HealthPanel) -> go.Figure:
    """Draw one statistic against the learning rate: a marker for each trial, with rails above the scale."""
    places, height = domains(result_bands(data.scale, data.rails, 200))
    layout: dict[str, Any] = {
        "xaxis": search_axis(data.x, anchor=lowest_axis(data.scale, data.rails)),
        **result_axes(data.scale, data.rails, places),
    }
    marks = placed_marks(data.marks, data.rails, data.scale, in_legend=True, cliponaxis=False)
    return figure(marks, layout, plot_px=height)


def draw_heat_map(data: HeatMap) -> go.Figure:
    """Draw a statistic as colours, one row per trial. Fates are separate traces, so that they can be filtered."""
    rows = len(data.rows)
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "epochs", range=[0.5, data.epochs + 0.5], showgrid=False, **ticked(_epoch_ticks(data.epochs))
        ),
        "yaxis": plain_axis(data.rows_title, range=[-0.5, rows - 0.5], showgrid=False, **ticked(data.ticks)),
        "coloraxis": _colour_axis(data),
    }
    return figure(_cells(data), layout, plot_px=max(_ROW_PX * rows, 160), top_px=36)


def _epoch_ticks(epochs: int) -> tuple[Tick, ...]:
    return tuple(tick for tick in count_ticks(epochs) if tick.at >= 1) or (Tick(at=1, text="1"),)


def _cells(data: HeatMap) -> Iterator[go.Heatmap]:
    for fate in Fate:
        rows = [row if row.fate is fate else None for row in data.rows]
        longest = max((len(row.places) for row in rows if row is not None), default=0)
        if longest:
            yield go.Heatmap(
                name=fate.value,
                meta={"fate": fate.value},
                x=list(range(1, longest + 1)),
                y=list(range(len(rows))),
                z=[[] if row is None else [_colour(place, data) for place in row.places] for row in rows],
                text=[[] if row is None else list(row.texts) for row in rows],
                hovertext=[_cell_words(row) for row in rows],
                hovertemplate=f"epoch %{{x}}: {data.title} %{{text}}<br>%{{hovertext}}<extra></extra>",
                hoverongaps=False,
                coloraxis="coloraxis",
                xgap=1 if data.epochs <= 60 else 0,
            )


def _cell_words(row: HeatRow | None) -> list[str]:
    return [] if row is None else [hover(row.hover)] * len(row.places)


def _colour(place: ScalePlace, data: HeatMap) -> float:
    """Return the place's position on the colour scale; rails are above the upper end."""
    if place.position is not None:
        return rounded(place.position)
    return rounded(_rail_position(place.rail or "", data))


def _rail_position(rail: str, data: HeatMap) -> float:
    width = _STEP * (data.scale.high - data.scale.low)
    return data.scale.high + width * (_rail_index(rail) + 0.5)


def _rail_index(rail: str) -> int:
    return {INFINITE: 1, NOT_A_NUMBER: 2}.get(rail, 0)


def _colour_axis(data: HeatMap) -> dict[str, Any]:
    """Return the colour axis from low to high values, followed by one colour for each rail in use."""
    used = {place.rail for row in data.rows for place in row.places if place.rail is not None}
    rails = [rail for rail in data.scale.rails if rail in used]
    last = max((_rail_index(rail) for rail in rails), default=-1)
    blocks = last + 1
    whole = 1 + blocks * _STEP
    colours = [
        [index / (len(RESULT_COLOURS) - 1) / whole, colour] for index, colour in enumerate(RESULT_COLOURS)
    ]
    edges = [(1 + index * _STEP) / whole for index in range(blocks + 1)]
    for colour, (low, high) in zip(RAIL_COLOURS, pairwise(edges), strict=False):
        colours += [[low, colour], [min(high, 1.0), colour]]
    labels = [Tick(at=_rail_position(rail, data), text=rail.replace("above ", "> ")) for rail in rails]
    return {
        "cmin": data.scale.low,
        "cmax": data.scale.low + whole * (data.scale.high - data.scale.low),
        "colorscale": colours,
        "colorbar": colour_bar(data.title, (*data.scale.ticks, *labels), length=1.0),
    }
