"""Compared studies: the best result so far of each against its trained epochs, and their differences."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import plotly.graph_objects as go

from hpsearch.analysis.axes import Tick, count_ticks
from hpsearch.analysis.formats import format_result
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_so_far import BestStep, best_so_far
from hpsearch.report.figures.comparison import DASHES
from hpsearch.report.figures.drawing import escaped, figure, hover, plain_axis, rounded, ticked, words_above
from hpsearch.report.figures.scales import ResultScale, metric_scale
from hpsearch.report.palette import INK, SOFT_INK
from hpsearch.study.messages import format_count, toml_text
from hpsearch.study.writer import specification_text

_NOT_COMPARED = frozenset({"name"})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A result that was its study's best after `epochs` had been begun; `position` is its place on the scale."""

    epochs: int
    value: float
    position: float
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyLine:
    """One study: its records, oldest first, and the total `epochs` begun by its ended trials."""

    name: str
    order: int
    records: tuple[StudyRecord, ...]
    epochs: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class KeyDifference:
    """One study file key with different values; one cell per study, empty if the key is missing."""

    key: str
    cells: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudiesCompared:
    """The lines of all studies with a result, the report's own study first, and the differences between the studies."""

    scale: ResultScale
    lines: tuple[StudyLine, ...]
    epochs: int
    ticks: tuple[Tick, ...]
    caption: str


def studies_compared(snapshot: Snapshot, others: Sequence[Snapshot]) -> StudiesCompared:
    """Return the studies on one scale. They have the same metric; the caption mentions different data."""
    snapshots = (snapshot, *others)
    steps = [_steps(one) for one in snapshots]
    values = [step.best for own in steps for step in own if step.is_record and step.best is not None]
    scale = metric_scale(snapshot.study.spec.metric, values)
    lines = [
        _line(one, order, own, scale) for order, (one, own) in enumerate(zip(snapshots, steps, strict=True))
    ]
    drawn = tuple(line for line in lines if line.records)
    epochs = max((line.epochs for line in drawn), default=1)
    return StudiesCompared(
        scale=scale, lines=drawn, epochs=epochs, ticks=count_ticks(epochs), caption=_caption(lines, snapshots)
    )


def differences(snapshots: Sequence[Snapshot]) -> tuple[KeyDifference, ...]:
    """Return every key of the study files, and the data's fingerprint, in which the studies differ."""
    files = [_keys(one) for one in snapshots]
    keys = dict.fromkeys(key for file in files for key in file)
    rows = [KeyDifference(key=key, cells=tuple(file.get(key, "") for file in files)) for key in keys]
    return tuple(row for row in rows if len(set(row.cells)) > 1)


def _steps(snapshot: Snapshot) -> Sequence[BestStep]:
    found = best_so_far(snapshot)
    return () if found is None else found.steps


def _line(snapshot: Snapshot, order: int, steps: Sequence[BestStep], scale: ResultScale) -> StudyLine:
    records = [_record(step, step.best, scale) for step in steps if step.is_record and step.best is not None]
    return StudyLine(
        name=snapshot.study.spec.name,
        order=order,
        records=tuple(records),
        epochs=steps[-1].epochs if steps else 0,
    )


def _record(step: BestStep, value: float, scale: ResultScale) -> StudyRecord:
    position = scale.place(value).position
    assert position is not None, "a record is finite, and the scale holds all of them"
    return StudyRecord(epochs=step.epochs, value=value, position=position, hover=step.hover)


def _keys(snapshot: Snapshot) -> Mapping[str, str]:
    document = tomllib.loads(specification_text(snapshot.study.spec))
    keys: dict[str, str] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            keys |= {f"{key}.{name}": toml_text(inner) for name, inner in value.items()}
        elif key not in _NOT_COMPARED:
            keys[key] = toml_text(value)
    return {**keys, "fingerprint of the data": snapshot.study.fingerprint}


def _caption(lines: Sequence[StudyLine], snapshots: Sequence[Snapshot]) -> str:
    sentences = ["The best result so far of each study, against the epochs that its ended trials had begun."]
    metric = snapshots[0].study.spec.metric
    sentences += [_line_words(line, metric) for line in lines]
    first = snapshots[0].study.fingerprint
    foreign = [one.study.spec.name for one in snapshots[1:] if one.study.fingerprint != first]
    if foreign:
        sentences.append(f"Not comparable, because their data differ: {', '.join(foreign)}.")
    return " ".join(sentences)


def _line_words(line: StudyLine, metric: str) -> str:
    if not line.records:
        return f"{line.name}: no trial is complete with a finite result yet."
    last = line.records[-1]
    return (
        f"{line.name}: {format_result(last.value, metric)} after {format_count(last.epochs, 'epoch')}"
        f" of {line.epochs:,}."
    )


_LONGEST_LABEL: Final = 40
_ROW_PX: Final = 17
_SAMPLE_PX: Final = 34


def draw_studies(data: StudiesCompared) -> go.Figure:
    """Draw the best result so far of every study against epochs."""
    span = [-0.02 * data.epochs, 1.03 * data.epochs]
    scale = data.scale
    layout: dict[str, Any] = {
        "xaxis": plain_axis("epochs begun", range=span, **ticked(data.ticks)),
        "yaxis": plain_axis(scale.title, range=[scale.low, scale.high], **ticked(scale.ticks)),
        "annotations": list(_names(data.lines)),
        "shapes": list(_samples(data.lines)),
    }
    return figure(map(_trace, data.lines), layout, plot_px=320, top_px=_ROW_PX * len(data.lines))


def _trace(line: StudyLine) -> go.Scatter:
    last = line.records[-1]
    return go.Scatter(
        name=escaped(line.name),
        mode="lines",
        x=[*(record.epochs for record in line.records), line.epochs],
        y=[*(rounded(record.position) for record in line.records), rounded(last.position)],
        line={**_line_style(line), "shape": "hv"},
        hoverinfo="text",
        hovertext=[hover((line.name, *record.hover)) for record in (*line.records, last)],
    )


def _names(lines: Sequence[StudyLine]) -> Iterator[dict[str, Any]]:
    """Yield the names in separate rows above the plot, clear of the lines."""
    for row, line in enumerate(reversed(lines)):
        font = {"size": 12, "color": _line_style(line)["color"]}
        yield words_above(escaped(_short(line.name)), xshift=_SAMPLE_PX, yshift=2 + _ROW_PX * row, font=font)


def _samples(lines: Sequence[StudyLine]) -> Iterator[dict[str, Any]]:
    """Yield a sample of each line, to the left of its name."""
    for row, line in enumerate(reversed(lines)):
        height = 2 + _ROW_PX * (row + 0.5)
        yield {
            "type": "line",
            "xref": "paper",
            "xsizemode": "pixel",
            "xanchor": 0,
            "x0": 0,
            "x1": _SAMPLE_PX - 2,
            "yref": "paper",
            "ysizemode": "pixel",
            "yanchor": 1,
            "y0": height,
            "y1": height,
            "line": _line_style(line),
        }


def _line_style(line: StudyLine) -> dict[str, Any]:
    colour = SOFT_INK if line.order else INK
    return {"color": colour, "width": 2, "dash": DASHES[line.order % len(DASHES)]}


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_LABEL else f"{name[: _LONGEST_LABEL - 1]}…"
