"""Worker activity over time: a lane for each worker, with idle gaps, heartbeats and lost leases."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import accumulate, pairwise
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.formats import format_duration, format_moment, format_share
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.drawing import (
    escaped,
    fate_trace,
    figure,
    hover,
    hover_lines,
    instant,
    marker,
    plain_axis,
)
from hpsearch.report.figures.sample import MOST_MARKS
from hpsearch.report.palette import INK, LOOKS, RAIL, SOFT_INK
from hpsearch.storage.records import Attempt, WorkerRecord
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate, Trial
from hpsearch.verdicts import Cause

NO_WORKER: Final = "another program"
"""The lane of trials without a worker of ours."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A time span in which one trial was trained. `row` counts from the top of its lane, from 0."""

    number: int
    fate: Fate
    row: int
    start: datetime
    end: datetime
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerEvent:
    """An event at one moment in a lane: a heartbeat, or the loss of a lease."""

    at: datetime
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerLane:
    """One worker. `rows` is the largest number of overlapping bars; `busy` is its training share of the time, as text.

    `beat` is its last heartbeat, or None if it is no longer registered.
    """

    worker: str
    rows: int
    bars: tuple[Bar, ...]
    busy: str
    beat: WorkerEvent | None
    lost: tuple[WorkerEvent, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """The lanes between `start` and `end`, in order of their first start from the top."""

    lanes: tuple[WorkerLane, ...]
    start: datetime
    end: datetime
    caption: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """A bar without an assigned row."""

    number: int
    fate: Fate
    start: datetime
    end: datetime
    hover: tuple[str, ...]


def workers(snapshot: Snapshot) -> Workers | None:
    """Return a lane for each worker that trained or holds a trial of the study; None if there is none.

    Of a large study these are the trials that began last.
    """
    trained = {_name(trial.worker) for trial in snapshot.trials if trial.started is not None}
    snapshot, words = _latest(snapshot)
    spans = _spans(snapshot)
    lost = _lost(snapshot)
    registered = {record.identity.name: record for record in snapshot.workers}
    holding = [name for name, record in registered.items() if snapshot.study.spec.name in record.running]
    names = list(dict.fromkeys([*spans, *lost, *holding]))
    if not names:
        return None
    times = [time for group in spans.values() for span in group for time in (span.start, span.end)]
    times += [event.at for events in lost.values() for event in events]
    times += [registered[name].started for name in holding]
    start, end = min(times), max(times)
    lanes = [
        _lane(name, spans.get(name, ()), lost.get(name, ()), registered.get(name), end=end) for name in names
    ]
    lanes.sort(key=lambda lane: (min((bar.start for bar in lane.bars), default=end), lane.worker))
    return Workers(
        lanes=tuple(lanes),
        start=start,
        end=end,
        caption=_caption(lanes, registered, {*names, *trained}, words),
    )


def _latest(snapshot: Snapshot) -> tuple[Snapshot, str]:
    """Return the study without the trials of a large one that began before its latest 1,000, and a sentence on them."""
    begun = sorted(
        (trial for trial in snapshot.trials if trial.started is not None),
        key=lambda trial: (trial.started or snapshot.taken, trial.number),
    )
    earlier = {trial.number for trial in begun[:-MOST_MARKS]}
    if not earlier:
        return snapshot, ""
    latest = replace(
        snapshot,
        trials=[trial for trial in snapshot.trials if trial.number not in earlier],
        attempts={
            number: attempts for number, attempts in snapshot.attempts.items() if number not in earlier
        },
    )
    return latest, f"Drawn are the latest {MOST_MARKS:,} of {len(begun):,} trials that began."


def _spans(snapshot: Snapshot) -> dict[str, list[_Span]]:
    """Return the training spans by worker: the last attempt of each trial, and its unfinished earlier attempts."""
    found: dict[str, list[_Span]] = {}
    for trial in snapshot.trials:
        for attempt in snapshot.attempts.get(trial.number, ()):
            if attempt.started is not None:
                found.setdefault(_name(attempt.worker), []).append(_attempt_span(trial, attempt, snapshot))
        end = trial.finished if trial.state.is_final else snapshot.taken
        if trial.started is not None and end is not None and end >= trial.started:
            found.setdefault(_name(trial.worker), []).append(_trial_span(trial, end, snapshot))
    return found


def _name(worker: str | None) -> str:
    return NO_WORKER if worker is None else worker


def _trial_span(trial: Trial, end: datetime, snapshot: Snapshot) -> _Span:
    start = trial.started or end
    lines = (*hover_lines(trial, snapshot.study.spec), _when(_name(trial.worker), start, end))
    return _Span(number=trial.number, fate=trial.fate, start=start, end=end, hover=lines)


def _attempt_span(trial: Trial, attempt: Attempt, snapshot: Snapshot) -> _Span:
    """Return the span of an unfinished attempt: lost, or returned to the queue."""
    start = attempt.started or attempt.ended
    end = max(attempt.ended, start)
    first, params, *_ = hover_lines(trial, snapshot.study.spec)
    words = (first, params, *_attempt_words(attempt), _when(_name(attempt.worker), start, end))
    fate = Fate.LOST if _is_lost(attempt) else Fate.WAITING
    return _Span(number=trial.number, fate=fate, start=start, end=end, hover=words)


def _attempt_words(attempt: Attempt) -> tuple[str, str]:
    return (
        f"attempt {attempt.attempt} was lost after {format_count(attempt.epochs, 'epoch')}",
        f"why: {attempt.why}",
    )


def _is_lost(attempt: Attempt) -> bool:
    """Return True for an attempt that was not handed back, whether or not it counts against the trial."""
    return attempt.cause is Cause.WORKER_LOST


def _when(worker: str, start: datetime, end: datetime) -> str:
    return f"{worker}: {format_moment(start)}, {format_duration((end - start).total_seconds())}"


def _lost(snapshot: Snapshot) -> dict[str, list[WorkerEvent]]:
    """Return by worker the moments at which a lost lease was detected."""
    found: dict[str, list[WorkerEvent]] = {}
    for number, attempts in snapshot.attempts.items():
        for attempt in attempts:
            if _is_lost(attempt):
                lines = (
                    f"trial {number}: lease lost",
                    *_attempt_words(attempt),
                    format_moment(attempt.ended),
                )
                found.setdefault(_name(attempt.worker), []).append(WorkerEvent(at=attempt.ended, hover=lines))
    return found


def _lane(
    name: str,
    spans: Sequence[_Span],
    lost: Sequence[WorkerEvent],
    record: WorkerRecord | None,
    *,
    end: datetime,
) -> WorkerLane:
    bars = _packed(spans)
    return WorkerLane(
        worker=name,
        rows=1 + max((bar.row for bar in bars), default=0),
        bars=bars,
        busy=_busy(spans),
        beat=None if record is None else _beat(record, end),
        lost=tuple(lost),
    )


def _packed(spans: Iterable[_Span]) -> tuple[Bar, ...]:
    """Return the spans in the fewest rows without overlaps: each in the lowest free row."""
    ordered = sorted(spans, key=lambda span: (span.start, span.end, span.number))
    free: list[int] = []
    taken: list[tuple[datetime, int]] = []
    rows = 0
    bars = []
    for span in ordered:
        while taken and taken[0][0] <= span.start:
            heappush(free, heappop(taken)[1])
        if free:
            row = heappop(free)
        else:
            row, rows = rows, rows + 1
        heappush(taken, (span.end, row))
        bars.append(
            Bar(number=span.number, fate=span.fate, row=row, start=span.start, end=span.end, hover=span.hover)
        )
    return tuple(bars)


def _busy(spans: Sequence[_Span]) -> str:
    """Return the share of the time between its first start and last end in which the worker trained, as text."""
    busy, reached = 0.0, None
    for start, end in sorted((span.start, span.end) for span in spans):
        begin = start if reached is None else max(start, reached)
        busy += max((end - begin).total_seconds(), 0.0)
        reached = end if reached is None else max(end, reached)
    whole = 0.0 if reached is None else (reached - min(span.start for span in spans)).total_seconds()
    return f"busy {format_share(busy, whole)}" if whole else ""


def _beat(record: WorkerRecord, end: datetime) -> WorkerEvent:
    """Return the last heartbeat; a heartbeat after the last training is placed at the end of the axis."""
    identity = record.identity
    state = "lost" if record.is_lost else "asked to stop" if record.should_stop else "alive"
    lines = (
        f"{identity.name}: {state}",
        f"last heartbeat {format_moment(record.seen)}",
        f"process {identity.process_id} on {identity.host}, hpsearch {identity.version}",
    )
    return WorkerEvent(at=min(record.seen, end), hover=lines)


def _caption(
    lanes: Sequence[WorkerLane], registered: Mapping[str, WorkerRecord], names: AbstractSet[str], latest: str
) -> str:
    lost = sum(len(lane.lost) for lane in lanes)
    others = len(registered.keys() - names)
    count = format_count(len(lanes), "worker")
    sentences = [
        f"A lane for each of {count}, a bar for each trial in the colour of its fate; gaps are idle time."
    ]
    if latest:
        sentences.append(latest)
    if any(lane.beat for lane in lanes):
        sentences.append("A vertical line is a worker's last heartbeat.")
    if lost:
        sentences.append(f"Asterisks are lost leases: {lost:,}.")
    if others:
        sentences.append(
            f"Not drawn, because they did not train here: {format_count(others, 'other worker')}."
        )
    return " ".join(sentences)


_USUAL_PX: Final = 600
_LEAST_PX: Final = 2.5
_MOST_PX: Final = 14.0
_LANE_PX: Final = 16.0
_TWO_LINES_PX: Final = 32.0
_NAME: Final = 22
_LEAST_SHARE: Final = 1 / 2000
"""Minimum bar width as a share of the axis, so that the shortest trial is visible and can be hovered over."""


def draw_workers(data: Workers) -> go.Figure:
    """Draw the lanes on shaded backgrounds, the earliest worker at the top."""
    row_px = _row_px(data.lanes)
    heights = [max(lane.rows, _LANE_PX / row_px) + 1 for lane in data.lanes]
    tops = [0.0, *accumulate(heights)]
    margin = max((data.end - data.start) * 0.02, timedelta(milliseconds=10))
    layout: dict[str, Any] = {
        "xaxis": plain_axis(
            "time (UTC)",
            type="date",
            range=[instant(data.start - margin), instant(data.end + margin)],
            nticks=4,
            automargin=True,
        )
        | {"title": {"text": "time (UTC)", "font": {"color": SOFT_INK, "size": 12}, "standoff": 20}},
        "yaxis": _lane_axis(data.lanes, tops, row_px),
        "barmode": "overlay",
        "shapes": [_ground(top, height - 1) for top, height in zip(tops, heights, strict=False)],
    }
    return figure(
        [*_bars(data, tops), *_marks(data, tops, heights)], layout, plot_px=round(tops[-1] * row_px)
    )


def _row_px(lanes: Sequence[WorkerLane]) -> float:
    return min(max(_USUAL_PX / sum(lane.rows + 1 for lane in lanes), _LEAST_PX), _MOST_PX)


def _lane_axis(lanes: Sequence[WorkerLane], tops: Sequence[float], row_px: float) -> dict[str, Any]:
    heights = [(bottom - top) * row_px for top, bottom in pairwise(tops)]
    return plain_axis(
        "",
        range=[tops[-1], -1],
        showgrid=False,
        automargin=True,
        tickmode="array",
        tickvals=[(top + bottom - 1) / 2 for top, bottom in pairwise(tops)],
        ticktext=[_lane_words(lane, height) for lane, height in zip(lanes, heights, strict=True)],
    )


def _lane_words(lane: WorkerLane, height_px: float) -> str:
    name = escaped(_short(lane.worker))
    return f"{name}<br>{lane.busy}" if lane.busy and height_px > _TWO_LINES_PX else name


def _short(name: str) -> str:
    """Return a shortened name: its beginning and its end, which distinguishes workers."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2 - 1]}…{name[-_NAME // 2 :]}"


def _ground(top: float, height: float) -> dict[str, Any]:
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": top - 0.5,
        "y1": top + height - 0.5,
        "fillcolor": RAIL,
        "line": {"width": 0},
        "layer": "below",
    }


def _bars(data: Workers, tops: Sequence[float]) -> Iterator[go.Bar]:
    least = (data.end - data.start) * _LEAST_SHARE
    placed = [(top + bar.row, bar) for top, lane in zip(tops, data.lanes, strict=False) for bar in lane.bars]
    for fate in Fate:
        own = [(row, bar) for row, bar in placed if bar.fate is fate]
        if own:
            yield go.Bar(
                orientation="h",
                base=[instant(bar.start) for _, bar in own],
                x=[_milliseconds(bar, least) for _, bar in own],
                y=[row for row, _ in own],
                width=0.86,
                name=fate.value,
                legendgroup=fate.value,
                meta={"fate": fate.value},
                marker={"color": LOOKS[fate].colour, "line": {"width": 0}},
                hoverinfo="text",
                hovertext=[hover(bar.hover) for _, bar in own],
                textposition="none",
            )


def _milliseconds(bar: Bar, least: timedelta) -> float:
    return max(bar.end - bar.start, least, timedelta(milliseconds=1)) / timedelta(milliseconds=1)


def _marks(data: Workers, tops: Sequence[float], heights: Sequence[float]) -> Iterator[go.Scatter]:
    middles = [top + (height - 2) / 2 for top, height in zip(tops, heights, strict=False)]
    beats = [(y, lane.beat) for y, lane in zip(middles, data.lanes, strict=True) if lane.beat is not None]
    lost = [(y, event) for y, lane in zip(middles, data.lanes, strict=True) for event in lane.lost]
    if beats:
        yield go.Scatter(
            name="last heartbeat",
            hoverinfo="text",
            **_places(beats),
            marker={"symbol": "line-ns-open", "size": 13, "color": INK, "line": {"color": INK, "width": 2.5}},
        )
    if lost:
        yield fate_trace(Fate.LOST, showlegend=False, **_places(lost), marker=marker(Fate.LOST, size=11))


def _places(events: Sequence[tuple[float, WorkerEvent]]) -> dict[str, Any]:
    return {
        "mode": "markers",
        "x": [instant(event.at) for _, event in events],
        "y": [y for y, _ in events],
        "hovertext": [hover(event.hover) for _, event in events],
        "cliponaxis": False,
    }
