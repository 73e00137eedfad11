"""Studies compared: the best result so far of each against the epochs that it took, and what they do otherwise."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.report.figure_data.axes import Tick, count_ticks
from hpsearch.report.figure_data.best_so_far import BestStep, best_so_far
from hpsearch.report.figure_data.results import ResultScale, scale_of
from hpsearch.report.formats import format_count, format_result
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.specification import specification_text
from hpsearch.study.messages import toml_text

_NOT_COMPARED = frozenset({"name"})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRecord:
    """A result that was the best of its study when `epochs` had been begun; `position` is its place on the scale."""

    epochs: int
    value: float
    position: float
    hover: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudyLine:
    """One study: its records, oldest first, and the `epochs` that its ended trials had begun in all."""

    name: str
    order: int
    records: tuple[StudyRecord, ...]
    epochs: int


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One key of the study files that is not the same in all of them; a cell for each study, empty where it is not."""

    key: str
    cells: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudiesCompared:
    """The lines of all studies that have a result, the study of the report first, and what the studies do otherwise."""

    scale: ResultScale
    lines: tuple[StudyLine, ...]
    epochs: int
    ticks: tuple[Tick, ...]
    caption: str


def studies_compared(snapshot: Snapshot, others: Sequence[Snapshot]) -> StudiesCompared:
    """Return the studies on one scale. They have the same metric; other data is said in the caption."""
    snapshots = (snapshot, *others)
    steps = [_steps(one) for one in snapshots]
    values = [step.best for own in steps for step in own if step.is_record and step.best is not None]
    scale = scale_of(snapshot.study.spec.metric, values)
    lines = [
        _line(one, order, own, scale) for order, (one, own) in enumerate(zip(snapshots, steps, strict=True))
    ]
    drawn = tuple(line for line in lines if line.records)
    epochs = max((line.epochs for line in drawn), default=1)
    return StudiesCompared(
        scale=scale, lines=drawn, epochs=epochs, ticks=count_ticks(epochs), caption=_caption(lines, snapshots)
    )


def differences(snapshots: Sequence[Snapshot]) -> tuple[Difference, ...]:
    """Return every key of the study files, and the data's fingerprint, in which the studies differ."""
    files = [_keys(one) for one in snapshots]
    keys = dict.fromkeys(key for file in files for key in file)
    rows = [Difference(key=key, cells=tuple(file.get(key, "") for file in files)) for key in keys]
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
        sentences.append(f"Not comparable, having other data: {', '.join(foreign)}.")
    return " ".join(sentences)


def _line_words(line: StudyLine, metric: str) -> str:
    if not line.records:
        return f"{line.name}: no trial is complete with a finite result yet."
    last = line.records[-1]
    return (
        f"{line.name}: {format_result(last.value, metric)} after {format_count(last.epochs, 'epoch')}"
        f" of {line.epochs:,}."
    )
