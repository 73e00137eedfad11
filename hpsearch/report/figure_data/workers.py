"""Who trained what and when: a lane for each worker, idle gaps, heartbeats and lost leases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush
from typing import Final, final

from hpsearch.report.figure_data.hovering import hover_lines
from hpsearch.report.formats import format_count, format_duration, format_moment, format_share
from hpsearch.report.snapshot import Snapshot
from hpsearch.storage.records import Attempt, WorkerRecord
from hpsearch.trials import Fate, Trial

NO_WORKER: Final = "another program"
"""The lane of trials that carry no worker of ours."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A span of time in which one trial was trained. `row` counts from the top of its lane, from 0."""

    number: int
    fate: Fate
    row: int
    start: datetime
    end: datetime
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something at one moment in a lane: a heartbeat, or a lease that was lost."""

    at: datetime
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One worker. `rows` bars at most are beside each other; `busy` is the share of its time that it trained, in words.

    `beat` is its last heartbeat, None where it is not registered any more.
    """

    worker: str
    rows: int
    bars: tuple[Bar, ...]
    busy: str
    beat: Event | None
    lost: tuple[Event, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Workers:
    """The lanes, whoever began first at the top, between `start` and `end`."""

    lanes: tuple[Lane, ...]
    start: datetime
    end: datetime
    caption: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    """A bar before it has a row."""

    number: int
    fate: Fate
    start: datetime
    end: datetime
    hover: tuple[str, ...]


def workers(snapshot: Snapshot) -> Workers | None:
    """Return a lane for everyone who trained a trial of the study, or holds one; None where nobody did."""
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
    return Workers(lanes=tuple(lanes), start=start, end=end, caption=_caption(lanes, registered, names))


def _spans(snapshot: Snapshot) -> dict[str, list[_Span]]:
    """Return the spans of training by worker: of every trial its last attempt, and those that came to nothing."""
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
    """Return an attempt that came to nothing: lost, or handed back to wait for another worker."""
    start = attempt.started or attempt.ended
    end = max(attempt.ended, start)
    first, params, *_ = hover_lines(trial, snapshot.study.spec)
    words = (first, params, *_attempt_words(attempt), _when(_name(attempt.worker), start, end))
    fate = Fate.LOST if _is_lost(attempt) else Fate.WAITING
    return _Span(number=trial.number, fate=fate, start=start, end=end, hover=words)


def _attempt_words(attempt: Attempt) -> tuple[str, str]:
    return (
        f"attempt {attempt.attempt} came to nothing after {format_count(attempt.epochs, 'epoch')}",
        f"why: {attempt.why}",
    )


def _is_lost(attempt: Attempt) -> bool:
    """True for an attempt that was not handed back, whether or not that counts against the trial."""
    return attempt.crashed or attempt.kind != "handed_back"


def _when(worker: str, start: datetime, end: datetime) -> str:
    return f"{worker}: {format_moment(start)}, {format_duration((end - start).total_seconds())}"


def _lost(snapshot: Snapshot) -> dict[str, list[Event]]:
    """Return by worker the moments at which a lease was found to be lost."""
    found: dict[str, list[Event]] = {}
    for number, attempts in snapshot.attempts.items():
        for attempt in attempts:
            if _is_lost(attempt):
                lines = (
                    f"trial {number}: lease lost",
                    *_attempt_words(attempt),
                    format_moment(attempt.ended),
                )
                found.setdefault(_name(attempt.worker), []).append(Event(at=attempt.ended, hover=lines))
    return found


def _lane(
    name: str, spans: Sequence[_Span], lost: Sequence[Event], record: WorkerRecord | None, *, end: datetime
) -> Lane:
    bars = _packed(spans)
    return Lane(
        worker=name,
        rows=1 + max((bar.row for bar in bars), default=0),
        bars=bars,
        busy=_busy(spans),
        beat=None if record is None else _beat(record, end),
        lost=tuple(lost),
    )


def _packed(spans: Iterable[_Span]) -> tuple[Bar, ...]:
    """Return the spans in as few rows as hold them without overlaps: each in the lowest row that is free."""
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
    """Say for which share of the time from its first start to its last end the worker trained anything."""
    busy, reached = 0.0, None
    for start, end in sorted((span.start, span.end) for span in spans):
        begin = start if reached is None else max(start, reached)
        busy += max((end - begin).total_seconds(), 0.0)
        reached = end if reached is None else max(end, reached)
    whole = 0.0 if reached is None else (reached - min(span.start for span in spans)).total_seconds()
    return f"busy {format_share(busy, whole)}" if whole else ""


def _beat(record: WorkerRecord, end: datetime) -> Event:
    """Return the last heartbeat; one after the last training stands at the end of the axis."""
    identity = record.identity
    state = "lost" if record.is_lost else "asked to stop" if record.should_stop else "alive"
    lines = (
        f"{identity.name}: {state}",
        f"last heartbeat {format_moment(record.seen)}",
        f"process {identity.process_id} on {identity.host}, hpsearch {identity.version}",
    )
    return Event(at=min(record.seen, end), hover=lines)


def _caption(lanes: Sequence[Lane], registered: Mapping[str, WorkerRecord], names: Sequence[str]) -> str:
    lost = sum(len(lane.lost) for lane in lanes)
    others = len(registered.keys() - set(names))
    count = format_count(len(lanes), "worker")
    sentences = [
        f"A lane for each of {count}, a bar for each trial in the colour of its fate; gaps are idle time."
    ]
    if any(lane.beat for lane in lanes):
        sentences.append("An upright line is a worker's last heartbeat.")
    if lost:
        sentences.append(f"Asterisks are leases that were lost: {lost:,}.")
    if others:
        sentences.append(f"Not drawn, having trained nothing here: {format_count(others, 'other worker')}.")
    return " ".join(sentences)
