"""A trial's curves as text: dots of Braille, or stars if the output has none; NaN and infinity in a row below."""

import math
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from hpsearch.analysis.formats import format_metric
from hpsearch.cli.output import terminal_width, write_line
from hpsearch.storage.records import StoredStudy
from hpsearch.study.messages import format_number
from hpsearch.telemetry import Series
from hpsearch.trials import Trial

_COLUMNS: Final = 56
_FEWEST_COLUMNS: Final = 8
_ROWS: Final = 6
_AXIS: Final = " |"
_NOT_FINITE: Final = "not finite"
_KEY: Final = "  (N: NaN, + and -: infinite)"
_BRAILLE: Final = 0x2800
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a Braille character, by row from the top and column (Unicode, block 2800)."""

_LOGARITHMIC_FROM: Final = 100.0
"""Values of one sign that span more than this ratio are drawn by their logarithms."""


def write_curves(trial: Trial, study: StoredStudy, series: Series) -> None:
    """Write the trial's metric and training loss by epoch to stdout, if there are two epochs or more.

    Epochs count from 1. Trials of other Optuna clients' studies have steps instead, written as they were reported.
    """
    curves = {
        study.spec.metric: study.numbered(trial.curve),
        "training_loss": dict(enumerate(series.get("training_loss", ()), start=1)),
    }
    for name, curve in curves.items():
        if len(curve) > 1:
            write_line()
            write_line(f"{format_metric(name)} by {study.unit}")
            for line in plot(curve, is_braille=_supports_braille(), width=terminal_width()):
                write_line(line)


def _supports_braille() -> bool:
    """Return True if stdout can take Braille."""
    try:
        chr(_BRAILLE).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def plot(curve: Mapping[int, float], *, is_braille: bool, width: int = 120) -> list[str]:
    """Return the lines of a plot of epoch -> value: the values, a row of marks if needed, the epochs.

    No line is longer than `width`, from 40 columns on.
    """
    finite = {epoch: value for epoch, value in curve.items() if math.isfinite(value)}
    ends = (max(finite.values()), min(finite.values())) if finite else ()
    high_label, low_label = (format_number(value, digits=4) for value in ends) if ends else ("", "")
    has_marks = len(finite) < len(curve)
    room = max(len(high_label), len(low_label), len(_NOT_FINITE) if has_marks else 0)
    columns = max(min(_COLUMNS, width - room - len(_AXIS)), _FEWEST_COLUMNS)
    rows = _drawing(curve, finite, columns, is_braille=is_braille) if finite else []
    labels = [high_label, *[""] * (_ROWS - 2), low_label] if finite else []
    lines = [f"{label:>{room}}{_AXIS}{row}".rstrip() for label, row in zip(labels, rows, strict=True)]
    first, last = min(curve), max(curve)
    if has_marks:
        row = "".join(_marks(curve, columns)).rstrip()
        marked = f"{_NOT_FINITE:>{room}}{_AXIS}{row}"
        is_room = len(marked) + len(_KEY) <= width
        lines += [marked + _KEY] if is_room else [marked, f"{'':{room}}{_KEY}"]
    begin = f"{first:,}"
    return [*lines, f"{'':>{room}}  {begin}{f'{last:,}':>{columns - len(begin)}}"]


def _drawing(
    curve: Mapping[int, float], finite: Mapping[int, float], columns: int, *, is_braille: bool
) -> list[str]:
    """Return the rows of the drawing, each `columns` wide."""
    wide, high = (2, 4) if is_braille else (1, 1)
    places, levels = _places(curve, columns * wide), _levels(finite, _ROWS * high)
    dots = {
        dot
        for part in _finite_runs(curve)
        for dot in _line([(places[epoch], levels[epoch]) for epoch in part])
    }
    return [_row(row, dots, columns, is_braille=is_braille) for row in range(_ROWS)]


def _places(curve: Mapping[int, float], count: int) -> dict[int, int]:
    """Return the column of each epoch, below `count`."""
    first, last = min(curve), max(curve)
    width = (count - 1) / max(last - first, 1)
    return {epoch: round((epoch - first) * width) for epoch in sorted(curve)}


def _marks(curve: Mapping[int, float], columns: int) -> list[str]:
    """Return the row of marks: N for NaN, + and - for the infinities."""
    places = _places(curve, columns)
    row = [" "] * columns
    for epoch, value in curve.items():
        if not math.isfinite(value):
            row[places[epoch]] = _mark(value)
    return row


def _finite_runs(curve: Mapping[int, float]) -> list[list[int]]:
    """Return the epochs in stretches of finite values, which lines may connect."""
    stretches: list[list[int]] = [[]]
    for epoch in sorted(curve):
        if math.isfinite(curve[epoch]):
            stretches[-1].append(epoch)
        else:
            stretches.append([])
    return stretches


def _levels(finite: Mapping[int, float], count: int) -> dict[int, int]:
    """Return the level of each value, 0 the highest, below `count`."""
    values = dict(finite)
    if (
        values
        and min(values.values()) > 0
        and max(values.values()) > _LOGARITHMIC_FROM * min(values.values())
    ):
        values = {epoch: math.log10(value) for epoch, value in values.items()}
    low, high = min(values.values(), default=0.0), max(values.values(), default=0.0)
    # Halves: the distance of two floats can overflow.
    span = high / 2 - low / 2
    return {
        epoch: round((count - 1) * ((high / 2 - value / 2) / span)) if span else count // 2
        for epoch, value in values.items()
    }


def _line(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the dots of a line through `points` (column, level)."""
    dots = list(points)
    for (x, y), (next_x, next_y) in pairwise(points):
        steps = max(abs(next_x - x), abs(next_y - y), 1)
        dots += [
            (round(x + (next_x - x) * step / steps), round(y + (next_y - y) * step / steps))
            for step in range(steps)
        ]
    return dots


def _row(row: int, dots: set[tuple[int, int]], columns: int, *, is_braille: bool) -> str:
    if not is_braille:
        return "".join("*" if (column, row) in dots else " " for column in range(columns))
    return "".join(_braille(column, row, dots) for column in range(columns))


def _braille(column: int, row: int, dots: set[tuple[int, int]]) -> str:
    bits = sum(
        bit
        for down, pair in enumerate(_DOTS)
        for right, bit in enumerate(pair)
        if (2 * column + right, 4 * row + down) in dots
    )
    return chr(_BRAILLE + bits) if bits else " "


def _mark(value: float) -> str:
    return "N" if math.isnan(value) else "+" if value > 0 else "-"
